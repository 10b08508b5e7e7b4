/*
 * pullback.c - what a Tape can do: from the gradients of results to those of arguments.
 */
#include "tape.h"

/* The arrays of gradients, and where the core finds them. */
typedef struct {
    crnn_gradients g;
    crnn_weight_gradients *dw; /* [L*D] */
    PyObject *dx, *dh0;        /* or NULL: not wanted */
    PyObject *parameters;      /* list in torch's order, or NULL */
} products;

/* Bind an incoming gradient. */
static bool read_gradient(pending_call *c, PyObject *array, const char *name,
                          const char *axes, crnn_view *view, PyObject **kept)
{
    if (array == Py_None)
        return true;
    if (!array_require(array, name, c->type_num, axes, &c->sizes, view))
        return false;
    if (!call_can_read(c, view)) {
        PyErr_Format(PyExc_ValueError, "the last axis of %s must be contiguous", name);
        return false;
    }
    *kept = array;
    return true;
}

/* A new matrix (H, inputs), or a bias (H,). */
static void *add_parameter(PyObject *list, int type_num, int ndim, size_t H,
                           size_t inputs)
{
    npy_intp dims[2] = {(npy_intp)H, (npy_intp)inputs};
    PyObject *array = PyArray_EMPTY(ndim, dims, type_num, 0);
    if (!array)
        return NULL;
    const int failed = PyList_Append(list, array);
    Py_DECREF(array);
    return failed ? NULL : PyArray_DATA((PyArrayObject *)array);
}

static bool make_parameters(const pending_call *c, products *p)
{
    const crnn_network *net = &c->net;
    const size_t count = net->num_layers * net->num_directions, H = net->hidden_size;
    p->parameters = PyList_New(0);
    p->dw = crnn_alloc(count * sizeof *p->dw);
    if (!p->dw)
        PyErr_NoMemory();
    if (!p->parameters || !p->dw)
        return false;
    for (size_t i = 0; i < count; i++) {
        const size_t inputs =
            i < net->num_directions ? net->input_size : net->num_directions * H;
        crnn_weight_gradients *dw = &p->dw[i];
        *dw = (crnn_weight_gradients){0};
        dw->w_ih = add_parameter(p->parameters, c->type_num, 2, H, inputs);
        dw->w_hh = dw->w_ih ? add_parameter(p->parameters, c->type_num, 2, H, H) : NULL;
        if (!dw->w_hh)
            return false;
        if (!net->weights[i].b_ih)
            continue;
        dw->b = add_parameter(p->parameters, c->type_num, 1, H, 1);
        if (!dw->b || !add_parameter(p->parameters, c->type_num, 1, H, 1))
            return false;
    }
    p->g.dw = p->dw;
    return true;
}

/* Both biases have the same gradient, in arrays of their own. */
static void copy_bias_gradients(const pending_call *c, const products *p)
{
    for (Py_ssize_t i = 3; c->net.weights[0].b_ih && i < PyList_GET_SIZE(p->parameters);
         i += 4) {
        PyArrayObject *b_ih = (PyArrayObject *)PyList_GET_ITEM(p->parameters, i - 1),
                      *b_hh = (PyArrayObject *)PyList_GET_ITEM(p->parameters, i);
        memcpy(PyArray_DATA(b_hh), PyArray_DATA(b_ih), (size_t)PyArray_NBYTES(b_ih));
    }
}

static bool make_outputs(pending_call *c, products *p, bool x, bool hx, bool parameters)
{
    const call_axes *axes = &axes_of[c->layout];
    if (x) {
        p->dx = (PyObject *)array_new(c->type_num, axes->x, &c->sizes,
                                      c->batch.lengths && !c->batch.offsets, &p->g.dx);
        if (!p->dx)
            return false;
    }
    if (hx) {
        p->dh0 = (PyObject *)array_new(c->type_num, axes->states, &c->sizes, false,
                                       &p->g.dh0);
        if (!p->dh0)
            return false;
    }
    return !parameters || make_parameters(c, p);
}

/* Whether a network, whose lock is held, has parameters of a call's sizes. */
static bool is_alike(const pending_call *c, const network_object *other)
{
    return other->memory &&
           c->type_num == (other->dtype == CRNN_F32 ? NPY_FLOAT : NPY_DOUBLE) &&
           other->input_size == c->net.input_size &&
           other->hidden_size == c->net.hidden_size &&
           other->num_layers == c->net.num_layers &&
           other->num_directions == c->net.num_directions;
}

/* Let a call read the parameters of this network, which must be of the same sizes, and
 * own a reference to them. */
static bool borrow_parameters(pending_call *c, PyObject *from)
{
    const module_state *state = state_of(c->self);
    if (!state)
        return false;
    const network_object *other = (const network_object *)from;
    bool alike = PyObject_TypeCheck(from, (PyTypeObject *)state->network_type);
    if (alike) {
        Py_BEGIN_CRITICAL_SECTION(from);
        alike = is_alike(c, other);
        if (alike) {
            c->memory = Py_NewRef(other->memory);
            c->net.weights = other->weights;
            c->net.by_unit = other->is_borrowed;
        }
        Py_END_CRITICAL_SECTION();
    }
    if (!alike)
        PyErr_SetString(PyExc_ValueError,
                        "this tape needs a network of its sizes, for the parameters");
    return alike;
}

/* Run the core, its products made; false with an exception. */
static bool compute(pending_call *c, products *p)
{
    c->gradients = &p->g;
    const crnn_status status = call_compute(c);
    if (status != CRNN_OK)
        raise_status(status);
    else if (p->parameters)
        copy_bias_gradients(c, p);
    return status == CRNN_OK;
}

