/*
 * tape.c - the type crnn._core.Tape: what a call left behind to be backpropagated.
 *
 * A tape is never changed, so that any thread may pull back through it, any number of
 * times.  It owns the states of all layers and the parameters as they were at the call;
 * x and hx it only keeps alive.  After a transient network it has no parameters: where
 * many calls are kept, as in a loop over time, copies of them would outweigh all else.
 */
#include "tape.h"

static int traverse(PyObject *op, visitproc visit, void *arg)
{
    tape_object *self = (tape_object *)op;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->network);
    Py_VISIT(self->x);
    Py_VISIT(self->h0);
    Py_VISIT(self->masks);
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
    Py_XDECREF(self->network);
    Py_XDECREF(self->x);
    Py_XDECREF(self->h0);
    Py_XDECREF(self->masks);
    type->tp_free(op);
    Py_DECREF(type);
}

const char network_record_doc[] =
    "_record(x, hx=None, lengths=None, batch_sizes=None, masks=None)\n--\n\n"
    "As _run(), and a Tape after the results.";

/* Let the call read a copy of the parameters, or take them from a network that has no
 * more use for them, and keep the states in the tape. */
static bool prepare(tape_object *tape)
{
    pending_call *c = &tape->call;
    const network_object *network = c->self;
    if (!network->is_transient) {
        PyObject *snapshot = network_snapshot(network, &c->net.weights);
        if (!snapshot)
            return false;
        Py_SETREF(c->memory, snapshot);
    }
    c->batch.num_state_rows = c->layout == PACKED
                                  ? SIZE(&c->sizes, 'N')
                                  : crnn_mul(c->batch.num_steps, c->batch.num_rows);
    const size_t row = crnn_mul(SIZE(&c->sizes, 'F'), c->type_num == NPY_FLOAT ? 4 : 8);
    const size_t bytes =
        crnn_mul(network->num_layers, crnn_mul(c->batch.num_state_rows, row));
    if (bytes == CRNN_TOO_BIG)
        return raise_status(CRNN_OVERFLOW);
    tape->states = crnn_alloc(bytes);
    c->batch.states = tape->states;
    return tape->states || PyErr_NoMemory();
}

PyObject *network_record(PyObject *op, PyObject *args, PyObject *kwargs)
{
    network_object *network = (network_object *)op;
    const module_state *state = state_of(network);
    if (!state)
        return NULL;
    PyTypeObject *type = (PyTypeObject *)state->tape_type;
    tape_object *tape = (tape_object *)type->tp_alloc(type, 0);
    if (!tape)
        return NULL;
    PyObject *results = NULL, *all = NULL;
    pending_call *c = &tape->call;
    if (call_parse(c, &tape->extras, network, args, kwargs)) {
        tape->network = Py_NewRef(op);
        tape->x = Py_NewRef(c->x);
        tape->h0 = Py_XNewRef(c->h0);
        if (c->batch.masks) /* their memory is the arrays' */
            tape->masks = Py_NewRef(kwargs ? PyDict_GetItemString(kwargs, "masks")
                                           : PyTuple_GET_ITEM(args, 4));
        pending_call forward;
        if (prepare(tape)) {
            forward = *c;
            Py_INCREF(forward.memory);
            results = call_finish(&forward);
        }
        if (network->is_transient) {
            Py_CLEAR(c->memory);
            Py_CLEAR(network->memory);
            c->net.weights = network->weights = NULL;
        }
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

static PyMethodDef methods[] = {
    {"pullback", tape_pullback, METH_VARARGS, tape_pullback_doc},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "What a call left behind to be backpropagated."},
    {Py_tp_methods, methods},
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
