/*
 * adjoint.h - the state of one crnn_backward(), shared by backward.c, chain.c and
 * gradients.c.
 *
 * Layers come from the top.  For each, the chain goes back through time and leaves
 * dz[t] where dy[t] was; then dx, which is dy of the layer below, and the gradients of
 * the parameters are products over all steps and rows.
 */
#ifndef CRNN_ADJOINT_H
#define CRNN_ADJOINT_H

#include "division.h"

/* Where a share collects the rows of its products. */
typedef struct {
    void **x, **x_reverse, **y; /* [chunk, or inputs of a layer] */
    char *input, *state, *dz;   /* [chunk] rows that lie unevenly in memory */
} crnn_collector;

typedef struct {
    crnn_division d; /* first: tasks are handed a division */
    const crnn_gradients *g;
    void **back_ih, **back_hh; /* [L*D] panels of w_ih' [H][I] and w_hh' [H][H] */
    size_t panel_ih, panel_hh;
    char *dz, *below; /* [T][B][D*H] of this layer and of the one below, rows by rank */
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
    const size_t row = t * c->batch->num_rows + rank;
    return dz + (row * c->net->num_directions + direction) * c->state_bytes;
}

/* Run the chain of a layer in one direction over steps first .. last-1 of those it
 * walks, which begin at the end of the sequence in the forward direction; false when
 * cancelled. */
bool crnn_run_chain(crnn_adjoint *a, crnn_lane *lane, size_t direction, size_t first,
                    size_t last);

/* A share of dx, dh0 and the gradients of the parameters of the layer; false when
 * cancelled. */
bool crnn_run_share(crnn_adjoint *a, size_t share);

#endif
