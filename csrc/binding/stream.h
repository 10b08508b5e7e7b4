/*
 * stream.h - a network that goes on, step by step; shared by stream.c and step.c.
 */
#ifndef CRNN_STREAM_H
#define CRNN_STREAM_H

#include "call.h"

/*
 * A step reads one state, writes the other and, once it has ended well, swaps them:
 * whatever fails leaves the state as it was.  The call to the core is laid out once and
 * repeated, so that a step allocates nothing but the array that it returns.
 */
typedef struct {
    PyObject_HEAD
    network_object *network; /* NULL until _allocate() */
    pending_call call;       /* a step of the network as it was when laid out */
    crnn_plan plan;
    char *state, *next; /* [L][B][H] */
    char *scratch;
    size_t state_bytes, scratch_bytes;
    char is_batched;
    char busy; /* a step is under way, maybe on another thread */
} stream_object;

/* The state of the module; NULL with an exception if the stream has no network. */
module_state *stream_module(const stream_object *self);

static inline size_t stream_element(const stream_object *self)
{
    return self->call.type_num == NPY_FLOAT ? 4 : 8;
}

/* Whether a step is under way; then with an exception. */
bool stream_is_busy(const stream_object *self);

/* Let the call describe a step of the network as it stands, then lay it out in the
 * scratch memory. */
void stream_describe(stream_object *self, const network_object *network, size_t variant,
                     size_t num_rows);
void stream_lay_out(stream_object *self);

/* step.c */
PyObject *stream_step(PyObject *self, PyObject *const *args, Py_ssize_t count,
                      PyObject *names);
PyObject *stream_advance(PyObject *self, PyObject *args);
extern const char stream_step_doc[], stream_advance_doc[];

#endif
