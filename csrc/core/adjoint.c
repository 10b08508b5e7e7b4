/*
 * adjoint.c - the scratch memory of crnn_backward().
 */
#include "adjoint.h"

/* What a span leaves for the products over time should stay in the second cache, beside
 * matrices and gradients; threads, which wait for each other after it, share two. */
#define SPAN_BYTES ((size_t)256 << 10)
#define SMALL_SPAN_BYTES ((size_t)128 << 10)
/* Each span goes through the gradients of both matrices: its rows should be many, if
 * both do not stay in a small cache.  Beyond one, all of it should lie in panels. */
#define LARGE_MATRIX ((size_t)1 << 20)
#define LARGE_ROWS ((size_t)256)
#define LEAST_ROWS ((size_t)32)
/* Rows of dz and dx that stay in the second cache beside their matrix. */
#define SHARE_BYTES ((size_t)128 << 10)
/* Units whose gradients are added up together: whole tiles of 6 rows, and of 8. */
#define DZ_PANEL ((size_t)384) /* bytes */

/* Of any layer. */
static size_t most_inputs(const crnn_network *net)
{
    return crnn_max(net->input_size,
                    net->num_layers > 1 ? net->num_directions * net->hidden_size : 0);
}

/* Whether gradients are so large, and rows more than a small span has. */
static bool is_large(const crnn_call *call)
{
    const size_t rows = crnn_mul(call->batch->num_steps, call->batch->num_rows);
    return crnn_has_small_cache(call->net) &&
           crnn_mul(call->net->hidden_size, call->state_bytes) >= LARGE_MATRIX &&
           crnn_mul(rows, call->state_bytes) >= SMALL_SPAN_BYTES;
}

static void take_matrices(crnn_adjoint *a, crnn_scratch *m)
{
    crnn_call *call = &a->d.call;
    const crnn_network *net = call->net;
    const size_t count = net->num_layers * net->num_directions, H = net->hidden_size;
    const size_t panel_hh = crnn_panel_of(call, call->plan->part_rows),
                 panel_ih = crnn_panel_of(call, a->share_rows);
    call->matrices = crnn_take(m, count, sizeof *call->matrices);
    for (size_t i = 0; i < count; i++) {
        const crnn_weights *w = &net->weights[i];
        crnn_matrices pair = {.hh = crnn_take_matrix(call, m, w->w_hh, H, H, panel_hh)};
        if (crnn_wants_inputs(a, i / net->num_directions))
            pair.ih =
                crnn_take_matrix(call, m, w->w_ih, H, crnn_inputs_of(net, i), panel_ih);
        if (m->base)
            call->matrices[i] = pair;
    }
}

static crnn_block take_block(crnn_scratch *m, size_t rows, size_t cols, size_t width,
                             size_t element)
{
    return (crnn_block){.panels =
                            crnn_take(m, crnn_panels_size(rows, cols, width), element),
                        .width = width};
}

/* The steps of a span, and everything that has a row for each of its rows. */
static void take_span(crnn_adjoint *a, crnn_scratch *m)
{
    const crnn_call *call = &a->d.call;
    const crnn_network *net = call->net;
    const size_t T = call->batch->num_steps, B = call->batch->num_rows;
    const size_t element = net->kernels->element, H = net->hidden_size;
    const bool together = call->plan->schedule == CRNN_DIRECTIONS;
    const bool small = crnn_has_small_cache(net);
    const size_t rows =
        crnn_max((small ? SMALL_SPAN_BYTES : SPAN_BYTES) *
                     crnn_min(call->plan->threads, 2) / crnn_max(call->state_bytes, 1),
                 small && !is_large(call) ? LEAST_ROWS : LARGE_ROWS);
    a->span_steps = together ? T : crnn_min(crnn_max(rows / crnn_max(B, 1), 1), T);
    a->row_bytes = crnn_row_step(call->state_bytes);
    for (size_t dir = 0; dir < net->num_directions; dir++)
        a->dz[dir] = dir && !together
                         ? a->dz[0]
                         : crnn_take(m, crnn_mul(a->span_steps + 1, B), a->row_bytes);
    const size_t most = crnn_mul(a->span_steps, B);
    /* Lanes run across inputs and states: their panels are as wide as a tile. */
    const size_t tile = crnn_max(net->kernels->panel(crnn_max(H, 1), net->few_loads),
                                 CRNN_LINE / element);
    a->gradients = take_block(m, most, H, DZ_PANEL / element, element);
    a->inputs = take_block(m, most, most_inputs(net), tile, element);
    a->states = take_block(m, most, H, tile, element);
}

