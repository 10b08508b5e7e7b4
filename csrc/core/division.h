/*
 * division.h - a call divided among the threads of a team; shared by forward.c and
 * scratch.c.
 */
#ifndef CRNN_DIVISION_H
#define CRNN_DIVISION_H

#include "run.h"

/* Each lane has a run of its own with a part of the batch, or all divide one run. */
typedef struct {
    crnn_call call;
    const crnn_team *team;
    crnn_run *runs;   /* [parts] */
    crnn_lane *lanes; /* [crnn_num_lanes()] */
    bool *ended;      /* [crnn_num_lanes()] false where a lane was cancelled */
    crnn_stage stage; /* what lanes that divide a run are at */
} crnn_division;

static inline size_t crnn_num_lanes(const crnn_plan *plan)
{
    return crnn_max(plan->parts, plan->threads);
}

/* Lay out everything in the scratch memory behind base, or only count if it is NULL;
 * *used becomes the bytes. */
crnn_division *crnn_lay_out(const crnn_network *net, const crnn_batch *batch,
                            const crnn_plan *plan, char *base, size_t *used);

#endif
