/*
 * forward.c - crnn_forward(): the schedules of a team; nothing arithmetic.
 */
#include "division.h"

/* Hand up a stage; of two directions all steps, once both have been through them. */
static void hand_up(const crnn_run *r, crnn_stage stage)
{
    if (r->call->net->num_directions == 2) {
        if (stage.last < r->call->num_steps)
            return;
        stage.first = 0;
    }
    crnn_hand_up(r, &stage);
}

/* A stage, in one direction after the other. */
static bool run_stage(crnn_lane *lane, const crnn_stage *stage)
{
    return crnn_run_span(lane, stage, 0) &&
           (lane->run->call->net->num_directions == 1 || crnn_run_span(lane, stage, 1));
}

/* A part of the batch: all its stages, one after the other. */
static bool run_part(crnn_division *d, size_t i)
{
    const crnn_call *call = &d->call;
    const size_t stages = call->net->num_layers * crnn_num_spans(call);
    if (crnn_is_cancelled(call))
        return false;
    for (size_t n = 0; n < stages; n++) {
        const crnn_stage stage = crnn_stage_at(call, n);
        if (!run_stage(&d->lanes[i], &stage))
            return false;
        hand_up(d->lanes[i].run, stage);
    }
    return true;
}

/* One direction of a layer, over the whole sequence. */
static bool run_direction(crnn_division *d, size_t i)
{
    const size_t spans = crnn_num_spans(&d->call);
    for (size_t n = 0; n < spans; n++) {
        const crnn_stage stage = crnn_stage_at(&d->call, d->stage.layer * spans + n);
        if (!crnn_run_span(&d->lanes[i], &stage, i))
            return false;
    }
    return true;
}

/* A share of a layer's steps. */
static bool hand_up_share(crnn_division *d, size_t i)
{
    const size_t T = d->call.num_steps, n = d->call.plan->threads;
    const crnn_stage stage = {d->stage.layer, T * i / n, T * (i + 1) / n};
    crnn_hand_up(d->runs, &stage);
    return true;
}

static bool divide_directions(crnn_division *d)
{
    for (size_t layer = 0; layer < d->call.net->num_layers; layer++) {
        const size_t shares =
            crnn_is_masked(&d->call, layer) ? d->call.plan->threads : 0;
        d->stage = (crnn_stage){.layer = layer, .last = d->call.num_steps};
        if (!crnn_run_lanes(d, 2, false, run_direction) ||
            !crnn_run_lanes(d, shares, false, hand_up_share))
            return false;
    }
    return true;
}

/* The i-th of the layers that have a span to run: each is one behind the layer below.
 */
static bool run_layer(crnn_division *d, size_t i)
{
    const size_t L = d->call.net->num_layers, layer = d->stage.layer + i;
    const size_t span = d->stage.first - layer;
    const crnn_stage stage = crnn_stage_at(&d->call, span * L + layer);
    if (!crnn_run_span(&d->lanes[i], &stage, 0))
        return false;
    crnn_hand_up(d->runs, &stage);
    return true;
}

static bool divide_layers(crnn_division *d)
{
    const size_t L = d->call.net->num_layers, spans = crnn_num_spans(&d->call);
    for (size_t latest = 0; latest < spans + L - 1; latest++) {
        const size_t lowest = latest < spans ? 0 : latest - spans + 1;
        const size_t n = crnn_min(latest, L - 1) + 1 - lowest;
        d->stage = (crnn_stage){.layer = lowest, .first = latest};
        if (!crnn_run_lanes(d, n, false, run_layer))
            return false;
    }
    return true;
}

/* A share of the hidden units; the lanes meet after every step. */
static bool run_columns(crnn_division *d, size_t i)
{
    return run_stage(&d->lanes[i], &d->stage);
}

static bool divide_columns(crnn_division *d)
{
    const crnn_call *call = &d->call;
    const size_t stages = call->net->num_layers * crnn_num_spans(call);
    size_t threads = call->plan->threads;
    crnn_share_columns(d, threads);
    for (size_t n = 0; n < stages; n++) {
        d->stage = crnn_stage_at(call, n);
        if (!crnn_run_lanes(d, threads, true, run_columns) || crnn_is_cancelled(call))
            return false;
        hand_up(d->runs, d->stage);
        if (threads > 1 && d->lanes[0].stalled) { /* go on alone */
            threads = 1;
            crnn_share_columns(d, threads);
        }
    }
    return true;
}

static void take_matrices(crnn_call *call, crnn_scratch *m)
{
    const crnn_network *net = call->net;
    const size_t count = net->num_layers * net->num_directions, H = net->hidden_size;
    const size_t rows = call->plan->part_rows, panel = crnn_panel_of(call, rows),
                 wide = crnn_panel_of(call, crnn_mul(rows, call->plan->span_steps));
    call->matrices = crnn_take(m, count, sizeof *call->matrices);
    for (size_t i = 0; i < count; i++) {
        const crnn_weights *w = &net->weights[i];
        const crnn_matrices pair = {
            crnn_take_matrix(call, m, w->w_ih, crnn_inputs_of(net, i), H,
                             crnn_has_few_inputs(call, i) ? panel : wide),
            crnn_take_matrix(call, m, w->w_hh, H, H, panel)};
        if (m->base)
            call->matrices[i] = pair;
    }
}

crnn_division *crnn_forward_prepare(const crnn_network *net, const crnn_batch *batch,
                                    const crnn_plan *plan, void *scratch, size_t *bytes)
{
    crnn_scratch m = {scratch, *bytes, 0};
    crnn_division counted, *place = crnn_take(&m, 1, sizeof *place);
    crnn_division *d = place ? place : &counted;
    d->call = (crnn_call){.net = net, .batch = batch, .plan = plan};
    crnn_take_division(d, &m);
    take_matrices(&d->call, &m);
    *bytes = m.used;
    return m.base ? place : NULL;
}

crnn_status crnn_forward_run(crnn_division *d, const crnn_team *team,
                             const crnn_watch *watch)
{
    const crnn_plan *plan = d->call.plan;
    if (d->call.batch->num_rows == 0)
        return CRNN_OK;
    crnn_begin(d, team, watch);
    if (plan->packed && !crnn_pack_matrices(d))
        return CRNN_CANCELLED;

    const bool ended = plan->schedule == CRNN_DIRECTIONS ? divide_directions(d)
                       : plan->schedule == CRNN_LAYERS   ? divide_layers(d)
                       : plan->schedule == CRNN_COLUMNS
                           ? divide_columns(d)
                           : crnn_run_lanes(d, plan->parts, false, run_part);
    return ended ? CRNN_OK : CRNN_CANCELLED;
}

crnn_status crnn_forward_scratch(const crnn_network *net, const crnn_batch *batch,
                                 const crnn_plan *plan, size_t *bytes)
{
    *bytes = 0;
    crnn_forward_prepare(net, batch, plan, NULL, bytes);
    return *bytes == CRNN_TOO_BIG ? CRNN_OVERFLOW : CRNN_OK;
}

crnn_status crnn_forward(const crnn_network *net, const crnn_batch *batch,
                         const crnn_plan *plan, const crnn_team *team,
                         const crnn_watch *watch, void *scratch)
{
    size_t bytes = CRNN_TOO_BIG;
    if (batch->num_rows == 0)
        return CRNN_OK;
    return crnn_forward_run(crnn_forward_prepare(net, batch, plan, scratch, &bytes),
                            team, watch);
}
