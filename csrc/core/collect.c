/*
 * collect.c - where the rows lie that the products over time read.
 */
#include <string.h>

#include "adjoint.h"

static crnn_sequence between(const crnn_adjoint *a, char *data)
{
    const size_t row = a->between_bytes;
    return (crnn_sequence){
        .view = {data, {(ptrdiff_t)(row * a->d.call.batch->num_rows), (ptrdiff_t)row}},
        .own = true};
}

crnn_sequence crnn_input_sequence(const crnn_adjoint *a)
{
    const size_t layer = a->d.stage.layer;
    return (crnn_sequence){.view = layer ? crnn_states_of(&a->d.call, layer - 1)
                                         : a->d.call.batch->x};
}

crnn_sequence crnn_dy_sequence(const crnn_adjoint *a)
{
    return a->d.stage.layer + 1 == a->d.call.net->num_layers
               ? (crnn_sequence){.view = a->g->dy}
               : between(a, a->above);
}

crnn_sequence crnn_dx_sequence(const crnn_adjoint *a)
{
    return a->d.stage.layer ? between(a, a->below) : (crnn_sequence){.view = a->g->dx};
}

crnn_sequence crnn_mask_sequence(const crnn_adjoint *a)
{
    const crnn_batch *batch = a->d.call.batch;
    crnn_sequence masks = {0};
    if (a->d.stage.layer && batch->masks)
        masks.view = batch->masks[a->d.stage.layer - 1];
    return masks;
}

static crnn_place place_in(const crnn_adjoint *a, size_t t, size_t n)
{
    const size_t last = crnn_rows_active(&a->all, t) - 1;
    return (crnn_place){t, a->direction ? n : last - n, last - n};
}

crnn_place crnn_place_at(const crnn_adjoint *a, size_t n)
{
    size_t t = a->direction ? a->d.stage.first : a->d.stage.last - 1, rows;
    while (n >= (rows = crnn_rows_active(&a->all, t))) {
        n -= rows;
        t += a->direction ? 1 : (size_t)-1;
    }
    return place_in(a, t, n);
}

crnn_place crnn_place_after(const crnn_adjoint *a, crnn_place at)
{
    if (at.left == 0)
        return place_in(a, a->direction ? at.t + 1 : at.t - 1, 0);
    at.left--;
    at.rank += a->direction ? 1 : (size_t)-1;
    return at;
}

char *crnn_state_row(const crnn_adjoint *a, const crnn_view *states, size_t direction,
                     size_t rank)
{
    return states->data + (ptrdiff_t)crnn_index_of(a, direction) * states->stride[0] +
           (ptrdiff_t)crnn_row_of(&a->all, rank) * states->stride[1];
}

/* The rows of a block are copied. */
static bool copy(crnn_block *block)
{
    block->first = block->panels;
    block->step = (ptrdiff_t)block->width;
    block->panel = block->width;
    return true;
}

/* They are read where they lie, one step apart in memory. */
static void leave(const crnn_adjoint *a, crnn_block *block, char *first, ptrdiff_t step)
{
    const ptrdiff_t element = (ptrdiff_t)a->d.call.net->kernels->element;
    block->first = first;
    block->step = (a->direction ? step : -step) / element;
    block->panel = 0;
}

/* h a step before the one at a place, which is not the first of its row. */
static char *kept_state(const crnn_adjoint *a, crnn_place at)
{
    const crnn_call *call = &a->d.call;
    const crnn_sequence states = {.view = crnn_states_of(call, a->d.stage.layer)};
    return crnn_row(&a->all, &states, a->direction ? at.t + 1 : at.t - 1, at.rank) +
           a->direction * call->state_bytes;
}

static char *first_state(const crnn_adjoint *a, size_t rank)
{
    const crnn_view *h0 = &a->d.call.batch->h0;
    return h0->data ? crnn_state_row(a, h0, a->direction, rank) : a->d.call.zeros;
}

static char *state_before(const crnn_adjoint *a, crnn_place at)
{
    const bool begun =
        a->direction ? at.rank < crnn_rows_active(&a->all, at.t + 1) : at.t > 0;
    return begun ? kept_state(a, at) : first_state(a, at.rank);
}

