/*
 * forward.c - the network over layers, directions and time: schedules, nothing
 * arithmetic.
 *
 * A network of one direction climbs all its layers span by span, so that what lies
 * between two layers is one span long; with two directions each layer needs the whole
 * sequence of the one below.  Layers write to y and to one buffer in turn, the top
 * one to y.
 */
#include <string.h>

#include "run.h"

/* A span's projection should still be in cache when the recurrence comes to it. */
#define SPAN_BYTES ((size_t)256 << 10)
#define SPAN_ROWS ((size_t)1024)
#define ALIGNMENT ((size_t)64)

static bool chained(const crnn_network *net) { return net->num_directions == 1; }

/* What layer l writes: y and the buffer in turn, so that the top layer writes y. */
static crnn_sequence output_of(const crnn_run *r, size_t layer, size_t first)
{
    if ((r->net->num_layers - 1 - layer) % 2 == 0)
        return (crnn_sequence){r->batch->y, 0};
    const ptrdiff_t element = (ptrdiff_t)r->net->kernels->element;
    const ptrdiff_t row = (ptrdiff_t)(r->state_bytes * r->net->num_directions);
    const ptrdiff_t step =
        r->batch->offsets ? row : (ptrdiff_t)r->batch->num_rows * row;
    return (crnn_sequence){{r->between, {step, row, element}},
                           chained(r->net) ? crnn_step(r->batch, first) : 0};
}

static bool run_layer_span(crnn_run *r, size_t layer, size_t direction, size_t first,
                           size_t last)
{
    const crnn_sequence x = {r->batch->x, 0};
    const crnn_span s = {layer,
                         direction,
                         first,
                         last,
                         layer ? output_of(r, layer - 1, first) : x,
                         output_of(r, layer, first)};
    return crnn_run_span(r, &s);
}

/* Multiply what a layer hands upwards by its mask. */
static void apply_mask(crnn_run *r, size_t layer, size_t first, size_t last)
{
    if (!r->batch->masks || layer + 1 == r->net->num_layers)
        return;
    const crnn_sequence out = output_of(r, layer, first),
                        mask = {r->batch->masks[layer], 0};
    for (size_t t = first; t < last; t++)
        for (size_t i = 0; i < crnn_rows_active(r, t); i++)
            r->net->kernels->scale(crnn_row(r, &out, t, i), crnn_row(r, &mask, t, i),
                                   r->net->num_directions * r->net->hidden_size);
}

static bool run_chained(crnn_run *r)
{
    const size_t T = r->batch->num_steps;
    for (size_t first = 0, last; first < T; first = last) {
        last = crnn_min(first + r->span_steps, T);
        for (size_t layer = 0; layer < r->net->num_layers; layer++) {
            if (!run_layer_span(r, layer, 0, first, last))
                return false;
            apply_mask(r, layer, first, last);
        }
    }
    return true;
}

static bool run_layer_by_layer(crnn_run *r)
{
    const size_t T = r->batch->num_steps;
    for (size_t layer = 0; layer < r->net->num_layers; layer++) {
        for (size_t first = 0, last; first < T; first = last) {
            last = crnn_min(first + r->span_steps, T);
            if (!run_layer_span(r, layer, 0, first, last) ||
                !run_layer_span(r, layer, 1, T - last, T - first))
                return false;
        }
        apply_mask(r, layer, 0, T);
    }
    return true;
}

/* Count the active rows of every step and sort the rows by falling length, equal ones
 * as they come. */
static void sort_rows(const crnn_batch *batch, size_t *order, size_t *active)
{
    const size_t T = batch->num_steps, B = batch->num_rows;
    memset(active, 0, (T + 1) * sizeof *active);
    for (size_t row = 0; row < B; row++)
        active[batch->lengths[row]]++;
    for (size_t t = T + 1, longer = 0; t-- > 0;) {
        const size_t equal = active[t];
        active[t] = longer;
        longer += equal;
    }
    for (size_t row = 0; row < B; row++) {
        const size_t place = active[batch->lengths[row]]++;
        if (order)
            order[place] = row;
    }
    /* Each count has moved on to the rows not shorter than t, which are those longer
     * than t - 1. */
    memmove(active, active + 1, T * sizeof *active);
    active[T] = 0;
}

