/*
 * workers.c - the threads of the team: jobs, barriers, waiting.
 *
 * Every member has a seat.  The caller posts a job by raising seat.job, the worker
 * begins it by raising seat.taken and ends it by raising seat.done to the same number;
 * in between only the two of them look at the seat's line, and a worker without a seat
 * in a job is not disturbed.  Shared work whose items have all been done by others is
 * called off by the caller, who raises seat.taken first: a worker that did not get a
 * processor in time holds nobody up.
 *
 * The barrier is a dissemination barrier: in round r a member signals by raising its
 * own seat.arrived and waits for the signal of the member 2^r before it, so that after
 * log2(n) rounds each has heard of all.  For two members that is one flag each way.
 */
#define _GNU_SOURCE

#include "workers.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

#include "machine.h"
#include "team.h"

#define BARRIER_SPIN_NS                                                                \
    20000u                  /* of a member that waits for another, before it naps      \
                             */
#define END_SPIN_NS 100000u /* of the caller when the others have more to do */
#define IDLE_SPIN_NS 50000u /* of a worker without a job, before it sleeps */
#define LONGEST_NAP_NS 1000000u
#define STACK_BYTES ((size_t)256 << 10)

typedef struct {
    _Alignas(128) atomic_uint job; /* number of the last job posted */
    atomic_uint taken;             /* of the last one begun, or called off */
    atomic_uint done;              /* and of the last one ended */
    atomic_uint arrived;           /* barrier rounds signalled in this job */
    unsigned barriers;             /* begun in this job; the member's own */
    atomic_bool asleep;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
} seat;

/* The job: written by the caller before it is posted. */
static struct {
    void (*task)(void *argument, size_t i); /* NULL: end the thread */
    void *argument;
    size_t members;
    size_t items;       /* of shared work; 0: every member has its own task */
    atomic_size_t next; /* the first item that nobody has taken */
} job;

static seat seats[CRNN_MAX_THREADS]; /* 0 is the caller's */
static size_t started;               /* workers: seats 1 .. started */
static _Thread_local size_t member;  /* the seat of this thread; 0 if it is no worker */
static atomic_uint forks;
static atomic_size_t creations_left = SIZE_MAX;

/* Number of a barrier at which a member stalled, in the slot of its lowest bits. */
static atomic_uint stalled_at[4];
static _Atomic uint64_t stalled_ns; /* the sum over members, in this lease */

