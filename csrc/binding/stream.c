/*
 * stream.c - the type crnn._core.Stream: its memory, its state, its life.
 */
#include "stream.h"

module_state *stream_module(const stream_object *self)
{
    if (!self->network)
        raise_uninitialised((const PyObject *)self);
    return self->network ? state_of(self->network) : NULL;
}

bool stream_is_busy(const stream_object *self)
{
    if (self->busy)
        PyErr_SetString(PyExc_RuntimeError, "a step of this stream is under way");
    return self->busy;
}

void stream_describe(stream_object *self, const network_object *network, size_t variant,
                     size_t num_rows)
{
    pending_call *c = &self->call;
    PyObject *before = c->memory;
    call_prepare(c, network, variant, self->is_batched ? STREAM : UNBATCHED_STREAM);
    SIZE(&c->sizes, 'B') = num_rows;
    c->batch.num_steps = 1;
    c->batch.num_rows = num_rows;
    const size_t element = stream_element(self), row = network->hidden_size * element;
    c->batch.h0 = c->batch.hn = (crnn_view){
        self->state,
        {(ptrdiff_t)(num_rows * row), (ptrdiff_t)row, (ptrdiff_t)element},
    };
    self->plan = crnn_plan_forward(&c->net, &c->batch, &(crnn_team){.size = 1});
    Py_XDECREF(before);
}

void stream_lay_out(stream_object *self)
{
    /* Other kernels may need more memory; then every step lays itself out. */
    pending_call *c = &self->call;
    size_t bytes = self->scratch_bytes;
    c->ready =
        crnn_forward_prepare(&c->net, &c->batch, &self->plan, self->scratch, &bytes);
}

static void free_memory(stream_object *self)
{
    Py_CLEAR(self->call.memory);
    crnn_free(self->state);
    crnn_free(self->next);
    crnn_free(self->scratch);
    self->state = self->next = self->scratch = NULL;
}

static crnn_status take_memory(stream_object *self, const network_object *network,
                               size_t variant, size_t num_rows)
{
    const size_t element = network->dtype == CRNN_F32 ? 4 : 8;
    self->state_bytes = crnn_mul(crnn_mul(network->num_layers, num_rows),
                                 crnn_mul(network->hidden_size, element));
    if (self->state_bytes == CRNN_TOO_BIG)
        return CRNN_OVERFLOW;
    self->state = crnn_alloc(self->state_bytes);
    self->next = crnn_alloc(self->state_bytes);
    if (!self->state || !self->next)
        return CRNN_NO_MEMORY;
    memset(self->state, 0, self->state_bytes);
    stream_describe(self, network, variant, num_rows);
    const crnn_status status = crnn_forward_scratch(&self->call.net, &self->call.batch,
                                                    &self->plan, &self->scratch_bytes);
    if (status != CRNN_OK)
        return status;
    self->scratch = crnn_alloc(self->scratch_bytes);
    return self->scratch ? CRNN_OK : CRNN_NO_MEMORY;
}

static crnn_status take_up(stream_object *self, network_object *network, size_t variant,
                           size_t num_rows)
{
    const crnn_status status = take_memory(self, network, variant, num_rows);
    if (status != CRNN_OK) {
        free_memory(self);
        return status;
    }
    self->network = (network_object *)Py_NewRef((PyObject *)network);
    stream_lay_out(self);
    return CRNN_OK;
}

PyDoc_STRVAR(allocate_doc,
             "_allocate(network, batch_size, /)\n--\n\n"
             "Take up a network of one direction; batch_size is an int or None.");

static PyObject *allocate(PyObject *op, PyObject *args)
{
    stream_object *self = (stream_object *)op;
    PyObject *module = PyType_GetModuleByDef(Py_TYPE(op), &crnn_module);
    if (!module)
        return NULL;
    const module_state *state = PyModule_GetState(module);
    network_object *network;
    PyObject *batch_size;
    if (!PyArg_ParseTuple(args, "O!O:_allocate", state->network_type, &network,
                          &batch_size))
        return NULL;
    const Py_ssize_t num_rows =
        batch_size == Py_None ? 1 : PyLong_AsSsize_t(batch_size);
    if (num_rows == -1 && PyErr_Occurred())
        return NULL;
    if (!network->memory)
        return raise_uninitialised((PyObject *)network);
    crnn_status status = CRNN_OK;
    bool taken, fits;
    Py_BEGIN_CRITICAL_SECTION2(op, (PyObject *)network);
    taken = self->network;
    fits = !network->is_cell && network->num_directions == 1 && num_rows >= 0;
    if (fits && !taken) {
        self->is_batched = batch_size != Py_None;
        status = take_up(self, network, state->variant, (size_t)num_rows);
    }
    Py_END_CRITICAL_SECTION2();
    if (!fits)
        return PyErr_Format(PyExc_ValueError,
                            "a stream needs an RNN of one direction and a batch size");
    if (taken)
        return PyErr_Format(PyExc_RuntimeError, "%s.__init__() was already called",
                            Py_TYPE(op)->tp_name);
    return status == CRNN_OK ? Py_NewRef(Py_None) : raise_status(status);
}

/* The call as it stands: a step that describes the network anew unbinds its sizes for a
 * moment. */
static pending_call call_of(PyObject *op)
{
    pending_call c;
    Py_BEGIN_CRITICAL_SECTION(op);
    c = ((stream_object *)op)->call;
    Py_END_CRITICAL_SECTION();
    return c;
}

