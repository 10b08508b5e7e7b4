/*
 * adjoint.h - the state of one crnn_backward(), shared by backward.c, chain.c,
 * gradients.c, weights.c and collect.c.
 *
 * Layers come from the top.  For each, the chain goes back through time and leaves
 * dz[t] where dy[t] was; then dx, which is dy of the layer below, and the gradients of
 * the parameters are products over all steps and rows.
 */
#ifndef CRNN_ADJOINT_H
#define CRNN_ADJOINT_H

#include "division.h"

/* Vectors of inputs that are few. */
#define CRNN_NARROW ((size_t)2)

/* Where a share collects the rows of its products, and those that it copies. */
typedef struct {
    void **x, **x_reverse, **y; /* [chunk, or hidden units] */
    char *copies;               /* [chunk] inputs that cannot be read in place */
    char *dz, *panels;          /* [chunk] in panels: of dz; of inputs or states */
    char *turned;               /* [inputs][H] where inputs are few */
} crnn_collector;

typedef struct {
    crnn_division d; /* first: tasks are handed a division */
    const crnn_gradients *g;
    void **back_ih, **back_hh; /* [L*D] panels of w_ih' [H][I] and w_hh' [H][H] */
    size_t panel_ih, panel_hh;
    size_t panel_dz, panel_rows; /* elements of a panel of dz; of inputs and states */
    char *dz, *below; /* [T][B][D*H] of this layer and of the one below, rows by rank */
    size_t row_bytes; /* from one of these rows to the next */
    crnn_run all;     /* every row */
    double one;       /* of the network's dtype */
    size_t chunk;     /* most rows of a product over time */
    size_t num_shares;
    crnn_collector *collectors; /* [num_shares] */
} crnn_adjoint;

/* The row of dz, or of the same place in below, for a rank of the call's order. */
static inline char *crnn_dz_row(const crnn_adjoint *a, char *dz, size_t t, size_t rank,
                                size_t direction)
{
    const crnn_call *c = &a->d.call;
    return dz + (t * c->batch->num_rows + rank) * a->row_bytes +
           direction * c->state_bytes;
}

/* The steps of one product over time: the rows from this place on. */
typedef struct {
    size_t t, rank;
    size_t active; /* rows at step t */
} crnn_place;

/* Some steps of dx, and some hidden units of everything else. */
typedef struct {
    crnn_adjoint *a;
    crnn_collector *rows;
    crnn_lane lane; /* for the watch */
    size_t layer;
    size_t first_unit, last_unit;
    size_t chunk; /* most rows to collect */
} crnn_share;

/* collect.c: the rows from a place on, those of the steps before last, at most a chunk;
 * their number.  The place becomes the one after them. */
size_t crnn_collect(const crnn_share *s, crnn_place *at, size_t last,
                    const crnn_sequence *sequence, size_t offset, void **rows);
crnn_place crnn_place_at(const crnn_share *s, size_t t);

/* What the share reads and writes row by row. */
crnn_sequence crnn_dz_sequence(const crnn_share *s, char *dz);
crnn_sequence crnn_mask_sequence(const crnn_share *s);

/* Rows that a layer read, n from a place on: its inputs, masked; the states before. */
void crnn_collect_inputs(const crnn_share *s, crnn_place at, size_t n);
void crnn_collect_states(const crnn_share *s, crnn_place at, size_t n,
                         size_t direction);

/* The i-th row of a [L*D][B][H] view. */
char *crnn_state_row(const crnn_share *s, const crnn_view *states, size_t direction,
                     size_t rank);

/* weights.c: the gradients of the parameters; false when cancelled. */
bool crnn_run_weights(crnn_share *s, size_t direction);

/* Run the chain of a layer in one direction over steps first .. last-1 of those it
 * walks, which begin at the end of the sequence in the forward direction; false when
 * cancelled. */
bool crnn_run_chain(crnn_adjoint *a, crnn_lane *lane, size_t direction, size_t first,
                    size_t last);

/* A share of dx, dh0 and the gradients of the parameters of the layer; false when
 * cancelled. */
bool crnn_run_share(crnn_adjoint *a, size_t share);

#endif
