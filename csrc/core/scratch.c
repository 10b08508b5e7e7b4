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
    else if (!call->backward && call->net->num_layers > 1 &&
             (!call->batch->states || call->batch->masks))
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
         **h = crnn_take(m, count, sizeof *h),
         **copy = crnn_take(m, d->call.batch->states ? 2 * plan->part_rows : 0,
                            sizeof *copy);
    if (m->base)
        d->lanes[i] = (crnn_lane){.run = &d->runs[i % plan->parts],
                                  .last_col = d->call.net->hidden_size,
                                  .x = x,
                                  .y = y,
                                  .h = h,
                                  .copy = copy};
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
