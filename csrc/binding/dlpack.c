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

/* Whether elements so far apart lie in a storage of so many bytes, the first of them at
 * such a place: a storage can be made smaller than its tensors, and torch's zero
 * tensors have no memory. */
static bool is_inside(const tensor *t, const npy_intp *strides, size_t first,
                      size_t bytes)
{
    size_t before = 0, after = t->dtype.bits / 8;
    for (int i = 0; i < t->ndim; i++) {
        if (t->shape[i] == 0)
            return true;
        const size_t stride = (size_t)(strides[i] < 0 ? -strides[i] : strides[i]);
        size_t *reach = strides[i] < 0 ? &before : &after;
        *reach = crnn_add(*reach, crnn_mul((size_t)t->shape[i] - 1, stride));
    }
    return t->data && before <= first && crnn_add(first, after) <= bytes;
}

PyDoc_STRVAR(as_array_doc,
             "as_array(capsule, storage_bytes, storage_offset, /)\n--\n\n"
             "A read-only array of the memory of a tensor's DLPack capsule, which it "
             "keeps.\n\n"
             "BufferError unless it holds up to three dimensions of float32 or float64 "
             "on the CPU,\nand all of them lie in the tensor's storage.");

static PyObject *as_array(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    (void)module;
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "as_array() takes three arguments");
        return NULL;
    }
    PyObject *capsule = args[0];
    const Py_ssize_t bytes = PyLong_AsSsize_t(args[1]),
                     offset = PyLong_AsSsize_t(args[2]);
    const tensor *t =
        PyErr_Occurred() ? NULL : PyCapsule_GetPointer(capsule, "dltensor");
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
    if (bytes < 0 || offset < 0 ||
        !is_inside(t, strides, crnn_mul((size_t)offset, (size_t)element),
                   (size_t)bytes)) {
        PyErr_SetString(PyExc_BufferError, "the tensor is larger than its storage");
        return NULL;
    }
    PyObject *array =
        PyArray_New(&PyArray_Type, t->ndim, dims, element == 4 ? NPY_FLOAT : NPY_DOUBLE,
                    strides, (char *)t->data + t->byte_offset, 0, 0, NULL);
    if (array && PyArray_SetBaseObject((PyArrayObject *)array, Py_NewRef(capsule)) < 0)
        Py_CLEAR(array);
    return array;
}

PyMethodDef dlpack_functions[] = {
    {"as_array", (PyCFunction)(void (*)(void))as_array, METH_FASTCALL, as_array_doc},
    {0},
};
