/*
 * run.h - the state of one call, shared by the schedules, the spans and the
 * scratch memory.
 *
 * A run takes some rows of the batch through the network; a lane is what one thread
 * needs for its part of a run; a span, consecutive steps of one layer in one direction,
 * is the unit of work.
 */
#ifndef CRNN_RUN_H
#define CRNN_RUN_H

#include "kernels.h"

/* Bytes that the first cache has room for, and those of a sequence that the second one
 * keeps beside all else. */
#define CRNN_FIRST_CACHE ((size_t)32 << 10)
#define CRNN_FAR ((size_t)256 << 10)

/* The rows [T][B] of a view whose memory begins at step origin. */
typedef struct {
    crnn_view view;
    size_t origin;
    bool own; /* rows are those of the run, in its order, steps one after the other */
} crnn_sequence;

/* A matrix [k][cols] of the network, or the transpose of one, as products read it. */
typedef struct {
    crnn_term term; /* x is left open */
    size_t cols;
    const void *from; /* where the network has it */
    void *panels;     /* where it is copied first, or NULL */
} crnn_matrix;

/* Those of one layer and direction: w_ih' and w_hh', back in time w_ih and w_hh. */
typedef struct {
    crnn_matrix ih, hh;
} crnn_matrices;

/* What all runs of a call share. */
typedef struct {
    const crnn_network *net;
    const crnn_batch *batch;
    const crnn_plan *plan;
    const crnn_watch *watch;
    bool backward;
    size_t state_bytes;      /* of one row of h */
    crnn_matrices *matrices; /* [L*D] */
    const size_t *order;     /* [B] rows, longest first, or NULL: as they come */
    size_t *places;          /* [2][B] for sorting them */
    size_t num_steps;        /* of the longest row */
    void *zeros;             /* [H] */
} crnn_call;

/* Some consecutive rows in the call's order. */
typedef struct {
    const crnn_call *call;
    size_t first_row, num_rows;
    char *between; /* [span_steps or T][num_rows][D*H] what a layer hands to the next */
} crnn_run;

/* Apart from the other lanes: its thread writes it at every step. */
typedef struct {
    _Alignas(CRNN_ALIGNMENT) const crnn_run *run;
    size_t first_col, last_col;     /* the hidden units it computes */
    bool (*barrier)(void *context); /* where others compute the rest, or NULL */
    void *context;
    bool stalled;       /* a barrier took long */
    size_t unwatched;   /* multiply-adds since the last look at the watch */
    void **x, **y, **h; /* [span_steps * num_rows] the rows of one product */
    void **copy;        /* [num_rows] where those of a step are copied to */
} crnn_lane;

typedef struct {
    size_t layer, direction;
    size_t first, last; /* steps first .. last-1; direction 1 walks them backwards */
    crnn_sequence in;   /* [T][B][I], above layer 0 [T][B][D*H] */
    crnn_sequence out;  /* [T][B][D*H] */
    crnn_sequence copy; /* of out, where states are kept apart from y, else no data */
} crnn_span;

/* Features that a layer reads; index is layer * D + direction. */
static inline size_t crnn_inputs_of(const crnn_network *net, size_t index)
{
    return index < net->num_directions
               ? net->input_size
               : crnn_mul(net->num_directions, net->hidden_size);
}

/* Whether a pass reads the transposes of the matrices that the network has. */
static inline bool crnn_is_turned(const crnn_network *net, bool backward)
{
    return net->by_unit != backward;
}

/* Whether a vector is a whole cache line. */
static inline bool crnn_has_wide_vectors(const crnn_network *net)
{
    return net->kernels->lanes * net->kernels->element >= CRNN_LINE;
}

/* Whether the second cache is of 512 KiB or less: as a rule it is of 1 MiB or more
 * where vectors are whole lines. */
static inline bool crnn_has_small_cache(const crnn_network *net)
{
    return !crnn_has_wide_vectors(net);
}

/* Whether dropout stands between a layer and the next. */
static inline bool crnn_is_masked(const crnn_call *c, size_t layer)
{
    return c->batch->masks && layer + 1 < c->net->num_layers;
}

