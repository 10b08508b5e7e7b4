/*
 * gradients.c - what a share takes from dz: dx and dh0, products over all steps and
 * rows in chunks that stay in cache, and the gradients of the parameters.
 */
#include "adjoint.h"

/* Rows of dz and dx that stay in the second cache beside the matrix. */
#define CHUNK_BYTES ((size_t)128 << 10)

/* A matrix of the way back, from dz of a direction. */
static crnn_term back_term(const crnn_share *s, void **const *panels, size_t panel,
                           size_t direction, void **x)
{
    const crnn_network *net = s->a->d.call.net;
    const size_t H = net->hidden_size;
    return (crnn_term){.x = x,
                       .x_step = 1,
                       .w = (*panels)[s->layer * net->num_directions + direction],
                       .w_step = panel,
                       .k = H,
                       .last = H,
                       .panel = panel};
}

/* dx of steps first .. last-1. */
static bool input_gradients(crnn_share *s, size_t first, size_t last)
{
    crnn_adjoint *a = s->a;
    const crnn_call *call = &a->d.call;
    const crnn_network *net = call->net;
    const size_t inputs = crnn_inputs_of(net, s->layer * net->num_directions);
    const crnn_sequence dz = crnn_dz_sequence(s, a->dz);
    const crnn_sequence dx =
        s->layer ? crnn_dz_sequence(s, a->below) : (crnn_sequence){.view = a->g->dx};
    crnn_collector *rows = s->rows;
    crnn_place next = crnn_place_at(s, first);
    s->chunk = crnn_min(crnn_max(CHUNK_BYTES / call->state_bytes, 32), a->chunk);
    for (;;) {
        const crnn_place at = next;
        crnn_affine product = {.last_col = inputs, .y = rows->y};
        product.rows = crnn_collect(s, &next, last, &dx, 0, rows->y);
        if (product.rows == 0)
            return true;
        for (size_t dir = 0; dir < net->num_directions; dir++) {
            void **x = dir ? rows->x_reverse : rows->x;
            crnn_place from = at;
            crnn_collect(s, &from, last, &dz, dir * call->state_bytes, x);
            product.terms[product.num_terms++] =
                back_term(s, &a->back_ih, a->panel_ih, dir, x);
        }
        if (!crnn_product(&s->lane, &product))
            return false;
        if (!s->layer || !call->batch->masks)
            continue;
        const crnn_sequence masks = crnn_mask_sequence(s);
        crnn_place from = at;
        crnn_collect(s, &from, last, &masks, 0, rows->x);
        for (size_t i = 0; i < product.rows; i++)
            net->kernels->scale(rows->y[i], rows->x[i], inputs);
    }
}

static bool state_gradients(crnn_share *s, size_t direction)
{
    const crnn_call *call = &s->a->d.call;
    const size_t B = call->batch->num_rows;
    for (size_t first = 0, n; first < B; first += n) {
        n = crnn_min(s->a->chunk, B - first);
        for (size_t i = 0; i < n; i++) {
            const size_t row = crnn_row_of(&s->a->all, first + i);
            const size_t steps =
                call->batch->lengths ? call->batch->lengths[row] : call->num_steps;
            s->rows->x[i] = crnn_dz_row(s->a, s->a->dz, direction ? steps - 1 : 0,
                                        first + i, direction);
            s->rows->y[i] = crnn_state_row(s, &s->a->g->dh0, direction, first + i);
        }
        crnn_affine product = {.rows = n,
                               .first_col = s->first_unit,
                               .last_col = s->last_unit,
                               .num_terms = 1,
                               .y = s->rows->y};
        product.terms[0] =
            back_term(s, &s->a->back_hh, s->a->panel_hh, direction, s->rows->x);
        if (!crnn_product(&s->lane, &product))
            return false;
    }
    return true;
}

bool crnn_run_share(crnn_adjoint *a, size_t index)
{
    const crnn_call *call = &a->d.call;
    const size_t H = call->net->hidden_size, T = call->num_steps, n = a->num_shares;
    const size_t each = ((H + n - 1) / n + 15) / 16 * 16;
    crnn_share s = {.a = a,
                    .rows = &a->collectors[index],
                    .lane = {.run = &a->all},
                    .layer = a->d.stage.layer,
                    .first_unit = crnn_min(index * each, H),
                    .last_unit = crnn_min(index * each + each, H)};
    if ((s.layer || a->g->dx.data) &&
        !input_gradients(&s, T / n * index + crnn_min(index, T % n),
                         T / n * (index + 1) + crnn_min(index + 1, T % n)))
        return false;
    for (size_t dir = 0; dir < call->net->num_directions; dir++)
        if (s.first_unit < s.last_unit &&
            ((a->g->dw && !crnn_run_weights(&s, dir)) ||
             (a->g->dh0.data && !state_gradients(&s, dir))))
            return false;
    return true;
}
