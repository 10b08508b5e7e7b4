/*
 * run.h - the state of one crnn_forward() and the span, its unit of work; shared by
 * forward.c and span.c.
 */
#ifndef CRNN_RUN_H
#define CRNN_RUN_H

#include "kernels.h"

/* The rows [T][B] of a view whose memory begins at step origin, counted as crnn_step()
 * does. */
typedef struct {
    crnn_view view;
    size_t origin;
} crnn_sequence;

typedef struct {
    const crnn_network *net;
    const crnn_batch *batch;
    const crnn_watch *watch;
    size_t unwatched;   /* multiply-adds since the last look at the watch */
    size_t state_bytes; /* of one row of h */
    size_t span_steps;  /* the most steps of a span */
    size_t *order;      /* [B] rows, longest first, or NULL: as they come */
    size_t *active;     /* [T+1] how many rows are longer than t, or NULL: all */
    void **x, **y, **h; /* [span_steps * B] the rows of one product */
    void *zeros;        /* [H] */
    char *between;      /* [span_steps or T][B][D*H] what a layer hands to the next */
} crnn_run;

/* Consecutive steps of one layer in one direction. */
typedef struct {
    size_t layer, direction;
    size_t first, last; /* steps first .. last-1; direction 1 walks them backwards */
    crnn_sequence in;   /* [T][B][I], above layer 0 [T][B][D*H] */
    crnn_sequence out;  /* [T][B][D*H] */
} crnn_span;

static inline size_t crnn_step(const crnn_batch *batch, size_t t)
{
    return batch->offsets ? batch->offsets[t] : t;
}

static inline size_t crnn_rows_active(const crnn_run *r, size_t t)
{
    return r->active ? r->active[t] : t < r->batch->num_steps ? r->batch->num_rows : 0;
}

/* The i-th row in order of falling length, at step t. */
static inline char *crnn_row(const crnn_run *r, const crnn_sequence *s, size_t t,
                             size_t i)
{
    const ptrdiff_t step = (ptrdiff_t)(crnn_step(r->batch, t) - s->origin);
    const ptrdiff_t row = (ptrdiff_t)(r->order ? r->order[i] : i);
    return s->view.data + step * s->view.stride[0] + row * s->view.stride[1];
}

/* Run a span: read its input, h0 or hn; write its half of the output and hn.  False
 * when cancelled. */
bool crnn_run_span(crnn_run *r, const crnn_span *s);

#endif
