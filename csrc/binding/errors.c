/*
 * errors.c - what the core's status says, as a Python exception.
 */
#include "binding.h"

PyObject *raise_status(crnn_status status)
{
    if (status == CRNN_OVERFLOW)
        PyErr_SetString(PyExc_OverflowError,
                        "the arrays of this call are too large to address");
    else if (status == CRNN_NO_MEMORY)
        PyErr_NoMemory();
    /* CRNN_CANCELLED: the signal handler's exception is already set. */
    return NULL;
}

PyObject *raise_uninitialised(const PyObject *self)
{
    return PyErr_Format(PyExc_RuntimeError, "%s.__init__() was not called",
                        Py_TYPE(self)->tp_name);
}
