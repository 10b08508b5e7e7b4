/*
 * span.c - one layer in one direction over consecutive steps.
 *
 * The projection b_ih + b_hh + w_ih x[t] of all steps is one product, written straight
 * into the output; the recurrence resumes from there, step by step.  A single step
 * takes both in one pass, and so do many with few inputs: their projection would write
 * and read every pre-activation for little arithmetic.
 */
#include <string.h>

#include "division.h"

/* Inputs that are few, if their matrix leaves most of the first cache to others. */
#define FEW_INPUTS ((size_t)32)
#define SMALL_MATRIX ((size_t)16 << 10)

static size_t index_of(const crnn_lane *lane, const crnn_span *s)
{
    return s->layer * lane->run->call->net->num_directions + s->direction;
}

/*
 * Products are put together in place.  A small call feels every copy of a struct of
 * this size, and that GCC clears it by a string instruction, while it copies a blank
 * one in a few moves.
 */
static const crnn_affine blank;

/* A product of the span that starts from the biases. */
static void begin(crnn_affine *a, const crnn_lane *lane, const crnn_span *s)
{
    const crnn_weights *w = &lane->run->call->net->weights[index_of(lane, s)];
    *a = blank;
    a->first_col = lane->first_col;
    a->last_col = lane->last_col;
    a->b_ih = w->b_ih;
    a->b_hh = w->b_hh;
}

static void add_inputs(crnn_affine *a, const crnn_lane *lane, const crnn_span *s)
{
    const crnn_call *call = lane->run->call;
    crnn_term *term = &a->terms[a->num_terms++];
    *term = call->matrices[index_of(lane, s)].ih.term;
    term->x = lane->x;
    term->x_step = s->in.view.stride[2] / (ptrdiff_t)call->net->kernels->element;
}

static void add_states(crnn_affine *a, const crnn_lane *lane, const crnn_span *s)
{
    crnn_term *term = &a->terms[a->num_terms++];
    *term = lane->run->call->matrices[index_of(lane, s)].hh.term;
    term->x_step = 1; /* of x, which changes at every step */
}

/* The i-th row of a [L*D][B][H] view, for the layer and direction of s. */
static char *state_row(const crnn_lane *lane, const crnn_view *states,
                       const crnn_span *s, size_t i)
{
    return states->data + (ptrdiff_t)index_of(lane, s) * states->stride[0] +
           (ptrdiff_t)crnn_row_of(lane->run, i) * states->stride[1];
}

/* The i-th row at step t of what both directions write, in the columns of s. */
static void *row_of(const crnn_lane *lane, const crnn_span *s, const crnn_sequence *out,
                    size_t t, size_t i)
{
    return crnn_row(lane->run, out, t, i) + s->direction * lane->run->call->state_bytes;
}

/* Write b_ih + b_hh + w_ih x[t] into the rows of the output that the span's steps will
 * use. */
static bool project(crnn_lane *lane, const crnn_span *s)
{
    size_t n = 0;
    for (size_t t = s->first; t < s->last; t++)
        for (size_t i = 0; i < crnn_rows_active(lane->run, t); i++, n++) {
            lane->x[n] = crnn_row(lane->run, &s->in, t, i);
            lane->y[n] = row_of(lane, s, &s->out, t, i);
        }
    crnn_affine a;
    begin(&a, lane, s);
    add_inputs(&a, lane, s);
    a.rows = n;
    a.y = lane->y;
    return crnn_product(lane, &a);
}

/* Let h[known..n-1] point to the states that step t reads: h0 where a row begins, else
 * what hn has kept. */
static void enter(crnn_lane *lane, const crnn_span *s, size_t t, size_t known, size_t n)
{
    const crnn_call *call = lane->run->call;
    const crnn_batch *batch = call->batch;
    const size_t begun = crnn_rows_active(lane->run, crnn_before(t, s->direction));
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
    for (size_t i = 0; i < n; i++) {
        lane->y[i] = row_of(lane, s, &s->out, t, i);
        if (s->copy.view.data)
            lane->copy[i] = row_of(lane, s, &s->copy, t, i);
    }
    if (a->start)
        a->start = lane->y;
    for (size_t i = 0; i < n && !a->start; i++)
        lane->x[i] = crnn_row(lane->run, &s->in, t, i);
    return crnn_product(lane, a);
}

