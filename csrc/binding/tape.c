/*
 * tape.c - the type crnn._core.Tape: what a call left behind to be backpropagated.
 *
 * A tape is never changed, so that any thread may pull back through it, any number of
 * times.  It owns the states of all layers and the parameters as they were at the call;
 * x and hx it only keeps alive.
 */
#include "call.h"

typedef struct {
    PyObject_HEAD
    pending_call call;
    call_extras extras;
    void *states;                       /* [L][rows][D*H] */
    PyObject *network, *x, *h0, *masks; /* h0, masks: or NULL */
} tape_object;

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

/* Let the call read a copy of the parameters and keep the states, in the tape. */
static bool prepare(tape_object *tape)
{
    pending_call *c = &tape->call;
    const network_object *network = c->self;
    PyObject *snapshot = network_snapshot(network, &c->net.weights);
    if (!snapshot)
        return false;
    Py_SETREF(c->memory, snapshot);
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

/* The arrays of gradients, and where the core finds them. */
typedef struct {
    crnn_gradients g;
    crnn_weight_gradients *dw; /* [L*D] */
    PyObject *dx, *dh0;        /* or NULL: not wanted */
    PyObject *parameters;      /* list in torch's order, or NULL */
} products;

/* Bind an incoming gradient. */
static bool read_gradient(pending_call *c, PyObject *array, const char *name,
                          const char *axes, crnn_view *view, PyObject **kept)
{
    if (array == Py_None)
        return true;
    if (!array_require(array, name, c->type_num, axes, &c->sizes, view))
        return false;
    if (!call_can_read(c, view)) {
        PyErr_Format(PyExc_ValueError, "the last axis of %s must be contiguous", name);
        return false;
    }
    *kept = array;
    return true;
}

/* A new matrix (H, inputs) in memory [inputs][H], or a bias (H,). */
static void *add_parameter(PyObject *list, int type_num, int ndim, size_t H,
                           size_t inputs)
{
    npy_intp dims[2] = {(npy_intp)H, (npy_intp)inputs};
    PyObject *array = PyArray_EMPTY(ndim, dims, type_num, 1);
    if (!array)
        return NULL;
    const int failed = PyList_Append(list, array);
    Py_DECREF(array);
    return failed ? NULL : PyArray_DATA((PyArrayObject *)array);
}

static bool make_parameters(const pending_call *c, products *p)
{
    const crnn_network *net = &c->net;
    const size_t count = net->num_layers * net->num_directions, H = net->hidden_size;
    p->parameters = PyList_New(0);
    p->dw = crnn_alloc(count * sizeof *p->dw);
    if (!p->dw)
        PyErr_NoMemory();
    if (!p->parameters || !p->dw)
        return false;
    for (size_t i = 0; i < count; i++) {
        const size_t inputs =
            i < net->num_directions ? net->input_size : net->num_directions * H;
        crnn_weight_gradients *dw = &p->dw[i];
        *dw = (crnn_weight_gradients){0};
        dw->w_ih = add_parameter(p->parameters, c->type_num, 2, H, inputs);
        dw->w_hh = dw->w_ih ? add_parameter(p->parameters, c->type_num, 2, H, H) : NULL;
        if (!dw->w_hh)
            return false;
        if (!net->weights[i].b_ih)
            continue;
        dw->b = add_parameter(p->parameters, c->type_num, 1, H, 1);
        if (!dw->b || !add_parameter(p->parameters, c->type_num, 1, H, 1))
            return false;
    }
    p->g.dw = p->dw;
    return true;
}

/* Both biases have the same gradient, in arrays of their own. */
static void copy_bias_gradients(const pending_call *c, const products *p)
{
    for (Py_ssize_t i = 3; c->net.weights[0].b_ih && i < PyList_GET_SIZE(p->parameters);
         i += 4) {
        PyArrayObject *b_ih = (PyArrayObject *)PyList_GET_ITEM(p->parameters, i - 1),
                      *b_hh = (PyArrayObject *)PyList_GET_ITEM(p->parameters, i);
        memcpy(PyArray_DATA(b_hh), PyArray_DATA(b_ih), (size_t)PyArray_NBYTES(b_ih));
    }
}

static bool make_outputs(pending_call *c, products *p, bool x, bool hx, bool parameters)
{
    const call_axes *axes = &axes_of[c->layout];
    if (x) {
        p->dx = (PyObject *)array_new(c->type_num, axes->x, &c->sizes,
                                      c->batch.lengths && !c->batch.offsets, &p->g.dx);
        if (!p->dx)
            return false;
    }
    if (hx) {
        p->dh0 = (PyObject *)array_new(c->type_num, axes->states, &c->sizes, false,
                                       &p->g.dh0);
        if (!p->dh0)
            return false;
    }
    return !parameters || make_parameters(c, p);
}

static PyObject *or_none(PyObject *object) { return object ? object : Py_None; }

PyDoc_STRVAR(pullback_doc,
             "pullback(d_output, d_h_n, input, hx, parameters, /)\n--\n\n"
             "Gradients of the loss whose gradients by the results are given, None for "
             "zeros.\n\n"
             "The last three say what is wanted: (d_input, d_hx, list in torch's "
             "order), None for\nthe others.");

static PyObject *pullback(PyObject *op, PyObject *args)
{
    tape_object *self = (tape_object *)op;
    PyObject *dy, *dhn, *result = NULL;
    int x, hx, parameters;
    if (!PyArg_ParseTuple(args, "OOppp:pullback", &dy, &dhn, &x, &hx, &parameters))
        return NULL;
    pending_call c = self->call;
    products p = {0};
    const call_axes *axes = &axes_of[c.layout];
    c.gradients = &p.g;
    if (read_gradient(&c, dy, "d_output", axes->y, &p.g.dy, &c.dy) &&
        read_gradient(&c, dhn, "d_h_n", axes->states, &p.g.dhn, &c.dhn) &&
        make_outputs(&c, &p, x, hx, parameters)) {
        const crnn_status status = call_compute(&c);
        if (status != CRNN_OK) {
            raise_status(status);
        } else {
            if (p.parameters)
                copy_bias_gradients(&c, &p);
            result =
                PyTuple_Pack(3, or_none(p.dx), or_none(p.dh0), or_none(p.parameters));
        }
    }
    Py_XDECREF(p.dx);
    Py_XDECREF(p.dh0);
    Py_XDECREF(p.parameters);
    crnn_free(p.dw);
    return result;
}

static PyMethodDef methods[] = {
    {"pullback", pullback, METH_VARARGS, pullback_doc},
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
