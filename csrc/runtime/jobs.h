/*
 * jobs.h - the seats of the team's members, and what ties them to a job.
 *
 * The caller posts a job by raising seat.job, the worker begins it by raising
 * seat.taken and ends it by raising seat.done to the same number; in between only the
 * two of them look at the seat's line, and a worker without a seat in a job is not
 * disturbed. Shared work whose items have all been done by others is called off by the
 * caller, who raises seat.taken first: a worker that did not get a processor in time
 * holds nobody up.
 */
#ifndef CRNN_JOBS_H
#define CRNN_JOBS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "team.h"

typedef struct {
    _Alignas(128) atomic_uint job; /* number of the last job posted */
    atomic_uint taken;             /* of the last one begun, or called off */
    atomic_uint done;              /* and of the last one ended */
    atomic_uint arrived;           /* barrier rounds signalled in this job */
    unsigned barriers;             /* begun in this job; the member's own */
    atomic_int cpu;                /* that the member began its last job on */
    atomic_bool asleep;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
} crnn_seat;

extern crnn_seat crnn_seats[CRNN_MAX_THREADS]; /* 0 is the caller's */

/* The main function of the thread with this seat. */
void *crnn_seat_work(void *seat);

/* Let the threads of seats 1 .. n end. */
void crnn_seats_dismiss(size_t n);

/* In a forked child: jobs that were running have lost their other members. */
void crnn_jobs_orphan(void);

/* How often that happened: what crnn_lease.forks is compared with. */
unsigned crnn_jobs_forks(void);

/* Nanoseconds that the caller has waited for members, but for some spinning, since the
 * last time this was asked. */
uint64_t crnn_jobs_waited(void);

#endif