/* Whether the states of a layer are more than will stay in the second cache. */
static inline bool crnn_is_far(const crnn_call *c)
{
    const crnn_batch *batch = c->batch;
    return crnn_mul(crnn_mul(batch->num_steps, batch->num_rows), c->state_bytes) >
           CRNN_FAR;
}

/* The batch's number of the i-th row. */
static inline size_t crnn_row_of(const crnn_run *r, size_t i)
{
    return r->call->order ? r->call->order[r->first_row + i] : r->first_row + i;
}

/* The step before and after t in a direction's own time; SIZE_MAX, at which no row is
 * active, before the first. */
static inline size_t crnn_before(size_t t, size_t direction)
{
    return direction ? t + 1 : t - 1;
}

static inline size_t crnn_after(size_t t, size_t direction)
{
    return direction ? t - 1 : t + 1;
}

/* How many rows of the run are longer than t; they are the first ones. */
size_t crnn_rows_active(const crnn_run *r, size_t t);

/* Sort n rows by falling length, equal ones as they come; gives order or spare. */
const size_t *crnn_sort_rows(const size_t *lengths, size_t n, size_t *order,
                             size_t *spare);

/* The i-th row at step t. */
static inline char *crnn_row(const crnn_run *r, const crnn_sequence *s, size_t t,
                             size_t i)
{
    const size_t *offsets = r->call->batch->offsets;
    const size_t step = s->own || !offsets ? t - s->origin : offsets[t];
    const size_t row = s->own ? i : crnn_row_of(r, i);
    return s->view.data + (ptrdiff_t)step * s->view.stride[0] +
           (ptrdiff_t)row * s->view.stride[1];
}

/* Bytes from one row of memory of our own to the next: whole cache lines, and no
 * multiple of eight, where rows would share few sets of the first cache. */
static inline size_t crnn_row_step(size_t bytes)
{
    const size_t lines = crnn_add(bytes, CRNN_LINE - 1) / CRNN_LINE;
    return crnn_mul(lines % 8 ? lines : lines + 1, CRNN_LINE);
}

/* The states that a layer keeps for crnn_backward(). */
static inline crnn_view crnn_states_of(const crnn_call *c, size_t layer)
{
    const crnn_batch *batch = c->batch;
    const size_t row = crnn_row_step(c->state_bytes * c->net->num_directions);
    const size_t step = batch->offsets ? row : batch->num_rows * row;
    return (crnn_view){
        batch->states + layer * batch->num_state_rows * row,
        {(ptrdiff_t)step, (ptrdiff_t)row, (ptrdiff_t)c->net->kernels->element}};
}

/* Whether what lies between two layers is kept for the whole sequence. */
static inline bool crnn_keeps_all_steps(const crnn_call *c)
{
    return c->net->num_directions == 2 || c->plan->schedule == CRNN_LAYERS;
}

/*
 * The order of the work: a network of one direction climbs all its layers span by span,
 * so that what lies between two layers is one span long; with two directions each layer
 * needs the whole sequence of the one below.
 */
typedef struct {
    size_t layer;
    size_t first, last; /* steps; the reverse direction has the mirrored ones */
} crnn_stage;

static inline size_t crnn_num_spans(const crnn_call *c)
{
    return (c->num_steps + c->plan->span_steps - 1) / c->plan->span_steps;
}

static inline crnn_stage crnn_stage_at(const crnn_call *c, size_t i)
{
    const size_t L = c->net->num_layers, spans = crnn_num_spans(c);
    const bool chained = c->net->num_directions == 1;
    const size_t first = (chained ? i / L : i % spans) * c->plan->span_steps;
    return (crnn_stage){
        .layer = chained ? i % L : i / spans,
        .first = first,
        .last = crnn_min(first + c->plan->span_steps, c->num_steps),
    };
}

/* Whether the layer's steps read its inputs themselves, and no projection of them. */
bool crnn_has_few_inputs(const crnn_call *call, size_t index);

/* Run a layer in one direction over the steps of a stage; false when cancelled. */
bool crnn_run_span(crnn_lane *lane, const crnn_stage *stage, size_t direction);

/* Of a stage's steps, mask what the layer above reads. */
void crnn_hand_up(const crnn_run *r, const crnn_stage *stage);

/* Run a product; false when cancelled. */
bool crnn_product(crnn_lane *lane, const crnn_affine *a);

#endif
