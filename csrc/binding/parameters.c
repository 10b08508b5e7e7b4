/*
 * parameters.c - the block of C memory that the parameters of a network live in.
 *
 * Python sees them as arrays whose base is a capsule that owns the block, so they can
 * be edited but not resized away, and a call keeps the capsule while it computes; what
 * users do to the shape or the life of those array objects cannot reach the kernels,
 * which read the block.  Borrowed parameters live elsewhere: the block is only a table
 * of them then, and its capsule keeps their arrays.
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
    Py_XDECREF((PyObject *)PyCapsule_GetContext(capsule));
}

/* A capsule that owns so many bytes, and keeps an object, or NULL. */
static PyObject *new_block(size_t bytes, PyObject *kept)
{
    if (bytes == CRNN_TOO_BIG)
        return PyErr_NoMemory();
    void *block = crnn_alloc(bytes);
    if (!block)
        return PyErr_NoMemory();
    PyObject *capsule = PyCapsule_New(block, NULL, free_block);
    if (!capsule)
        crnn_free(block);
    else if (kept)
        PyCapsule_SetContext(capsule, Py_NewRef(kept)); /* which fails for no capsule */
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

static int type_num_of(const shape *s)
{
    return s->element == 4 ? NPY_FLOAT : NPY_DOUBLE;
}

/* What a hidden unit has of the j-th parameter of a layer and direction. */
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
    PyObject *capsule = new_block(*bytes, NULL);
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
    const int type_num = type_num_of(s);
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

/* Let the network have these parameters: all that a call reads of them at once. */
static void install(network_object *self, const shape *s, PyObject *capsule,
                    size_t bytes, bool is_borrowed)
{
    PyObject *before;
    Py_BEGIN_CRITICAL_SECTION((PyObject *)self);
    before = self->memory;
    self->memory = capsule;
    self->memory_bytes = bytes;
    self->weights = PyCapsule_GetPointer(capsule, NULL);
    self->dtype = s->element == 4 ? CRNN_F32 : CRNN_F64;
    self->input_size = (size_t)s->I;
    self->hidden_size = (size_t)s->H;
    self->num_layers = (size_t)s->L;
    self->num_directions = (size_t)s->D;
    self->is_borrowed = is_borrowed;
    Py_END_CRITICAL_SECTION();
    Py_XDECREF(before); /* which may run anything, and so give up the lock */
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
        install((network_object *)op, &s, capsule, bytes, false);
    else
        Py_XDECREF(capsule);
    return arrays;
}

/* Move a pointer into a block to the same place in a copy of it. */
static const void *moved(const void *pointer, const char *from, char *to)
{
    return pointer ? to + ((const char *)pointer - from) : NULL;
}

PyObject *parameters_snapshot(PyObject *memory, size_t bytes, size_t count,
                              const crnn_weights **weights)
{
    PyObject *capsule = new_block(bytes, NULL);
    if (!capsule)
        return NULL;
    const char *from = PyCapsule_GetPointer(memory, NULL);
    char *to = PyCapsule_GetPointer(capsule, NULL);
    memcpy(to, from, bytes);
    crnn_weights *table = (crnn_weights *)to;
    for (size_t i = 0; i < count; i++)
        table[i] = (crnn_weights){
            moved(table[i].w_ih, from, to),
            moved(table[i].w_hh, from, to),
            moved(table[i].b_ih, from, to),
            moved(table[i].b_hh, from, to),
        };
    *weights = table;
    return capsule;
}

/* Whether an array can be read as a parameter that a unit has so many inputs of. */
static bool fits(PyObject *array, int type_num, int ndim, size_t units, size_t inputs)
{
    PyArrayObject *a = (PyArrayObject *)array;
    return array_is_plain(array, type_num) && PyArray_NDIM(a) == ndim &&
           (size_t)PyArray_DIM(a, 0) == units &&
           (ndim == 1 || (size_t)PyArray_DIM(a, 1) == inputs) &&
           PyArray_IS_C_CONTIGUOUS(a);
}

/* Let a table of weights be the memory of the arrays in a list, which nobody else
 * changes, and append weak references to them; false with an exception. */
static bool borrow(const shape *s, PyObject *arrays, crnn_weights *table)
{
    const int type_num = type_num_of(s);
    const size_t count = (size_t)(s->L * s->D), each = s->bias ? 4 : 2;
    if ((size_t)PyList_GET_SIZE(arrays) != count * each) {
        PyErr_SetString(PyExc_ValueError, "arrays must be a list, one per parameter");
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        crnn_weights *w = &table[i];
        const void **fields[4] = {&w->w_ih, &w->w_hh, &w->b_ih, &w->b_hh};
        *w = (crnn_weights){0};
        for (size_t j = 0; j < each; j++) {
            PyObject *array = PyList_GET_ITEM(arrays, (Py_ssize_t)(i * each + j));
            if (!fits(array, type_num, j < 2 ? 2 : 1, (size_t)s->H,
                      rows_of(s, i, (int)j))) {
                PyErr_SetString(PyExc_ValueError,
                                "an array does not fit its parameter");
                return false;
            }
            *fields[j] = PyArray_DATA((PyArrayObject *)array);
            /* A weak reference makes NumPy refuse to resize the array. */
            PyObject *weak = PyWeakref_NewRef(array, NULL);
            const bool failed = !weak || PyList_Append(arrays, weak) < 0;
            Py_XDECREF(weak);
            if (failed)
                return false;
        }
    }
    return true;
}

const char network_borrow_doc[] =
    "_borrow(element, input_size, hidden_size, num_layers, num_directions, bias, "
    "arrays, /)\n--\n\n"
    "Let these C-contiguous arrays, a list in torch's order, be the parameters, "
    "wherever they\nare read: at a call, and when its tape is pulled back.";

PyObject *network_borrow(PyObject *op, PyObject *args)
{
    PyObject *arrays;
    shape s;
    if (!PyArg_ParseTuple(args, "nnnnnpO:_borrow", &s.element, &s.I, &s.H, &s.L, &s.D,
                          &s.bias, &arrays) ||
        !check_shape(&s))
        return NULL;
    const size_t bytes =
        crnn_mul(crnn_mul((size_t)s.L, (size_t)s.D), sizeof(crnn_weights));
    /* A list of our own, for another thread may be changing theirs; empty, and so
     * refused, where theirs is none. */
    PyObject *kept = PyList_CheckExact(arrays)
                         ? PyList_GetSlice(arrays, 0, PY_SSIZE_T_MAX)
                         : PyList_New(0);
    PyObject *capsule = kept ? new_block(bytes, kept) : NULL;
    Py_XDECREF(kept);
    if (!capsule)
        return NULL;
    if (!borrow(&s, kept, PyCapsule_GetPointer(capsule, NULL))) {
        Py_DECREF(capsule);
        return NULL;
    }
    install((network_object *)op, &s, capsule, bytes, true);
    return Py_NewRef(Py_None);
}