/* Copy to the rows of the state, all of them or those of the indices, or clear them. */
static void write_rows(const stream_object *self, const crnn_view *from,
                       const crnn_view *indices, size_t count)
{
    const crnn_view *to = &self->call.batch.h0;
    const size_t row_bytes = (size_t)to->stride[1];
    for (size_t l = 0; l < self->call.net.num_layers; l++)
        for (size_t i = 0; i < count; i++) {
            const uint64_t row =
                indices->data ? (uint64_t)view_int64(indices, 0, i) : i;
            if (row >= self->call.batch.num_rows)
                continue; /* another thread has written it since it was checked */
            char *state = self->state + (ptrdiff_t)l * to->stride[0] +
                          (ptrdiff_t)row * to->stride[1];
            if (from->data)
                memcpy(state,
                       from->data + (ptrdiff_t)l * from->stride[0] +
                           (ptrdiff_t)i * from->stride[1],
                       row_bytes);
            else
                memset(state, 0, row_bytes);
        }
}

PyDoc_STRVAR(set_state_doc,
             "_set_state(h_0, rows, /)\n--\n\n"
             "Set all rows, or those of an int64 array, to a plain array or, for None, "
             "zeros.");

static PyObject *set_state(PyObject *op, PyObject *args)
{
    stream_object *self = (stream_object *)op;
    PyObject *h0, *rows;
    if (!stream_module(self) || !PyArg_ParseTuple(args, "OO:_set_state", &h0, &rows))
        return NULL;
    pending_call c = call_of(op);
    axis_sizes *sizes = &c.sizes;
    crnn_view from = {0}, indices = {0};
    if (rows != Py_None) {
        if (!array_require(rows, "rows", NPY_INT64, "N", sizes, &indices))
            return NULL;
        SIZE(sizes, 'B') = SIZE(sizes, 'N');
    }
    const size_t count = SIZE(sizes, 'B');
    if (h0 != Py_None &&
        !array_require(h0, "h_0", c.type_num, axes_of[c.layout].states, sizes, &from))
        return NULL;
    if (from.data && count > 0 && !call_can_read(&c, &from))
        return PyErr_Format(PyExc_ValueError, "h_0 must be contiguous");
    for (size_t i = 0; indices.data && i < count; i++)
        if ((uint64_t)view_int64(&indices, 0, i) >= c.batch.num_rows)
            return PyErr_Format(PyExc_IndexError, "rows must be in 0 .. B-1");
    bool busy;
    Py_BEGIN_CRITICAL_SECTION(op);
    busy = stream_is_busy(self);
    if (!busy)
        write_rows(self, &from, &indices, count);
    Py_END_CRITICAL_SECTION();
    return busy ? NULL : Py_NewRef(Py_None);
}

static PyObject *get_state(PyObject *op, void *unused)
{
    (void)unused;
    stream_object *self = (stream_object *)op;
    if (!stream_module(self))
        return NULL;
    const pending_call c = call_of(op);
    crnn_view view;
    PyArrayObject *array =
        array_new(c.type_num, axes_of[c.layout].states, &c.sizes, false, &view);
    if (array) {
        Py_BEGIN_CRITICAL_SECTION(op);
        memcpy(view.data, self->state, self->state_bytes);
        Py_END_CRITICAL_SECTION();
    }
    return (PyObject *)array;
}

static PyObject *get_batch_size(PyObject *op, void *unused)
{
    (void)unused;
    const stream_object *self = (stream_object *)op;
    if (!stream_module(self))
        return NULL;
    return self->is_batched ? PyLong_FromSize_t(call_of(op).batch.num_rows)
                            : Py_NewRef(Py_None);
}

static PyGetSetDef properties[] = {
    {"state", get_state, NULL,
     "(L, B, H), or (L, H) without a batch: a copy of every layer's state.", NULL},
    {"batch_size", get_batch_size, NULL, "B, or None.", NULL},
    {0},
};

static PyMemberDef members[] = {
    {"network", T_OBJECT_EX, offsetof(stream_object, network), READONLY,
     "The RNN whose parameters the steps read."},
    {0},
};

static PyMethodDef methods[] = {
    {"step", (PyCFunction)(void (*)(void))stream_step, METH_FASTCALL | METH_KEYWORDS,
     stream_step_doc},
    {"_advance", stream_advance, METH_VARARGS, stream_advance_doc},
    {"_allocate", allocate, METH_VARARGS, allocate_doc},
    {"_set_state", set_state, METH_VARARGS, set_state_doc},
    {0},
};

static int traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((stream_object *)op)->network);
    return 0; /* call.memory is a capsule: it cannot be part of a cycle */
}

static int clear(PyObject *op)
{
    Py_CLEAR(((stream_object *)op)->network);
    return 0;
}

static void dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    clear(op);
    free_memory((stream_object *)op);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyType_Slot slots[] = {
    {Py_tp_doc, "The state of a network between steps; crnn.Stream derives from it."},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_getset, properties},
    {Py_tp_traverse, SLOT(traverse)},
    {Py_tp_clear, SLOT(clear)},
    {Py_tp_dealloc, SLOT(dealloc)},
    {0},
};

PyType_Spec stream_spec = {
    .name = "crnn._core.Stream",
    .basicsize = sizeof(stream_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};
