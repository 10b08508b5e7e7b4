/*
 * gradients.c - dx and dh0 from dz of a span.
 */
#include "adjoint.h"

/* y = w' dz for the first n rows that the share points to; add: or +=. */
static bool multiply(crnn_share *s, size_t n, const crnn_matrix *w, bool add,
                     void *const *ahead)
{
    const crnn_affine product = {
        .rows = n,
        .last_col = w->cols,
        .terms = {crnn_back_term(w, s->rows->x)},
        .num_terms = 1,
        .start = add ? s->rows->y : NULL,
        .y = s->rows->y,
        .ahead = {crnn_rows_ahead(s->a, s->rows, n, w->term.k * w->cols), ahead},
    };
    return crnn_product(&s->lane, &product);
}

bool crnn_run_inputs(crnn_share *s)
{
    const crnn_adjoint *a = s->a;
    const crnn_network *net = a->d.call.net;
    const crnn_matrix *w = &crnn_matrices_of(a, a->direction)->ih;
    const crnn_sequence dx = crnn_dx_sequence(a), masks = crnn_mask_sequence(a),
                        inputs = crnn_input_sequence(a);
    /* The gradients of the parameters read the inputs next, if not a copy of them. */
    void **ahead = a->g->dw && !a->inputs.panel ? s->rows->ahead : NULL;
    const bool masked = masks.view.data && a->direction + 1 == net->num_directions;
    for (size_t first = s->first_row, n; first < s->last_row; first += n) {
        n = crnn_min(a->share_rows, s->last_row - first);
        const crnn_place begin = crnn_place_at(a, first);
        crnn_place at = begin;
        for (size_t i = 0; i < n; i++, at = crnn_place_after(a, at)) {
            s->rows->x[i] = crnn_dz_row(a, a->direction, at.t, at.rank);
            s->rows->y[i] = crnn_row(&a->all, &dx, at.t, at.rank);
            s->rows->ahead[i] = crnn_row(&a->all, &inputs, at.t, at.rank);
        }
        if (!multiply(s, n, w, a->direction == 1, ahead))
            return false;
        at = begin;
        for (size_t i = 0; i < n && masked; i++, at = crnn_place_after(a, at))
            net->kernels->scale(s->rows->y[i], crnn_row(&a->all, &masks, at.t, at.rank),
                                w->cols);
    }
    return true;
}

bool crnn_run_states(crnn_share *s)
{
    const crnn_adjoint *a = s->a;
    const size_t *lengths = a->d.call.batch->lengths;
    const crnn_stage *span = &a->d.stage;
    size_t n = 0;
    for (size_t rank = s->first_rank; rank < s->last_rank; rank++) {
        const size_t steps =
            lengths ? lengths[crnn_row_of(&a->all, rank)] : a->d.call.num_steps;
        const size_t t = a->direction ? steps - 1 : 0;
        if (t >= span->first && t < span->last) {
            s->rows->x[n] = crnn_dz_row(a, a->direction, t, rank);
            s->rows->y[n++] = crnn_state_row(a, &a->g->dh0, a->direction, rank);
        }
        if (n == a->share_rows || (rank + 1 == s->last_rank && n > 0)) {
            if (!multiply(s, n, &crnn_matrices_of(a, a->direction)->hh, false, NULL))
                return false;
            n = 0;
        }
    }
    return true;
}
