/*
 * backward.c - crnn_backward(): the schedules of a team.
 */
#include <string.h>

#include "adjoint.h"

/* The chain of a part of the batch, or of some hidden units. */
static bool chain_part(crnn_division *d, size_t i)
{
    crnn_adjoint *a = (crnn_adjoint *)d;
    return (a->d.lanes[i].barrier || !crnn_is_cancelled(&a->d.call)) &&
           crnn_run_chain(a, i, a->direction);
}

static bool chain_direction(crnn_division *d, size_t i)
{
    crnn_adjoint *a = (crnn_adjoint *)d;
    return crnn_run_chain(a, i, i);
}

/* Lanes that meet: all, or one that goes on alone. */
static bool run_meeting(crnn_adjoint *a)
{
    const bool alone = !a->d.lanes[0].barrier;
    if (!crnn_run_lanes(&a->d, alone ? 1 : a->d.call.plan->threads, true, chain_part) ||
        crnn_is_cancelled(&a->d.call))
        return false;
    if (!alone && a->d.lanes[0].stalled)
        crnn_share_columns(&a->d, 1);
    return true;
}

static bool run_chains(crnn_adjoint *a)
{
    const crnn_call *call = &a->d.call;
    const size_t steps = a->d.stage.last - a->d.stage.first;
    a->first_step = 0;
    a->last_step = steps;
    if (call->plan->schedule == CRNN_DIRECTIONS) /* both at once, before the first */
        return a->direction == 1 || crnn_run_lanes(&a->d, 2, false, chain_direction);
    if (call->plan->schedule != CRNN_COLUMNS)
        return crnn_run_lanes(&a->d, call->plan->parts, false, chain_part);
    const size_t most = crnn_meeting_steps(call->net, call->batch->num_rows);
    for (; a->first_step < steps; a->first_step = a->last_step) {
        a->last_step = crnn_min(a->first_step + most, steps);
        if (!run_meeting(a))
            return false;
    }
    return true;
}

static bool copy_rows(crnn_division *d, size_t i)
{
    crnn_adjoint *a = (crnn_adjoint *)d;
    const size_t n = a->num_shares;
    crnn_copy_rows(a, a->num_rows * i / n, a->num_rows * (i + 1) / n);
    return true;
}

static bool run_share(crnn_division *d, size_t i)
{
    crnn_adjoint *a = (crnn_adjoint *)d;
    const crnn_call *call = &a->d.call;
    const size_t H = call->net->hidden_size, n = a->num_shares, B = a->all.num_rows;
    const size_t each = ((H + n - 1) / n + 15) / 16 * 16;
    crnn_share s = {.a = a,
                    .rows = &a->pointers[i],
                    .lane = {.run = &a->all},
                    .first_row = a->num_rows * i / n,
                    .last_row = a->num_rows * (i + 1) / n,
                    .first_rank = B * i / n,
                    .last_rank = B * (i + 1) / n,
                    .first_unit = crnn_min(each * i, H),
                    .last_unit = crnn_min(each * (i + 1), H)};
    return (!crnn_wants_inputs(a, a->d.stage.layer) || crnn_run_inputs(&s)) &&
           (!a->g->dh0.data || crnn_run_states(&s)) &&
           (!a->g->dw || s.first_unit == s.last_unit || crnn_run_weights(&s));
}

/* What the chain left of a span, to everything that is taken from it. */
static bool run_products(crnn_adjoint *a)
{
    a->num_rows = 0;
    for (size_t t = a->d.stage.first; t < a->d.stage.last; t++)
        a->num_rows += crnn_rows_active(&a->all, t);
    if (a->g->dw && crnn_find_blocks(a))
        crnn_run_lanes(&a->d, a->num_shares, false, copy_rows);
    return crnn_run_lanes(&a->d, a->num_shares, false, run_share);
}

/* Keep dz of the step where the chain stands for the span that comes next. */
static void keep_step(const crnn_adjoint *a)
{
    const size_t dir = a->direction, t = dir ? a->d.stage.last - 1 : a->d.stage.first;
    const size_t bytes = a->d.call.batch->num_rows * a->row_bytes;
    memcpy(a->dz[dir] + (dir ? 0 : a->span_steps * bytes), crnn_dz_row(a, dir, t, 0),
           bytes);
}

static bool run_direction(crnn_adjoint *a)
{
    const size_t T = a->d.call.num_steps;
    if (a->d.call.plan->schedule == CRNN_COLUMNS)
        crnn_share_columns(&a->d, a->d.call.plan->threads);
    a->rows_before = 0;
    for (size_t done = 0, n; done < T; done += n, a->rows_before += a->num_rows) {
        if (done > 0)
            keep_step(a);
        n = crnn_min(a->span_steps, T - done);
        a->d.stage.first = a->direction ? done : T - done - n;
        a->d.stage.last = a->d.stage.first + n;
        if (!run_chains(a) || !run_products(a))
            return false;
    }
    if (a->g->dw)
        crnn_end_weights(a);
    return true;
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
    crnn_lay_out(net, batch, gradients, plan, NULL, bytes);
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
    crnn_adjoint *a = crnn_lay_out(net, batch, gradients, plan, scratch, &used);
    crnn_begin(&a->d, team, watch);
    if (net->kernels->element == sizeof(float))
        memcpy(&a->one, &(float){1}, sizeof(float));
    else
        a->one = 1;
    if (!crnn_pack_matrices(&a->d))
        return CRNN_CANCELLED;
    for (size_t layer = net->num_layers; layer-- > 0;) {
        a->d.stage.layer = layer;
        for (a->direction = 0; a->direction < net->num_directions; a->direction++)
            if (!run_direction(a))
                return CRNN_CANCELLED;
        char *above = a->above;
        a->above = a->below;
        a->below = above;
    }
    return CRNN_OK;
}
