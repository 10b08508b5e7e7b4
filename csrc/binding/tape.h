/*
 * tape.h - what a tape holds, for the two files that are its type.
 */
#ifndef CRNN_TAPE_H
#define CRNN_TAPE_H

#include "call.h"

typedef struct {
    PyObject_HEAD
    pending_call call;
    call_extras extras;
    void *states;   /* [L][rows][D*H] */
    PyObject *kept; /* the objects that call refers to */
} tape_object;

/* pullback.c */
PyObject *tape_pullback(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *tape_gradients(PyObject *self, PyObject *const *args, Py_ssize_t count);
extern const char tape_pullback_doc[], tape_gradients_doc[];

#endif
