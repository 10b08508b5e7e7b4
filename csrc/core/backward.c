/*
 * backward.c - crnn_backward(): scratch memory, and the schedules of a team.
 */
#include <string.h>

#include "adjoint.h"

/* A chunk of rows over time should stay in the second cache with its products, and one
 * panel of it in the first. */
#define CHUNK_BYTES ((size_t)512 << 10)
#define MOST_CHUNK ((size_t)512)
#define LEAST_CHUNK ((size_t)32)
#define PANEL_BYTES ((size_t)256)
#define LINE ((size_t)64)
#define FOLD ((size_t)2048)

static size_t panels_size(size_t k, size_t cols, size_t panel)
{
    return crnn_mul(k, crnn_add(cols, panel - 1) / panel * panel);
}

static bool wants_inputs(const crnn_adjoint *a, size_t index)
{
    return index >= a->d.call.net->num_directions || a->g->dx.data;
}

static void take_panels(crnn_adjoint *a, crnn_scratch *m)
{
    const crnn_network *net = a->d.call.net;
    const size_t count = net->num_layers * net->num_directions, H = net->hidden_size;
    const size_t element = net->kernels->element;
    a->panel_hh = crnn_panel_of(&a->d.call);
    a->panel_ih = net->kernels->panel(a->chunk);
    a->back_ih = crnn_take(m, count, sizeof *a->back_ih);
    a->back_hh = crnn_take(m, count, sizeof *a->back_hh);
    for (size_t i = 0; i < count; i++) {
        const size_t inputs = crnn_inputs_of(net, i);
        void *hh = crnn_take(m, panels_size(H, H, a->panel_hh), element), *ih = NULL;
        if (wants_inputs(a, i))
            ih = crnn_take(m, panels_size(H, inputs, a->panel_ih), element);
        if (m->base) {
            a->back_ih[i] = ih;
            a->back_hh[i] = hh;
        }
    }
}

/* Whether inputs of a layer must be copied before they can be read as they lie. */
static bool copies_inputs(const crnn_call *call)
{
    return (call->net->num_layers > 1 && call->batch->masks) ||
           call->batch->x.stride[2] != (ptrdiff_t)call->net->kernels->element;
}

static void take_collectors(crnn_adjoint *a, crnn_scratch *m)
{
    const crnn_network *net = a->d.call.net;
    const size_t element = net->kernels->element, H = net->hidden_size;
    const size_t inputs =
        crnn_max(net->input_size, net->num_layers > 1 ? net->num_directions * H : 0);
    const size_t narrow = CRNN_NARROW * net->kernels->lanes;
    const size_t count = crnn_max(a->chunk, crnn_max(H, narrow));
    a->panel_dz = PANEL_BYTES / element;
    a->panel_rows = crnn_max(net->kernels->panel(H), LINE / element);
    a->collectors = crnn_take(m, a->num_shares, sizeof *a->collectors);
    for (size_t i = 0; i < a->num_shares; i++) {
        crnn_collector c = {0};
        c.x = crnn_take(m, count, sizeof *c.x);
        c.x_reverse = crnn_take(m, count, sizeof *c.x_reverse);
        c.y = crnn_take(m, count, sizeof *c.y);
        if (copies_inputs(&a->d.call))
            c.copies = crnn_take(m, crnn_mul(a->chunk, inputs), element);
        c.dz = crnn_take(m, panels_size(a->chunk, H, a->panel_dz), element);
        c.panels = crnn_take(
            m, panels_size(a->chunk, crnn_max(inputs, H), a->panel_rows), element);
        c.turned = crnn_take(m, crnn_mul(crnn_min(inputs, narrow), H), element);
        if (m->base)
            a->collectors[i] = c;
    }
}

/* Rows a multiple of so many bytes apart would meet in half of the sets of a cache. */
static size_t row_bytes_of(size_t bytes)
{
    return bytes % FOLD == 0 ? crnn_add(bytes, LINE) : bytes;
}

static crnn_adjoint *lay_out(const crnn_network *net, const crnn_batch *batch,
                             const crnn_gradients *g, const crnn_plan *plan, char *base,
                             size_t *used)
{
    crnn_scratch m = {base, CRNN_TOO_BIG, 0};
    void *place = crnn_take(&m, 1, sizeof(crnn_adjoint));
    crnn_adjoint counted, *a = place ? place : &counted;
    *a = (crnn_adjoint){.d = {.call = {.net = net, .batch = batch, .plan = plan}},
                        .g = g,
                        .num_shares = plan->threads > 1 ? 2 * plan->threads : 1};
    crnn_take_division(&a->d, &m);
    const size_t state_bytes = a->d.call.state_bytes;
    a->all = (crnn_run){.call = &a->d.call, .num_rows = batch->num_rows};
    const size_t rows = crnn_mul(batch->num_steps, batch->num_rows);
    a->chunk = crnn_min(CHUNK_BYTES / crnn_max(state_bytes, 1), MOST_CHUNK);
    a->chunk = crnn_min(crnn_max(a->chunk, LEAST_CHUNK), crnn_max(rows, 1));
    a->row_bytes = row_bytes_of(crnn_mul(state_bytes, net->num_directions));
    a->dz = crnn_take(&m, rows, a->row_bytes);
    if (net->num_layers > 1)
        a->below = crnn_take(&m, rows, a->row_bytes);
    take_panels(a, &m);
    take_collectors(a, &m);
    *used = m.used;
    return place;
}