static void free_products(products *p)
{
    Py_XDECREF(p->dx);
    Py_XDECREF(p->dh0);
    Py_XDECREF(p->parameters);
    crnn_free(p->dw);
}

/* [dx, dh0, each parameter], None for those not needed. */
static PyObject *list_products(const products *p, PyObject *const *needed, Py_ssize_t n)
{
    PyObject *found = PyList_New(n);
    for (Py_ssize_t i = 0; found && i < n; i++) {
        PyObject *product = i == 0          ? p->dx
                            : i == 1        ? p->dh0
                            : p->parameters ? PyList_GET_ITEM(p->parameters, i - 2)
                                            : NULL;
        const bool given = product && needed[i] == Py_True;
        PyList_SET_ITEM(found, i, Py_NewRef(given ? product : Py_None));
    }
    return found;
}

const char tape_pullback_doc[] =
    "pullback(d_output, d_h_n, needs, network=None, /)\n--\n\n"
    "Gradients of the loss whose gradients by the results are given, None for "
    "zeros.\n\n"
    "needs is a tuple of bools: of the input, hx, and each parameter in torch's "
    "order; a\nlist of the same order, None for what is not needed.  Parameters are "
    "those of network,\nif one is given, else of the call's.";

/* Tape.pullback(), its network borrowed. */
static PyObject *pull_back(pending_call *c, PyObject *const *args)
{
    const size_t kinds = c->net.weights[0].b_ih ? 4 : 2;
    const Py_ssize_t n = PyTuple_GET_SIZE(args[2]);
    if ((size_t)n != 2 + kinds * c->net.num_layers * c->net.num_directions)
        return PyErr_Format(PyExc_ValueError,
                            "needs must have a bool for input, hx and each parameter");
    PyObject *const *needed = &PyTuple_GET_ITEM(args[2], 0);
    PyObject *result = NULL;
    bool parameters = false;
    for (Py_ssize_t i = 2; i < n; i++)
        parameters = parameters || needed[i] == Py_True;
    products p = {0};
    const call_axes *axes = &axes_of[c->layout];
    if (read_gradient(c, args[0], "d_output", axes->y, &p.g.dy, &c->dy) &&
        read_gradient(c, args[1], "d_h_n", axes->states, &p.g.dhn, &c->dhn) &&
        make_outputs(c, &p, needed[0] == Py_True, needed[1] == Py_True, parameters) &&
        compute(c, &p))
        result = list_products(&p, needed, n);
    free_products(&p);
    return result;
}

PyObject *tape_pullback(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    const tape_object *self = (const tape_object *)op;
    if (count < 3 || count > 4 || !PyTuple_CheckExact(args[2])) {
        PyErr_SetString(PyExc_TypeError,
                        "pullback() takes d_output, d_h_n, needs and a network");
        return NULL;
    }
    pending_call c = self->call;
    if (count < 4 || args[3] == Py_None)
        Py_INCREF(c.memory);
    else if (!borrow_parameters(&c, args[3]))
        return NULL;
    PyObject *result = pull_back(&c, args);
    Py_DECREF(c.memory);
    return result;
}

/* Bind an incoming gradient that can be read as it is, or None. */
static bool bind_gradient(pending_call *c, PyObject *array, const char *axes,
                          crnn_view *view, PyObject **kept)
{
    if (array == Py_None)
        return true;
    *kept = array;
    return array_is_plain(array, c->type_num) &&
           array_bind((PyArrayObject *)array, axes, &c->sizes, view) < 0 &&
           call_can_read(c, view);
}

/* {"input": dx, "hx": dh0 if there is one, and each parameter by its name} */
static PyObject *name_products(const module_state *state, const products *p,
                               PyObject *names)
{
    const Py_ssize_t n = PyList_GET_SIZE(p->parameters);
    if (!PyTuple_CheckExact(names) || PyTuple_GET_SIZE(names) != n)
        return PyErr_Format(PyExc_ValueError, "names must be a tuple of %zd", n);
    PyObject *found = PyDict_New();
    bool failed = !found || PyDict_SetItem(found, state->input, p->dx) < 0 ||
                  (p->dh0 && PyDict_SetItem(found, state->hx, p->dh0) < 0);
    for (Py_ssize_t i = 0; i < n && !failed; i++)
        failed = PyDict_SetItem(found, PyTuple_GET_ITEM(names, i),
                                PyList_GET_ITEM(p->parameters, i)) < 0;
    if (failed)
        Py_CLEAR(found);
    return found;
}

const char tape_gradients_doc[] =
    "gradients(names, d_output=None, d_h_n=None, /)\n--\n\n"
    "All gradients as a dict: of \"input\", of \"hx\" where it was given, and of the "
    "parameters\nunder these names.  None where the arguments cannot be read as they "
    "are.";

PyObject *tape_gradients(PyObject *op, PyObject *const *args, Py_ssize_t count)
{
    tape_object *self = (tape_object *)op;
    const module_state *state = state_of(self->call.self);
    if (!state)
        return NULL;
    pending_call c = self->call;
    const call_axes *axes = &axes_of[c.layout];
    products p = {0};
    if (count < 1 || count > 3 - c.self->is_cell ||
        (count > 1 && !bind_gradient(&c, args[1], axes->y, &p.g.dy, &c.dy)) ||
        (count > 2 && !bind_gradient(&c, args[2], axes->states, &p.g.dhn, &c.dhn)))
        Py_RETURN_NONE;
    PyObject *result = NULL;
    if (make_outputs(&c, &p, true, c.h0, true) && compute(&c, &p))
        result = name_products(state, &p, args[0]);
    free_products(&p);
    return result;
}
