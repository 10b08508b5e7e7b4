/*
 * compute.c - from prepared views to results: outputs, scratch memory, GIL, signals.
 */
#include <stdatomic.h>

#include "call.h"

/* Multiply-adds below which giving up the GIL costs more than it is worth: some 5 us.
 */
#define RELEASE_WORK ((size_t)1 << 18)
/* And below which no team helps. */
#define TEAM_WORK ((size_t)1 << 19)
/* Ctrl-C is answered within 100 ms; looking for it takes the GIL. */
#define SIGNAL_INTERVAL_NS 10000000
/* A small call's scratch memory: on the stack, which may be that of a thread with 64
 * KiB. */
#define STACK_SCRATCH 4096

const call_axes axes_of[] = {
    [TIME_FIRST] = {"TBI", "SBH", "TBF"}, [BATCH_FIRST] = {"BTI", "SBH", "BTF"},
    [UNBATCHED] = {"TI", "SH", "TF"},     [PACKED] = {"NI", "SBH", "NF"},
    [CELL] = {"BI", "BH", "BF"},          [UNBATCHED_CELL] = {"I", "H", "F"},
};

static crnn_activation activation_of(PyObject *mode)
{
    if (!mode || !PyUnicode_Check(mode))
        return CRNN_IDENTITY;
    return PyUnicode_CompareWithASCIIString(mode, "RNN_TANH") == 0   ? CRNN_TANH
           : PyUnicode_CompareWithASCIIString(mode, "RNN_RELU") == 0 ? CRNN_RELU
                                                                     : CRNN_IDENTITY;
}

call_layout call_layout_of(const network_object *self, int x_ndim)
{
    if (self->is_cell)
        return x_ndim == 1 ? UNBATCHED_CELL : CELL;
    if (x_ndim == 2)
        return UNBATCHED;
    return self->batch_first == Py_True ? BATCH_FIRST : TIME_FIRST;
}

void call_prepare(pending_call *c, const network_object *self, size_t variant,
                  call_layout layout)
{
    *c = (pending_call){
        .self = self,
        .memory = Py_NewRef(self->memory),
        .type_num = self->dtype == CRNN_F32 ? NPY_FLOAT : NPY_DOUBLE,
        .layout = layout,
        .net =
            {
                .kernels = crnn_variant(variant, self->dtype),
                .activation = activation_of(self->mode),
                .input_size = self->input_size,
                .hidden_size = self->hidden_size,
                .num_layers = self->num_layers,
                .num_directions = self->num_directions,
                .weights = self->weights,
            },
    };
    for (size_t i = 0; i < sizeof c->sizes.of / sizeof *c->sizes.of; i++)
        c->sizes.of[i] = UNBOUND;
    SIZE(&c->sizes, 'I') = self->input_size;
    SIZE(&c->sizes, 'H') = self->hidden_size;
    SIZE(&c->sizes, 'S') = self->num_layers * self->num_directions;
    SIZE(&c->sizes, 'F') = self->hidden_size * self->num_directions;
    if (self->is_cell)
        SIZE(&c->sizes, 'T') = 1;
    if (layout == UNBATCHED || layout == UNBATCHED_CELL)
        SIZE(&c->sizes, 'B') = 1;
}

bool call_can_read(const pending_call *c, const crnn_view *states)
{
    return states->stride[2] == (ptrdiff_t)(c->type_num == NPY_FLOAT ? 4 : 8) ||
           c->self->hidden_size == 1 || SIZE(&c->sizes, 'B') == 0;
}

typedef struct {
    PyThreadState *thread;
    unsigned long caller;
    bool handles_signals;
    uint64_t looked;
    atomic_bool raised;
} signal_watch;

/* crnn_watch.cancelled: let Python's signal handlers run now and then, on the caller's
 * thread; the others see what came of it. */
static bool interrupted(void *context)
{
    signal_watch *watch = context;
    if (atomic_load(&watch->raised) || !watch->handles_signals ||
        PyThread_get_thread_ident() != watch->caller)
        return atomic_load(&watch->raised);
    const uint64_t now = crnn_now();
    if (now - watch->looked < SIGNAL_INTERVAL_NS)
        return false;
    PyEval_RestoreThread(watch->thread);
    const bool raised = PyErr_CheckSignals() < 0;
    watch->thread = PyEval_SaveThread();
    watch->looked = crnn_now();
    atomic_store(&watch->raised, raised);
    return raised;
}

