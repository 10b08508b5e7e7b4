/*
 * gradients.c - dx, dh0 and the gradients of a layer's parameters from dz: products
 * over all steps and rows, in chunks that stay in cache.
 *
 * A share is some steps of dx, and some hidden units of everything else.
 */
#include <string.h>

#include "adjoint.h"

typedef struct {
    crnn_adjoint *a;
    crnn_collector *rows;
    crnn_lane lane; /* for the watch */
    size_t layer;
    size_t first_col, last_col; /* hidden units */
} share;

/* Where one row of all lies. */
typedef void *(*row_at)(const share *s, size_t direction, size_t t, size_t rank);

static size_t index_of(const share *s, size_t direction)
{
    return s->layer * s->a->d.call.net->num_directions + direction;
}

static void *dz_at(const share *s, size_t direction, size_t t, size_t rank)
{
    return crnn_dz_row(s->a, s->a->dz, t, rank, direction);
}

static void *view_row(const share *s, crnn_view view, size_t t, size_t rank)
{
    const crnn_sequence sequence = {.view = view};
    return crnn_row(&s->a->all, &sequence, t, rank);
}

static void *dx_at(const share *s, size_t direction, size_t t, size_t rank)
{
    (void)direction;
    return s->layer ? crnn_dz_row(s->a, s->a->below, t, rank, 0)
                    : view_row(s, s->a->g->dx, t, rank);
}

/* The factor on the layer's input. */
static void *mask_at(const share *s, size_t direction, size_t t, size_t rank)
{
    (void)direction;
    return view_row(s, s->a->d.call.batch->masks[s->layer - 1], t, rank);
}

static void *input_at(const share *s, size_t direction, size_t t, size_t rank)
{
    (void)direction;
    const crnn_call *call = &s->a->d.call;
    return view_row(s, s->layer ? crnn_states_of(call, s->layer - 1) : call->batch->x,
                    t, rank);
}

/* The i-th row of a [L*D][B][H] view. */
static void *state_row(const share *s, const crnn_view *states, size_t direction,
                       size_t rank)
{
    return states->data + (ptrdiff_t)index_of(s, direction) * states->stride[0] +
           (ptrdiff_t)crnn_row_of(&s->a->all, rank) * states->stride[1];
}

/* The state that step t read. */
static void *state_before(const share *s, size_t direction, size_t t, size_t rank)
{
    const crnn_call *call = &s->a->d.call;
    const bool begins =
        direction ? rank >= crnn_rows_active(&s->a->all, t + 1) : t == 0;
    if (begins)
        return call->batch->h0.data ? state_row(s, &call->batch->h0, direction, rank)
                                    : call->zeros;
    return (char *)view_row(s, crnn_states_of(call, s->layer),
                            direction ? t + 1 : t - 1, rank) +
           direction * call->state_bytes;
}

typedef struct {
    size_t t, rank;
} place;

/* Collect the rows from a place on, those of the steps before last, at most a chunk;
 * their number.  *next becomes the place after them. */
static size_t collect(const share *s, place at, size_t last, size_t direction,
                      row_at find, void **rows, place *next)
{
    size_t n = 0, active = crnn_rows_active(&s->a->all, at.t);
    while (n < s->a->chunk && at.t < last) {
        if (at.rank < active) {
            rows[n++] = find(s, direction, at.t, at.rank++);
        } else {
            at.t++;
            at.rank = 0;
            active = crnn_rows_active(&s->a->all, at.t);
        }
    }
    if (next)
        *next = at;
    return n;
}

/* Rows at even distances. */
typedef struct {
    char *first;
    ptrdiff_t step;  /* elements from one row to the next */
    ptrdiff_t inner; /* bytes from one element of a row to the next */
} strip;

