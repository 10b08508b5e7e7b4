/*
 * network.c - the type crnn._core.Network: a prepared network that owns its parameters.
 *
 * The parameters live in one block of C memory.  Python sees them as arrays whose base
 * is a capsule that owns the block, so they can be edited but not resized away, and a
 * call keeps the capsule while it computes; what users do to the shape or the life of
 * those array objects cannot reach the kernels, which read the block.
 */
#include "binding.h"

/* The block: a table of weights, then each parameter at a multiple of this. */
#define ALIGNMENT ((size_t)64)

static size_t aligned(size_t bytes)
{
    return crnn_mul(crnn_add(bytes, ALIGNMENT - 1) / ALIGNMENT, ALIGNMENT);
}

static void free_block(PyObject *capsule)
{
    crnn_free(PyCapsule_GetPointer(capsule, NULL));
}

static PyObject *new_block(size_t bytes)
{
    if (bytes == CRNN_TOO_BIG)
        return PyErr_NoMemory();
    void *block = crnn_alloc(bytes);
    if (!block)
        return PyErr_NoMemory();
    PyObject *capsule = PyCapsule_New(block, NULL, free_block);
    if (!capsule)
        crnn_free(block);
    return capsule;
}

/* A parameter: a matrix (outputs, inputs), in memory [inputs][outputs], or a bias
 * (outputs,). */
static PyObject *parameter_array(PyObject *capsule, char *data, int type_num, int ndim,
                                 size_t outputs, size_t inputs)
{
    npy_intp dims[2] = {(npy_intp)outputs, (npy_intp)inputs};
    PyObject *array = PyArray_New(&PyArray_Type, ndim, dims, type_num, NULL, data, 0,
                                  NPY_ARRAY_FARRAY, NULL);
    if (array && PyArray_SetBaseObject((PyArrayObject *)array, Py_NewRef(capsule)) < 0)
        Py_CLEAR(array);
    return array;
}

PyDoc_STRVAR(allocate_doc, "_allocate(element, input_size, hidden_size, num_layers, "
                           "num_directions, bias)\n--\n\n"
                           "Make new parameters, uninitialised, and return them as a "
                           "list in torch's order.\n\n"
                           "element is 4 for float32, 8 for float64.  MemoryError "
                           "leaves the object as it was.");

static PyObject *allocate(PyObject *op, PyObject *args)
{
    network_object *self = (network_object *)op;
    Py_ssize_t element, input_size, hidden_size, num_layers, num_directions;
    int bias;
    if (!PyArg_ParseTuple(args, "nnnnnp:_allocate", &element, &input_size, &hidden_size,
                          &num_layers, &num_directions, &bias))
        return NULL;
    if ((element != 4 && element != 8) || input_size < 0 || hidden_size < 0 ||
        num_layers < 1 || num_directions < 1 || num_directions > 2) {
        PyErr_SetString(PyExc_ValueError,
                        "sizes must not be negative, num_directions 1 or 2");
        return NULL;
    }
    const size_t I = (size_t)input_size, H = (size_t)hidden_size,
                 L = (size_t)num_layers, D = (size_t)num_directions;
    const size_t column = crnn_mul((size_t)element, H), DH = crnn_mul(D, H);
    const size_t table = aligned(crnn_mul(crnn_mul(L, D), sizeof(crnn_weights)));
    const size_t layer0 =
        crnn_add(aligned(crnn_mul(column, I)), aligned(crnn_mul(column, H)));
    const size_t layer =
        crnn_add(aligned(crnn_mul(column, DH)), aligned(crnn_mul(column, H)));
    const size_t biases =
        crnn_mul(crnn_mul(L, D), crnn_mul(2, bias ? aligned(column) : 0));
    const size_t matrices = crnn_mul(D, crnn_add(layer0, crnn_mul(L - 1, layer)));

    PyObject *capsule = new_block(crnn_add(table, crnn_add(matrices, biases)));
    PyObject *arrays = capsule ? PyList_New(0) : NULL;
    if (!arrays) {
        Py_XDECREF(capsule);
        return NULL;
    }
    char *block = PyCapsule_GetPointer(capsule, NULL), *next = block + table;
    crnn_weights *weights = (crnn_weights *)block;
    const int type_num = element == 4 ? NPY_FLOAT : NPY_DOUBLE;
    for (size_t i = 0; i < L * D; i++) {
        const size_t inputs[4] = {i < D ? I : DH, H, 1, 1};
        const void **fields[4] = {&weights[i].w_ih, &weights[i].w_hh, &weights[i].b_ih,
                                  &weights[i].b_hh};
        weights[i] = (crnn_weights){0};
        for (int j = 0; j < (bias ? 4 : 2); j++) {
            PyObject *array =
                parameter_array(capsule, next, type_num, j < 2 ? 2 : 1, H, inputs[j]);
            const int failed = !array || PyList_Append(arrays, array) < 0;
            Py_XDECREF(array);
            if (failed) {
                Py_DECREF(arrays);
                Py_DECREF(capsule);
                return NULL;
            }
            *fields[j] = next;
            next += aligned(column * inputs[j]);
        }
    }
    self->weights = weights;
    self->dtype = element == 4 ? CRNN_F32 : CRNN_F64;
    self->input_size = I;
    self->hidden_size = H;
    self->num_layers = L;
    self->num_directions = D;
    Py_XSETREF(self->memory, capsule);
    return arrays;
}

static PyMemberDef members[] = {
    {"training", T_OBJECT_EX, offsetof(network_object, training), 0,
     "Whether dropout is active."},
    {"dropout", T_OBJECT_EX, offsetof(network_object, dropout), 0,
     "Probability between the layers."},
    {"mode", T_OBJECT_EX, offsetof(network_object, mode), 0,
     "'RNN_TANH' or 'RNN_RELU'."},
    {"batch_first", T_OBJECT_EX, offsetof(network_object, batch_first), 0,
     "Whether B is the first axis."},
    {"_is_cell", T_BOOL, offsetof(network_object, is_cell), 0,
     "Arrays without time, one output."},
    {"_is_direct", T_BOOL, offsetof(network_object, is_direct), 0,
     "forward() is not overridden."},
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
    {"_allocate", allocate, METH_VARARGS, allocate_doc},
    {"_run", (PyCFunction)(void (*)(void))network_run, METH_VARARGS | METH_KEYWORDS,
     run_doc},
    {0},
};

static int traverse(PyObject *op, visitproc visit, void *arg)
{
    network_object *self = (network_object *)op;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->training);
    Py_VISIT(self->dropout);
    Py_VISIT(self->mode);
    Py_VISIT(self->batch_first);
    return 0; /* memory is a capsule: it cannot be part of a cycle */
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
    {Py_tp_doc, "A prepared network that owns its parameters; crnn.RNN and "
                "crnn.RNNCell derive from it."},
    {Py_tp_call, SLOT(network_call)},
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
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};
