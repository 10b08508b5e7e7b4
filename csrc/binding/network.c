/*
 * network.c - the type crnn._core.Network: a prepared network that owns its parameters,
 * or borrows them.
 */
#include "binding.h"

static crnn_activation activation_of(PyObject *mode)
{
    if (!mode || !PyUnicode_Check(mode))
        return CRNN_IDENTITY;
    return PyUnicode_CompareWithASCIIString(mode, "RNN_TANH") == 0   ? CRNN_TANH
           : PyUnicode_CompareWithASCIIString(mode, "RNN_RELU") == 0 ? CRNN_RELU
                                                                     : CRNN_IDENTITY;
}

static PyObject *get_mode(PyObject *op, void *unused)
{
    (void)unused;
    PyObject *mode;
    Py_BEGIN_CRITICAL_SECTION(op);
    mode = Py_XNewRef(((network_object *)op)->mode);
    Py_END_CRITICAL_SECTION();
    if (!mode)
        PyErr_SetString(PyExc_AttributeError, "mode");
    return mode;
}

static int set_mode(PyObject *op, PyObject *mode, void *unused)
{
    (void)unused;
    network_object *self = (network_object *)op;
    PyObject *before;
    Py_BEGIN_CRITICAL_SECTION(op);
    before = self->mode;
    self->mode = Py_XNewRef(mode);
    self->activation = activation_of(mode);
    Py_END_CRITICAL_SECTION();
    const bool known = mode || before;
    if (!known)
        PyErr_SetString(PyExc_AttributeError, "mode");
    Py_XDECREF(before);
    return known ? 0 : -1;
}

static PyGetSetDef properties[] = {
    {"mode", get_mode, set_mode, "'RNN_TANH' or 'RNN_RELU'.", NULL},
    {0},
};

static PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(network_object, vectorcall), READONLY,
     NULL},
    {"training", T_OBJECT_EX, offsetof(network_object, training), 0,
     "Whether dropout is active."},
    {"dropout", T_OBJECT_EX, offsetof(network_object, dropout), 0,
     "Probability between the layers."},
    {"batch_first", T_OBJECT_EX, offsetof(network_object, batch_first), 0,
     "Whether B is the first axis."},
    {"_is_cell", T_BOOL, offsetof(network_object, is_cell), 0,
     "Arrays without time, one output."},
    {"_is_direct", T_BOOL, offsetof(network_object, is_direct), 0,
     "forward() is not overridden."},
    {"_most_threads", T_PYSSIZET, offsetof(network_object, most_threads), 0,
     "Limit of the threads of a call; 0 is none."},
    {0},
};

PyDoc_STRVAR(run_doc,
             "_run(x, hx=None, lengths=None, batch_sizes=None, masks=None)\n--\n\n"
             "Compute, for arrays that are already plain: aligned, native, of the "
             "network's dtype.\n\n"
             "batch_sizes makes x a packed batch (N, I).  masks is a tuple of L-1 "
             "arrays shaped as a\n"
             "layer's output.  Checks all that memory safety needs and nothing else.");

static PyMethodDef methods[] = {
    {"_allocate", network_allocate, METH_VARARGS, network_allocate_doc},
    {"_borrow", network_borrow, METH_VARARGS, network_borrow_doc},
    {"_record", (PyCFunction)(void (*)(void))network_record,
     METH_VARARGS | METH_KEYWORDS, network_record_doc},
    {"_record_directly", (PyCFunction)(void (*)(void))network_record_directly,
     METH_FASTCALL, network_record_directly_doc},
    {"_run", (PyCFunction)(void (*)(void))network_run, METH_VARARGS | METH_KEYWORDS,
     run_doc},
    {0},
};

static PyObject *new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args, (void)kwargs; /* which are for __init__() */
    PyObject *none = PyTuple_New(0);
    if (!none)
        return NULL;
    PyObject *self = PyBaseObject_Type.tp_new(type, none, NULL);
    Py_DECREF(none);
    if (self)
        ((network_object *)self)->vectorcall = network_call;
    return self;
}

static int traverse(PyObject *op, visitproc visit, void *arg)
{
    network_object *self = (network_object *)op;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->training);
    Py_VISIT(self->dropout);
    Py_VISIT(self->mode);
    Py_VISIT(self->batch_first);
    return 0; /* memory is a capsule, which no cycle goes through but by arrays that
                 somebody lent */
}

static int clear(PyObject *op)
{
    network_object *self = (network_object *)op;
    Py_CLEAR(self->training);
    Py_CLEAR(self->dropout);
    Py_CLEAR(self->mode);
    Py_CLEAR(self->batch_first);
    return 0;
}

static void dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    clear(op);
    Py_CLEAR(((network_object *)op)->memory);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyType_Slot slots[] = {
    {Py_tp_doc, "A prepared network and its parameters; crnn.RNN and "
                "crnn.RNNCell derive from it."},
    {Py_tp_new, SLOT(new)},
    {Py_tp_call, SLOT(PyVectorcall_Call)},
    {Py_tp_getset, properties},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_traverse, SLOT(traverse)},
    {Py_tp_clear, SLOT(clear)},
    {Py_tp_dealloc, SLOT(dealloc)},
    {0},
};

PyType_Spec network_spec = {
    .name = "crnn._core.Network",
    .basicsize = sizeof(network_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_VECTORCALL,
    .slots = slots,
};