static crnn_status compute_planned(const pending_call *c, const crnn_team *team,
                                   const crnn_watch *watch)
{
    _Alignas(64) char stack[STACK_SCRATCH];
    const crnn_gradients *g = c->gradients;
    const crnn_plan plan = g ? crnn_plan_backward(&c->net, &c->batch, team)
                             : crnn_plan_forward(&c->net, &c->batch, team);
    size_t bytes;
    crnn_status status = g ? crnn_backward_scratch(&c->net, &c->batch, g, &plan, &bytes)
                           : crnn_forward_scratch(&c->net, &c->batch, &plan, &bytes);
    if (status != CRNN_OK)
        return status;
    void *scratch = bytes <= sizeof stack ? stack : crnn_alloc(bytes);
    if (!scratch)
        return CRNN_NO_MEMORY;
    status = g ? crnn_backward(&c->net, &c->batch, g, &plan, team, watch, scratch)
               : crnn_forward(&c->net, &c->batch, &plan, team, watch, scratch);
    if (scratch != stack)
        crnn_free(scratch);
    return status;
}

/* Compute in the default floating-point environment; the caller finds his own again. */
static crnn_status compute_with(const pending_call *c, const crnn_team *team,
                                const crnn_watch *watch)
{
    const crnn_fpenv callers = crnn_fpenv_enter();
    const crnn_status status = compute_planned(c, team, watch);
    crnn_fpenv_leave(callers);
    return status;
}

static crnn_status compute_released(const pending_call *c, size_t wanted)
{
    signal_watch context = {.caller = PyThread_get_thread_ident(),
                            .handles_signals = on_main_thread(),
                            .looked = crnn_now()};
    crnn_watch watch = {interrupted, &context};
    crnn_status status;
    team_loan loan;
    context.thread = PyEval_SaveThread();
    do { /* again, alone, in the child of a fork, where the others are gone */
        team_acquire(&loan, wanted, &watch);
        status = compute_with(c, &loan.team, &watch);
        wanted = 1;
    } while (!team_release(&loan));
    PyEval_RestoreThread(context.thread);
    return atomic_load(&context.raised) ? CRNN_CANCELLED : status;
}

crnn_status call_compute(const pending_call *c)
{
    const size_t work = crnn_forward_work(&c->net, &c->batch);
    if (work < RELEASE_WORK && !preferred_schedule())
        return compute_with(c, &(crnn_team){.size = 1}, NULL);
    /* A weak reference to an array makes NumPy refuse to resize it. */
    PyObject *const arrays[] = {c->x, c->h0, c->dy, c->dhn};
    PyObject *weak[4] = {NULL};
    bool held = true;
    for (size_t i = 0; i < 4 && held; i++)
        held = !arrays[i] || (weak[i] = PyWeakref_NewRef(arrays[i], NULL));
    const crnn_status status =
        held ? compute_released(
                   c, work < TEAM_WORK && !preferred_schedule() ? 1 : CRNN_MAX_THREADS)
             : CRNN_NO_MEMORY;
    for (size_t i = 0; i < 4; i++)
        Py_XDECREF(weak[i]);
    return status;
}

bool call_plan(const network_object *self, PyArrayObject *x, size_t threads,
               bool backward, crnn_plan *plan)
{
    if (!self->memory)
        return raise_uninitialised(self);
    const module_state *state = state_of(self);
    if (!state)
        return false;
    pending_call c;
    call_prepare(&c, self, state->variant, call_layout_of(self, PyArray_NDIM(x)));
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

PyObject *call_finish(pending_call *c)
{
    PyArrayObject *y = NULL, *hn = NULL;
    PyObject *result = NULL;
    c->batch.num_steps = SIZE(&c->sizes, 'T');
    c->batch.num_rows = SIZE(&c->sizes, 'B');
    y = array_new(c->type_num, axes_of[c->layout].y, &c->sizes,
                  c->batch.lengths && !c->batch.offsets, &c->batch.y);
    if (y && !c->self->is_cell)
        hn = array_new(c->type_num, axes_of[c->layout].states, &c->sizes, false,
                       &c->batch.hn);
    if (y && (hn || c->self->is_cell)) {
        const crnn_status status = call_compute(c);
        if (status != CRNN_OK)
            raise_status(status);
        else
            result = hn ? PyTuple_Pack(2, y, hn) : Py_NewRef((PyObject *)y);
    }
    Py_XDECREF(y);
    Py_XDECREF(hn);
    Py_CLEAR(c->memory);
    return result;
}
