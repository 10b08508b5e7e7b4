/*
 * chain.c - one layer in one direction, back through the steps of a span.
 */
#include <string.h>

#include "adjoint.h"

/* What all steps of a chain share. */
typedef struct {
    const crnn_adjoint *a;
    crnn_lane *lane;
    const crnn_step *steps; /* [2] */
    size_t direction;
    crnn_sequence states, dy;
    bool far; /* so many that they are fetched a step before */
    crnn_affine product;
} chain;

/* Let pointers be those to dy and the states of the n rows of a step. */
static void find_rows(const chain *c, size_t t, size_t n, const crnn_step *pointers)
{
    const crnn_adjoint *a = c->a;
    const size_t column = c->direction * a->d.call.state_bytes;
    for (size_t i = 0; i < n; i++) {
        const size_t rank = c->lane->run->first_row + i;
        pointers->h[i] = crnn_row(&a->all, &c->states, t, rank) + column;
        if (c->dy.view.data)
            pointers->start[i] = crnn_row(&a->all, &c->dy, t, rank) + column;
    }
}

/* Put dy + dhn of a row that ends where its dz will be, in the lane's columns. */
static void end_row(const chain *c, size_t i, const void *dy)
{
    const crnn_network *net = c->a->d.call.net;
    const size_t start = c->lane->first_col * net->kernels->element;
    const size_t cols = c->lane->last_col - c->lane->first_col;
    const size_t rank = c->lane->run->first_row + i;
    char *dz = (char *)c->lane->y[i] + start;
    if (dy)
        memcpy(dz, (const char *)dy + start, cols * net->kernels->element);
    else
        memset(dz, 0, cols * net->kernels->element);
    net->kernels->add(
        dz, crnn_state_row(c->a, &c->a->g->dhn, c->direction, rank) + start, cols);
}

/* Rows first .. n-1, which end here: dz = (dy + dhn) * act'(h) */
static bool end_rows(const chain *c, size_t first, size_t n)
{
    crnn_affine product = c->product;
    if (c->a->g->dhn.data) {
        for (size_t i = first; i < n; i++)
            end_row(c, i, product.start ? product.start[i] : NULL);
        product.start = product.y;
    }
    product.num_terms = 0;
    product.rows = n - first;
    product.y += first;
    product.states += first;
    product.start += product.start ? first : 0;
    product.ahead[0] = product.ahead[1] = NULL;
    return crnn_product(c->lane, &product);
}

/* dz[t] = (dy[t] + w_hh' dz of the step after) * act'(h[t]), t the i-th step. */
static bool step_back(chain *c, size_t t, size_t i)
{
    crnn_lane *lane = c->lane;
    const crnn_run *run = lane->run;
    const crnn_step *now = &c->steps[i % 2], *next = &c->steps[1 - i % 2];
    const size_t n = crnn_rows_active(run, t);
    const size_t from = crnn_after(t, c->direction), to = crnn_before(t, c->direction);
    const size_t going_on = crnn_min(n, crnn_rows_active(run, from)),
                 more = crnn_rows_active(run, to);
    for (size_t row = 0; row < n; row++) {
        const size_t rank = run->first_row + row;
        lane->y[row] = crnn_dz_row(c->a, c->direction, t, rank);
        if (row < going_on)
            lane->x[row] = crnn_dz_row(c->a, c->direction, from, rank);
    }
    if (i == c->a->first_step)
        find_rows(c, t, n, now);
    find_rows(c, to, more, next);
    c->product.rows = going_on;
    c->product.states = now->h;
    const bool fetched = c->far && more >= going_on;
    c->product.ahead[0] = fetched ? next->h : NULL;
    if (c->dy.view.data) {
        c->product.start = now->start;
        c->product.ahead[1] = fetched ? next->start : NULL;
    }
    return crnn_product(lane, &c->product) &&
           (going_on == n || end_rows(c, going_on, n));
}

bool crnn_run_chain(const crnn_adjoint *a, size_t lane_index, size_t direction)
{
    const crnn_stage *span = &a->d.stage;
    crnn_lane *lane = &a->d.lanes[lane_index];
    chain c = {
        .a = a,
        .lane = lane,
        .steps = a->steps[lane_index],
        .direction = direction,
        .states = {.view = crnn_states_of(&a->d.call, span->layer)},
        .dy = crnn_dy_sequence(a),
        .far = crnn_is_far(&a->d.call),
        .product = {.first_col = lane->first_col,
                    .last_col = lane->last_col,
                    .terms = {crnn_back_term(&crnn_matrices_of(a, direction)->hh,
                                             lane->x)},
                    .num_terms = 1,
                    .y = lane->y,
                    .ahead_by_rows = true,
                    .activation = a->d.call.net->activation},
    };
    for (size_t i = a->first_step; i < a->last_step; i++) {
        const size_t t = direction ? span->first + i : span->last - 1 - i;
        if (!step_back(&c, t, i))
            return false;
        crnn_meet(lane, crnn_rows_active(lane->run, t));
    }
    return true;
}