/* The collected rows as they lie, or, unevenly, copied; with their masks. */
static strip strip_of(const share *s, void **rows, size_t n, size_t width,
                      ptrdiff_t inner, char *buffer)
{
    const size_t element = s->a->d.call.net->kernels->element;
    const ptrdiff_t step = n > 1 ? (char *)rows[1] - (char *)rows[0] : 0;
    bool even = step >= 0 && step % (ptrdiff_t)element == 0;
    for (size_t i = 2; i < n && even; i++)
        even = (char *)rows[i] - (char *)rows[i - 1] == step;
    if (even)
        return (strip){rows[0], step / (ptrdiff_t)element, inner};
    for (size_t i = 0; i < n; i++) {
        char *to = buffer + i * width * element;
        if (inner == (ptrdiff_t)element)
            memcpy(to, rows[i], width * element);
        else
            for (size_t j = 0; j < width; j++)
                memcpy(to + j * element, (char *)rows[i] + (ptrdiff_t)j * inner,
                       element);
    }
    return (strip){buffer, (ptrdiff_t)width, (ptrdiff_t)element};
}

/* What the layer read at n rows, masked. */
static strip inputs_of(const share *s, place at, size_t n, size_t width)
{
    const crnn_call *call = &s->a->d.call;
    const crnn_kernels *kernels = call->net->kernels;
    char *buffer = s->rows->input;
    collect(s, at, call->num_steps, 0, input_at, s->rows->x, NULL);
    if (!s->layer || !call->batch->masks)
        return strip_of(
            s, s->rows->x, n, width,
            s->layer ? (ptrdiff_t)kernels->element : call->batch->x.stride[2], buffer);
    collect(s, at, call->num_steps, 0, mask_at, s->rows->y, NULL);
    for (size_t i = 0; i < n; i++) {
        char *to = buffer + i * width * kernels->element;
        memcpy(to, s->rows->x[i], width * kernels->element);
        kernels->scale(to, s->rows->y[i], width);
    }
    return (strip){buffer, (ptrdiff_t)width, (ptrdiff_t)kernels->element};
}

/* dw[r] += sum of x[r] dz over n rows, or = for the first of them. */
static bool add_product(share *s, void *dw, size_t width, strip x, strip dz, size_t n,
                        bool first)
{
    const crnn_call *call = &s->a->d.call;
    for (size_t r = 0; r < width; r++) {
        s->rows->x[r] = x.first + (ptrdiff_t)r * x.inner;
        s->rows->y[r] = (char *)dw + r * call->state_bytes;
    }
    crnn_affine a = {
        .rows = width,
        .first_col = s->first_col,
        .last_col = s->last_col,
        .num_terms = 1,
        .resume = !first,
        .y = s->rows->y,
    };
    a.terms[0] = (crnn_term){.x = s->rows->x,
                             .x_step = x.step,
                             .w = dz.first,
                             .w_step = (size_t)dz.step,
                             .k = n,
                             .last = n};
    return crnn_product(&s->lane, &a);
}

static bool parameter_gradients(share *s, size_t direction)
{
    const crnn_call *call = &s->a->d.call;
    const crnn_network *net = call->net;
    const crnn_weight_gradients *dw = &s->a->g->dw[index_of(s, direction)];
    const size_t H = net->hidden_size, inputs = crnn_inputs_of(net, index_of(s, 0));
    const ptrdiff_t element = (ptrdiff_t)net->kernels->element;
    const strip ones = {(char *)&s->a->one, 0, 0};
    place next = {0, 0};
    for (bool first = true;; first = false) {
        const place at = next;
        const size_t n =
            collect(s, at, call->num_steps, direction, dz_at, s->rows->x, &next);
        if (n == 0)
            return true;
        const strip dz = strip_of(s, s->rows->x, n, H, element, s->rows->dz);
        const strip input = inputs_of(s, at, n, inputs);
        if (!add_product(s, dw->w_ih, inputs, input, dz, n, first))
            return false;
        collect(s, at, call->num_steps, direction, state_before, s->rows->x, NULL);
        const strip state = strip_of(s, s->rows->x, n, H, element, s->rows->state);
        if (!add_product(s, dw->w_hh, H, state, dz, n, first) ||
            (dw->b && !add_product(s, dw->b, 1, ones, dz, n, first)))
            return false;
    }
}

