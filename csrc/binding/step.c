/*
 * step.c - one step of a stream.
 *
 * Plain arrays of the right dtype and shape go straight to the core.  Anything else
 * goes to the Python method _step(), which converts or explains and comes back through
 * _advance().
 */
#include "stream.h"

/* Whether the call describes the network, if need be anew: edits of parameters in place
 * need nothing, but these may have moved.  The sizes stay those of the stream. */
static bool follow(stream_object *self, size_t variant)
{
    const network_object *network = self->network;
    const pending_call *c = &self->call;
    if (network->memory == c->memory && network->activation == c->net.activation &&
        c->net.kernels == crnn_variant(variant, network->dtype))
        return true;
    if (!network->memory ||
        (network->dtype == CRNN_F32) != (c->type_num == NPY_FLOAT) ||
        network->input_size != c->net.input_size ||
        network->hidden_size != c->net.hidden_size ||
        network->num_layers != c->net.num_layers || network->num_directions != 1)
        return false;
    stream_describe(self, network, variant, c->batch.num_rows);
    stream_lay_out(self);
    return true;
}

/* From the first byte that an array can reach to the one behind the last. */
typedef struct {
    const char *first, *end;
} extent;

static extent extent_of(PyArrayObject *array)
{
    extent e = {PyArray_BYTES(array), PyArray_BYTES(array) + PyArray_ITEMSIZE(array)};
    for (int i = 0; i < PyArray_NDIM(array); i++) {
        if (PyArray_DIM(array, i) == 0)
            return (extent){NULL, NULL};
        const ptrdiff_t reach = (PyArray_DIM(array, i) - 1) * PyArray_STRIDE(array, i);
        *(reach < 0 ? &e.first : &e.end) += reach;
    }
    return e;
}

static bool overlap(extent a, extent b) { return a.first < b.end && b.first < a.end; }

/* Bind the array that a step shall write, if it may: its rows share memory with nothing
 * that the step reads, nor with each other. */
static bool bind_out(stream_object *self, PyObject *out, PyObject *x)
{
    pending_call *c = &self->call;
    PyArrayObject *array = (PyArrayObject *)out;
    if (!array_is_plain(out, c->type_num) || !PyArray_ISWRITEABLE(array) ||
        array_bind(array, axes_of[c->layout].y, &c->sizes, &c->batch.y) >= 0)
        return false;
    const ptrdiff_t row = c->batch.y.stride[1];
    const size_t apart = (size_t)(row < 0 ? -row : row);
    const char *weights = (const char *)c->net.weights;
    const extent written = extent_of(array),
                 parameters = {weights, weights + c->memory_bytes};
    return call_can_read(c, &c->batch.y) &&
           (c->batch.num_rows < 2 ||
            apart >= c->net.hidden_size * stream_element(self)) &&
           !overlap(written, extent_of((PyArrayObject *)x)) &&
           !overlap(written, parameters);
}

/* Bind the arguments if they can go to the core as they are, and claim the stream; with
 * an exception only if it is claimed. */
static bool start(stream_object *self, size_t variant, PyObject *x, PyObject *out)
{
    pending_call *c = &self->call;
    if (stream_is_busy(self) || !follow(self, variant) ||
        c->net.activation == CRNN_IDENTITY || !call_is_without_dropout(self->network) ||
        !array_is_plain(x, c->type_num) ||
        array_bind((PyArrayObject *)x, axes_of[c->layout].x, &c->sizes, &c->batch.x) >=
            0)
        return false;
    if (out != Py_None && !bind_out(self, out, x))
        return false;
    c->batch.h0.data = self->state;
    c->batch.hn.data = self->next;
    c->x = x;
    c->out = out == Py_None ? NULL : out;
    self->busy = true;
    return true;
}

static void finish(stream_object *self, bool ended)
{
    if (ended) {
        char *state = self->next;
        self->next = self->state;
        self->state = state;
    }
    self->call.x = self->call.out = NULL;
    self->busy = false;
}

/* Make a step; NULL without an exception if the arguments are not plain. */
static PyObject *step(stream_object *self, PyObject *x, PyObject *out)
{
    const module_state *state = stream_module(self);
    if (!state)
        return NULL;
    pending_call *c = &self->call;
    bool started;
    Py_BEGIN_CRITICAL_SECTION2(self, self->network);
    started = start(self, state->variant, x, out);
    Py_END_CRITICAL_SECTION2();
    if (!started)
        return NULL;
    PyObject *y = out != Py_None
                      ? Py_NewRef(out)
                      : (PyObject *)array_new(c->type_num, axes_of[c->layout].y,
                                              &c->sizes, false, &c->batch.y);
    const crnn_status status = y ? call_compute(c) : CRNN_OK;
    Py_BEGIN_CRITICAL_SECTION(self);
    finish(self, y && status == CRNN_OK);
    Py_END_CRITICAL_SECTION();
    if (status == CRNN_OK)
        return y;
    Py_DECREF(y);
    return raise_status(status);
}

const char stream_step_doc[] =
    "step(x_t, out=None)\n--\n\n"
    "Read the next input; return the last layer's next state.\n\n"
    "Args:\n"
    "    x_t: (B, I), or (I,) without a batch: of any kind that RNN takes, of the\n"
    "        parameters' dtype.\n"
    "    out: None, or what to write the result into: an array or tensor of its shape\n"
    "        and dtype with a contiguous last axis.  It may be x_t.\n\n"
    "Returns:\n"
    "    (B, H) or (H,): new, of x_t's kind, or out.  The same bits as the output of\n"
    "    one call for the whole sequence.\n\n"
    "Raises:\n"
    "    ShapeError, DTypeError, TypeError: x_t or out does not fit.\n"
    "    ValueError: out cannot be written without harm.\n"
    "    RuntimeError: another step of this stream is under way; dropout would act;\n"
    "        the network's dtype has changed.\n\n"
    "    After any exception, KeyboardInterrupt too, the state is what it was before;\n"
    "    out may have been written.";

PyObject *stream_step(PyObject *op, PyObject *const *args, Py_ssize_t count,
                      PyObject *names)
{
    const Py_ssize_t named = names ? PyTuple_GET_SIZE(names) : 0;
    if (named == 0 ? count == 1 || count == 2
                   : count == 1 && named == 1 &&
                         PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0),
                                                          "out") == 0) {
        PyObject *y =
            step((stream_object *)op, args[0], count + named == 2 ? args[1] : Py_None);
        if (y || PyErr_Occurred())
            return y;
    }
    PyObject *convert = PyObject_GetAttrString(op, "_step");
    if (!convert)
        return NULL;
    PyObject *y = PyObject_Vectorcall(convert, args, (size_t)count, names);
    Py_DECREF(convert);
    return y;
}

const char stream_advance_doc[] =
    "_advance(x_t, out, /)\n--\n\n"
    "step() for arrays that are already plain: aligned, native, of the right dtype and "
    "shape,\n"
    "out apart from x_t and the parameters.";

PyObject *stream_advance(PyObject *op, PyObject *args)
{
    PyObject *x, *out;
    if (!PyArg_ParseTuple(args, "OO:_advance", &x, &out))
        return NULL;
    PyObject *y = step((stream_object *)op, x, out);
    if (!y && !PyErr_Occurred())
        PyErr_SetString(PyExc_TypeError, "a step cannot take these arrays as they are");
    return y;
}
