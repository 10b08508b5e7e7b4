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

#define CPUS_NS 100000000u    /* how long a look at the affinity is good for */
#define QUOTA_NS 5000000000u  /* and one at the quota, which reads files */
#define RETRY_NS 1000000000u  /* after the system has refused a thread */
#define MEETINGS 16           /* to measure what one takes */
#define MEETING_NS 100000000u /* how long that is good for, */
#define FORGET_NS 1000000000u /* and where workers sleep */
#define SOON_NS 50000u        /* calls that follow each other in this time will go on */
#define SHORTEST_PAUSE 4u     /* after waiting in vain, as a multiple of that time */
#define LONGEST_PAUSE 128u

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
    uint64_t began;      /* the call that has the team */
    uint64_t ended;      /* the one before */
    uint64_t calm_at;    /* when the last pause ends */
    uint64_t pause;      /* its length */
    uint64_t met_at;     /* when it was measured */
    unsigned meeting_ns; /* what a barrier takes */
    bool watches_forks;
} known;

static size_t least(size_t a, size_t b) { return a < b ? a : b; }
static size_t greatest(size_t a, size_t b) { return a > b ? a : b; }

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

/* The time of a barrier: tenfold when a hypervisor has parted the processors. */
static void meet(void *lease, size_t i)
{
    crnn_team_barrier(lease);
    const uint64_t start = crnn_now();
    for (size_t n = 0; n < MEETINGS; n++)
        crnn_team_barrier(lease);
    if (i == 0)
        known.meeting_ns = (unsigned)((crnn_now() - start) / MEETINGS) + 1;
}

static unsigned meeting_time(crnn_lease *lease, uint64_t now)
{
    if (lease->calm && old(known.met_at, now, MEETING_NS) &&
        crnn_workers_awake(lease->size - 1)) {
        crnn_team_run(lease, lease->size, meet, lease);
        known.met_at = now;
    }
    return old(known.met_at, now, FORGET_NS) ? 0 : known.meeting_ns;
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
    crnn_lease lease = {
        .size = 1 + workers,
        .awake = now - known.ended < SOON_NS || crnn_workers_awake(workers),
        .calm = now >= known.calm_at,
        .forks = crnn_jobs_forks(),
    };
    lease.meeting_ns = meeting_time(&lease, now);
    return lease;
}

/* A call that waited for half of its time would have been done as soon alone: calls
 * stay alone for a while, twice as long as the last time if that was not long ago. */
static void remember(void)
{
    const uint64_t waited = crnn_jobs_waited(), now = crnn_now();
    if (waited > (now - known.began) / 2) {
        const uint64_t again =
            now - known.calm_at < 4 * known.pause ? 2 * known.pause : 0;
        known.pause =
            least(greatest(again, SHORTEST_PAUSE * waited), LONGEST_PAUSE * waited);
        known.calm_at = now + known.pause;
    }
    known.ended = now;
}

bool crnn_team_release(crnn_lease *lease)
{
    const size_t size = lease->size;
    lease->size = 1;
    if (size == 1)
        return true;
    if (lease->forks != crnn_jobs_forks())
        return false;
    remember();
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
