/*
 * threads.c - the team that a call borrows; functions of the module on threads.
 */
#include <stdatomic.h>

#include "binding.h"

static _Atomic(unsigned long) main_thread;

bool on_main_thread(void)
{
    return PyThread_get_thread_ident() == atomic_load(&main_thread);
}

PyDoc_STRVAR(set_main_thread_doc,
             "set_main_thread(ident, /)\n--\n\nName the thread that runs signal "
             "handlers; calls on others do not look for signals.");

static PyObject *set_main_thread(PyObject *module, PyObject *number)
{
    (void)module;
    const unsigned long ident = PyLong_AsUnsignedLong(number);
    if (PyErr_Occurred())
        return NULL;
    atomic_store(&main_thread, ident);
    Py_RETURN_NONE;
}

static bool ask_watch(void *context)
{
    const crnn_watch *watch = context;
    return watch->cancelled(watch->context);
}

void team_acquire(team_loan *loan, size_t wanted, crnn_watch *watch)
{
    loan->lease = crnn_team_acquire(wanted);
    loan->lease.idle = watch ? ask_watch : NULL;
    loan->lease.context = watch;
    loan->team = (crnn_team){
        .size = loan->lease.size,
        .awake = loan->lease.awake,
        .calm = loan->lease.calm,
        .meeting_ns = loan->lease.meeting_ns,
        .preferred = preferred_schedule(),
        .share = crnn_team_share,
        .run = crnn_team_run,
        .barrier = crnn_team_barrier,
        .context = &loan->lease,
    };
}

bool team_release(team_loan *loan)
{
    loan->team.size = 1;
    return crnn_team_release(&loan->lease);
}

/* A count from Python: too large ones are the largest, negative ones an error. */
static bool count_of(PyObject *number, size_t *n)
{
    int overflow;
    const long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
    if (value == -1 && PyErr_Occurred())
        return false;
    if (overflow < 0 || (overflow == 0 && value < 0)) {
        PyErr_SetString(PyExc_ValueError, "a number of threads cannot be negative");
        return false;
    }
    *n = overflow ? SIZE_MAX : (size_t)value;
    return true;
}

PyDoc_STRVAR(set_num_threads_doc,
             "set_num_threads(n, /)\n--\n\n"
             "Let calls use up to n threads, with 0 as many as CPUs; returns the "
             "setting before.");

static PyObject *set_num_threads(PyObject *module, PyObject *number)
{
    (void)module;
    size_t n;
    return count_of(number, &n) ? PyLong_FromSize_t(crnn_team_set_limit(n)) : NULL;
}

PyDoc_STRVAR(get_num_threads_doc, "get_num_threads()\n--\n\nHow many threads a call of "
                                  "this thread may use now.");

static PyObject *get_num_threads(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return PyLong_FromSize_t(crnn_team_limit());
}

PyDoc_STRVAR(
    fail_thread_doc,
    "fail_thread(n, /)\n--\n\nLet the n-th thread creation from now on and all "
    "later ones fail; 0 ends it.");

static PyObject *fail_thread(PyObject *module, PyObject *number)
{
    (void)module;
    size_t n;
    if (!count_of(number, &n))
        return NULL;
    crnn_fail_thread(n);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(assume_cpus_doc, "assume_cpus(n, /)\n--\n\nTake n for the number of CPUs "
                              "that calls may use; 0 ends it.");

static PyObject *assume_cpus(PyObject *module, PyObject *number)
{
    (void)module;
    size_t n;
    if (!count_of(number, &n))
        return NULL;
    crnn_assume_cpus(n);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(cpu_quota_doc, "cpu_quota(root, /)\n--\n\nCPUs that the control groups "
                            "under this root directory grant, or None.");

static PyObject *cpu_quota(PyObject *module, PyObject *root)
{
    (void)module;
    const char *path = PyUnicode_AsUTF8(root);
    if (!path)
        return NULL;
    const size_t quota = crnn_cpus_quota(path);
    return quota == SIZE_MAX ? Py_NewRef(Py_None) : PyLong_FromSize_t(quota);
}

PyDoc_STRVAR(stop_team_doc,
             "stop_team()\n--\n\nEnd the threads that calls share; False "
             "while a call has them.");

static PyObject *stop_team(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    bool stopped;
    Py_BEGIN_ALLOW_THREADS
    stopped = crnn_team_stop();
    Py_END_ALLOW_THREADS
    return PyBool_FromLong(stopped);
}

/* What the members of run_team() share. */
typedef struct {
    const crnn_team *team;
    size_t rounds;
    struct {
        size_t round, right, quick; /* begun; seen right; not reported as stalled */
    } *of;
} drill;

/* Each member announces its round, and finds all others in it. */
static void drill_member(void *argument, size_t i)
{
    const drill *d = argument;
    for (size_t round = 1; round <= d->rounds; round++) {
        d->of[i].round = round;
        d->of[i].quick += d->team->barrier(d->team->context);
        size_t same = 0;
        for (size_t j = 0; j < d->team->size; j++)
            same += d->of[j].round == round;
        d->of[i].right += same == d->team->size;
        d->of[i].quick += d->team->barrier(d->team->context);
    }
}

PyDoc_STRVAR(
    run_team_doc,
    "run_team(n, rounds, /)\n--\n\nLet up to n threads meet in this many "
    "rounds.\n\nFor each that came: the rounds in which it saw all others, and "
    "its barriers, two a\nround, that were not reported as stalled.");

static PyObject *run_team(PyObject *module, PyObject *args)
{
    (void)module;
    Py_ssize_t n, rounds;
    if (!PyArg_ParseTuple(args, "nn:run_team", &n, &rounds))
        return NULL;
    team_loan loan;
    drill d = {&loan.team, rounds > 0 ? (size_t)rounds : 0, NULL};
    PyThreadState *thread = PyEval_SaveThread();
    team_acquire(&loan, n > 0 ? (size_t)n : 1, NULL);
    const size_t size = loan.team.size;
    d.of = crnn_alloc(size * sizeof *d.of);
    if (d.of) {
        memset(d.of, 0, size * sizeof *d.of);
        loan.team.run(loan.team.context, size, drill_member, &d);
    }
    team_release(&loan);
    PyEval_RestoreThread(thread);
    if (!d.of)
        return PyErr_NoMemory();
    PyObject *members = PyTuple_New((Py_ssize_t)size);
    for (size_t i = 0; members && i < size; i++) {
        PyObject *pair =
            Py_BuildValue("nn", (Py_ssize_t)d.of[i].right, (Py_ssize_t)d.of[i].quick);
        if (pair)
            PyTuple_SET_ITEM(members, (Py_ssize_t)i, pair);
        else
            Py_CLEAR(members);
    }
    crnn_free(d.of);
    return members;
}

PyMethodDef thread_functions[] = {
    {"set_num_threads", set_num_threads, METH_O, set_num_threads_doc},
    {"get_num_threads", get_num_threads, METH_NOARGS, get_num_threads_doc},
    {"fail_thread", fail_thread, METH_O, fail_thread_doc},
    {"assume_cpus", assume_cpus, METH_O, assume_cpus_doc},
    {"cpu_quota", cpu_quota, METH_O, cpu_quota_doc},
    {"stop_team", stop_team, METH_NOARGS, stop_team_doc},
    {"set_main_thread", set_main_thread, METH_O, set_main_thread_doc},
    {"run_team", run_team, METH_VARARGS, run_team_doc},
    {0},
};
