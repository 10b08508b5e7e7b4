/*
 * call.c - the two ways into a call.
 *
 * The direct one takes what most calls are, plain arrays of the right dtype and shape,
 * straight to the core.  Any other call goes to the Python method forward(), which
 * converts or explains and comes back through _run().
 */
#include "call.h"

bool call_is_without_dropout(const network_object *self)
{
    return self->num_layers == 1 || self->training == Py_False ||
           (self->training == Py_True && self->dropout &&
            PyFloat_CheckExact(self->dropout) && PyFloat_AS_DOUBLE(self->dropout) == 0);
}

/* Whether the network, as its attributes stand, needs nothing of forward(). */
static bool is_plain_network(const network_object *self)
{
    if (!self->is_direct)
        return false;
    if (!self->is_cell && self->batch_first != Py_True && self->batch_first != Py_False)
        return false;
    return call_is_without_dropout(self);
}

/* Bind x and h0 if they can go to the core as they are, with nothing to convert, to
 * warn of or to explain. */
static bool bind_directly(pending_call *c, PyObject *x, PyObject *h0)
{
    const call_axes *axes = &axes_of[c->layout];
    if (c->net.activation == CRNN_IDENTITY || !array_is_plain(x, c->type_num) ||
        array_bind((PyArrayObject *)x, axes->x, &c->sizes, &c->batch.x) >= 0 ||
        SIZE(&c->sizes, 'T') == 0)
        return false;
    c->x = x;
    if (h0 == Py_None)
        return true;
    c->h0 = h0;
    return array_is_plain(h0, c->type_num) &&
           array_bind((PyArrayObject *)h0, axes->states, &c->sizes, &c->batch.h0) < 0 &&
           call_can_read(c, &c->batch.h0);
}

bool call_start_directly(pending_call *c, network_object *self, size_t variant,
                         PyObject *x, PyObject *h0)
{
    bool plain;
    c->memory = NULL;
    Py_BEGIN_CRITICAL_SECTION((PyObject *)self);
    plain = self->memory && is_plain_network(self) && PyArray_CheckExact(x);
    if (plain) {
        call_prepare(c, self, variant,
                     call_layout_of(self, PyArray_NDIM((PyArrayObject *)x)));
        plain = bind_directly(c, x, h0);
    }
    Py_END_CRITICAL_SECTION();
    if (!plain)
        Py_CLEAR(c->memory);
    return plain;
}

PyObject *network_call(PyObject *op, PyObject *const *args, size_t count,
                       PyObject *names)
{
    network_object *self = (network_object *)op;
    const module_state *state = state_of(self);
    if (!state)
        return NULL;
    if (!self->memory)
        return raise_uninitialised(op);
    const Py_ssize_t n = PyVectorcall_NARGS(count);
    const Py_ssize_t named = names ? PyTuple_GET_SIZE(names) : 0;
    if (named == 0 ? n == 1 || n == 2
                   : n == 1 && named == 1 && PyTuple_GET_ITEM(names, 0) == state->hx) {
        PyObject *h0 = n + named == 2 ? args[1] : Py_None;
        pending_call c;
        if (call_start_directly(&c, self, state->variant, args[0], h0))
            return call_finish(&c);
    }
    PyObject *forward = PyObject_GetAttr(op, state->forward);
    if (!forward)
        return NULL;
    PyObject *result = PyObject_Vectorcall(forward, args, (size_t)n, names);
    Py_DECREF(forward);
    return result;
}
