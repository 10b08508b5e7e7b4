/*
 * adjoint.h - the state of one crnn_backward(), shared by adjoint.c, backward.c,
 * chain.c, collect.c, gradients.c and weights.c.
 *
 * Layers come from the top.  A layer goes back through time in spans of steps: the
 * chain leaves dz of a span in memory that stays in cache, and from there dx, which is
 * dy of the layer below, and the gradients of the parameters take it, as products over
 * all rows of the span.
 */
#ifndef CRNN_ADJOINT_H
#define CRNN_ADJOINT_H

#include "division.h"

/* Rows whose gradients are added up from zero, before their sum is to those of others:
 * one sum of 10^7 rows in float32 would be wrong by 1 %. */
#define CRNN_GROUP_ROWS ((size_t)4096)

/* Vectors of inputs that are few. */
#define CRNN_NARROW ((size_t)2)

/* What the products over time read of a span, a row for each of its rows: as it lies,
 * or copied into panels [cols / panel][rows][panel]. */
typedef struct {
    char *first;
    ptrdiff_t step; /* elements from one row to the next */
    size_t panel;   /* columns of a panel, or 0 */
    char *panels;   /* memory for them */
    size_t width;   /* of those */
} crnn_block;

/* Pointers to the rows where a lane's chain stands, and where it goes next: dy, h. */
typedef struct {
    void **start, **h;
} crnn_step;

/* Rows that a product fetches before it comes to them: those of a tile, or more; and of
 * how many rows a span is that are worth it: a tile stops for each that it fetches. */
#define CRNN_ROWS_AHEAD ((size_t)8)
#define CRNN_ROWS_WORTH ((size_t)128)

/* Pointers to the rows of a product, of as many as it takes up at once, and to those
 * that are fetched meanwhile; y has CRNN_ROWS_AHEAD more. */
typedef struct {
    void **x, **y, **ahead;
} crnn_pointers;

typedef struct {
    crnn_division d;  /* first: tasks are handed a division; its stage is the span */
    size_t direction; /* that the products over time are at */
    size_t first_step,
        last_step;      /* of the span, that the chain is at, in its own time */
    size_t num_rows;    /* of the span */
    size_t rows_before; /* of the direction's spans before it */
    const crnn_gradients *g;
    size_t span_steps;   /* of the longest span */
    char *dz[2];         /* [span_steps + 1][B][H] of each direction, rows by rank */
    size_t row_bytes;    /* from one of these rows to the next */
    char *above, *below; /* [T][B][D*H] dy of a layer that is not the top one, dx of one
                            that is not the first; rows by rank */
    size_t between_bytes; /* from one of these rows to the next */
    bool copied;          /* whether all that the products over time read is */
    crnn_block gradients, inputs, states; /* dz, x, and h a step before */
    crnn_block first_states;              /* h0: of the rows from num_kept on */
    size_t num_kept;
    char *turned; /* [inputs][H] the gradient of w_ih', where it is added up so */
    crnn_weight_gradients group;   /* sums of a group of rows, if not of the first */
    crnn_step (*steps)[2];         /* [crnn_num_lanes()] */
    crnn_run all;                  /* every row */
    double one;                    /* of the network's dtype */
    size_t num_shares, share_rows; /* most rows of a product for dx or dh0 */
    crnn_pointers *pointers;       /* [num_shares] */
} crnn_adjoint;

/* Lay it out in scratch memory; without, only count its bytes. */
crnn_adjoint *crnn_lay_out(const crnn_network *net, const crnn_batch *batch,
                           const crnn_gradients *g, const crnn_plan *plan, char *base,
                           size_t *used);

static inline bool crnn_wants_inputs(const crnn_adjoint *a, size_t layer)
{
    return layer > 0 || a->g->dx.data;
}

/* Whether the span is the direction's last: its rows begin in it. */
static inline bool crnn_is_last_span(const crnn_adjoint *a)
{
    const crnn_stage *span = &a->d.stage;
    return a->direction ? span->last == a->d.call.num_steps : span->first == 0;
}

/* Where dz of a row lies, by its rank in the call's order: for a step of the span, or
 * the one that the chain came from, which is the first or the last in this memory. */
