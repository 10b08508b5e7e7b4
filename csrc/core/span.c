/*
 * span.c - one layer in one direction over consecutive steps.
 *
 * The projection b_ih + b_hh + w_ih x[t] of all steps is one product, written straight
 * into the output; the recurrence resumes from there, step by step.  A single step
 * takes both in one pass.
 */
#include <string.h>

#include "run.h"

/* Multiply-adds between two looks at the watch, and the least columns and rows that a
 * product is cut into. */
#define WATCH_WORK ((size_t)1 << 24)
#define WATCH_COLS ((size_t)64)
#define WATCH_ROWS ((size_t)24)

/* Run one product, cut where it is long so that the watch is looked at. */
static bool product(crnn_run *r, const crnn_affine *whole)
{
    const size_t k = whole->terms[0].k + (whole->num_terms > 1 ? whole->terms[1].k : 0);
    const size_t last_col = whole->last_col;
    size_t cols = last_col, rows = whole->rows;
    if (crnn_mul(crnn_mul(rows, cols), k) > WATCH_WORK) {
        cols = crnn_max(WATCH_WORK / crnn_mul(rows, k) / WATCH_COLS, 1) * WATCH_COLS;
        rows = crnn_max(WATCH_WORK / crnn_mul(cols, k) / WATCH_ROWS, 1) * WATCH_ROWS;
    }
    for (size_t row = 0; row < whole->rows; row += rows)
        for (size_t col = 0; col < last_col; col += cols) {
            crnn_affine part = *whole;
            part.rows = crnn_min(rows, whole->rows - row);
            part.first_col = col;
            part.last_col = crnn_min(col + cols, last_col);
            part.y += row;
            part.terms[0].x += row;
            if (part.num_terms > 1)
                part.terms[1].x += row;
            r->net->kernels->affine(&part);
            r->unwatched += part.rows * (part.last_col - col) * k;
            if (r->unwatched >= WATCH_WORK) {
                r->unwatched = 0;
                if (r->watch && r->watch->cancelled(r->watch->context))
                    return false;
            }
        }
    return true;
}

static const crnn_weights *weights_of(const crnn_run *r, const crnn_span *s)
{
    return &r->net->weights[s->layer * r->net->num_directions + s->direction];
}

/* The i-th row of a [L*D][B][H] view, for the layer and direction of s. */
static char *state_row(const crnn_run *r, const crnn_view *states, const crnn_span *s,
                       size_t i)
{
    const ptrdiff_t index =
        (ptrdiff_t)(s->layer * r->net->num_directions + s->direction);
    const ptrdiff_t row = (ptrdiff_t)(r->order ? r->order[i] : i);
    return states->data + index * states->stride[0] + row * states->stride[1];
}

static crnn_term input_term(const crnn_run *r, const crnn_span *s)
{
    const crnn_network *net = r->net;
    return (crnn_term){
        .x = r->x,
        .x_step = s->in.view.stride[2] / (ptrdiff_t)net->kernels->element,
        .w = net->weights[s->layer * net->num_directions + s->direction].w_ih,
        .w_step = net->hidden_size,
        .k = s->layer == 0 ? net->input_size : net->num_directions * net->hidden_size,
    };
}

static void *output_row(const crnn_run *r, const crnn_span *s, size_t t, size_t row)
{
    return crnn_row(r, &s->out, t, row) +
           s->direction * r->net->hidden_size * r->net->kernels->element;
}

/* Write b_ih + b_hh + w_ih x[t] into the rows of the output that the span's steps will
 * use. */
static bool project(crnn_run *r, const crnn_span *s)
{
    const crnn_weights *w =
        &r->net->weights[s->layer * r->net->num_directions + s->direction];
    size_t n = 0;
    for (size_t t = s->first; t < s->last; t++)
        for (size_t i = 0; i < crnn_rows_active(r, t); i++, n++) {
            r->x[n] = crnn_row(r, &s->in, t, i);
            r->y[n] = output_row(r, s, t, i);
        }
    return product(r, &(crnn_affine){
                          .rows = n,
                          .last_col = r->net->hidden_size,
                          .terms = {input_term(r, s)},
                          .num_terms = 1,
                          .b_ih = w->b_ih,
                          .b_hh = w->b_hh,
                          .y = r->y,
                          .activation = CRNN_IDENTITY,
                      });
}

/* Let r->h[known..n-1] point to the states that step t reads: h0 where a row begins,
 * else what hn has kept. */
static void enter(crnn_run *r, const crnn_span *s, size_t t, size_t known, size_t n)
{
    const crnn_batch *batch = r->batch;
    const size_t begun = s->direction ? crnn_rows_active(r, t + 1) : t ? n : 0;
    for (size_t i = known; i < n; i++) {
        if (i < begun)
            r->h[i] = state_row(r, &batch->hn, s, i);
        else if (batch->h0.data)
            r->h[i] = state_row(r, &batch->h0, s, i);
        else
            r->h[i] = r->zeros;
    }
}

/* One step of the recurrence, from r->h to r->y; whole takes in the step's input too.
 */
static bool advance(crnn_run *r, const crnn_span *s, size_t t, size_t n, bool whole)
{
    const crnn_network *net = r->net;
    const crnn_weights *w = weights_of(r, s);
    crnn_affine a = {
        .rows = n,
        .last_col = net->hidden_size,
        .resume = !whole,
        .b_ih = w->b_ih,
        .b_hh = w->b_hh,
        .y = r->y,
        .activation = net->activation,
    };
    for (size_t i = 0; i < n; i++)
        r->y[i] = output_row(r, s, t, i);
    if (whole) {
        for (size_t i = 0; i < n; i++)
            r->x[i] = crnn_row(r, &s->in, t, i);
        a.terms[a.num_terms++] = input_term(r, s);
    }
    a.terms[a.num_terms++] =
        (crnn_term){r->h, 1, w->w_hh, net->hidden_size, net->hidden_size};
    return product(r, &a);
}

/* Keep in hn what r->y holds of the rows first .. last-1. */
static void keep(crnn_run *r, const crnn_span *s, size_t first, size_t last)
{
    for (size_t i = first; i < last && r->batch->hn.data; i++)
        memcpy(state_row(r, &r->batch->hn, s, i), r->y[i], r->state_bytes);
}

bool crnn_run_span(crnn_run *r, const crnn_span *s)
{
    const size_t steps = s->last - s->first;
    const bool hoisted = steps > 1;
    if (hoisted && !project(r, s))
        return false;
    size_t known = 0;
    for (size_t i = 0; i < steps; i++) {
        const size_t t = s->direction ? s->last - 1 - i : s->first + i;
        const size_t n = crnn_rows_active(r, t);
        enter(r, s, t, known, n);
        if (!advance(r, s, t, n, !hoisted))
            return false;
        keep(r, s,
             i + 1 == steps ? 0 : crnn_rows_active(r, s->direction ? t - 1 : t + 1), n);
        void **written = r->y;
        r->y = r->h;
        r->h = written;
        known = n;
    }
    return true;
}