static void pause_cpu(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

/* Whether a counter, which may wrap, has come to this number. */
static bool reached(const atomic_uint *counter, unsigned number)
{
    return (int)(atomic_load_explicit(counter, memory_order_acquire) - number) >= 0;
}

/* Look some 64 times: about a microsecond. */
static bool look(const atomic_uint *counter, unsigned number)
{
    for (int i = 0; i < 64; i++) {
        if (reached(counter, number))
            return true;
        pause_cpu();
    }
    return false;
}

static bool spin(const atomic_uint *counter, unsigned number, uint64_t limit)
{
    if (look(counter, number))
        return true;
    for (const uint64_t end = crnn_now() + limit; crnn_now() < end;)
        if (look(counter, number))
            return true;
    return false;
}

static bool orphaned(const crnn_lease *lease)
{
    return lease->forks != atomic_load_explicit(&forks, memory_order_relaxed);
}

/* Wait for another member; nanoseconds beyond the spinning, 0 if that was enough. */
static uint64_t wait_for(const atomic_uint *counter, unsigned number, uint64_t spin_ns,
                         crnn_lease *lease)
{
    if (spin(counter, number, spin_ns))
        return 0;
    const uint64_t start = crnn_now();
    uint64_t waited = 1;
    while (!reached(counter, number) && !orphaned(lease)) {
        /* On a busy machine a nap lets the other one move to this CPU, which a yield
         * does not.  Naps grow with the wait: none lengthens it by more than a part. */
        const uint64_t nap = waited / 8;
        const long ns = (long)(nap < LONGEST_NAP_NS ? nap : LONGEST_NAP_NS);
        nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
        if (member == 0 && lease->idle && lease->idle(lease->context))
            lease->idle = NULL;
        waited = crnn_now() - start + 1;
    }
    return waited;
}

bool crnn_team_barrier(void *context)
{
    crnn_lease *lease = context;
    if (lease->size == 1 || orphaned(lease))
        return true;
    const size_t n = job.members;
    seat *own = &seats[member];
    const unsigned number = ++own->barriers;
    uint64_t lost = 0;
    for (size_t step = 1; step < n; step *= 2) {
        const size_t other = member >= step ? member - step : member + n - step;
        const unsigned round =
            atomic_load_explicit(&own->arrived, memory_order_relaxed) + 1;
        atomic_store_explicit(&own->arrived, round, memory_order_release);
        lost += wait_for(&seats[other].arrived, round, BARRIER_SPIN_NS, lease);
    }
    /* A worker may come late to the first barrier because it slept. */
    if (lost > 0 && number > 1 && !orphaned(lease)) {
        atomic_store_explicit(&stalled_at[number % 4], number, memory_order_relaxed);
        atomic_fetch_add_explicit(&stalled_ns, lost, memory_order_relaxed);
    }
    /* All have left the barrier before this one, and none can be three ahead. */
    const unsigned before = number - 1;
    return before == 0 || atomic_load_explicit(&stalled_at[before % 4],
                                               memory_order_relaxed) != before;
}

static void post(seat *to)
{
    atomic_store_explicit(&to->arrived, 0, memory_order_relaxed);
    to->barriers = 0;
    atomic_fetch_add(&to->job, 1);
    if (atomic_load(&to->asleep)) {
        pthread_mutex_lock(&to->mutex);
        pthread_cond_signal(&to->wake);
        pthread_mutex_unlock(&to->mutex);
    }
}

/* A member's part of the job. */
static void work_on(size_t i)
{
    if (job.items == 0) {
        job.task(job.argument, i);
        return;
    }
    size_t item;
    while ((item = atomic_fetch_add(&job.next, 1)) < job.items)
        job.task(job.argument, item);
}

/* Whether this thread, the worker or the caller, is the one to raise taken. */
static bool take(seat *of, unsigned number)
{
    unsigned before = number - 1;
    return atomic_compare_exchange_strong(&of->taken, &before, number);
}

static void run_job(crnn_lease *lease, size_t n)
{
    job.members = n;
    for (size_t i = 0; i < 4; i++)
        atomic_store_explicit(&stalled_at[i], 0, memory_order_relaxed);
    atomic_store_explicit(&seats[0].arrived, 0, memory_order_relaxed);
    seats[0].barriers = 0;
    for (size_t i = 1; i < n; i++)
        post(&seats[i]);
    work_on(0);
    for (size_t i = 1; i < n && !orphaned(lease); i++) {
        const unsigned number =
            atomic_load_explicit(&seats[i].job, memory_order_relaxed);
        if (job.items == 0 || !take(&seats[i], number))
            wait_for(&seats[i].done, number, END_SPIN_NS, lease);
    }
}

void crnn_team_run(void *context, size_t n, void (*task)(void *argument, size_t i),
                   void *argument)
{
    crnn_lease *lease = context;
    assert(1 <= n && n <= lease->size);
    if (lease->size == 1) {
        task(argument, 0);
    } else if (!orphaned(lease)) {
        job.task = task;
        job.argument = argument;
        job.items = 0;
        run_job(lease, n);
    }
}

void crnn_team_share(void *context, size_t n, void (*task)(void *argument, size_t i),
                     void *argument)
{
    crnn_lease *lease = context;
    if (lease->size == 1) {
        for (size_t i = 0; i < n; i++)
            task(argument, i);
    } else if (!orphaned(lease) && n > 0) {
        job.task = task;
        job.argument = argument;
        job.items = n;
        atomic_store(&job.next, 0);
        run_job(lease, n < lease->size ? n : lease->size);
    }
}

static void await_job(seat *own, unsigned number)
{
    if (spin(&own->job, number, IDLE_SPIN_NS))
        return;
    pthread_mutex_lock(&own->mutex);
    atomic_store(&own->asleep, true);
    /* Either this sees the job or post() sees the sleeper: both orders are total. */
    while (!reached(&own->job, number))
        pthread_cond_wait(&own->wake, &own->mutex);
    atomic_store(&own->asleep, false);
    pthread_mutex_unlock(&own->mutex);
}

static void *work(void *argument)
{
    seat *own = argument;
    member = (size_t)(own - seats);
    crnn_fpenv_enter();
#ifdef __linux__
    pthread_setname_np(pthread_self(), "crnn");
#endif
    for (unsigned number = 1;; number++) {
        await_job(own, number);
        if (take(own, number)) {
            if (!job.task)
                return NULL;
            work_on(member);
        }
        atomic_store_explicit(&own->done, number, memory_order_release);
    }
}

static bool create(seat *to)
{
    const size_t left = atomic_load(&creations_left);
    if (left == 0)
        return false;
    if (left != SIZE_MAX)
        atomic_store(&creations_left, left - 1);
    *to = (seat){.mutex = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    const bool done = pthread_create(&to->thread, &attributes, work, to) == 0;
    pthread_attr_destroy(&attributes);
    return done;
}

size_t crnn_workers_start(size_t n)
{
    if (n > CRNN_MAX_THREADS - 1)
        n = CRNN_MAX_THREADS - 1;
    if (started >= n)
        return started;
    /* The process's signals are for its other threads.  Those of a fault must come
     * through: blocked, they would end the process without a word from faulthandler. */
    sigset_t all, callers;
    sigfillset(&all);
    const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigdelset(&all, faults[i]);
    pthread_sigmask(SIG_SETMASK, &all, &callers);
    while (started < n && create(&seats[started + 1]))
        started++;
    pthread_sigmask(SIG_SETMASK, &callers, NULL);
    return started;
}

void crnn_workers_stop(void)
{
    job.task = NULL;
    for (size_t i = 1; i <= started; i++)
        post(&seats[i]);
    for (; started > 0; started--)
        pthread_join(seats[started].thread, NULL);
}

void crnn_workers_forget(void)
{
    started = 0;
    atomic_fetch_add(&forks, 1);
}

unsigned crnn_workers_forks(void) { return atomic_load(&forks); }

void crnn_workers_pin(const crnn_cpus *cpus)
{
    for (size_t i = 1; i <= started; i++)
        crnn_cpus_pin(seats[i].thread, cpus);
}

bool crnn_workers_awake(size_t n)
{
    for (size_t i = 1; i <= n; i++)
        if (atomic_load_explicit(&seats[i].asleep, memory_order_relaxed))
            return false;
    return true;
}

uint64_t crnn_workers_stalls(bool *had_barriers)
{
    *had_barriers = seats[0].barriers > 0;
    return atomic_exchange(&stalled_ns, 0);
}

void crnn_fail_thread(size_t n) { atomic_store(&creations_left, n ? n - 1 : SIZE_MAX); }
