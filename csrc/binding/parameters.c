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

/* What the parameters of a network are. */
typedef struct {
    Py_ssize_t element, I, H, L, D; /* bytes of an element */
    int bias;
} shape;

static bool check_shape(const shape *s)
{
    if ((s->element == 4 || s->element == 8) && s->I >= 0 && s->H >= 0 && s->L >= 1 &&
        s->D >= 1 && s->D <= 2)
        return true;
    PyErr_SetString(PyExc_ValueError,
                    "sizes must not be negative, num_directions 1 or 2");
    return false;
}

/* Rows of the j-th parameter in memory, those of a layer and direction together. */
static size_t rows_of(const shape *s, size_t i, int j)
{
    const size_t D = (size_t)s->D, H = (size_t)s->H;
    return j == 0 ? (i < D ? (size_t)s->I : crnn_mul(D, H)) : j == 1 ? H : 1;
}

/* A block for parameters, its table of weights filled in. */
static PyObject *new_parameters(const shape *s, size_t *bytes)
{
    const size_t column = crnn_mul((size_t)s->element, (size_t)s->H);
    const size_t count = crnn_mul((size_t)s->L, (size_t)s->D), D = (size_t)s->D;
    const int kinds = s->bias ? 4 : 2;
    size_t first = 0, later = 0; /* of a layer's direction */
    for (int j = 0; j < kinds; j++) {
        first = crnn_add(first, aligned(crnn_mul(column, rows_of(s, 0, j))));
        later = crnn_add(later, aligned(crnn_mul(column, rows_of(s, D, j))));
    }
    const size_t table = aligned(crnn_mul(count, sizeof(crnn_weights)));
    *bytes = crnn_add(table, crnn_add(crnn_mul(D, first), crnn_mul(count - D, later)));
    PyObject *capsule = new_block(*bytes);
    if (!capsule)
        return NULL;
    char *block = PyCapsule_GetPointer(capsule, NULL), *next = block + table;
    for (size_t i = 0; i < count; i++) {
        crnn_weights *w = &((crnn_weights *)block)[i];
        const void **fields[4] = {&w->w_ih, &w->w_hh, &w->b_ih, &w->b_hh};
        *w = (crnn_weights){0};
        for (int j = 0; j < kinds; j++) {
            *fields[j] = next;
            next += aligned(column * rows_of(s, i, j));
        }
    }
    return capsule;
}

/* The parameters as a list of arrays in torch's order. */
static PyObject *parameter_arrays(const shape *s, PyObject *capsule)
{
    const crnn_weights *weights = PyCapsule_GetPointer(capsule, NULL);
    const int type_num = s->element == 4 ? NPY_FLOAT : NPY_DOUBLE;
    PyObject *arrays = PyList_New(0);
    for (size_t i = 0; arrays && i < (size_t)(s->L * s->D); i++) {
        const crnn_weights *w = &weights[i];
        const void *const data[4] = {w->w_ih, w->w_hh, w->b_ih, w->b_hh};
        for (int j = 0; j < 4 && data[j] && arrays; j++) {
            PyObject *array =
                parameter_array(capsule, (char *)(uintptr_t)data[j], type_num,
                                j < 2 ? 2 : 1, (size_t)s->H, rows_of(s, i, j));
            if (!array || PyList_Append(arrays, array) < 0)
                Py_CLEAR(arrays);
            Py_XDECREF(array);
        }
    }
    return arrays;
}

/* Let the network have these parameters. */
static void install(network_object *self, const shape *s, PyObject *capsule,
                    size_t bytes)
{
    self->memory_bytes = bytes;
    self->weights = PyCapsule_GetPointer(capsule, NULL);
    self->dtype = s->element == 4 ? CRNN_F32 : CRNN_F64;
    self->input_size = (size_t)s->I;
    self->hidden_size = (size_t)s->H;
    self->num_layers = (size_t)s->L;
    self->num_directions = (size_t)s->D;
    self->is_constant = 0;
    Py_XSETREF(self->memory, capsule);
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
    shape s;
    size_t bytes;
    if (!PyArg_ParseTuple(args, "nnnnnp:_allocate", &s.element, &s.I, &s.H, &s.L, &s.D,
                          &s.bias) ||
        !check_shape(&s))
        return NULL;
    PyObject *capsule = new_parameters(&s, &bytes);
    PyObject *arrays = capsule ? parameter_arrays(&s, capsule) : NULL;
    if (arrays)
        install((network_object *)op, &s, capsule, bytes);
    else
        Py_XDECREF(capsule);
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

/* Copy all parameters; false with an exception. */
static bool load(const network_object *self, PyObject *arrays)
{
    const module_state *state = state_of(self);
    if (!state)
        return false;
    const size_t count = self->num_layers * self->num_directions;
    const size_t each = self->weights[0].b_ih ? 4 : 2;
    if (!PyList_CheckExact(arrays) || (size_t)PyList_GET_SIZE(arrays) != count * each) {
        PyErr_SetString(PyExc_ValueError, "arrays must be a list, one per parameter");
        return false;
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
            return false;
    }
    return true;
}

const char network_load_doc[] =
    "_load(arrays, /)\n--\n\n"
    "Copy the parameters from a list of arrays of any strides, in torch's order.";

PyObject *network_load(PyObject *op, PyObject *arrays)
{
    network_object *self = (network_object *)op;
    if (!self->memory)
        return raise_uninitialised(op);
    if (self->is_constant) {
        PyErr_SetString(PyExc_RuntimeError, "tapes may share these parameters");
        return NULL;
    }
    return load(self, arrays) ? Py_NewRef(Py_None) : NULL;
}

const char network_borrow_doc[] =
    "_borrow(element, input_size, hidden_size, num_layers, num_directions, bias, "
    "arrays, /)\n--\n\n"
    "Make new parameters with the values of these arrays, as _load() does.  No "
    "one else will\nchange them, so tapes keep them without a copy.";

PyObject *network_borrow(PyObject *op, PyObject *args)
{
    network_object *self = (network_object *)op;
    PyObject *values;
    shape s;
    size_t bytes;
    if (!PyArg_ParseTuple(args, "nnnnnpO:_borrow", &s.element, &s.I, &s.H, &s.L, &s.D,
                          &s.bias, &values) ||
        !check_shape(&s))
        return NULL;
    PyObject *capsule = new_parameters(&s, &bytes);
    if (!capsule)
        return NULL;
    install(self, &s, capsule, bytes);
    self->is_constant = 1;
    return load(self, values) ? Py_NewRef(Py_None) : NULL;
}