/* What advance() computes at every step: from the projection, or from the biases and
 * the input. */
static void begin_steps(crnn_affine *a, const crnn_lane *lane, const crnn_span *s,
                        bool hoisted)
{
    begin(a, lane, s);
    a->start = hoisted ? lane->y : NULL;
    a->copy = s->copy.view.data ? lane->copy : NULL;
    a->ahead_by_rows = true;
    a->activation = lane->run->call->net->activation;
    if (!hoisted)
        add_inputs(a, lane, s);
    add_states(a, lane, s);
}

/* Keep in hn what y holds of the rows first .. last-1, in the lane's columns. */
static void keep(const crnn_lane *lane, const crnn_span *s, size_t first, size_t last)
{
    const crnn_view *hn = &lane->run->call->batch->hn;
    const size_t element = lane->run->call->net->kernels->element;
    const size_t start = lane->first_col * element;
    for (size_t i = first; i < last && hn->data; i++)
        memcpy(state_row(lane, hn, s, i) + start, (char *)lane->y[i] + start,
               lane->last_col * element - start);
}

/* Whether the layer's next span has other rows of a sequence. */
static bool goes_on(const crnn_call *call, const crnn_sequence *sequence)
{
    return !sequence->own || crnn_keeps_all_steps(call);
}

/* Let rows point to n of a sequence at a step, or at t where they have ended. */
static void *const *rows_at(const crnn_lane *lane, const crnn_sequence *sequence,
                            size_t column, size_t step, size_t t, size_t n, void **rows)
{
    const size_t active = crnn_rows_active(lane->run, step);
    for (size_t i = 0; i < n; i++)
        rows[i] = crnn_row(lane->run, sequence, i < active ? step : t, i) + column;
    return rows;
}

/* While step t goes on, fetch what the next one will write to the copy, and what the
 * projection of the layer's next span will read and write at a step that is as far from
 * t as a span is long: where they point, the projection needs lane->x no more. */
static void look_ahead(crnn_affine *a, const crnn_lane *lane, const crnn_span *s,
                       size_t t, size_t n)
{
    if (n == 1) /* products of one row fetch nothing */
        return;
    const crnn_call *call = lane->run->call;
    const size_t steps = s->last - s->first, column = s->direction * call->state_bytes;
    const size_t left = s->direction ? t : call->num_steps - 1 - t;
    a->ahead[0] = a->ahead[1] = a->ahead[2] = NULL;
    if (a->copy && left > 0)
        a->ahead[2] = rows_at(lane, &s->copy, column, crnn_after(t, s->direction), t, n,
                              lane->copy + n);
    if (left < steps)
        return;
    const size_t next = s->direction ? t - steps : t + steps;
    if (goes_on(call, &s->in) &&
        crnn_inputs_of(call->net, index_of(lane, s)) >= call->net->hidden_size &&
        s->in.view.stride[2] == (ptrdiff_t)call->net->kernels->element)
        a->ahead[0] = rows_at(lane, &s->in, 0, next, t, n, lane->x);
    if (goes_on(call, &s->out))
        a->ahead[1] = rows_at(lane, &s->out, column, next, t, n, lane->x + n);
}

