/*
 * run.c - Network._run(): calls with lengths, packed batches and dropout masks, fully
 * checked.
 */
#include "call.h"

static PyObject *value_error(const char *message)
{
    PyErr_SetString(PyExc_ValueError, message);
    return NULL;
}

static bool allocate_rows(call_extras *e, size_t count)
{
    e->rows = crnn_alloc(crnn_mul(count, sizeof *e->rows));
    if (!e->rows)
        PyErr_NoMemory();
    return e->rows;
}

static bool read_lengths(pending_call *c, PyObject *lengths, call_extras *e)
{
    crnn_view view;
    const size_t T = SIZE(&c->sizes, 'T'), B = SIZE(&c->sizes, 'B');
    if (!array_require(lengths, "lengths", NPY_INT64, "B", &c->sizes, &view) ||
        !allocate_rows(e, B))
        return false;
    for (size_t row = 0; row < B; row++) {
        const int64_t length = view_int64(&view, 1, row);
        if (length < 1 || (uint64_t)length > T)
            return value_error("every length must be in 1 .. T");
        e->rows[row] = (size_t)length;
    }
    c->batch.lengths = e->rows;
    return true;
}

/* batch_sizes[t] rows are longer than t; x holds them step after step. */
static bool read_batch_sizes(pending_call *c, PyObject *batch_sizes, call_extras *e)
{
    crnn_view view;
    if (!array_require(batch_sizes, "batch_sizes", NPY_INT64, "T", &c->sizes, &view))
        return false;
    const size_t T = SIZE(&c->sizes, 'T'), N = SIZE(&c->sizes, 'N');
    const int64_t B = T ? view_int64(&view, 0, 0) : 0;
    if (B < 0 || (uint64_t)B > N)
        return value_error("batch_sizes do not fit the rows of x");
    if (!allocate_rows(e, crnn_add(T, (size_t)B)))
        return false;
    size_t *offsets = e->rows, *lengths = e->rows + T, offset = 0;
    size_t before = (size_t)B;
    for (size_t t = 0; t < T; t++) {
        const int64_t size = view_int64(&view, 0, t);
        if (size < 0 || (uint64_t)size > before || (uint64_t)size > N - offset)
            return value_error(
                "batch_sizes must not increase, and their sum must be the rows of x");
        for (size_t row = (size_t)size; row < before; row++)
            lengths[row] = t;
        offsets[t] = offset;
        offset += (size_t)size;
        before = (size_t)size;
    }
    for (size_t row = 0; row < before; row++)
        lengths[row] = T;
    if (offset != N)
        return value_error("the sum of batch_sizes must be the rows of x");
    SIZE(&c->sizes, 'B') = (size_t)B;
    c->batch.offsets = offsets;
    c->batch.lengths = lengths;
    return true;
}

static bool read_masks(pending_call *c, PyObject *masks, call_extras *e)
{
    const size_t boundaries = c->net.num_layers - 1;
    if (!PyTuple_CheckExact(masks) || (size_t)PyTuple_GET_SIZE(masks) != boundaries)
        return value_error(
            "masks must be a tuple with one array for each layer but the last");
    e->masks = crnn_alloc(crnn_mul(boundaries, sizeof *e->masks));
    if (!e->masks)
        return PyErr_NoMemory();
    for (size_t l = 0; l < boundaries; l++) {
        if (!array_require(PyTuple_GET_ITEM(masks, (Py_ssize_t)l), "mask", c->type_num,
                           axes_of[c->layout].y, &c->sizes, &e->masks[l]))
            return false;
        if (!call_can_read(c, &e->masks[l]))
            return value_error("the last axis of a mask must be contiguous");
    }
    c->batch.masks = e->masks;
    e->mask_arrays = masks;
    return true;
}

static bool bind_arguments(pending_call *c, PyObject *hx, PyObject *lengths,
                           PyObject *batch_sizes, PyObject *masks, call_extras *e)
{
    const call_axes *axes = &axes_of[c->layout];
    if (!array_require(c->x, "x", c->type_num, axes->x, &c->sizes, &c->batch.x))
        return false;
    if (batch_sizes != Py_None && !read_batch_sizes(c, batch_sizes, e))
        return false;
    if (SIZE(&c->sizes, 'T') == 0)
        return value_error("x must have at least one step");
    if (hx != Py_None) {
        c->h0 = hx;
        if (!array_require(hx, "hx", c->type_num, axes->states, &c->sizes,
                           &c->batch.h0))
            return false;
        if (!call_can_read(c, &c->batch.h0))
            return value_error("the last axis of hx must be contiguous");
    }
    if (lengths != Py_None && batch_sizes == Py_None && !read_lengths(c, lengths, e))
        return false;
    if (c->net.activation == CRNN_IDENTITY)
        return value_error("mode must be RNN_TANH or RNN_RELU");
    return masks == Py_None || read_masks(c, masks, e);
}

bool call_parse(pending_call *c, call_extras *e, network_object *self, PyObject *args,
                PyObject *kwargs)
{
    static char *names[] = {"x", "hx", "lengths", "batch_sizes", "masks", NULL};
    const module_state *state = state_of(self);
    PyObject *x, *hx = Py_None, *lengths = Py_None, *batch_sizes = Py_None,
                 *masks = Py_None;
    c->memory = NULL;
    if (!state ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "O!|OOOO", names, &PyArray_Type, &x,
                                     &hx, &lengths, &batch_sizes, &masks))
        return false;
    if (!self->memory)
        return raise_uninitialised((PyObject *)self);
    Py_BEGIN_CRITICAL_SECTION((PyObject *)self);
    call_prepare(c, self, state->variant,
                 batch_sizes != Py_None
                     ? PACKED
                     : call_layout_of(self, PyArray_NDIM((PyArrayObject *)x)));
    Py_END_CRITICAL_SECTION();
    c->x = x;
    if (!bind_arguments(c, hx, lengths, batch_sizes, masks, e))
        return false;
    c->batch.num_steps = SIZE(&c->sizes, 'T');
    c->batch.num_rows = SIZE(&c->sizes, 'B');
    return true;
}

void call_free(pending_call *c, call_extras *e)
{
    Py_CLEAR(c->memory);
    crnn_free(e->rows);
    crnn_free(e->masks);
}

PyObject *network_run(PyObject *op, PyObject *args, PyObject *kwargs)
{
    pending_call c;
    call_extras e = {0};
    PyObject *result = NULL;
    if (call_parse(&c, &e, (network_object *)op, args, kwargs))
        result = call_finish(&c);
    call_free(&c, &e);
    return result;
}
