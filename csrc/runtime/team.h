/*
 * team.h - threads that one call at a time may borrow.
 *
 * The team belongs to the process.  Its threads start when a call first asks for them,
 * spin a little after each job and then sleep.  A call that finds it taken, by another
 * thread or by a call further up its own stack, computes alone: nothing ever queues.
 *
 * fork: an idle team is ended before and started again by the next call, on either
 * side.  A fork in the midst of a call leaves the child without those threads; see
 * crnn_team_release().
 */
#ifndef CRNN_TEAM_H
#define CRNN_TEAM_H

#include <stdbool.h>
#include <stddef.h>

/* Threads, the caller's included, that no setting exceeds. */
#define CRNN_MAX_THREADS ((size_t)1024)

typedef struct {
    size_t size; /* members: 1 is the caller alone */
    bool awake;  /* no member sleeps, or calls follow so soon that to wake one pays */
    bool calm;   /* of late no call has lost by waiting for members */
    unsigned meeting_ns; /* what a barrier took of late, 0: not known */
    unsigned forks;      /* how often the process had been forked when this began */
    /* NULL, or what the caller does again and again, each millisecond at least, while
     * it waits for a member that is slow, until it returns true. */
    bool (*idle)(void *context);
    void *context;
} crnn_lease;

/* Borrow up to wanted members, never waiting for them.  To be released in any case. */
crnn_lease crnn_team_acquire(size_t wanted);

/*
 * Give the team back.  False if the process was forked meanwhile and this is the child:
 * what the others should have computed is missing, and must be computed anew.
 */
bool crnn_team_release(crnn_lease *lease);

/*
 * Call task(argument, i) for i = 0 .. n-1, n <= size, each on a thread of its own, 0 on
 * the caller's, and return when all have ended.  Workers have every signal blocked but
 * those of a fault, a stack of 256 KiB and the default floating-point environment.
 */
void crnn_team_run(void *lease, size_t n, void (*task)(void *argument, size_t i),
                   void *argument);

/*
 * Call task(argument, i) for i = 0 .. n-1, in this order, each on whichever member
 * comes for it first, and return when all have ended.  No barriers.
 */
void crnn_team_share(void *lease, size_t n, void (*task)(void *argument, size_t i),
                     void *argument);

/*
 * Inside a task of crnn_team_run(): wait until all n members have come here.  False if
 * a member had to wait long at the barrier before this one, for another that was not
 * running: every member gets the same answer.
 */
bool crnn_team_barrier(void *lease);

/*
 * How many members a call of this thread may have now: the least of the setting, the
 * CPUs that the thread may run on and the quota of its control group.  A team that is
 * acquired follows a change of the CPUs within 0.1 s, of the quota within 5 s.
 */
size_t crnn_team_limit(void);

/* Set the most members that calls may have, 0: as many as CPUs; gives the setting
 * before. */
size_t crnn_team_set_limit(size_t n);

/* End the threads if no call has them; whether it was so. */
bool crnn_team_stop(void);

/* For tests: let the n-th thread creation from now on and all later ones fail; 0 ends
 * it. */
void crnn_fail_thread(size_t n);

/* For tests: take this for the number of CPUs; 0 ends it. */
void crnn_assume_cpus(size_t n);

#endif
