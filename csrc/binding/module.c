/*
 * module.c - the extension module crnn._core: exceptions, variants of the kernels,
 * hooks for tests.
 */
#define CRNN_IMPORTS_NUMPY
#include "binding.h"

module_state *state_of(const network_object *self)
{
    PyObject *module = PyType_GetModuleByDef(Py_TYPE(self), &crnn_module);
    return module ? PyModule_GetState(module) : NULL;
}

static bool usable(size_t variant)
{
    const crnn_kernels *kernels = crnn_variant(variant, CRNN_F32);
    return kernels && crnn_machine_has(crnn_isa(kernels));
}

PyDoc_STRVAR(
    isas_doc,
    "isas()\n--\n\nNames of the kernels that this machine can run, slowest first.");

static PyObject *isas(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    PyObject *names = PyList_New(0);
    for (size_t i = 0; names && crnn_variant(i, CRNN_F32); i++) {
        if (!usable(i))
            continue;
        PyObject *name = PyUnicode_FromString(crnn_isa(crnn_variant(i, CRNN_F32)));
        if (!name || PyList_Append(names, name) < 0)
            Py_CLEAR(names);
        Py_XDECREF(name);
    }
    if (!names)
        return NULL;
    PyObject *tuple = PyList_AsTuple(names);
    Py_DECREF(names);
    return tuple;
}

PyDoc_STRVAR(isa_doc, "isa()\n--\n\nThe name of the kernels that calls use.");

static PyObject *isa(PyObject *module, PyObject *unused)
{
    (void)unused;
    const module_state *state = PyModule_GetState(module);
    return PyUnicode_FromString(crnn_isa(crnn_variant(state->variant, CRNN_F32)));
}

PyDoc_STRVAR(set_isa_doc, "set_isa(name)\n--\n\nLet all calls use these kernels; "
                          "returns the name of the ones before.\n\n"
                          "ValueError if this machine cannot run them.");

static PyObject *set_isa(PyObject *module, PyObject *name)
{
    module_state *state = PyModule_GetState(module);
    const char *wanted = PyUnicode_AsUTF8(name);
    if (!wanted)
        return NULL;
    for (size_t i = 0; crnn_variant(i, CRNN_F32); i++)
        if (usable(i) && strcmp(wanted, crnn_isa(crnn_variant(i, CRNN_F32))) == 0) {
            PyObject *before = isa(module, NULL);
            state->variant = before ? i : state->variant;
            return before;
        }
    return PyErr_Format(PyExc_ValueError,
                        "this machine has no kernels %R; see crnn.isas()", name);
}

PyDoc_STRVAR(tanh_doc, "tanh(x)\n--\n\nThe kernels' tanh of a contiguous float32 or "
                       "float64 array, as a new array.");

static PyObject *tanh_of(PyObject *module, PyObject *arg)
{
    const module_state *state = PyModule_GetState(module);
    if (!(array_is_plain(arg, NPY_FLOAT) || array_is_plain(arg, NPY_DOUBLE)) ||
        !PyArray_IS_C_CONTIGUOUS((PyArrayObject *)arg)) {
        PyErr_SetString(PyExc_TypeError,
                        "x must be a contiguous numpy.ndarray of float32 or float64");
        return NULL;
    }
    PyArrayObject *x = (PyArrayObject *)arg;
    PyObject *y = PyArray_SimpleNew(PyArray_NDIM(x), PyArray_DIMS(x), PyArray_TYPE(x));
    if (!y)
        return NULL;
    const crnn_dtype dtype = PyArray_TYPE(x) == NPY_FLOAT ? CRNN_F32 : CRNN_F64;
    const crnn_fpenv callers = crnn_fpenv_enter();
    crnn_tanh(crnn_variant(state->variant, dtype), PyArray_DATA(x),
              PyArray_DATA((PyArrayObject *)y), (size_t)PyArray_SIZE(x));
    crnn_fpenv_leave(callers);
    return y;
}

PyDoc_STRVAR(
    fill_uniform_doc,
    "fill_uniform(raw, k, out)\n--\n\n"
    "Fill out, a contiguous 1-D float32 or float64 array, with values of U(-k, k) "
    "from\n"
    "raw, the generator's uint32 outputs: one for each float32, two for each float64.");

static PyObject *fill_uniform(PyObject *module, PyObject *args)
{
    (void)module;
    PyArrayObject *raw, *out;
    double k;
    if (!PyArg_ParseTuple(args, "O!dO!:fill_uniform", &PyArray_Type, &raw, &k,
                          &PyArray_Type, &out))
        return NULL;
    const bool single = PyArray_TYPE(out) == NPY_FLOAT;
    const npy_intp n = PyArray_SIZE(out);
    if (!(single || PyArray_TYPE(out) == NPY_DOUBLE) || !PyArray_ISCARRAY(out) ||
        PyArray_TYPE(raw) != NPY_UINT32 || !PyArray_ISCARRAY_RO(raw) ||
        PyArray_SIZE(raw) != (single ? n : 2 * n)) {
        PyErr_SetString(PyExc_TypeError, "raw and out do not fit");
        return NULL;
    }
    if (single)
        crnn_uniform_f32(PyArray_DATA(raw), (float)k, PyArray_DATA(out), (size_t)n);
    else
        crnn_uniform_f64(PyArray_DATA(raw), k, PyArray_DATA(out), (size_t)n);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    fail_allocation_doc,
    "fail_allocation(n, forever=False)\n--\n\n"
    "Let the n-th C allocation from now on fail, or all from there on; 0 ends it.");

