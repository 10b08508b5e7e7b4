/*
 * forward.c - crnn_forward(): the schedules of a team; nothing arithmetic.
 */
#include <string.h>

#include "division.h"

/* Let the lanes work, each on a thread of its own; false when one was cancelled. */
static bool run_team(crnn_division *d, void (*task)(void *division, size_t lane))
{
    const size_t n = d->call.plan->threads;
    if (n == 1)
        task(d, 0);
    else
        d->team->run(d->team->context, n, task, d);
    for (size_t i = 0; i < n; i++)
        if (!d->ended[i])
            return false;
    return true;
}

/* All stages of a run, one after the other. */
static void run_rows(void *division, size_t i)
{
    crnn_division *d = division;
    const crnn_call *call = &d->call;
    const size_t stages = call->net->num_layers * crnn_num_spans(call);
    d->ended[i] = true;
    for (size_t n = 0; n < stages && d->ended[i]; n++) {
        const crnn_stage stage = crnn_stage_at(call, n);
        for (size_t dir = 0; dir < call->net->num_directions && d->ended[i]; dir++)
            d->ended[i] = crnn_run_span(&d->lanes[i], &stage, dir);
        crnn_apply_mask(d->lanes[i].run, &stage);
    }
}

/* One direction of a layer, over the whole sequence. */
static void run_direction(void *division, size_t i)
{
    crnn_division *d = division;
    const size_t spans = crnn_num_spans(&d->call);
    d->ended[i] = true;
    for (size_t n = 0; n < spans && d->ended[i]; n++) {
        const crnn_stage stage = crnn_stage_at(&d->call, d->stage.layer * spans + n);
        d->ended[i] = crnn_run_span(&d->lanes[i], &stage, i);
    }
}

static bool divide_directions(crnn_division *d)
{
    for (size_t layer = 0; layer < d->call.net->num_layers; layer++) {
        d->stage = (crnn_stage){.layer = layer, .last = d->call.batch->num_steps};
        if (!run_team(d, run_direction))
            return false;
        crnn_apply_mask(d->runs, &d->stage);
    }
    return true;
}

/* Every threads-th layer, each one span behind the layer below. */
static void run_layers(void *division, size_t i)
{
    crnn_division *d = division;
    const crnn_call *call = &d->call;
    const size_t L = call->net->num_layers, latest = d->stage.first;
    d->ended[i] = true;
    for (size_t layer = i; layer < L && layer <= latest && d->ended[i];
         layer += call->plan->threads) {
        if (latest - layer >= crnn_num_spans(call))
            continue;
        const crnn_stage stage = crnn_stage_at(call, (latest - layer) * L + layer);
        d->ended[i] = crnn_run_span(&d->lanes[i], &stage, 0);
        crnn_apply_mask(d->runs, &stage);
    }
}

static bool divide_layers(crnn_division *d)
{
    const size_t last = crnn_num_spans(&d->call) + d->call.net->num_layers - 1;
    for (d->stage.first = 0; d->stage.first < last; d->stage.first++)
        if (!run_team(d, run_layers))
            return false;
    return true;
}

/* A share of the hidden units; the lanes meet after every step. */
static void run_columns(void *division, size_t i)
{
    crnn_division *d = division;
    d->ended[i] = true;
    for (size_t dir = 0; dir < d->call.net->num_directions && d->ended[i]; dir++)
        d->ended[i] = crnn_run_span(&d->lanes[i], &d->stage, dir);
}

static void share_columns(crnn_division *d, crnn_plan *plan)
{
    /* Whole cache lines of h to each. */
    const size_t H = d->call.net->hidden_size, n = plan->threads;
    const size_t each = ((H + n - 1) / n + 63) / 64 * 64;
    for (size_t i = 0; i < n; i++) {
        crnn_lane *lane = &d->lanes[i];
        lane->first_col = crnn_min(i * each, H);
        lane->last_col = crnn_min(lane->first_col + each, H);
        lane->barrier = n > 1 ? d->team->barrier : NULL;
        lane->context = d->team->context;
    }
}

static bool divide_columns(crnn_division *d)
{
    const crnn_call *call = &d->call;
    const size_t stages = call->net->num_layers * crnn_num_spans(call);
    crnn_plan plan = *call->plan;
    d->call.plan = &plan;
    share_columns(d, &plan);
    for (size_t n = 0; n < stages; n++) {
        d->stage = crnn_stage_at(call, n);
        if (!run_team(d, run_columns) ||
            (call->watch && call->watch->cancelled(call->watch->context, 0)))
            return false;
        crnn_apply_mask(d->runs, &d->stage);
        if (plan.threads > 1 && d->lanes[0].stalled) { /* go on alone */
            plan.threads = 1;
            share_columns(d, &plan);
        }
    }
    return true;
}

/* Every threads-th matrix. */
static void pack_matrices(void *division, size_t i)
{
    crnn_division *d = division;
    const crnn_network *net = d->call.net;
    const size_t count = 2 * net->num_layers * net->num_directions;
    d->ended[i] = true;
    for (size_t m = i; m < count; m += d->call.plan->threads) {
        const crnn_weights *from = &net->weights[m / 2];
        const crnn_matrices *to = &d->call.matrices[m / 2];
        if (m % 2)
            net->kernels->pack(from->w_hh, to->hh.k, net->hidden_size, to->hh.panel,
                               to->panels_hh);
        else
            net->kernels->pack(from->w_ih, to->ih.k, net->hidden_size, to->ih.panel,
                               to->panels_ih);
    }
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

static void clear_padding(const crnn_call *call)
{
    const crnn_batch *batch = call->batch;
    const size_t bytes = call->state_bytes * call->net->num_directions;
    for (size_t row = 0; row < batch->num_rows; row++)
        for (size_t t = batch->lengths[row]; t < batch->num_steps; t++)
            memset(batch->y.data + (ptrdiff_t)t * batch->y.stride[0] +
                       (ptrdiff_t)row * batch->y.stride[1],
                   0, bytes);
}

crnn_status crnn_forward_scratch(const crnn_network *net, const crnn_batch *batch,
                                 const crnn_plan *plan, size_t *bytes)
{
    crnn_lay_out(net, batch, plan, NULL, bytes);
    return *bytes == CRNN_TOO_BIG ? CRNN_OVERFLOW : CRNN_OK;
}

crnn_status crnn_forward(const crnn_network *net, const crnn_batch *batch,
                         const crnn_plan *plan, const crnn_team *team,
                         const crnn_watch *watch, void *scratch)
{
    if (batch->num_rows == 0)
        return CRNN_OK;
    size_t used;
    crnn_division *d = crnn_lay_out(net, batch, plan, scratch, &used);
    crnn_call *call = &d->call;
    d->team = team;
    call->watch = watch;
    if (call->zeros)
        memset(call->zeros, 0, call->state_bytes);
    if (batch->lengths)
        sort_rows(batch, call->order, call->active);
    if (plan->packed)
        run_team(d, pack_matrices);

    const bool ended = plan->schedule == CRNN_DIRECTIONS ? divide_directions(d)
                       : plan->schedule == CRNN_LAYERS   ? divide_layers(d)
                       : plan->schedule == CRNN_COLUMNS  ? divide_columns(d)
                                                         : run_team(d, run_rows);
    if (!ended)
        return CRNN_CANCELLED;
    if (call->order)
        clear_padding(call);
    return CRNN_OK;
}
