/*
 * tape.c - the type crnn._core.Tape: what a call left behind to be backpropagated.
 *
 * A tape is never changed, so that any thread may pull back through it, any number of
 * times.  It owns the states of all layers and the parameters as they were at the call;
 * x, hx and borrowed parameters it only keeps alive, and where they are.
 */
#include "tape.h"

static int traverse(PyObject *op, visitproc visit, void *arg)
{
    tape_object *self = (tape_object *)op;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->kept);
    return 0;
}

/* No tp_clear: a tape refers only to objects made before it, none of which refers to
 * it by a slot that a cycle could not be broken at. */
static void dealloc(PyObject *op)
{
    tape_object *self = (tape_object *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    call_free(&self->call, &self->extras);
    crnn_free(self->states);
    Py_XDECREF(self->kept);
    type->tp_free(op);
    Py_DECREF(type);
}

const char network_record_doc[] =
    "_record(x, hx=None, lengths=None, batch_sizes=None, masks=None)\n--\n\n"
    "As _run(), and a Tape after the results.";

/* What the call reads, and weak references, which make NumPy refuse to resize it. */
static PyObject *keep(const pending_call *c, PyObject *masks)
{
    PyObject *h0 = c->h0 ? c->h0 : c->x, *kept = NULL;
    PyObject *weak_x = PyWeakref_NewRef(c->x, NULL);
    PyObject *weak_h0 = weak_x ? PyWeakref_NewRef(h0, NULL) : NULL;
    if (weak_h0)
        kept = PyTuple_Pack(6, c->self, c->x, weak_x, h0, weak_h0,
                            masks ? masks : Py_None);
    Py_XDECREF(weak_x);
    Py_XDECREF(weak_h0);
    return kept;
}

/* Let the call read a copy of the parameters, and keep the states in the tape. */
static bool prepare(tape_object *tape)
{
    pending_call *c = &tape->call;
    tape->kept = keep(c, tape->extras.mask_arrays);
    if (!tape->kept)
        return false;
    if (!c->net.by_unit) { /* not borrowed */
        PyObject *snapshot = parameters_snapshot(
            c->memory, c->memory_bytes, c->net.num_layers * c->net.num_directions,
            &c->net.weights);
        if (!snapshot)
            return false;
        Py_SETREF(c->memory, snapshot);
    }
    c->batch.num_state_rows = c->layout == PACKED
                                  ? SIZE(&c->sizes, 'N')
                                  : crnn_mul(c->batch.num_steps, c->batch.num_rows);
    const size_t bytes = crnn_states_size(&c->net, c->batch.num_state_rows);
    if (bytes == CRNN_TOO_BIG)
        return raise_status(CRNN_OVERFLOW);
    tape->states = crnn_alloc(bytes);
    c->batch.states = tape->states;
    return tape->states || PyErr_NoMemory();
}

/* A new tape, empty. */
static tape_object *new_tape(const module_state *state)
{
    PyTypeObject *type = (PyTypeObject *)state->tape_type;
    return (tape_object *)type->tp_alloc(type, 0);
}

/* Compute the call that a tape describes, and keep what it leaves: (*results, tape).
 * Takes the reference to the tape. */
static PyObject *record(tape_object *tape)
{
    PyObject *results = NULL, *all = NULL;
    pending_call *c = &tape->call;
    c->batch.num_steps = SIZE(&c->sizes, 'T');
    c->batch.num_rows = SIZE(&c->sizes, 'B');
    if (prepare(tape)) {
        pending_call forward = *c;
        Py_INCREF(forward.memory);
        results = call_finish(&forward);
    }
    if (results && PyTuple_CheckExact(results))
        all = PyTuple_Pack(3, PyTuple_GET_ITEM(results, 0),
                           PyTuple_GET_ITEM(results, 1), tape);
    else if (results)
        all = PyTuple_Pack(2, results, tape);
    Py_XDECREF(results);
    Py_DECREF(tape);
    return all;
}

PyObject *network_record(PyObject *op, PyObject *args, PyObject *kwargs)
{
    network_object *network = (network_object *)op;
    const module_state *state = state_of(network);
    tape_object *tape = state ? new_tape(state) : NULL;
    if (!tape)
        return NULL;
    if (!call_parse(&tape->call, &tape->extras, network, args, kwargs)) {
        Py_DECREF(tape);
        return NULL;
    }
    return record(tape);
}

const char network_record_directly_doc[] =
    "_record_directly(x, hx, /)\n--\n\n"
    "As _record(), where the arguments can go to the core as they are; else None.";

PyObject *network_record_directly(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    network_object *network = (network_object *)op;
    const module_state *state = state_of(network);
    if (!state)
        return NULL;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "_record_directly() takes x and hx");
        return NULL;
    }
    tape_object *tape = new_tape(state);
    if (!tape)
        return NULL;
    if (call_start_directly(&tape->call, network, state->variant, args[0], args[1]))
        return record(tape);
    Py_DECREF(tape);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"pullback", (PyCFunction)(void (*)(void))tape_pullback, METH_FASTCALL,
     tape_pullback_doc},
    {"gradients", (PyCFunction)(void (*)(void))tape_gradients, METH_FASTCALL,
     tape_gradients_doc},
    {0},
};

static PyObject *shape_of(const axis_sizes *sizes, const char *axes)
{
    PyObject *shape = PyTuple_New((Py_ssize_t)strlen(axes));
    for (Py_ssize_t i = 0; shape && axes[i]; i++) {
        PyObject *size = PyLong_FromSize_t(SIZE(sizes, axes[i]));
        if (size)
            PyTuple_SET_ITEM(shape, i, size);
        else
            Py_CLEAR(shape);
    }
    return shape;
}

static PyObject *get_shapes(PyObject *op, void *unused)
{
    (void)unused;
    const pending_call *c = &((tape_object *)op)->call;
    PyObject *y = shape_of(&c->sizes, axes_of[c->layout].y), *result = NULL;
    PyObject *h = y ? shape_of(&c->sizes, axes_of[c->layout].states) : NULL;
    if (h)
        result = c->self->is_cell ? PyTuple_Pack(1, y) : PyTuple_Pack(2, y, h);
    Py_XDECREF(y);
    Py_XDECREF(h);
    return result;
}

static PyObject *get_dtype(PyObject *op, void *unused)
{
    (void)unused;
    return (PyObject *)PyArray_DescrFromType(((tape_object *)op)->call.type_num);
}

static PyGetSetDef properties[] = {
    {"shapes", get_shapes, NULL, "Of the results of the call, a tuple each.", NULL},
    {"dtype", get_dtype, NULL, "Of the call.", NULL},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "What a call left behind to be backpropagated."},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {Py_tp_traverse, SLOT(traverse)},
    {Py_tp_dealloc, SLOT(dealloc)},
    {0},
};

PyType_Spec tape_spec = {
    .name = "crnn._core.Tape",
    .basicsize = sizeof(tape_object),
    .flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};