static PyObject *fail_allocation(PyObject *module, PyObject *args, PyObject *kwargs)
{
    (void)module;
    static char *names[] = {"n", "forever", NULL};
    Py_ssize_t n;
    int forever = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "n|p:fail_allocation", names, &n,
                                     &forever))
        return NULL;
    crnn_fail_allocation(n > 0 ? (size_t)n : 0, forever);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(allocations_doc, "allocations()\n--\n\nHow many C allocations are alive.");

static PyObject *allocations(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return PyLong_FromSize_t(crnn_live_blocks());
}

static PyMethodDef functions[] = {
    {"isa", isa, METH_NOARGS, isa_doc},
    {"isas", isas, METH_NOARGS, isas_doc},
    {"set_isa", set_isa, METH_O, set_isa_doc},
    {"tanh", tanh_of, METH_O, tanh_doc},
    {"fill_uniform", fill_uniform, METH_VARARGS, fill_uniform_doc},
    {"fail_allocation", (PyCFunction)(void (*)(void))fail_allocation,
     METH_VARARGS | METH_KEYWORDS, fail_allocation_doc},
    {"allocations", allocations, METH_NOARGS, allocations_doc},
    {0},
};

/* An exception class with several bases, added to the module and kept in its state. */
static PyObject *add_error(PyObject *module, const char *name, const char *doc,
                           PyObject *bases)
{
    if (!bases)
        return NULL;
    PyObject *error = PyErr_NewExceptionWithDoc(name, doc, bases, NULL);
    Py_DECREF(bases);
    if (error && PyModule_AddObjectRef(module, strrchr(name, '.') + 1, error) < 0)
        Py_CLEAR(error);
    return error;
}

static int execute(PyObject *module)
{
    if (PyArray_ImportNumPyAPI() < 0)
        return -1;
    module_state *state = PyModule_GetState(module);
    for (size_t i = 0; crnn_variant(i, CRNN_F32); i++)
        if (usable(i))
            state->variant = i;
    state->forward = PyUnicode_InternFromString("forward");
    state->input = PyUnicode_InternFromString("input");
    state->hx = PyUnicode_InternFromString("hx");
    if (!state->forward || !state->input || !state->hx)
        return -1;
    state->shape_error = add_error(
        module, "crnn.ShapeError",
        "An array, size or length does not fit the network or another argument.\n\n"
        "Both a RuntimeError, as torch raises, and a ValueError.",
        PyTuple_Pack(2, PyExc_RuntimeError, PyExc_ValueError));
    state->dtype_error = add_error(
        module, "crnn.DTypeError",
        "An array's dtype is not one that the call can take without changing "
        "numbers.\n\n"
        "A TypeError, and also a ValueError and RuntimeError, as torch raises.",
        PyTuple_Pack(3, PyExc_TypeError, PyExc_ValueError, PyExc_RuntimeError));
    state->network_type = PyType_FromModuleAndSpec(module, &network_spec, NULL);
    state->tape_type = PyType_FromModuleAndSpec(module, &tape_spec, NULL);
    state->stream_type = PyType_FromModuleAndSpec(module, &stream_spec, NULL);
    if (!state->shape_error || !state->dtype_error || !state->network_type ||
        !state->tape_type || !state->stream_type)
        return -1;
    if (PyModule_AddFunctions(module, dlpack_functions) < 0 ||
        PyModule_AddFunctions(module, thread_functions) < 0 ||
        PyModule_AddFunctions(module, schedule_functions) < 0)
        return -1;
    if (PyModule_AddObjectRef(module, "Tape", state->tape_type) < 0 ||
        PyModule_AddObjectRef(module, "Stream", state->stream_type) < 0)
        return -1;
    return PyModule_AddObjectRef(module, "Network", state->network_type);
}

static int traverse(PyObject *module, visitproc visit, void *arg)
{
    const module_state *state = PyModule_GetState(module);
    Py_VISIT(state->shape_error);
    Py_VISIT(state->dtype_error);
    Py_VISIT(state->network_type);
    Py_VISIT(state->tape_type);
    Py_VISIT(state->stream_type);
    Py_VISIT(state->forward);
    Py_VISIT(state->input);
    Py_VISIT(state->hx);
    return 0;
}

static int clear(PyObject *module)
{
    module_state *state = PyModule_GetState(module);
    Py_CLEAR(state->shape_error);
    Py_CLEAR(state->dtype_error);
    Py_CLEAR(state->network_type);
    Py_CLEAR(state->tape_type);
    Py_CLEAR(state->stream_type);
    Py_CLEAR(state->forward);
    Py_CLEAR(state->input);
    Py_CLEAR(state->hx);
    return 0;
}

static void release(void *module) { clear(module); }

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, SLOT(execute)},
#ifdef Py_mod_multiple_interpreters
    /* NumPy itself refuses to be imported there. */
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0},
};

struct PyModuleDef crnn_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "crnn._core",
    .m_doc = "The C core of crnn: a network of Elman cells on NumPy arrays.",
    .m_size = sizeof(module_state),
    .m_methods = functions,
    .m_slots = slots,
    .m_traverse = traverse,
    .m_clear = clear,
    .m_free = release,
};

PyMODINIT_FUNC PyInit__core(void) { return PyModuleDef_Init(&crnn_module); }
