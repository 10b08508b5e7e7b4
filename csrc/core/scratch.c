/*
 * scratch.c - where everything that a call needs lies in its scratch memory.
 */
#include "division.h"

#define ALIGNMENT ((size_t)CRNN_ALIGNMENT)

void *crnn_take(crnn_scratch *m, size_t count, size_t size)
{
    const size_t at = m->used, end = crnn_add(at, crnn_mul(count, size));
    m->used = end > CRNN_TOO_BIG - ALIGNMENT
                  ? CRNN_TOO_BIG
                  : (end + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (m->used > m->size)
        m->base = NULL;
    return m->base ? m->base + at : NULL;
}

size_t crnn_panel_of(const crnn_call *call)
{
    const crnn_plan *plan = call->plan;
    const size_t panel = call->net->kernels->panel(crnn_max(plan->part_rows, 1));
    return plan->schedule == CRNN_COLUMNS
               ? crnn_min(panel, crnn_share_of(call->net->hidden_size, plan->threads))
               : panel;
}

/* Elements of a matrix [k][H] in panels. */
static size_t packed_elements(const crnn_call *call, size_t k)
{
    const size_t panel = crnn_panel_of(call);
    return crnn_mul(k, crnn_add(call->net->hidden_size, panel - 1) / panel * panel);
}

void crnn_take_matrices(crnn_call *call, crnn_scratch *m)
{
    const crnn_network *net = call->net;
    const size_t count = net->num_layers * net->num_directions;
    call->matrices = crnn_take(m, count, sizeof *call->matrices);
    for (size_t i = 0; i < count; i++) {
        const size_t k = crnn_inputs_of(net, i), H = net->hidden_size;
        void *ih = NULL, *hh = NULL;
        if (call->plan->packed) {
            ih = crnn_take(m, packed_elements(call, k), net->kernels->element);
            hh = crnn_take(m, packed_elements(call, H), net->kernels->element);
        }
        if (!m->base)
            continue;
        const size_t panel = call->plan->packed ? crnn_panel_of(call) : 0;
        const ptrdiff_t step = (ptrdiff_t)(panel ? panel : H);
        const crnn_weights *w = &net->weights[i];
        crnn_matrices *pair = &call->matrices[i];
        pair->ih = (crnn_term){
            .w = ih ? ih : w->w_ih, .w_step = step, .k = k, .last = k, .panel = panel};
        pair->hh = (crnn_term){
            .w = hh ? hh : w->w_hh, .w_step = step, .k = H, .last = H, .panel = panel};
        pair->panels_ih = ih;
        pair->panels_hh = hh;
    }
}

static void take_run(crnn_division *d, size_t i, crnn_scratch *m)
{
    crnn_call *call = &d->call;
    const size_t B = call->batch->num_rows, T = call->batch->num_steps;
    const size_t D = call->net->num_directions, most = call->plan->part_rows;
    const size_t first = crnn_min(most * i, B);
    crnn_run run = {call, first, crnn_min(most, B - first), NULL};
    const size_t kept = crnn_keeps_all_steps(call) ? T : call->plan->span_steps;
    if (i > 0 && call->plan->threads == 1)
        run.between = m->base ? d->runs[0].between : NULL;
    else if (call->net->num_layers > 1 && (!call->batch->states || call->batch->masks))
        run.between =
            crnn_take(m, crnn_mul(crnn_mul(kept, run.num_rows), D), call->state_bytes);
    if (m->base)
        d->runs[i] = run;
}

static void take_lane(crnn_division *d, size_t i, crnn_scratch *m)
{
    const crnn_plan *plan = d->call.plan;
    const size_t count = crnn_mul(plan->span_steps, plan->part_rows);
    if (i > 0 && plan->threads == 1) { /* one after the other: in the same memory */
        if (m->base) {
            d->lanes[i] = d->lanes[0];
            d->lanes[i].run = &d->runs[i];
        }
        return;
    }
    void **x = crnn_take(m, count, sizeof *x), **y = crnn_take(m, count, sizeof *y),
         **h = crnn_take(m, count, sizeof *h);
    if (m->base)
        d->lanes[i] = (crnn_lane){.run = &d->runs[i % plan->parts],
                                  .last_col = d->call.net->hidden_size,
                                  .x = x,
                                  .y = y,
                                  .h = h};
}

size_t crnn_states_size(const crnn_network *net, size_t num_state_rows)
{
    const size_t row = crnn_mul(crnn_mul(net->num_directions, net->hidden_size),
                                net->kernels->element);
    return crnn_mul(crnn_mul(net->num_layers, num_state_rows), crnn_row_step(row));
}

void crnn_take_division(crnn_division *d, crnn_scratch *m)
{
    const crnn_plan *plan = d->call.plan;
    const crnn_batch *batch = d->call.batch;
    d->call.state_bytes =
        crnn_mul(d->call.net->hidden_size, d->call.net->kernels->element);
    d->runs = crnn_take(m, plan->parts, sizeof *d->runs);
    d->lanes = crnn_take(m, crnn_num_lanes(&d->call), sizeof *d->lanes);
    const size_t tasks = crnn_max(crnn_num_lanes(&d->call), 2 * plan->threads);
    d->ended = crnn_take(m, tasks, sizeof *d->ended);
    if (!batch->h0.data)
        d->call.zeros = crnn_take(m, 1, d->call.state_bytes);
    if (batch->lengths && !batch->offsets)
        d->call.places =
            crnn_take(m, crnn_mul(2, batch->num_rows), sizeof *d->call.places);
    for (size_t i = 0; i < plan->parts; i++)
        take_run(d, i, m);
    for (size_t i = 0; i < crnn_num_lanes(&d->call); i++)
        take_lane(d, i, m);
}
