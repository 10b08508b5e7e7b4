/*
 * workers.c - the threads of the team: how they come and go.
 */
#define _GNU_SOURCE

#include "workers.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>

#include "jobs.h"
#include "team.h"

#define STACK_BYTES ((size_t)256 << 10)

static size_t started; /* seats 1 .. started have a thread */
static atomic_size_t creations_left = SIZE_MAX;

static bool create(crnn_seat *to)
{
    const size_t left = atomic_load(&creations_left);
    if (left == 0)
        return false;
    if (left != SIZE_MAX)
        atomic_store(&creations_left, left - 1);
    *to = (crnn_seat){.mutex = PTHREAD_MUTEX_INITIALIZER,
                      .wake = PTHREAD_COND_INITIALIZER};
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    const bool done = pthread_create(&to->thread, &attributes, crnn_seat_work, to) == 0;
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
    while (started < n && create(&crnn_seats[started + 1]))
        started++;
    pthread_sigmask(SIG_SETMASK, &callers, NULL);
    return started;
}

void crnn_workers_stop(void)
{
    crnn_seats_dismiss(started);
    for (; started > 0; started--)
        pthread_join(crnn_seats[started].thread, NULL);
}

void crnn_workers_forget(void)
{
    started = 0;
    crnn_jobs_orphan();
}

void crnn_workers_pin(const crnn_cpus *cpus)
{
    for (size_t i = 1; i <= started; i++)
        crnn_cpus_pin(crnn_seats[i].thread, cpus);
}

bool crnn_workers_awake(size_t n)
{
    for (size_t i = 1; i <= n; i++)
        if (atomic_load_explicit(&crnn_seats[i].asleep, memory_order_relaxed))
            return false;
    return true;
}

void crnn_fail_thread(size_t n) { atomic_store(&creations_left, n ? n - 1 : SIZE_MAX); }
