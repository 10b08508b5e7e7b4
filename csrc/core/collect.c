/*
 * collect.c - where the rows lie that the products over time read and write.
 */
#include <string.h>

#include "adjoint.h"

crnn_place crnn_place_at(const crnn_share *s, size_t t)
{
    return (crnn_place){t, 0, crnn_rows_active(&s->a->all, t)};
}

/* Whether there is a row at the place or after it, in a step before last; go there. */
static inline bool find(const crnn_share *s, crnn_place *at, size_t last)
{
    for (; at->t < last; *at = crnn_place_at(s, at->t + 1))
        if (at->rank < at->active)
            return true;
    return false;
}

size_t crnn_collect(const crnn_share *s, crnn_place *at, size_t last,
                    const crnn_sequence *sequence, size_t offset, void **rows)
{
    size_t n = 0;
    for (; n < s->chunk && find(s, at, last); at->rank++)
        rows[n++] = crnn_row(&s->a->all, sequence, at->t, at->rank) + offset;
    return n;
}

crnn_sequence crnn_dz_sequence(const crnn_share *s, char *dz)
{
    const size_t row = s->a->row_bytes;
    return (crnn_sequence){
        .view = {dz, {(ptrdiff_t)(row * s->a->d.call.batch->num_rows), (ptrdiff_t)row}},
        .own = true};
}

crnn_sequence crnn_mask_sequence(const crnn_share *s)
{
    return (crnn_sequence){.view = s->a->d.call.batch->masks[s->layer - 1]};
}

char *crnn_state_row(const crnn_share *s, const crnn_view *states, size_t direction,
                     size_t rank)
{
    const size_t index = s->layer * s->a->d.call.net->num_directions + direction;
    return states->data + (ptrdiff_t)index * states->stride[0] +
           (ptrdiff_t)crnn_row_of(&s->a->all, rank) * states->stride[1];
}

/* Copy n rows to where they are contiguous. */
static void copy_rows(const crnn_share *s, size_t n, size_t width, ptrdiff_t inner)
{
    const size_t element = s->a->d.call.net->kernels->element;
    for (size_t i = 0; i < n; i++) {
        char *to = s->rows->copies + i * width * element;
        const char *from = s->rows->x[i];
        if (inner == (ptrdiff_t)element)
            memcpy(to, from, width * element);
        else
            for (size_t j = 0; j < width; j++)
                memcpy(to + j * element, from + (ptrdiff_t)j * inner, element);
        s->rows->x[i] = to;
    }
}

void crnn_collect_inputs(const crnn_share *s, crnn_place at, size_t n)
{
    const crnn_call *call = &s->a->d.call;
    const crnn_kernels *kernels = call->net->kernels;
    const crnn_sequence inputs = {.view = s->layer ? crnn_states_of(call, s->layer - 1)
                                                   : call->batch->x};
    const size_t width =
        crnn_inputs_of(call->net, s->layer * call->net->num_directions);
    const bool masked = s->layer && call->batch->masks;
    crnn_place from = at;
    crnn_collect(s, &from, call->num_steps, &inputs, 0, s->rows->x);
    if (masked || inputs.view.stride[2] != (ptrdiff_t)kernels->element)
        copy_rows(s, n, width, inputs.view.stride[2]);
    if (!masked)
        return;
    const crnn_sequence masks = crnn_mask_sequence(s);
    crnn_collect(s, &at, call->num_steps, &masks, 0, s->rows->y);
    for (size_t i = 0; i < n; i++)
        kernels->scale(s->rows->x[i], s->rows->y[i], width);
}

void crnn_collect_states(const crnn_share *s, crnn_place at, size_t n, size_t direction)
{
    const crnn_call *call = &s->a->d.call;
    const crnn_sequence states = {.view = crnn_states_of(call, s->layer)};
    const crnn_view *h0 = &call->batch->h0;
    size_t step = call->num_steps, begun = 0; /* rows that were there a step before */
    for (size_t i = 0; i < n && find(s, &at, call->num_steps); i++, at.rank++) {
        if (at.t != step) {
            step = at.t;
            begun = direction ? crnn_rows_active(&s->a->all, step + 1)
                    : step    ? at.active
                              : 0;
        }
        if (at.rank < begun)
            s->rows->x[i] = crnn_row(&s->a->all, &states,
                                     direction ? step + 1 : step - 1, at.rank) +
                            direction * call->state_bytes;
        else
            s->rows->x[i] =
                h0->data ? crnn_state_row(s, h0, direction, at.rank) : call->zeros;
    }
}