/* A matrix of the way back, from dz of a direction. */
static crnn_term back_term(const share *s, void **const *panels, size_t panel,
                           size_t direction, void **x)
{
    const size_t H = s->a->d.call.net->hidden_size;
    return (crnn_term){.x = x,
                       .x_step = 1,
                       .w = (*panels)[index_of(s, direction)],
                       .w_step = panel,
                       .k = H,
                       .last = H,
                       .panel = panel};
}

/* dx of steps first .. last-1. */
static bool input_gradients(share *s, size_t first, size_t last)
{
    const crnn_call *call = &s->a->d.call;
    const crnn_network *net = call->net;
    const size_t inputs = crnn_inputs_of(net, index_of(s, 0));
    crnn_collector *rows = s->rows;
    place next = {first, 0};
    for (;;) {
        const place at = next;
        crnn_affine a = {.last_col = inputs, .y = rows->y};
        a.rows = collect(s, at, last, 0, dz_at, rows->x, &next);
        if (a.rows == 0)
            return true;
        collect(s, at, last, 0, dx_at, rows->y, NULL);
        for (size_t dir = 0; dir < net->num_directions; dir++) {
            void **x = dir ? rows->x_reverse : rows->x;
            collect(s, at, last, dir, dz_at, x, NULL);
            a.terms[a.num_terms++] =
                back_term(s, &s->a->back_ih, s->a->panel_ih, dir, x);
        }
        if (!crnn_product(&s->lane, &a))
            return false;
        if (!s->layer || !call->batch->masks)
            continue;
        collect(s, at, last, 0, mask_at, rows->x, NULL);
        for (size_t i = 0; i < a.rows; i++)
            net->kernels->scale(rows->y[i], rows->x[i], inputs);
    }
}

static bool state_gradients(share *s, size_t direction)
{
    const crnn_call *call = &s->a->d.call;
    const size_t B = call->batch->num_rows;
    for (size_t first = 0, n; first < B; first += n) {
        n = crnn_min(s->a->chunk, B - first);
        for (size_t i = 0; i < n; i++) {
            const size_t row = crnn_row_of(&s->a->all, first + i);
            const size_t steps =
                call->batch->lengths ? call->batch->lengths[row] : call->num_steps;
            s->rows->x[i] = dz_at(s, direction, direction ? steps - 1 : 0, first + i);
            s->rows->y[i] = state_row(s, &s->a->g->dh0, direction, first + i);
        }
        crnn_affine a = {.rows = n,
                         .first_col = s->first_col,
                         .last_col = s->last_col,
                         .num_terms = 1,
                         .y = s->rows->y};
        a.terms[0] =
            back_term(s, &s->a->back_hh, s->a->panel_hh, direction, s->rows->x);
        if (!crnn_product(&s->lane, &a))
            return false;
    }
    return true;
}

bool crnn_run_share(crnn_adjoint *a, size_t index)
{
    const crnn_call *call = &a->d.call;
    const size_t H = call->net->hidden_size, T = call->num_steps, n = a->num_shares;
    const size_t each = ((H + n - 1) / n + 15) / 16 * 16;
    share s = {.a = a,
               .rows = &a->collectors[index],
               .lane = {.run = &a->all},
               .layer = a->d.stage.layer,
               .first_col = crnn_min(index * each, H),
               .last_col = crnn_min(index * each + each, H)};
    if ((s.layer || a->g->dx.data) &&
        !input_gradients(&s, T / n * index + crnn_min(index, T % n),
                         T / n * (index + 1) + crnn_min(index + 1, T % n)))
        return false;
    for (size_t dir = 0; dir < call->net->num_directions; dir++)
        if (s.first_col < s.last_col && ((a->g->dw && !parameter_gradients(&s, dir)) ||
                                         (a->g->dh0.data && !state_gradients(&s, dir))))
            return false;
    return true;
}