static void pack_matrix(void *division, size_t i)
{
    crnn_adjoint *a = division;
    const crnn_network *net = a->d.call.net;
    const crnn_weights *w = &net->weights[i / 2];
    const size_t H = net->hidden_size, inputs = crnn_inputs_of(net, i / 2);
    if (i % 2)
        net->kernels->pack_transposed(w->w_hh, H, H, a->panel_hh, a->back_hh[i / 2]);
    else if (wants_inputs(a, i / 2))
        net->kernels->pack_transposed(w->w_ih, H, inputs, a->panel_ih,
                                      a->back_ih[i / 2]);
}

/* The chains of a part of the batch, of a direction, or of some hidden units. */
static void chain_part(void *division, size_t i)
{
    crnn_adjoint *a = division;
    a->d.ended[i] = !crnn_is_cancelled(&a->d.call);
    for (size_t dir = 0; dir < a->d.call.net->num_directions && a->d.ended[i]; dir++)
        a->d.ended[i] = crnn_run_chain(a, &a->d.lanes[i], dir, 0, a->d.call.num_steps);
}

static void chain_direction(void *division, size_t i)
{
    crnn_adjoint *a = division;
    a->d.ended[i] = crnn_run_chain(a, &a->d.lanes[i], i, 0, a->d.call.num_steps);
}

static void chain_columns(void *division, size_t i)
{
    crnn_adjoint *a = division;
    a->d.ended[i] = true;
    for (size_t dir = 0; dir < a->d.call.net->num_directions && a->d.ended[i]; dir++)
        a->d.ended[i] =
            crnn_run_chain(a, &a->d.lanes[i], dir, a->d.stage.first, a->d.stage.last);
}

static bool divide_columns(crnn_adjoint *a)
{
    const crnn_call *call = &a->d.call;
    size_t threads = call->plan->threads;
    crnn_share_columns(&a->d, threads);
    for (size_t first = 0; first < call->num_steps; first = a->d.stage.last) {
        a->d.stage.first = first;
        a->d.stage.last = crnn_min(first + call->plan->span_steps, call->num_steps);
        if (!crnn_run_lanes(&a->d, threads, true, chain_columns) ||
            crnn_is_cancelled(call))
            return false;
        if (threads > 1 && a->d.lanes[0].stalled) { /* go on alone */
            threads = 1;
            crnn_share_columns(&a->d, threads);
        }
    }
    return true;
}

static void run_share(void *division, size_t i)
{
    crnn_adjoint *a = division;
    a->d.ended[i] = crnn_run_share(a, i);
}

/* Leave dz of the layer in a->dz, then take everything from it. */
static bool run_layer(crnn_adjoint *a, size_t layer)
{
    const crnn_plan *plan = a->d.call.plan;
    a->d.stage.layer = layer;
    const bool ended = plan->schedule == CRNN_COLUMNS ? divide_columns(a)
                       : plan->schedule == CRNN_DIRECTIONS
                           ? crnn_run_lanes(&a->d, 2, false, chain_direction)
                           : crnn_run_lanes(&a->d, plan->parts, false, chain_part);
    return ended && crnn_run_lanes(&a->d, a->num_shares, false, run_share);
}

/* Without rows there is nothing to add. */
static void clear_gradients(const crnn_network *net, const crnn_gradients *g)
{
    const size_t row = net->hidden_size * net->kernels->element;
    for (size_t i = 0; g->dw && i < net->num_layers * net->num_directions; i++) {
        memset(g->dw[i].w_ih, 0, crnn_inputs_of(net, i) * row);
        memset(g->dw[i].w_hh, 0, net->hidden_size * row);
        if (g->dw[i].b)
            memset(g->dw[i].b, 0, row);
    }
}

crnn_status crnn_backward_scratch(const crnn_network *net, const crnn_batch *batch,
                                  const crnn_gradients *gradients,
                                  const crnn_plan *plan, size_t *bytes)
{
    lay_out(net, batch, gradients, plan, NULL, bytes);
    return *bytes == CRNN_TOO_BIG ? CRNN_OVERFLOW : CRNN_OK;
}

crnn_status crnn_backward(const crnn_network *net, const crnn_batch *batch,
                          const crnn_gradients *gradients, const crnn_plan *plan,
                          const crnn_team *team, const crnn_watch *watch, void *scratch)
{
    if (batch->num_rows == 0) {
        clear_gradients(net, gradients);
        return CRNN_OK;
    }
    size_t used;
    crnn_adjoint *a = lay_out(net, batch, gradients, plan, scratch, &used);
    crnn_begin(&a->d, team, watch);
    if (net->kernels->element == sizeof(float))
        memcpy(&a->one, &(float){1}, sizeof(float));
    else
        a->one = 1;
    for (size_t i = 0; i < 2 * net->num_layers * net->num_directions; i++)
        pack_matrix(a, i);
    for (size_t layer = net->num_layers; layer-- > 0;) {
        if (!run_layer(a, layer))
            return CRNN_CANCELLED;
        char *below = a->below;
        a->below = a->dz;
        a->dz = below;
    }
    return CRNN_OK;
}
