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

static crnn_status forward(const pending_call *c, const crnn_team *team,
                           const crnn_watch *watch)
{
    if (c->ready && team->size == 1)
        return crnn_forward_run(c->ready, team, watch);
    _Alignas(CRNN_ALIGNMENT) char stack[STACK_SCRATCH];
    size_t bytes = sizeof stack;
    const crnn_plan plan = crnn_plan_forward(&c->net, &c->batch, team);
    crnn_division *call =
        crnn_forward_prepare(&c->net, &c->batch, &plan, stack, &bytes);
    if (call)
        return crnn_forward_run(call, team, watch);
    if (bytes == CRNN_TOO_BIG)
        return CRNN_OVERFLOW;
    void *scratch = crnn_borrow(bytes);
    if (!scratch)
        return CRNN_NO_MEMORY;
    const crnn_status status =
        crnn_forward(&c->net, &c->batch, &plan, team, watch, scratch);
    crnn_give_back(scratch);
    return status;
}

static crnn_status backward(const pending_call *c, const crnn_team *team,
                            const crnn_watch *watch)
{
    const crnn_gradients *g = c->gradients;
    const crnn_plan plan = crnn_plan_backward(&c->net, &c->batch, team);
    size_t bytes;
    crnn_status status = crnn_backward_scratch(&c->net, &c->batch, g, &plan, &bytes);
    if (status != CRNN_OK)
        return status;
    void *scratch = crnn_borrow(bytes);
    if (!scratch)
        return CRNN_NO_MEMORY;
    status = crnn_backward(&c->net, &c->batch, g, &plan, team, watch, scratch);
    crnn_give_back(scratch);
    return status;
}

/* Compute in the default floating-point environment; the caller finds his own again. */
static crnn_status compute_with(const pending_call *c, const crnn_team *team,
                                const crnn_watch *watch)
{
    const crnn_fpenv callers = crnn_fpenv_enter();
    const crnn_status status = (c->gradients ? backward : forward)(c, team, watch);
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

/* How many threads a call may use. */
static size_t threads_for(const pending_call *c, size_t work)
{
    const Py_ssize_t most = c->self->most_threads;
    if (work < TEAM_WORK && !preferred_schedule())
        return 1;
    return most > 0 ? (size_t)most : CRNN_MAX_THREADS;
}

crnn_status call_compute(const pending_call *c)
{
    const size_t work = crnn_forward_work(&c->net, &c->batch);
    if (work < RELEASE_WORK && !preferred_schedule())
        return compute_with(c, &(crnn_team){.size = 1}, NULL);
    /* A weak reference to an array makes NumPy refuse to resize it. */
    PyObject *const arrays[] = {c->x, c->h0, c->dy, c->dhn, c->out};
    enum { COUNT = sizeof arrays / sizeof *arrays };
    PyObject *weak[COUNT] = {NULL};
    bool held = true;
    for (size_t i = 0; i < COUNT && held; i++)
        held = !arrays[i] || (weak[i] = PyWeakref_NewRef(arrays[i], NULL));
    const crnn_status status =
        held ? compute_released(c, threads_for(c, work)) : CRNN_NO_MEMORY;
    for (size_t i = 0; i < COUNT; i++)
        Py_XDECREF(weak[i]);
    return status;
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