static void take_steps(crnn_adjoint *a, crnn_scratch *m)
{
    const size_t lanes = crnn_num_lanes(&a->d.call), rows = a->d.call.plan->part_rows;
    a->steps = crnn_take(m, lanes, sizeof *a->steps);
    for (size_t i = 0; i < 2 * lanes; i++) {
        void **start = crnn_take(m, rows, sizeof *start),
             **h = crnn_take(m, rows, sizeof *h);
        if (m->base)
            a->steps[i / 2][i % 2] = (crnn_step){start, h};
    }
}

static void take_sums(crnn_adjoint *a, crnn_scratch *m)
{
    const crnn_network *net = a->d.call.net;
    const size_t H = net->hidden_size, element = net->kernels->element;
    const size_t most = crnn_mul(most_inputs(net), H);
    const crnn_batch *batch = a->d.call.batch;
    a->turned = crnn_take(m, most, element);
    if (crnn_mul(batch->num_steps, batch->num_rows) <= CRNN_GROUP_ROWS)
        return;
    a->group.w_ih = crnn_take(m, most, element);
    a->group.w_hh = crnn_take(m, crnn_mul(H, H), element);
    a->group.b = net->weights->b_ih ? crnn_take(m, H, element) : NULL;
}

static void take_shares(crnn_adjoint *a, crnn_scratch *m)
{
    const crnn_network *net = a->d.call.net;
    const size_t most = most_inputs(net);
    const size_t count = crnn_max(a->share_rows, crnn_max(net->hidden_size, most));
    a->pointers = crnn_take(m, a->num_shares, sizeof *a->pointers);
    for (size_t i = 0; i < a->num_shares; i++) {
        void **x = crnn_take(m, count, sizeof *x),
             **y = crnn_take(m, crnn_add(count, CRNN_ROWS_AHEAD), sizeof *y),
             **ahead = crnn_take(m, count, sizeof *ahead);
        if (m->base)
            a->pointers[i] = (crnn_pointers){x, y, ahead};
    }
}

crnn_adjoint *crnn_lay_out(const crnn_network *net, const crnn_batch *batch,
                           const crnn_gradients *g, const crnn_plan *plan, char *base,
                           size_t *used)
{
    crnn_scratch m = {base, CRNN_TOO_BIG, 0};
    void *place = crnn_take(&m, 1, sizeof(crnn_adjoint));
    crnn_adjoint counted, *a = place ? place : &counted;
    *a = (crnn_adjoint){.d = {.call = {net, batch, plan, .backward = true}},
                        .g = g,
                        .num_shares = plan->threads > 1 ? 2 * plan->threads : 1};
    crnn_take_division(&a->d, &m);
    const size_t state_bytes = a->d.call.state_bytes;
    a->all = (crnn_run){.call = &a->d.call, .num_rows = batch->num_rows};
    /* Steps of a ragged batch have fewer and fewer rows. */
    a->copied = batch->lengths || is_large(&a->d.call);
    a->share_rows = crnn_max(SHARE_BYTES / crnn_max(state_bytes, 1), LEAST_ROWS);
    a->between_bytes = crnn_row_step(crnn_mul(state_bytes, net->num_directions));
    const size_t rows = crnn_mul(batch->num_steps, batch->num_rows);
    if (net->num_layers > 1)
        a->below = crnn_take(&m, rows, a->between_bytes);
    if (net->num_layers > 2)
        a->above = crnn_take(&m, rows, a->between_bytes);
    take_matrices(a, &m);
    take_span(a, &m);
    take_steps(a, &m);
    take_sums(a, &m);
    take_shares(a, &m);
    *used = m.used;
    return place;
}
