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

enum { FEATURES = 2 };

/* Views have the strides of time, batch and features; the states' first axis takes the
 * place of time, the rows of a packed batch that of time and batch.  One feature
 * or none is contiguous, whatever its stride. */
static void set_stride(crnn_view *view, char letter, PyArrayObject *array, int axis)
{
    static const unsigned char places['T' + 1] = {['B'] = 1,
                                                  ['I'] = FEATURES,
                                                  ['H'] = FEATURES,
                                                  ['F'] = FEATURES}; /* N, S, T: 0 */
    const size_t place = places[(unsigned char)letter];
    const ptrdiff_t stride = place == FEATURES && PyArray_DIM(array, axis) <= 1
                                 ? PyArray_ITEMSIZE(array)
                                 : PyArray_STRIDE(array, axis);
    view->stride[place] = stride;
    if (letter == 'N')
        view->stride[1] = stride;
}

int array_bind(PyArrayObject *array, const char *axes, axis_sizes *sizes,
               crnn_view *view)
{
    const int ndim = PyArray_NDIM(array);
    int i = 0;
    *view = (crnn_view){.data = PyArray_BYTES(array)};
    for (; axes[i]; i++) {
        if (i == ndim)
            return (int)strlen(axes);
        const size_t n = (size_t)PyArray_DIM(array, i);
        size_t *size = &SIZE(sizes, axes[i]);
        if (*size == UNBOUND)
            *size = n;
        if (*size != n)
            return i;
        set_stride(view, axes[i], array, i);
    }
    return ndim == i ? -1 : i;
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
    int ndim = 0;
    size_t elements = 8; /* the widest dtype's bytes: neither may overflow */
    for (; axes[ndim]; ndim++) {
        dims[ndim] = (npy_intp)SIZE(sizes, axes[ndim]);
        elements = crnn_mul(elements, SIZE(sizes, axes[ndim]));
    }
    if (elements == CRNN_TOO_BIG) {
        raise_status(CRNN_OVERFLOW);
        return NULL;
    }
    PyArray_Descr *dtype = PyArray_DescrFromType(type_num);
    PyArrayObject *array =
        (PyArrayObject *)(zero ? PyArray_Zeros(ndim, dims, dtype, 0)
                               : PyArray_NewFromDescr(&PyArray_Type, dtype, ndim, dims,
                                                      NULL, NULL, 0, NULL));
    if (!array)
        return NULL;
    *view = (crnn_view){.data = PyArray_BYTES(array)};
    for (int i = 0; i < ndim; i++)
        set_stride(view, axes[i], array, i);
    return array;
}
