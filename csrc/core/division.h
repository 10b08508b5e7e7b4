/*
 * division.h - a call divided among the threads of a team.
 */
#ifndef CRNN_DIVISION_H
#define CRNN_DIVISION_H

#include "run.h"

/* A part of the work, of a lane or a thread; false when cancelled. */
typedef bool crnn_task(crnn_division *d, size_t i);

/* Each lane has a run of its own with a part of the batch, or all divide one run. */
struct crnn_division {
    crnn_call call;
    const crnn_team *team;
    crnn_run *runs;   /* [parts] */
    crnn_lane *lanes; /* [crnn_num_lanes()] */
    crnn_task *task;  /* that goes on */
    bool *ended;      /* [crnn_num_lanes()] what it gave */
    crnn_stage stage; /* what lanes that divide a run are at */
};

static inline size_t crnn_num_lanes(const crnn_call *call)
{
    const crnn_plan *plan = call->plan;
    return plan->schedule == CRNN_LAYERS ? call->net->num_layers
                                         : crnn_max(plan->parts, plan->threads);
}

/* The hidden units of each of n lanes that share them: whole cache lines of h. */
static inline size_t crnn_share_of(size_t hidden_size, size_t n)
{
    return ((hidden_size + n - 1) / n + 63) / 64 * 64;
}

/* Whether a call that multiplies its matrices by so many rows copies them into panels:
 * where that takes less than it saves, and where products read their transposes
 * (turned). */
bool crnn_is_packed(const crnn_network *net, const crnn_plan *plan, size_t uses,
                    bool turned);

/* The width of the panels that a call's products of so many rows read, no wider than a
 * lane's share; 0 if they read the matrices where they are. */
size_t crnn_panel_of(const crnn_call *call, size_t rows);

/* Places in scratch memory; once they exceed the size, or without a base, it only
 * counts. */
typedef struct {
    char *base;
    size_t size, used;
} crnn_scratch;

/* The next count elements of so many bytes, aligned, or NULL without a base. */
void *crnn_take(crnn_scratch *m, size_t count, size_t size);

/* Lay out what the division of a call needs, the matrices apart. */
void crnn_take_division(crnn_division *d, crnn_scratch *m);

/* A matrix [k][cols] that a pass reads, in panels so wide, or as it lies for 0; and
 * copy into them all that call->matrices has; false when cancelled. */
crnn_matrix crnn_take_matrix(const crnn_call *call, crnn_scratch *m, const void *from,
                             size_t k, size_t cols, size_t panel);
bool crnn_pack_matrices(crnn_division *d);

/* Elements of a matrix [k][cols] in panels. */
size_t crnn_panels_size(size_t k, size_t cols, size_t panel);

/* Before anything else: sort the rows, clear the zeros. */
void crnn_begin(crnn_division *d, const crnn_team *team, const crnn_watch *watch);

/* Let n lanes work, on whichever threads come for them, or all at once, so that they
 * can meet; false when one was cancelled. */
bool crnn_run_lanes(crnn_division *d, size_t n, bool meeting, crnn_task *task);

/* The most steps that threads which meet go through at once. */
size_t crnn_meeting_steps(const crnn_network *net, size_t rows);

/* Give every lane its share of the hidden units. */
void crnn_share_columns(crnn_division *d, size_t threads);

/* Where lanes have shares: wait until all have written theirs of n rows of lane->y. */
void crnn_meet(crnn_lane *lane, size_t n);

static inline bool crnn_is_cancelled(const crnn_call *call)
{
    return call->watch && call->watch->cancelled(call->watch->context);
}

#endif
