/*
 * chain.c - one layer in one direction, back through time.
 */
#include <string.h>

#include "adjoint.h"

/* What one step works on. */
typedef struct {
    crnn_adjoint *a;
    crnn_lane *lane;
    size_t direction;
    crnn_sequence states;
} chain;

/* Put dy[t] into the rows of dz that do not hold it yet, and dhn to it where a row
 * ends; in the lane's columns. */
static void begin_row(const chain *c, size_t t, size_t i, bool ends)
{
    const crnn_call *call = &c->a->d.call;
    const crnn_network *net = call->net;
    const crnn_gradients *g = c->a->g;
    const size_t layer = c->a->d.stage.layer, element = net->kernels->element;
    const size_t start = c->lane->first_col * element;
    const size_t cols = c->lane->last_col - c->lane->first_col;
    char *dz = (char *)c->lane->y[i] + start;
    if (layer + 1 == net->num_layers) {
        const crnn_sequence dy = {.view = g->dy};
        if (g->dy.data)
            memcpy(dz,
                   crnn_row(c->lane->run, &dy, t, i) +
                       c->direction * call->state_bytes + start,
                   cols * element);
        else
            memset(dz, 0, cols * element);
    }
    if (ends && g->dhn.data) {
        const size_t index = layer * net->num_directions + c->direction;
        net->kernels->add(
            dz,
            g->dhn.data + (ptrdiff_t)index * g->dhn.stride[0] +
                (ptrdiff_t)crnn_row_of(c->lane->run, i) * g->dhn.stride[1] + start,
            cols);
    }
}

/* dz[t] = (dy[t] + w_hh' dz of the step after) * act'(h[t]) */
static bool step_back(const chain *c, size_t t)
{
    crnn_lane *lane = c->lane;
    const crnn_run *run = lane->run;
    const crnn_call *call = &c->a->d.call;
    const crnn_network *net = call->net;
    const size_t n = crnn_rows_active(run, t), H = net->hidden_size;
    /* Rows that were there one step later in the direction's own time. */
    const size_t going_on = c->direction ? (t ? n : 0) : crnn_rows_active(run, t + 1);
    const size_t after = c->direction ? t - 1 : t + 1;
    for (size_t i = 0; i < n; i++) {
        const size_t rank = run->first_row + i;
        lane->y[i] = crnn_dz_row(c->a, c->a->dz, t, rank, c->direction);
        if (i < going_on)
            lane->x[i] = crnn_dz_row(c->a, c->a->dz, after, rank, c->direction);
        begin_row(c, t, i, i >= going_on);
    }
    crnn_affine a = {
        .rows = going_on,
        .first_col = lane->first_col,
        .last_col = lane->last_col,
        .num_terms = 1,
        .resume = true,
        .y = lane->y,
    };
    a.terms[0] = (crnn_term){
        .x = lane->x,
        .x_step = 1,
        .w = c->a->back_hh[c->a->d.stage.layer * net->num_directions + c->direction],
        .w_step = c->a->panel_hh,
        .k = H,
        .last = H,
        .panel = c->a->panel_hh,
    };
    if (!crnn_product(lane, &a))
        return false;
    const size_t start = lane->first_col * net->kernels->element;
    for (size_t i = 0; i < n; i++)
        net->kernels->derive((char *)lane->y[i] + start,
                             crnn_row(run, &c->states, t, i) +
                                 c->direction * call->state_bytes + start,
                             lane->last_col - lane->first_col, net->activation);
    return true;
}

bool crnn_run_chain(crnn_adjoint *a, crnn_lane *lane, size_t direction, size_t first,
                    size_t last)
{
    const crnn_call *call = &a->d.call;
    const chain c = {
        a, lane, direction, {.view = crnn_states_of(call, a->d.stage.layer)}};
    for (size_t i = first; i < last; i++) {
        const size_t t = direction ? i : call->num_steps - 1 - i;
        if (!step_back(&c, t))
            return false;
        crnn_meet(lane, crnn_rows_active(lane->run, t));
    }
    return true;
}
