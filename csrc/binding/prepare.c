/*
 * prepare.c - a call before its arrays are bound: layout, sizes and function of the
 * network.
 */
#include "call.h"

const call_axes axes_of[] = {
    [TIME_FIRST] = {"TBI", "SBH", "TBF"}, [BATCH_FIRST] = {"BTI", "SBH", "BTF"},
    [UNBATCHED] = {"TI", "SH", "TF"},     [PACKED] = {"NI", "SBH", "NF"},
    [CELL] = {"BI", "BH", "BF"},          [UNBATCHED_CELL] = {"I", "H", "F"},
};

static crnn_activation activation_of(PyObject *mode)
{
    if (!mode || !PyUnicode_Check(mode))
        return CRNN_IDENTITY;
    return PyUnicode_CompareWithASCIIString(mode, "RNN_TANH") == 0   ? CRNN_TANH
           : PyUnicode_CompareWithASCIIString(mode, "RNN_RELU") == 0 ? CRNN_RELU
                                                                     : CRNN_IDENTITY;
}

call_layout call_layout_of(const network_object *self, int x_ndim)
{
    if (self->is_cell)
        return x_ndim == 1 ? UNBATCHED_CELL : CELL;
    if (x_ndim == 2)
        return UNBATCHED;
    return self->batch_first == Py_True ? BATCH_FIRST : TIME_FIRST;
}

void call_prepare(pending_call *c, const network_object *self, size_t variant,
                  call_layout layout)
{
    *c = (pending_call){
        .self = self,
        .memory = Py_NewRef(self->memory),
        .type_num = self->dtype == CRNN_F32 ? NPY_FLOAT : NPY_DOUBLE,
        .layout = layout,
        .net =
            {
                .kernels = crnn_variant(variant, self->dtype),
                .activation = activation_of(self->mode),
                .input_size = self->input_size,
                .hidden_size = self->hidden_size,
                .num_layers = self->num_layers,
                .num_directions = self->num_directions,
                .weights = self->weights,
            },
    };
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

bool call_can_read(const pending_call *c, const crnn_view *states)
{
    return states->stride[2] == (ptrdiff_t)(c->type_num == NPY_FLOAT ? 4 : 8) ||
           c->self->hidden_size == 1 || SIZE(&c->sizes, 'B') == 0;
}
