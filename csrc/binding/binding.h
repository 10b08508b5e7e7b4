/*
 * binding.h - what the files of the binding share: module state, the network object,
 * views of arrays.
 *
 * The binding joins Python and the core.  A call parses its arguments, checks whatever
 * could make the core read or write wrong memory, copies pointers, shapes and strides,
 * and only then releases the GIL; the core touches no Python object.  What users can
 * get wrong in words is said by the Python classes.
 */
#ifndef CRNN_BINDING_H
#define CRNN_BINDING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <stdatomic.h>

#define NPY_NO_DEPRECATED_API NPY_1_7_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL crnn_array_api
#ifndef CRNN_IMPORTS_NUMPY
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>
#undef I /* the imaginary unit of <complex.h>; here it is a size */

#include "../core/crnn.h"
#include "../runtime/cpus.h"
#include "../runtime/machine.h"
#include "../runtime/memory.h"
#include "../runtime/team.h"

#ifndef Py_BEGIN_CRITICAL_SECTION /* before Python 3.13 the GIL is enough */
#define Py_BEGIN_CRITICAL_SECTION(op) {
#define Py_END_CRITICAL_SECTION() }
#define Py_BEGIN_CRITICAL_SECTION2(a, b) {
#define Py_END_CRITICAL_SECTION2() }
#endif

/* A function where the C API wants an object pointer, which ISO C does not convert. */
#define SLOT(function) ((void *)(uintptr_t)(function))

typedef struct {
    PyObject *shape_error;
    PyObject *dtype_error;
    PyObject *network_type;
    PyObject *tape_type;
    PyObject *stream_type;
    PyObject *forward, *input, *hx; /* "forward", "input", "hx" */
    atomic_size_t variant;          /* of the kernels that calls use */
} module_state;

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *training, *dropout, *mode, *batch_first; /* read at every call */
    crnn_activation activation; /* that mode names, or CRNN_IDENTITY */
    PyObject *memory;           /* capsule that owns weights; NULL at first */
    size_t memory_bytes;
    const crnn_weights *weights; /* [L*D] */
    crnn_dtype dtype;
    size_t input_size, hidden_size, num_layers, num_directions;
    Py_ssize_t most_threads; /* for a call; 0: as many as there are */
    char is_cell;            /* arrays without a time axis, one output */
    char is_direct;          /* forward() is not overridden */
    char is_borrowed; /* parameters are arrays of others, as torch lays them out */
} network_object;

extern struct PyModuleDef crnn_module;

module_state *state_of(const network_object *self);

/* errors.c: set the exception that says a status, or that an object was not
 * initialised; always return NULL. */
PyObject *raise_status(crnn_status status);
PyObject *raise_uninitialised(const PyObject *self);

/* network.c: parameters and attributes. */
extern PyType_Spec network_spec;

/* parameters.c: the block of memory that they live in. */
PyObject *network_allocate(PyObject *self, PyObject *args);
PyObject *network_borrow(PyObject *self, PyObject *args);
extern const char network_allocate_doc[], network_borrow_doc[];

/* A copy of parameters as they are now, all in this block of so many bytes; the table
 * of weights in it, whose count is given. */
PyObject *parameters_snapshot(PyObject *memory, size_t bytes, size_t count,
                              const crnn_weights **weights);

/* dlpack.c: arrays of the memory of tensors; functions of the module. */
extern PyMethodDef dlpack_functions[];

/* tape.c: calls that can be backpropagated. */
extern PyType_Spec tape_spec;
PyObject *network_record(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *network_record_directly(PyObject *self, PyObject *const *args,
                                  Py_ssize_t count);
extern const char network_record_doc[], network_record_directly_doc[];

/* stream.c: a network that goes on, step by step. */
extern PyType_Spec stream_spec;

/* call.c, run.c: from arrays to arrays. */
PyObject *network_call(PyObject *self, PyObject *const *args, size_t count,
                       PyObject *names);
PyObject *network_run(PyObject *self, PyObject *args, PyObject *kwargs);

/*
 * threads.c: the team that a call borrows, and functions of the module.
 *
 *     team_loan loan;
 *     team_acquire(&loan, crnn_team_limit(), &watch);
 *     status = crnn_forward(..., &loan.team, ...);
 *     if (!team_release(&loan))   (a forked child, whose other members are gone)
 *         compute anew, alone;
 *
 * No step needs the GIL or a thread state; release before taking the GIL again, which
 * ends a daemon thread while the interpreter exits.
 */
typedef struct {
    crnn_team team; /* for the core; of size 1 if the team has another user */
    crnn_lease lease;
} team_loan;

/* Borrow up to wanted threads.  While the caller waits for others it asks the watch, if
 * there is one, until that returns true. */
void team_acquire(team_loan *loan, size_t wanted, crnn_watch *watch);
bool team_release(team_loan *loan);

/*
 * Whether this thread runs Python's signal handlers.  No other may take the GIL in the
 * midst of a call: while the interpreter exits, that ends a daemon thread or never
 * returns, and the members of its team still use its stack.
 */
bool on_main_thread(void);

extern PyMethodDef thread_functions[];

/* schedules.c: for tests, the schedule that calls of any size shall use, or CRNN_ALONE;
 * functions of the module. */
crnn_schedule preferred_schedule(void);

extern PyMethodDef schedule_functions[];

/*
 * axes.c: arrays described by the letters of their axes: T time, B batch, I input, H
 * hidden, S = L*D states, F = D*H features, N rows of a packed batch.
 */
typedef struct {
    size_t of[26]; /* by letter; UNBOUND until an array binds it */
} axis_sizes;

#define UNBOUND SIZE_MAX
#define SIZE(sizes, letter) ((sizes)->of[(letter) - 'A'])

/* The i-th of int64 numbers along an axis, read once: another thread may write it. */
static inline int64_t view_int64(const crnn_view *view, int axis, size_t i)
{
    return *(const volatile int64_t *)(view->data + (ptrdiff_t)i * view->stride[axis]);
}

/* Whether the core can read the array in place: a plain one of this dtype, native and
 * aligned. */
bool array_is_plain(PyObject *array, int type_num);

/* Give the view of an array; the axis that contradicts the sizes, ndim for a wrong
 * rank, or -1 when it fits. */
int array_bind(PyArrayObject *array, const char *axes, axis_sizes *sizes,
               crnn_view *view);

/* The same, for arguments that nobody has checked: false with an exception that names
 * the array and the axis. */
bool array_require(PyObject *array, const char *name, int type_num, const char *axes,
                   axis_sizes *sizes, crnn_view *view);

/* A new C-contiguous array with these axes, zero or not initialised, and its view. */
PyArrayObject *array_new(int type_num, const char *axes, const axis_sizes *sizes,
                         bool zero, crnn_view *view);

#endif