static void clear_padding(const crnn_run *r)
{
    const crnn_batch *batch = r->batch;
    const crnn_sequence y = {batch->y, 0};
    for (size_t i = 0; i < batch->num_rows; i++)
        for (size_t t = batch->lengths[r->order[i]]; t < batch->num_steps; t++)
            memset(crnn_row(r, &y, t, i), 0, r->state_bytes * r->net->num_directions);
}

/* Places in scratch memory; without a base it only counts. */
typedef struct {
    char *base;
    size_t used;
} scratch_memory;

static void *take(scratch_memory *m, size_t count, size_t size)
{
    const size_t at = m->used;
    const size_t blocks = crnn_add(crnn_mul(count, size), ALIGNMENT - 1) / ALIGNMENT;
    m->used = crnn_add(at, crnn_mul(blocks, ALIGNMENT));
    return m->base ? m->base + at : NULL;
}

/* A run whose arrays lie behind base; *used becomes the bytes they take. */
static crnn_run make_run(const crnn_network *net, const crnn_batch *batch, char *base,
                         size_t *used)
{
    const size_t T = batch->num_steps, B = batch->num_rows;
    crnn_run r = {.net = net, .batch = batch};
    r.state_bytes = crnn_mul(net->hidden_size, net->kernels->element);
    const size_t rows = crnn_min(SPAN_BYTES / crnn_max(r.state_bytes, 1), SPAN_ROWS);
    r.span_steps = crnn_min(crnn_max(rows / crnn_max(B, 1), 1), T);

    scratch_memory m = {base, 0};
    const size_t span_rows = crnn_mul(r.span_steps, B);
    r.x = take(&m, span_rows, sizeof *r.x);
    r.y = take(&m, span_rows, sizeof *r.y);
    r.h = take(&m, span_rows, sizeof *r.h);
    if (!batch->h0.data)
        r.zeros = take(&m, 1, r.state_bytes);
    if (batch->lengths) {
        r.active = take(&m, crnn_add(T, 1), sizeof *r.active);
        if (!batch->offsets)
            r.order = take(&m, B, sizeof *r.order);
    }
    if (net->num_layers > 1) {
        const size_t kept = chained(net) ? span_rows : crnn_mul(T, B);
        r.between = take(&m, crnn_mul(kept, net->num_directions), r.state_bytes);
    }
    *used = m.used;
    return r;
}

crnn_status crnn_forward_scratch(const crnn_network *net, const crnn_batch *batch,
                                 size_t *bytes)
{
    make_run(net, batch, NULL, bytes);
    return *bytes == CRNN_TOO_BIG ? CRNN_OVERFLOW : CRNN_OK;
}

crnn_status crnn_forward(const crnn_network *net, const crnn_batch *batch,
                         const crnn_watch *watch, void *scratch)
{
    if (batch->num_rows == 0)
        return CRNN_OK;
    size_t used;
    crnn_run r = make_run(net, batch, scratch, &used);
    r.watch = watch;
    if (r.zeros)
        memset(r.zeros, 0, r.state_bytes);
    if (batch->lengths)
        sort_rows(batch, r.order, r.active);
    if (!(chained(net) ? run_chained(&r) : run_layer_by_layer(&r)))
        return CRNN_CANCELLED;
    if (r.order)
        clear_padding(&r);
    return CRNN_OK;
}

size_t crnn_forward_work(const crnn_network *net, const crnn_batch *batch)
{
    const size_t H = net->hidden_size, D = net->num_directions;
    const size_t inputs =
        crnn_add(net->input_size, crnn_mul(net->num_layers - 1, crnn_mul(D, H)));
    const size_t terms = crnn_add(inputs, crnn_mul(net->num_layers, H));
    const size_t rows = crnn_mul(batch->num_steps, batch->num_rows);
    return crnn_mul(rows, crnn_mul(crnn_mul(D, H), terms));
}
