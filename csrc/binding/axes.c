/*
 * axes.c - arrays described by the letters of their axes.
 *
 * The sizes that the network fixes are bound before any array is looked at, so that two
 * arrays which agree with each other cannot both be wrong.
 */
#include "binding.h"

bool array_is_plain(PyObject *array, int type_num)
{
    return PyArray_CheckExact(array) &&
           PyArray_TYPE((PyArrayObject *)array) == type_num &&
           PyArray_ISBEHAVED_RO((PyArrayObject *)array);
}

/* Views have the strides of time, batch and features; the states' first axis takes the
 * place of time. */
static void set_stride(crnn_view *view, char letter, ptrdiff_t stride)
{
    if (letter == 'T' || letter == 'S' || letter == 'N')
        view->stride[0] = stride;
    if (letter == 'B' || letter == 'N')
        view->stride[1] = stride;
    if (letter == 'I' || letter == 'H' || letter == 'F')
        view->stride[2] = stride;
}

int array_bind(PyArrayObject *array, const char *axes, axis_sizes *sizes,
               crnn_view *view)
{
    const int ndim = (int)strlen(axes);
    if (PyArray_NDIM(array) != ndim)
        return ndim;
    *view = (crnn_view){.data = PyArray_BYTES(array)};
    for (int i = 0; i < ndim; i++) {
        const size_t n = (size_t)PyArray_DIM(array, i);
        size_t *size = &SIZE(sizes, axes[i]);
        if (*size == UNBOUND)
            *size = n;
        if (*size != n)
            return i;
        set_stride(view, axes[i], PyArray_STRIDE(array, i));
    }
    return -1;
}

bool array_require(PyObject *array, const char *name, int type_num, const char *axes,
                   axis_sizes *sizes, crnn_view *view)
{
    if (!array_is_plain(array, type_num)) {
        PyErr_Format(PyExc_TypeError,
                     "%s must be an aligned numpy.ndarray of native %s, not %R", name,
                     type_num == NPY_FLOAT   ? "float32"
                     : type_num == NPY_INT64 ? "int64"
                                             : "float64",
                     Py_TYPE(array));
        return false;
    }
    const int bad = array_bind((PyArrayObject *)array, axes, sizes, view);
    if (bad == (int)strlen(axes))
        PyErr_Format(PyExc_ValueError, "%s must have the axes %s, not %d dimensions",
                     name, axes, PyArray_NDIM((PyArrayObject *)array));
    else if (bad >= 0)
        PyErr_Format(PyExc_ValueError, "%s axis %d (%c) must be %zu, not %zd", name,
                     bad, axes[bad], SIZE(sizes, axes[bad]),
                     (Py_ssize_t)PyArray_DIM((PyArrayObject *)array, bad));
    return bad < 0;
}

PyArrayObject *array_new(int type_num, const char *axes, const axis_sizes *sizes,
                         bool zero, crnn_view *view)
{
    npy_intp dims[3];
    const int ndim = (int)strlen(axes);
    size_t elements =
        8; /* the widest dtype's bytes: neither count nor bytes may overflow */
    for (int i = 0; i < ndim; i++) {
        dims[i] = (npy_intp)SIZE(sizes, axes[i]);
        elements = crnn_mul(elements, SIZE(sizes, axes[i]));
    }
    if (elements == CRNN_TOO_BIG) {
        raise_status(CRNN_OVERFLOW);
        return NULL;
    }
    PyArrayObject *array =
        (PyArrayObject *)(zero ? PyArray_ZEROS(ndim, dims, type_num, 0)
                               : PyArray_SimpleNew(ndim, dims, type_num));
    axis_sizes known = *sizes;
    if (array)
        array_bind(array, axes, &known, view);
    return array;
}