/* Whether rows [T][B] that a view has lie evenly in memory, and their features too. */
static bool is_even(const crnn_adjoint *a, const crnn_view *view)
{
    const ptrdiff_t B = (ptrdiff_t)a->d.call.batch->num_rows;
    const ptrdiff_t element = (ptrdiff_t)a->d.call.net->kernels->element;
    return (B == 1 || view->stride[0] == B * view->stride[1]) &&
           view->stride[B == 1 ? 0 : 1] % element == 0 && view->stride[2] == element;
}

bool crnn_find_blocks(crnn_adjoint *a)
{
    const crnn_batch *batch = a->d.call.batch;
    const crnn_place at = crnn_place_at(a, 0);
    const crnn_view h = crnn_states_of(&a->d.call, a->d.stage.layer);
    const crnn_sequence inputs = crnn_input_sequence(a);
    const size_t B = batch->num_rows;
    a->num_kept = a->num_rows;
    if (a->copied) {
        copy(&a->inputs);
        return copy(&a->gradients) && copy(&a->states);
    }
    if (crnn_is_last_span(a)) {
        const ptrdiff_t step = batch->h0.data ? batch->h0.stride[1] : 0;
        a->num_kept -= B;
        leave(a, &a->first_states, first_state(a, a->direction ? 0 : B - 1), step);
    }
    leave(a, &a->gradients, crnn_dz_row(a, a->direction, at.t, at.rank),
          (ptrdiff_t)a->row_bytes);
    if (a->num_kept > 0)
        leave(a, &a->states, kept_state(a, at), h.stride[1]);
    if (crnn_mask_sequence(a).view.data || !is_even(a, &inputs.view))
        return copy(&a->inputs);
    leave(a, &a->inputs, crnn_row(&a->all, &inputs, at.t, at.rank),
          inputs.view.stride[B == 1 ? 0 : 1]);
    return false;
}

/* Copy the i-th row of a block, of so many columns, a line at a time: calls that copy a
 * few lines take longer. */
static void copy_row(const crnn_adjoint *a, const crnn_block *block, size_t i,
                     size_t cols, const char *from, ptrdiff_t inner, const char *mask)
{
    const crnn_kernels *kernels = a->d.call.net->kernels;
    const size_t element = kernels->element;
    for (size_t col = 0; col < cols; col += block->panel) {
        const size_t n = crnn_min(block->panel, cols - col), bytes = n * element;
        char *to = block->panels + (col * a->num_rows + i * block->panel) * element;
        size_t done = 0;
        if (inner == (ptrdiff_t)element)
            for (; done + CRNN_LINE <= bytes; done += CRNN_LINE)
                memcpy(to + done, from + col * element + done, CRNN_LINE);
        for (; done < bytes; done += element)
            memcpy(to + done, from + (ptrdiff_t)(col + done / element) * inner,
                   element);
        if (mask)
            kernels->scale(to, mask + col * element, n);
    }
}

void crnn_copy_rows(const crnn_adjoint *a, size_t first, size_t last)
{
    const crnn_network *net = a->d.call.net;
    const size_t H = net->hidden_size, width = crnn_num_inputs(a);
    const ptrdiff_t element = (ptrdiff_t)net->kernels->element;
    const crnn_sequence inputs = crnn_input_sequence(a), masks = crnn_mask_sequence(a);
    if (first == last)
        return;
    crnn_place at = crnn_place_at(a, first);
    for (size_t i = first; i < last; i++) {
        if (a->gradients.panel)
            copy_row(a, &a->gradients, i, H,
                     crnn_dz_row(a, a->direction, at.t, at.rank), element, NULL);
        if (a->inputs.panel)
            copy_row(a, &a->inputs, i, width, crnn_row(&a->all, &inputs, at.t, at.rank),
                     inputs.view.stride[2],
                     masks.view.data ? crnn_row(&a->all, &masks, at.t, at.rank) : NULL);
        if (a->states.panel)
            copy_row(a, &a->states, i, H, state_before(a, at), element, NULL);
        if (i + 1 < last)
            at = crnn_place_after(a, at);
    }
}
