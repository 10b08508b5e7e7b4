/*
 * team.c - who has the team, how large it may be, what becomes of it in a fork.
 */
#include "team.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "cpus.h"
#include "jobs.h"
#include "machine.h"
#include "workers.h"

#define CPUS_NS 100000000u   /* how long a look at the affinity is good for */
#define QUOTA_NS 5000000000u /* and one at the quota, which reads files */
#define RETRY_NS 1000000000u /* after the system has refused a thread */
#define SHORTEST_PENALTY 8u  /* calls that are not calm after one that stalled */
#define LONGEST_PENALTY 1024u

static atomic_bool taken;
static atomic_size_t setting; /* 0: as many members as CPUs */
static atomic_size_t assumed; /* 0: the real CPUs */
static _Thread_local bool taken_for_fork;

/* What the holder of the team knows from earlier calls. */
static struct {
    uint64_t cpus_at, quota_at, refused_at; /* crnn_now(), 0: never */
    pthread_t reader;                       /* whose affinity it is */
    crnn_cpus cpus;
    size_t quota;
    uint64_t began;        /* the call that has the team */
    unsigned penalty;      /* calls that the last stall was to be remembered for */
    unsigned penalty_left; /* those of them still to come */
    bool watches_forks;
} known;

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

static bool take(void)
{
    return !atomic_load_explicit(&taken, memory_order_relaxed) &&
           !atomic_exchange(&taken, true);
}

static void before_fork(void)
{
    taken_for_fork = take();
    if (taken_for_fork)
        crnn_workers_stop();
}

static void after_fork_in_parent(void)
{
    if (taken_for_fork)
        atomic_store(&taken, false);
    taken_for_fork = false;
}

static void after_fork_in_child(void)
{
    taken_for_fork = false;
    crnn_workers_forget();
    known.cpus_at = known.quota_at = known.refused_at = 0;
    atomic_store(&taken, false);
}

static bool old(uint64_t then, uint64_t now, uint64_t limit)
{
    return then == 0 || now - then >= limit;
}

/* Members that a call of this thread may have, from what is known. */
static size_t current_limit(uint64_t now)
{
    const size_t set = atomic_load(&setting), assume = atomic_load(&assumed);
    const size_t most = set ? set : CRNN_MAX_THREADS;
    if (assume)
        return least(most, assume);
    if (old(known.cpus_at, now, CPUS_NS) ||
        !pthread_equal(known.reader, pthread_self())) {
        const crnn_cpus before = known.cpus;
        known.cpus = crnn_cpus_allowed();
        known.cpus_at = now;
        known.reader = pthread_self();
        if (before.count && memcmp(&before, &known.cpus, sizeof before) != 0)
            crnn_workers_pin(&known.cpus);
    }
    if (old(known.quota_at, now, QUOTA_NS)) {
        known.quota = crnn_cpus_quota("");
        known.quota_at = now;
    }
    return least(most, least(known.cpus.count, known.quota));
}

/* Workers for a team of this size, as far as there are any. */
static size_t workers_for(size_t size, uint64_t now)
{
    if (!known.watches_forks) {
        if (pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) != 0)
            return 0;
        known.watches_forks = true;
    }
    const size_t have = crnn_workers_start(0);
    if (have >= size - 1 || !old(known.refused_at, now, RETRY_NS))
        return least(have, size - 1);
    known.refused_at = 0;
    const size_t got = crnn_workers_start(size - 1);
    if (got < size - 1)
        known.refused_at = now;
    return got;
}

crnn_lease crnn_team_acquire(size_t wanted)
{
    const crnn_lease alone = {.size = 1, .awake = true};
    if (wanted <= 1 || atomic_load(&setting) == 1 || !take())
        return alone;
    const uint64_t now = crnn_now();
    const size_t size = least(wanted, current_limit(now));
    const size_t workers = size > 1 ? workers_for(size, now) : 0;
    if (workers == 0) {
        atomic_store(&taken, false);
        return alone;
    }
    known.began = now;
    const bool calm = known.penalty_left == 0;
    known.penalty_left -= !calm;
    return (crnn_lease){
        .size = 1 + workers,
        .awake = crnn_workers_awake(workers),
        .calm = calm,
        .forks = crnn_jobs_forks(),
    };
}

/* Barriers that cost an eighth of a call's time are to be avoided for a while: twice as
 * long as the last time, half as long after each call whose barriers were quick. */
static void remember_stalls(size_t size)
{
    bool had_barriers;
    const uint64_t stalled = crnn_jobs_stalls(&had_barriers) / size;
    if (stalled > 0 && stalled > (crnn_now() - known.began) / 8) {
        known.penalty *= 2;
        if (known.penalty < SHORTEST_PENALTY)
            known.penalty = SHORTEST_PENALTY;
        if (known.penalty > LONGEST_PENALTY)
            known.penalty = LONGEST_PENALTY;
        known.penalty_left = known.penalty;
    } else if (had_barriers) {
        known.penalty /= 2;
    }
}

bool crnn_team_release(crnn_lease *lease)
{
    const size_t size = lease->size;
    lease->size = 1;
    if (size == 1)
        return true;
    if (lease->forks != crnn_jobs_forks())
        return false;
    remember_stalls(size);
    atomic_store(&taken, false);
    return true;
}

size_t crnn_team_limit(void)
{
    const size_t set = atomic_load(&setting), assume = atomic_load(&assumed);
    const size_t most = set ? set : CRNN_MAX_THREADS;
    const size_t cpus =
        assume ? assume : least(crnn_cpus_allowed().count, crnn_cpus_quota(""));
    return least(most, cpus);
}

size_t crnn_team_set_limit(size_t n)
{
    return atomic_exchange(&setting, least(n, CRNN_MAX_THREADS));
}

bool crnn_team_stop(void)
{
    if (!take())
        return false;
    crnn_workers_stop();
    atomic_store(&taken, false);
    return true;
}

void crnn_assume_cpus(size_t n) { atomic_store(&assumed, n); }
