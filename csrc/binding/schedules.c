/*
 * schedules.c - functions of the module on how calls are divided among threads.
 */
#include <stdatomic.h>

#include "call.h"

static const char *const schedule_names[] = {
    [CRNN_ALONE] = "alone",           [CRNN_ROWS] = "rows",
    [CRNN_DIRECTIONS] = "directions", [CRNN_LAYERS] = "layers",
    [CRNN_COLUMNS] = "columns",
};
static atomic_int preferred; /* a crnn_schedule */

crnn_schedule preferred_schedule(void)
{
    return (crnn_schedule)atomic_load(&preferred);
}

static bool plan_call(const network_object *self, PyArrayObject *x, size_t threads,
                      bool backward, crnn_plan *plan)
{
    if (!self->memory)
        return raise_uninitialised((const PyObject *)self);
    const module_state *state = state_of(self);
    if (!state)
        return false;
    pending_call c;
    Py_BEGIN_CRITICAL_SECTION((PyObject *)self);
    call_prepare(&c, self, state->variant, call_layout_of(self, PyArray_NDIM(x)));
    Py_END_CRITICAL_SECTION();
    const bool fits = array_require((PyObject *)x, "x", c.type_num, axes_of[c.layout].x,
                                    &c.sizes, &c.batch.x);
    c.batch.num_steps = SIZE(&c.sizes, 'T');
    c.batch.num_rows = SIZE(&c.sizes, 'B');
    const crnn_team team = {.size = threads, .awake = true, .calm = true};
    if (fits)
        *plan = backward ? crnn_plan_backward(&c.net, &c.batch, &team)
                         : crnn_plan_forward(&c.net, &c.batch, &team);
    Py_CLEAR(c.memory);
    return fits;
}

PyDoc_STRVAR(prefer_schedule_doc,
             "prefer_schedule(name, /)\n--\n\n"
             "Let calls of any size use this schedule where they can: 'rows', "
             "'directions',\n'layers', 'columns'; 'alone' leaves it to them again.");

static PyObject *prefer_schedule(PyObject *module, PyObject *name)
{
    (void)module;
    for (int s = CRNN_ALONE; s <= CRNN_COLUMNS && PyUnicode_Check(name); s++)
        if (PyUnicode_CompareWithASCIIString(name, schedule_names[s]) == 0) {
            atomic_store(&preferred, s);
            Py_RETURN_NONE;
        }
    return PyErr_Format(PyExc_ValueError, "there is no schedule %R", name);
}

PyDoc_STRVAR(plan_doc,
             "plan(network, x, threads, backward, /)\n--\n\n"
             "How a call with the array x, or its backward pass, is divided on so many "
             "threads:\n(schedule, threads, parts, rows of a part, steps of a span, "
             "packed, share of one thread's time).");

static PyObject *plan(PyObject *module, PyObject *args)
{
    const module_state *state = PyModule_GetState(module);
    PyObject *network, *x;
    Py_ssize_t threads;
    int backward;
    if (!PyArg_ParseTuple(args, "O!O!np:plan", state->network_type, &network,
                          &PyArray_Type, &x, &threads, &backward))
        return NULL;
    crnn_plan p;
    if (!plan_call((network_object *)network, (PyArrayObject *)x,
                   crnn_min((size_t)(threads > 0 ? threads : 1), CRNN_MAX_THREADS),
                   backward, &p))
        return NULL;
    return Py_BuildValue("snnnnNd", schedule_names[p.schedule], (Py_ssize_t)p.threads,
                         (Py_ssize_t)p.parts, (Py_ssize_t)p.part_rows,
                         (Py_ssize_t)p.span_steps, PyBool_FromLong(p.packed), p.share);
}

PyMethodDef schedule_functions[] = {
    {"prefer_schedule", prefer_schedule, METH_O, prefer_schedule_doc},
    {"plan", plan, METH_VARARGS, plan_doc},
    {0},
};
