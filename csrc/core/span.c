/*
 * span.c - one layer in one direction over consecutive steps.
 *
 * The projection b_ih + b_hh + w_ih x[t] of all steps is one product, written straight
 * into the output; the recurrence resumes from there, step by step.  A single step
 * takes both in one pass.
 */
#include <string.h>

#include "run.h"

/* Multiply-adds a lane between two looks at the watch, what the way to a row and to a
 * product weighs beside them, and the sizes that products are cut into. */
#define WATCH_WORK ((size_t)1 << 20)
#define ROW_WORK ((size_t)128)
#define PRODUCT_WORK ((size_t)2048)
#define WATCH_COLS ((size_t)256)
#define WATCH_ROWS ((size_t)24)

static size_t watch_work(const crnn_lane *lane)
{
    return WATCH_WORK * lane->run->call->net->kernels->lanes;
}

/* Whether the call shall end.  Lanes that meet at barriers are asked between spans. */
static bool cancelled(crnn_lane *lane, size_t work)
{
    const crnn_watch *watch = lane->run->call->watch;
    lane->unwatched += work;
    if (lane->unwatched < watch_work(lane) || lane->barrier || !watch)
        return false;
    lane->unwatched = 0;
    return watch->cancelled(watch->context);
}

/* Run a product; false when cancelled. */
static bool piece(crnn_lane *lane, const crnn_affine *a, size_t k)
{
    lane->run->call->net->kernels->affine(a);
    const size_t outputs = a->rows * (a->last_col - a->first_col);
    return !cancelled(lane, outputs * (k + ROW_WORK) + PRODUCT_WORK);
}

/* Run a product as several that take up at most so many inputs each: the sum goes on
 * where the one before left it. */
static bool by_inputs(crnn_lane *lane, crnn_affine a, size_t most)
{
    const crnn_activation activation = a.activation;
    const crnn_term terms[2] = {a.terms[0], a.terms[1]};
    const size_t num_terms = a.num_terms;
    a.num_terms = 1;
    for (size_t i = 0; i < num_terms; i++) {
        a.terms[0] = terms[i];
        for (size_t first = 0; first < terms[i].k; first += most, a.resume = true) {
            a.terms[0].first = first;
            a.terms[0].last = crnn_min(first + most, terms[i].k);
            const bool done = i + 1 == num_terms && a.terms[0].last == terms[i].k;
            a.activation = done ? activation : CRNN_IDENTITY;
            if (!piece(lane, &a, a.terms[0].last - first))
                return false;
        }
    }
    return true;
}

/* Run one product over the lane's columns, cut where it is long so that the watch is
 * looked at. */
static bool product(crnn_lane *lane, crnn_affine *a)
{
    const size_t k = a->terms[0].k + (a->num_terms > 1 ? a->terms[1].k : 0);
    const size_t work = watch_work(lane), width = lane->last_col - lane->first_col;
    a->first_col = lane->first_col;
    a->last_col = lane->last_col;
    if (crnn_mul(crnn_mul(a->rows, width), k + ROW_WORK) <= work)
        return piece(lane, a, k);

    const size_t rows = crnn_min(a->rows, WATCH_ROWS),
                 cols = crnn_min(width, WATCH_COLS);
    const size_t inputs = crnn_max(work / (rows * cols), 1);
    for (size_t row = 0; row < a->rows; row += rows)
        for (size_t col = a->first_col; col < a->last_col; col += cols) {
            crnn_affine part = *a;
            part.rows = crnn_min(rows, a->rows - row);
            part.first_col = col;
            part.last_col = crnn_min(col + cols, a->last_col);
            part.y += row;
            part.terms[0].x += row;
            part.terms[1].x += part.num_terms > 1 ? row : 0;
            if (!(k <= inputs ? piece(lane, &part, k) : by_inputs(lane, part, inputs)))
                return false;
        }
    return true;
}