static inline char *crnn_dz_row(const crnn_adjoint *a, size_t direction, size_t t,
                                size_t rank)
{
    const crnn_stage *span = &a->d.stage;
    const size_t step =
        direction ? t + 1 - span->first : t + a->span_steps - span->last;
    return a->dz[direction] + (step * a->d.call.batch->num_rows + rank) * a->row_bytes;
}

/* Of the layer that the stage says: its place among [L*D] in a direction, and the
 * features that it reads. */
static inline size_t crnn_index_of(const crnn_adjoint *a, size_t direction)
{
    return a->d.stage.layer * a->d.call.net->num_directions + direction;
}

static inline size_t crnn_num_inputs(const crnn_adjoint *a)
{
    return crnn_inputs_of(a->d.call.net, crnn_index_of(a, 0));
}

/* The matrices of the layer that the stage says, in a direction. */
static inline const crnn_matrices *crnn_matrices_of(const crnn_adjoint *a,
                                                    size_t direction)
{
    return &a->d.call.matrices[crnn_index_of(a, direction)];
}

/* The term of rows of dz and one of these. */
static inline crnn_term crnn_back_term(const crnn_matrix *matrix, void *const *dz)
{
    crnn_term term = matrix->term;
    term.x = dz;
    term.x_step = 1;
    return term;
}

/* Its inputs, dy and dx, by rank where they lie between layers, and the factors on its
 * inputs, without data if there are none. */
crnn_sequence crnn_input_sequence(const crnn_adjoint *a);
crnn_sequence crnn_dy_sequence(const crnn_adjoint *a);
crnn_sequence crnn_dx_sequence(const crnn_adjoint *a);
crnn_sequence crnn_mask_sequence(const crnn_adjoint *a);

/* A row of the span.  Chains and sums over time go through the rows in one order:
 * backwards in the forward direction, both steps and ranks, and forwards in the
 * other. */
typedef struct {
    size_t t, rank;
    size_t left; /* rows of the step that come after it */
} crnn_place;

crnn_place crnn_place_at(const crnn_adjoint *a, size_t n);
crnn_place crnn_place_after(const crnn_adjoint *a, crnn_place at);

/* The row of a [L*D][B][H] view. */
char *crnn_state_row(const crnn_adjoint *a, const crnn_view *states, size_t direction,
                     size_t rank);

/* Find what the products over time read; true if a part of it has to be copied first,
 * by crnn_copy_rows(): the rows first .. last-1 of the span. */
bool crnn_find_blocks(crnn_adjoint *a);
void crnn_copy_rows(const crnn_adjoint *a, size_t first, size_t last);

/* A part of the products over time: some rows of dx and dh0, and some hidden units of
 * the gradients of the parameters. */
typedef struct {
    const crnn_adjoint *a;
    const crnn_pointers *rows;
    crnn_lane lane;               /* for the watch */
    size_t first_row, last_row;   /* of the span */
    size_t first_rank, last_rank; /* whose chains may end in it */
    size_t first_unit, last_unit;
} crnn_share;

/* Where a product finds the rows that it fetches for later tiles, the last of n again
 * and again; NULL if it is so small that it would not wait for them. */
static inline void *const *crnn_rows_ahead(const crnn_adjoint *a,
                                           const crnn_pointers *rows, size_t n,
                                           size_t elements)
{
    if (elements * a->d.call.net->kernels->element <= CRNN_FIRST_CACHE ||
        a->num_rows < CRNN_ROWS_WORTH)
        return NULL;
    for (size_t i = 0; i < CRNN_ROWS_AHEAD; i++)
        rows->y[n + i] = rows->y[n - 1];
    return rows->y + CRNN_ROWS_AHEAD;
}

/* Run the chain of a direction through the span; false when cancelled, as all of
 * these. */
bool crnn_run_chain(const crnn_adjoint *a, size_t lane, size_t direction);
bool crnn_run_inputs(crnn_share *s);  /* dx */
bool crnn_run_states(crnn_share *s);  /* dh0 */
bool crnn_run_weights(crnn_share *s); /* the gradients of the parameters */

/* Once a direction's last span is done. */
void crnn_end_weights(const crnn_adjoint *a);

#endif
