/*
 * parameters.c - the block of C memory that the parameters of a network live in.
 *
 * Python sees them as arrays whose base is a capsule that owns the block, so they can
 * be edited but not resized away, and a call keeps the capsule while it computes; what
 * users do to the shape or the life of those array objects cannot reach the kernels,
 * which read the block.
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

const char network_allocate_doc[] =
    "_allocate(element, input_size, hidden_size, num_layers, num_directions, bias)\n"
    "--\n\n"
    "Make new parameters, uninitialised, and return them as a list in torch's "
    "order.\n\n"
    "element is 4 for float32, 8 for float64.  MemoryError leaves the object as it "
    "was.";

PyObject *network_allocate(PyObject *op, PyObject *args)
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

    const size_t bytes = crnn_add(table, crnn_add(matrices, biases));
    PyObject *capsule = new_block(bytes);
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
    self->memory_bytes = bytes;
    self->weights = weights;
    self->dtype = element == 4 ? CRNN_F32 : CRNN_F64;
    self->input_size = I;
    self->hidden_size = H;
    self->num_layers = L;
    self->num_directions = D;
    Py_XSETREF(self->memory, capsule);
    return arrays;
}

/* Move a pointer into a block to the same place in a copy of it. */
static const void *moved(const void *pointer, const char *from, char *to)
{
    return pointer ? to + ((const char *)pointer - from) : NULL;
}

PyObject *network_snapshot(const network_object *self, const crnn_weights **weights)
{
    PyObject *capsule = new_block(self->memory_bytes);
    if (!capsule)
        return NULL;
    const char *from = PyCapsule_GetPointer(self->memory, NULL);
    char *to = PyCapsule_GetPointer(capsule, NULL);
    memcpy(to, from, self->memory_bytes);
    crnn_weights *table = (crnn_weights *)to;
    for (size_t i = 0; i < self->num_layers * self->num_directions; i++)
        table[i] = (crnn_weights){
            moved(table[i].w_ih, from, to),
            moved(table[i].w_hh, from, to),
            moved(table[i].b_ih, from, to),
            moved(table[i].b_hh, from, to),
        };
    *weights = table;
    return capsule;
}

const char network_load_doc[] =
    "_load(arrays, /)\n--\n\n"
    "Copy the parameters from a list of arrays of any strides, in torch's order.";

/* Copy one parameter, in memory [inputs][outputs]; a C-contiguous matrix, as torch has
 * it, by transposing. */
static bool load_parameter(const network_object *self, size_t variant, PyObject *from,
                           char *to, int ndim, size_t outputs, size_t inputs)
{
    const int type_num = self->dtype == CRNN_F32 ? NPY_FLOAT : NPY_DOUBLE;
    if (!array_is_plain(from, type_num) ||
        PyArray_NDIM((PyArrayObject *)from) != ndim ||
        (size_t)PyArray_DIM((PyArrayObject *)from, 0) != outputs ||
        (ndim == 2 && (size_t)PyArray_DIM((PyArrayObject *)from, 1) != inputs)) {
        PyErr_SetString(PyExc_ValueError, "an array does not fit its parameter");
        return false;
    }
    if (ndim == 2 && PyArray_IS_C_CONTIGUOUS((PyArrayObject *)from)) {
        crnn_transpose(crnn_variant(variant, self->dtype),
                       PyArray_DATA((PyArrayObject *)from), outputs, inputs, to);
        return true;
    }
    PyObject *array =
        parameter_array(self->memory, to, type_num, ndim, outputs, inputs);
    const bool copied =
        array && PyArray_CopyInto((PyArrayObject *)array, (PyArrayObject *)from) == 0;
    Py_XDECREF(array);
    return copied;
}

PyObject *network_load(PyObject *op, PyObject *arrays)
{
    const network_object *self = (network_object *)op;
    const module_state *state = state_of(self);
    if (!state)
        return NULL;
    if (!self->memory)
        return raise_uninitialised(op);
    const size_t count = self->num_layers * self->num_directions;
    const size_t each = self->weights[0].b_ih ? 4 : 2;
    if (!PyList_CheckExact(arrays) || (size_t)PyList_GET_SIZE(arrays) != count * each) {
        PyErr_SetString(PyExc_ValueError, "arrays must be a list, one per parameter");
        return NULL;
    }
    for (size_t i = 0; i < count * each; i++) {
        const crnn_weights *w = &self->weights[i / each];
        const size_t H = self->hidden_size;
        const size_t inputs = i / each < self->num_directions
                                  ? self->input_size
                                  : self->num_directions * H;
        const void *const to[4] = {w->w_ih, w->w_hh, w->b_ih, w->b_hh};
        const size_t k[4] = {inputs, H, 1, 1}, j = i % each;
        char *block = PyCapsule_GetPointer(self->memory, NULL);
        if (!load_parameter(
                self, state->variant, PyList_GET_ITEM(arrays, (Py_ssize_t)i),
                block + ((const char *)to[j] - block), j < 2 ? 2 : 1, H, k[j]))
            return NULL;
    }
    Py_RETURN_NONE;
}
