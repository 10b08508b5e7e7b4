/*
 * prepare.c - a call before its arrays are bound: layout, sizes and function of the
 * network.
 */
#include "call.h"

const call_axes axes_of[] = {
    [TIME_FIRST] = {"TBI", "SBH", "TBF"}, [BATCH_FIRST] = {"BTI", "SBH", "BTF"},
    [UNBATCHED] = {"TI", "SH", "TF"},     [PACKED] = {"NI", "SBH", "NF"},
    [CELL] = {"BI", "BH", "BF"},          [UNBATCHED_CELL] = {"I", "H", "F"},
    [STREAM] = {"BI", "SBH", "BF"},       [UNBATCHED_STREAM] = {"I", "SH", "F"},
};

call_layout call_layout_of(const network_object *self, int x_ndim)
{
    if (self->is_cell)
        return x_ndim == 1 ? UNBATCHED_CELL : CELL;
    if (x_ndim == 2)
        return UNBATCHED;
    return self->batch_first == Py_True ? BATCH_FIRST : TIME_FIRST;
}

/* GCC copies a struct of this size in a few moves, but clears it slowly. */
static const crnn_batch blank;

void call_prepare(pending_call *c, const network_object *self, size_t variant,
                  call_layout layout)
{
    c->self = self;
    c->type_num = self->dtype == CRNN_F32 ? NPY_FLOAT : NPY_DOUBLE;
    c->layout = layout;
    c->net = (crnn_network){
        .kernels = crnn_variant(variant, self->dtype),
        .activation = self->activation,
        .input_size = self->input_size,
        .hidden_size = self->hidden_size,
        .num_layers = self->num_layers,
        .num_directions = self->num_directions,
        .weights = self->weights,
        .by_unit = self->is_borrowed,
        .few_loads = crnn_machine_loads_slowly(),
    };
    c->batch = blank;
    c->gradients = NULL;
    c->x = c->h0 = c->dy = c->dhn = c->out = NULL;
    c->ready = NULL;
    c->memory = Py_NewRef(self->memory);
    c->memory_bytes = self->memory_bytes;
    for (size_t i = 0; i < sizeof c->sizes.of / sizeof *c->sizes.of; i++)
        c->sizes.of[i] = UNBOUND;
    SIZE(&c->sizes, 'I') = self->input_size;
    SIZE(&c->sizes, 'H') = self->hidden_size;
    SIZE(&c->sizes, 'S') = self->num_layers * self->num_directions;
    SIZE(&c->sizes, 'F') = self->hidden_size * self->num_directions;
    if (self->is_cell)
        SIZE(&c->sizes, 'T') = 1;
    if (layout == UNBATCHED || layout == UNBATCHED_CELL)
        SIZE(&c->sizes, 'B') = 1;
}

bool call_can_read(const pending_call *c, const crnn_view *view)
{
    return view->stride[2] == (c->type_num == NPY_FLOAT ? 4 : 8) ||
           SIZE(&c->sizes, 'B') == 0;
}
