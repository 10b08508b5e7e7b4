/*
 * dlpack.c - arrays of the memory of tensors, by DLPack.
 *
 * numpy.from_dlpack() does the same in five times the time.  The struct is that of
 * DLPack before version 1 (dlpack.h, https://github.com/dmlc/dlpack).
 */
#include "binding.h"

#define CPU 1
#define FLOATS 2

typedef struct {
    void *data;
    struct {
        int32_t kind, number;
    } device;
    int32_t ndim;
    struct {
        uint8_t code, bits;
        uint16_t lanes;
    } dtype;
    const int64_t *shape, *strides; /* strides in elements, or NULL: C order */
    uint64_t byte_offset;
} tensor;

enum { MOST_DIMS = 3 };

static bool is_readable(const tensor *t)
{
    return t->device.kind == CPU && t->dtype.code == FLOATS && t->dtype.lanes == 1 &&
           (t->dtype.bits == 32 || t->dtype.bits == 64) && t->ndim >= 0 &&
           t->ndim <= MOST_DIMS;
}

PyDoc_STRVAR(as_array_doc,
             "as_array(capsule)\n--\n\nA read-only array of the memory of a DLPack "
             "capsule, which it keeps.\n\n"
             "BufferError unless it holds up to three dimensions of float32 or float64 "
             "on the CPU.");

static PyObject *as_array(PyObject *module, PyObject *capsule)
{
    (void)module;
    const tensor *t = PyCapsule_GetPointer(capsule, "dltensor");
    if (!t)
        return NULL;
    if (!is_readable(t)) {
        PyErr_SetString(PyExc_BufferError, "the tensor is none that the core reads");
        return NULL;
    }
    const npy_intp element = t->dtype.bits / 8;
    npy_intp dims[MOST_DIMS], strides[MOST_DIMS];
    for (int i = t->ndim - 1; i >= 0; i--) {
        dims[i] = (npy_intp)t->shape[i];
        strides[i] = t->strides        ? (npy_intp)t->strides[i] * element
                     : i + 1 < t->ndim ? strides[i + 1] * dims[i + 1]
                                       : element;
    }
    PyObject *array =
        PyArray_New(&PyArray_Type, t->ndim, dims, element == 4 ? NPY_FLOAT : NPY_DOUBLE,
                    strides, (char *)t->data + t->byte_offset, 0, 0, NULL);
    if (array && PyArray_SetBaseObject((PyArrayObject *)array, Py_NewRef(capsule)) < 0)
        Py_CLEAR(array);
    return array;
}

PyMethodDef dlpack_functions[] = {
    {"as_array", as_array, METH_O, as_array_doc},
    {0},
};
