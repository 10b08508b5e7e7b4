/*
 * division.c - what the schedules of the forward and of the backward pass share.
 */
#include "division.h"

#include <string.h>

static void run_task(void *division, size_t i)
{
    crnn_division *d = division;
    d->ended[i] = d->task(d, i);
}

bool crnn_run_lanes(crnn_division *d, size_t n, bool meeting, crnn_task *task)
{
    d->task = task;
    memset(d->ended, 0, n * sizeof *d->ended); /* a forked child's team runs nothing */
    if (d->call.plan->threads == 1 || n == 1)
        for (size_t i = 0; i < n; i++)
            run_task(d, i);
    else if (meeting)
        d->team->run(d->team->context, n, run_task, d);
    else
        d->team->share(d->team->context, n, run_task, d);
    for (size_t i = 0; i < n; i++)
        if (!d->ended[i])
            return false;
    return true;
}

void crnn_share_columns(crnn_division *d, size_t n)
{
    const size_t H = d->call.net->hidden_size, each = crnn_share_of(H, n);
    for (size_t i = 0; i < n; i++) {
        crnn_lane *lane = &d->lanes[i];
        lane->first_col = crnn_min(i * each, H);
        lane->last_col = crnn_min(lane->first_col + each, H);
        lane->barrier = n > 1 ? d->team->barrier : NULL;
        lane->context = d->team->context;
    }
}

void crnn_meet(crnn_lane *lane, size_t n)
{
    if (!lane->barrier)
        return;
    if (!lane->barrier(lane->context))
        lane->stalled = true;
    /* The others' shares come from their caches: all lines at once, and not one by one
     * as the next product reads them. */
    const crnn_network *net = lane->run->call->net;
    const size_t bytes = net->hidden_size * net->kernels->element;
    for (size_t i = 0; i < n; i++)
        for (size_t at = 0; at < bytes; at += CRNN_LINE)
            __builtin_prefetch((const char *)lane->y[i] + at);
}

static void find_order(crnn_call *call)
{
    const crnn_batch *batch = call->batch;
    const size_t B = batch->num_rows;
    call->num_steps = batch->num_steps;
    if (!batch->lengths)
        return;
    if (!batch->offsets)
        call->order = crnn_sort_rows(batch->lengths, B, call->places, call->places + B);
    call->num_steps = batch->lengths[call->order ? call->order[0] : 0];
}

void crnn_begin(crnn_division *d, const crnn_team *team, const crnn_watch *watch)
{
    d->team = team;
    d->call.watch = watch;
    if (d->call.zeros)
        memset(d->call.zeros, 0, d->call.state_bytes);
    find_order(&d->call);
}
