/*
 * gradients.c - dx and dh0 from dz of a span.
 */
#include "adjoint.h"

/* y = w' dz for the first n rows that the share points to; add: or +=. */
static bool multiply(crnn_share *s, size_t n, size_t cols, const void *w, size_t panel,
                     bool add)
{
    const size_t H = s->a->d.call.net->hidden_size;
    const crnn_affine product = {.rows = n,
                                 .last_col = cols,
                                 .terms = {{.x = s->rows->x,
                                            .x_step = 1,
                                            .w = w,
                                            .w_step = (ptrdiff_t)panel,
                                            .k = H,
                                            .last = H,
                                            .panel = panel}},
                                 .num_terms = 1,
                                 .start = add ? s->rows->y : NULL,
                                 .y = s->rows->y};
    return crnn_product(&s->lane, &product);
}

bool crnn_run_inputs(crnn_share *s)
{
    const crnn_adjoint *a = s->a;
    const crnn_network *net = a->d.call.net;
    const crnn_batch *batch = a->d.call.batch;
    const size_t layer = a->d.stage.layer;
    const size_t index = layer * net->num_directions + a->direction;
    const size_t inputs = crnn_inputs_of(net, index);
    const crnn_sequence dx = crnn_dx_sequence(a);
    const bool masked =
        layer && batch->masks && a->direction + 1 == net->num_directions;
    const crnn_sequence masks = {.view = masked ? batch->masks[layer - 1] : batch->x};
    for (size_t first = s->first_row, n; first < s->last_row; first += n) {
        n = crnn_min(a->share_rows, s->last_row - first);
        const crnn_place begin = crnn_place_at(a, first);
        crnn_place at = begin;
        for (size_t i = 0; i < n; i++, at = crnn_place_after(a, at)) {
            s->rows->x[i] = crnn_dz_row(a, a->direction, at.t, at.rank);
            s->rows->y[i] = crnn_row(&a->all, &dx, at.t, at.rank);
        }
        if (!multiply(s, n, inputs, a->back_ih[index], a->panel_ih, a->direction == 1))
            return false;
        at = begin;
        for (size_t i = 0; i < n && masked; i++, at = crnn_place_after(a, at))
            net->kernels->scale(s->rows->y[i], crnn_row(&a->all, &masks, at.t, at.rank),
                                inputs);
    }
    return true;
}

bool crnn_run_states(crnn_share *s)
{
    const crnn_adjoint *a = s->a;
    const crnn_network *net = a->d.call.net;
    const size_t *lengths = a->d.call.batch->lengths;
    const crnn_stage *span = &a->d.stage;
    const size_t index = span->layer * net->num_directions + a->direction;
    size_t n = 0;
    for (size_t rank = s->first_rank; rank < s->last_rank; rank++) {
        const size_t steps =
            lengths ? lengths[crnn_row_of(&a->all, rank)] : a->d.call.num_steps;
        const size_t t = a->direction ? steps - 1 : 0;
        if (t >= span->first && t < span->last) {
            s->rows->x[n] = crnn_dz_row(a, a->direction, t, rank);
            s->rows->y[n++] = crnn_state_row(a, &a->g->dh0, rank);
        }
        if (n == a->share_rows || (rank + 1 == s->last_rank && n > 0)) {
            if (!multiply(s, n, net->hidden_size, a->back_hh[index], a->panel_hh,
                          false))
                return false;
            n = 0;
        }
    }
    return true;
}
