/*
 * division.h - a call divided among the threads of a team; shared by forward.c and
 * scratch.c.
 */
#ifndef CRNN_DIVISION_H
#define CRNN_DIVISION_H

#include "run.h"

/* Each lane has a run of its own with a share of the rows, or all divide one run. */
typedef struct {
    crnn_call call;
    const crnn_team *team;
    crnn_run *runs;   /* [crnn_num_runs()] */
    crnn_lane *lanes; /* [threads] */
    bool *ended;      /* [threads] whether the lane was not cancelled */
    crnn_stage stage; /* what lanes that divide a run are at */
} crnn_division;

static inline size_t crnn_num_runs(const crnn_plan *plan)
{
    return plan->schedule == CRNN_ROWS ? plan->threads : 1;
}

/* Lay out everything in the scratch memory behind base, or only count if it is NULL;
 * *used becomes the bytes. */
crnn_division *crnn_lay_out(const crnn_network *net, const crnn_batch *batch,
                            const crnn_plan *plan, char *base, size_t *used);

#endif