static size_t index_of(const crnn_lane *lane, const crnn_span *s)
{
    return s->layer * lane->run->call->net->num_directions + s->direction;
}

/* A product of the span that starts from the biases. */
static crnn_affine affine_of(const crnn_lane *lane, const crnn_span *s, size_t rows)
{
    const crnn_weights *w = &lane->run->call->net->weights[index_of(lane, s)];
    return (crnn_affine){.rows = rows, .b_ih = w->b_ih, .b_hh = w->b_hh, .y = lane->y};
}

static crnn_term input_term(const crnn_lane *lane, const crnn_span *s)
{
    const crnn_call *call = lane->run->call;
    crnn_term term = call->matrices[index_of(lane, s)].ih;
    term.x = lane->x;
    term.x_step = s->in.view.stride[2] / (ptrdiff_t)call->net->kernels->element;
    return term;
}

static crnn_term state_term(const crnn_lane *lane, const crnn_span *s)
{
    crnn_term term = lane->run->call->matrices[index_of(lane, s)].hh;
    term.x = lane->h;
    term.x_step = 1;
    return term;
}

/* The i-th row of a [L*D][B][H] view, for the layer and direction of s. */
static char *state_row(const crnn_lane *lane, const crnn_view *states,
                       const crnn_span *s, size_t i)
{
    return states->data + (ptrdiff_t)index_of(lane, s) * states->stride[0] +
           (ptrdiff_t)crnn_row_of(lane->run, i) * states->stride[1];
}

static void *output_row(const crnn_lane *lane, const crnn_span *s, size_t t, size_t i)
{
    return crnn_row(lane->run, &s->out, t, i) +
           s->direction * lane->run->call->state_bytes;
}

/* Write b_ih + b_hh + w_ih x[t] into the rows of the output that the span's steps will
 * use. */
static bool project(crnn_lane *lane, const crnn_span *s)
{
    size_t n = 0;
    for (size_t t = s->first; t < s->last; t++)
        for (size_t i = 0; i < crnn_rows_active(lane->run, t); i++, n++) {
            lane->x[n] = crnn_row(lane->run, &s->in, t, i);
            lane->y[n] = output_row(lane, s, t, i);
        }
    crnn_affine a = affine_of(lane, s, n);
    a.terms[a.num_terms++] = input_term(lane, s);
    return product(lane, &a);
}

/* Let h[known..n-1] point to the states that step t reads: h0 where a row begins, else
 * what hn has kept. */
static void enter(crnn_lane *lane, const crnn_span *s, size_t t, size_t known, size_t n)
{
    const crnn_call *call = lane->run->call;
    const crnn_batch *batch = call->batch;
    const size_t begun = s->direction ? crnn_rows_active(lane->run, t + 1) : t ? n : 0;
    for (size_t i = known; i < n; i++) {
        if (i < begun)
            lane->h[i] = state_row(lane, &batch->hn, s, i);
        else if (batch->h0.data)
            lane->h[i] = state_row(lane, &batch->h0, s, i);
        else
            lane->h[i] = call->zeros;
    }
}

/* One step of the recurrence, from h to y. */
static bool advance(crnn_lane *lane, const crnn_span *s, size_t t, size_t n,
                    crnn_affine *a)
{
    a->rows = n;
    a->y = lane->y;
    a->terms[a->num_terms - 1].x = lane->h;
    for (size_t i = 0; i < n; i++)
        lane->y[i] = output_row(lane, s, t, i);
    for (size_t i = 0; i < n && !a->resume; i++)
        lane->x[i] = crnn_row(lane->run, &s->in, t, i);
    return product(lane, a);
}

/* What advance() computes at every step: from the projection, or from the biases and
 * the input. */
static crnn_affine step_of(const crnn_lane *lane, const crnn_span *s, bool hoisted)
{
    crnn_affine a = affine_of(lane, s, 0);
    a.resume = hoisted;
    a.activation = lane->run->call->net->activation;
    if (!hoisted)
        a.terms[a.num_terms++] = input_term(lane, s);
    a.terms[a.num_terms++] = state_term(lane, s);
    return a;
}

