/*
 * jobs.c - what the members of the team do together: jobs, barriers, waiting.
 *
 * The barrier is a dissemination barrier: in round r a member signals by raising its
 * own seat.arrived and waits for the signal of the member 2^r before it, so that after
 * log2(n) rounds each has heard of all.  For two members that is one flag each way.
 */
#define _GNU_SOURCE

#include "jobs.h"

#include <assert.h>
#include <time.h>

#include "cpus.h"
#include "machine.h"

/* A member waits for another, which may have slept or napped, then naps.  If it napped
 * sooner, the other would nap in waiting for it, and so on. */
#define BARRIER_SPIN_NS 200000u
#define END_SPIN_NS 100000u /* the caller waits for the last member, then naps */
#define IDLE_SPIN_NS 50000u /* a worker waits for a job, then sleeps */
#define LONGEST_NAP_NS 1000000u

/* The job: written by the caller before it is posted. */
static struct {
    void (*task)(void *argument, size_t i); /* NULL: end it */
    void *argument;
    const crnn_lease *lease;
    pthread_t caller;
    size_t members;
    size_t items;       /* of shared work; 0: every member has its own task */
    atomic_size_t next; /* the first item that nobody has taken */
} job;

crnn_seat crnn_seats[CRNN_MAX_THREADS];

static _Thread_local size_t member; /* the seat of this thread; 0 if it is no worker */
static atomic_uint forks;

/* Number of a barrier at which a member stalled, in the slot of its lowest bits. */
static atomic_uint stalled_at[4];
static uint64_t waited_ns; /* by the caller, beyond its spinning, in this lease */

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
    if (member == 0)
        waited_ns += waited;
    return waited;
}

bool crnn_team_barrier(void *context)
{
    crnn_lease *lease = context;
    if (lease->size == 1 || orphaned(lease))
        return true;
    const size_t n = job.members;
    crnn_seat *own = &crnn_seats[member];
    const unsigned number = ++own->barriers;
    uint64_t lost = 0;
    for (size_t step = 1; step < n; step *= 2) {
        const size_t other = member >= step ? member - step : member + n - step;
        const unsigned round =
            atomic_load_explicit(&own->arrived, memory_order_relaxed) + 1;
        atomic_store_explicit(&own->arrived, round, memory_order_release);
        lost += wait_for(&crnn_seats[other].arrived, round, BARRIER_SPIN_NS, lease);
    }
    if (lost > 0 && !orphaned(lease)) {
        atomic_store_explicit(&stalled_at[number % 4], number, memory_order_relaxed);
    }
    /* All have left the barrier before this one, and none can be three ahead. */
    const unsigned before = number - 1;
    return before == 0 || atomic_load_explicit(&stalled_at[before % 4],
                                               memory_order_relaxed) != before;
}

static void post(crnn_seat *to)
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

/* The system may run a worker on the CPU of another member, and takes milliseconds to
 * part them: longer than most calls. */
static void part_from_others(crnn_seat *own)
{
    int cpu = crnn_cpus_current(), taken[CRNN_MAX_THREADS];
    bool shared = false;
    for (size_t i = 0; i < member; i++) {
        taken[i] = atomic_load_explicit(&crnn_seats[i].cpu, memory_order_relaxed);
        shared |= taken[i] == cpu;
    }
    if (shared && cpu >= 0) {
        crnn_cpus_avoid(job.caller, taken, member);
        cpu = crnn_cpus_current();
    }
    atomic_store_explicit(&own->cpu, cpu, memory_order_relaxed);
}

/* This member's part of the job. */
static void work_on(const crnn_lease *lease)
{
    if (job.items == 0) {
        job.task(job.argument, member);
        return;
    }
    size_t item;
    while (!orphaned(lease) && (item = atomic_fetch_add(&job.next, 1)) < job.items)
        job.task(job.argument, item);
}

/* Whether this thread, the worker or the caller, is the one to raise taken. */
static bool take(crnn_seat *of, unsigned number)
{
    unsigned before = number - 1;
    return atomic_compare_exchange_strong(&of->taken, &before, number);
}

static void run_job(crnn_lease *lease, size_t n)
{
    job.lease = lease;
    job.caller = pthread_self();
    job.members = n;
    for (size_t i = 0; i < 4; i++)
        atomic_store_explicit(&stalled_at[i], 0, memory_order_relaxed);
    atomic_store_explicit(&crnn_seats[0].arrived, 0, memory_order_relaxed);
    crnn_seats[0].barriers = 0;
    atomic_store_explicit(&crnn_seats[0].cpu, crnn_cpus_current(),
                          memory_order_relaxed);
    for (size_t i = 1; i < n; i++)
        post(&crnn_seats[i]);
    work_on(lease);
    for (size_t i = 1; i < n && !orphaned(lease); i++) {
        const unsigned number =
            atomic_load_explicit(&crnn_seats[i].job, memory_order_relaxed);
        if (job.items == 0 || !take(&crnn_seats[i], number))
            wait_for(&crnn_seats[i].done, number, END_SPIN_NS, lease);
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

static void await_job(crnn_seat *own, unsigned number)
{
    if (spin(&own->job, number, IDLE_SPIN_NS))
        return;
    pthread_mutex_lock(&own->mutex);
    atomic_store(&own->asleep, true);
    /* Either this sees the job or post() sees the sleeper: both orders are total. */
    while ((int)(atomic_load(&own->job) - number) < 0)
        pthread_cond_wait(&own->wake, &own->mutex);
    atomic_store(&own->asleep, false);
    pthread_mutex_unlock(&own->mutex);
}

void *crnn_seat_work(void *argument)
{
    crnn_seat *own = argument;
    member = (size_t)(own - crnn_seats);
    crnn_fpenv_enter();
#ifdef __linux__
    pthread_setname_np(pthread_self(), "crnn");
#endif
    for (unsigned number = 1;; number++) {
        await_job(own, number);
        if (take(own, number)) {
            if (!job.task)
                return NULL;
            part_from_others(own);
            work_on(job.lease);
        }
        atomic_store_explicit(&own->done, number, memory_order_release);
    }
}

void crnn_seats_dismiss(size_t n)
{
    job.task = NULL;
    for (size_t i = 1; i <= n; i++)
        post(&crnn_seats[i]);
}

void crnn_jobs_orphan(void) { atomic_fetch_add(&forks, 1); }

unsigned crnn_jobs_forks(void) { return atomic_load(&forks); }

uint64_t crnn_jobs_waited(void)
{
    const uint64_t waited = waited_ns;
    waited_ns = 0;
    return waited;
}