static bool run_steps(crnn_lane *lane, const crnn_span *s, bool hoisted)
{
    crnn_affine a;
    begin_steps(&a, lane, s, hoisted);
    size_t t = s->direction ? s->last - 1 : s->first;
    size_t n = crnn_rows_active(lane->run, t), known = 0;
    for (size_t left = s->last - s->first; left > 0; left--) {
        const size_t next = crnn_after(t, s->direction);
        const size_t going_on = left > 1 ? crnn_rows_active(lane->run, next) : 0;
        enter(lane, s, t, known, n);
        if (hoisted)
            look_ahead(&a, lane, s, t, n);
        if (!advance(lane, s, t, n, &a))
            return false;
        /* Others may still read from hn what this step writes to it. */
        crnn_meet(lane, n);
        keep(lane, s, going_on, n);
        void **written = lane->y;
        lane->y = lane->h;
        lane->h = written;
        known = n;
        n = going_on;
        t = next;
    }
    return true;
}

static crnn_sequence buffer_of(const crnn_run *r, size_t first)
{
    const crnn_call *call = r->call;
    const ptrdiff_t element = (ptrdiff_t)call->net->kernels->element;
    const ptrdiff_t row = (ptrdiff_t)(call->state_bytes * call->net->num_directions);
    return (crnn_sequence){
        .view = {r->between, {(ptrdiff_t)r->num_rows * row, row, element}},
        .origin = crnn_keeps_all_steps(call) ? 0 : first,
        .own = true,
    };
}

/* What layer l writes: states to be kept, or y and the buffer in turn, so that the top
 * layer writes y. */
static crnn_sequence output_of(const crnn_run *r, size_t layer, size_t first)
{
    const crnn_call *call = r->call;
    if (call->batch->states)
        return (crnn_sequence){.view = crnn_states_of(call, layer)};
    if ((call->net->num_layers - 1 - layer) % 2 == 0)
        return (crnn_sequence){.view = call->batch->y};
    return buffer_of(r, first);
}

/* What layer l reads. */
static crnn_sequence input_of(const crnn_run *r, size_t layer, size_t first)
{
    const crnn_batch *batch = r->call->batch;
    if (layer == 0)
        return (crnn_sequence){.view = batch->x};
    return batch->states && batch->masks ? buffer_of(r, first)
                                         : output_of(r, layer - 1, first);
}

bool crnn_has_few_inputs(const crnn_call *call, size_t index)
{
    const size_t inputs = crnn_inputs_of(call->net, index);
    return inputs <= FEW_INPUTS && inputs * call->state_bytes <= SMALL_MATRIX;
}

bool crnn_run_span(crnn_lane *lane, const crnn_stage *stage, size_t direction)
{
    const crnn_call *call = lane->run->call;
    const size_t layer = stage->layer;
    crnn_span s = {
        .layer = layer,
        .direction = direction,
        .first = stage->first,
        .last = stage->last,
        .in = input_of(lane->run, layer, stage->first),
        .out = output_of(lane->run, layer, stage->first),
    };
    if (call->batch->states && layer + 1 == call->net->num_layers)
        s.copy.view = call->batch->y;
    if (direction == 1) {
        s.first = call->num_steps - stage->last;
        s.last = call->num_steps - stage->first;
    }
    const bool hoisted =
        s.last - s.first > 1 && !crnn_has_few_inputs(call, index_of(lane, &s));
    return (!hoisted || project(lane, &s)) && run_steps(lane, &s, hoisted);
}

void crnn_hand_up(const crnn_run *r, const crnn_stage *stage)
{
    const crnn_call *call = r->call;
    const crnn_batch *batch = call->batch;
    const size_t D = call->net->num_directions, width = D * call->net->hidden_size;
    if (!crnn_is_masked(call, stage->layer))
        return;
    const crnn_sequence from = output_of(r, stage->layer, stage->first),
                        to = input_of(r, stage->layer + 1, stage->first),
                        mask = {.view = batch->masks[stage->layer]};
    for (size_t t = stage->first; t < stage->last; t++)
        for (size_t i = 0; i < crnn_rows_active(r, t); i++) {
            char *row = crnn_row(r, &to, t, i);
            if (batch->states)
                memcpy(row, crnn_row(r, &from, t, i), D * call->state_bytes);
            call->net->kernels->scale(row, crnn_row(r, &mask, t, i), width);
        }
}