/* Keep in hn what y holds of the rows first .. last-1, in the lane's columns. */
static void keep(const crnn_lane *lane, const crnn_span *s, size_t first, size_t last)
{
    const crnn_call *call = lane->run->call;
    const size_t element = call->net->kernels->element;
    const size_t start = lane->first_col * element;
    for (size_t i = first; i < last && call->batch->hn.data; i++)
        memcpy(state_row(lane, &call->batch->hn, s, i) + start,
               (char *)lane->y[i] + start, lane->last_col * element - start);
}

static bool run_steps(crnn_lane *lane, const crnn_span *s, bool hoisted)
{
    const crnn_run *r = lane->run;
    const size_t steps = s->last - s->first;
    crnn_affine a = step_of(lane, s, hoisted);
    size_t known = 0;
    for (size_t i = 0; i < steps; i++) {
        const size_t t = s->direction ? s->last - 1 - i : s->first + i;
        const size_t n = crnn_rows_active(r, t);
        const size_t next = s->direction ? t - 1 : t + 1;
        enter(lane, s, t, known, n);
        if (!advance(lane, s, t, n, &a))
            return false;
        keep(lane, s, i + 1 == steps ? 0 : crnn_rows_active(r, next), n);
        if (lane->barrier && !lane->barrier(lane->context))
            lane->stalled = true;
        void **written = lane->y;
        lane->y = lane->h;
        lane->h = written;
        known = n;
    }
    return true;
}

/* What layer l writes: y and the buffer in turn, so that the top layer writes y. */
static crnn_sequence output_of(const crnn_run *r, size_t layer, size_t first)
{
    const crnn_call *call = r->call;
    if ((call->net->num_layers - 1 - layer) % 2 == 0)
        return (crnn_sequence){.view = call->batch->y};
    const ptrdiff_t element = (ptrdiff_t)call->net->kernels->element;
    const ptrdiff_t row = (ptrdiff_t)(call->state_bytes * call->net->num_directions);
    return (crnn_sequence){
        .view = {r->between, {(ptrdiff_t)r->num_rows * row, row, element}},
        .origin = crnn_keeps_all_steps(call) ? 0 : first,
        .own = true,
    };
}

bool crnn_run_span(crnn_lane *lane, const crnn_stage *stage, size_t direction)
{
    const crnn_call *call = lane->run->call;
    const size_t layer = stage->layer;
    crnn_span s = {layer, direction, stage->first, stage->last,
                   .out = output_of(lane->run, layer, stage->first)};
    if (layer == 0)
        s.in = (crnn_sequence){.view = call->batch->x};
    else
        s.in = output_of(lane->run, layer - 1, stage->first);
    if (direction == 1) {
        s.first = call->num_steps - stage->last;
        s.last = call->num_steps - stage->first;
    }
    const bool hoisted = s.last - s.first > 1;
    return (!hoisted || project(lane, &s)) && run_steps(lane, &s, hoisted);
}

void crnn_apply_mask(const crnn_run *r, const crnn_stage *stage)
{
    const crnn_call *call = r->call;
    const size_t D = call->net->num_directions, T = call->num_steps;
    if (!call->batch->masks || stage->layer + 1 == call->net->num_layers ||
        (D == 2 && stage->last < T))
        return;
    const crnn_sequence out = output_of(r, stage->layer, stage->first),
                        mask = {.view = call->batch->masks[stage->layer]};
    for (size_t t = D == 2 ? 0 : stage->first; t < stage->last; t++)
        for (size_t i = 0; i < crnn_rows_active(r, t); i++)
            call->net->kernels->scale(crnn_row(r, &out, t, i), crnn_row(r, &mask, t, i),
                                      D * call->net->hidden_size);
}
