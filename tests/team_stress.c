/*
 * team_stress.c - exercise the thread team without Python, for thread and address
 * sanitizers: many users at once, resizing, ending, failing creation, barriers that
 * stall, forks.  Over 300 lines because all of it is for the one team that a process
 * has.  Exits with 0 and prints "done" if all was right.
 */
#define _GNU_SOURCE

#include "../csrc/runtime/cpus.h"
#include "../csrc/runtime/machine.h"
#include "../csrc/runtime/team.h"

#include <fenv.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST 8
#define ITEMS 31 /* of shared work */

#define CHECK(condition)                                                               \
    do {                                                                               \
        if (!(condition)) {                                                            \
            fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                    \
            exit(1);                                                                   \
        }                                                                              \
    } while (0)

/* Plain memory that only the barriers and the end of the job keep in order. */
typedef struct {
    crnn_lease lease;
    size_t members, rounds;
    size_t slow_from; /* from this round on member 1 comes late; 0: never */
    size_t round[MOST], agreed[MOST];
} meeting;

static void doze(long us)
{
    nanosleep(&(struct timespec){us / 1000000, us % 1000000 * 1000}, NULL);
}

static void meet(void *argument, size_t i)
{
    meeting *m = argument;
    for (size_t round = 1; round <= m->rounds; round++) {
        m->round[i] = round;
        if (i == 1 && m->slow_from && round >= m->slow_from)
            doze(1000);
        m->agreed[i] = m->agreed[i] * 31 + crnn_team_barrier(&m->lease);
        for (size_t j = 0; j < m->members; j++)
            CHECK(m->round[j] == round);
        m->agreed[i] = m->agreed[i] * 31 + crnn_team_barrier(&m->lease);
    }
}

static void do_once(void *argument, size_t i) { ((unsigned char *)argument)[i]++; }

/* Some jobs on up to this many members; how many there were. */
static size_t hold_meeting(size_t wanted, size_t rounds)
{
    meeting m = {.lease = crnn_team_acquire(wanted), .rounds = rounds};
    const size_t size = m.lease.size;
    CHECK(1 <= size && size <= wanted);
    for (m.members = size; m.members >= 1; m.members--) {
        memset(m.round, 0, sizeof m.round);
        memset(m.agreed, 0, sizeof m.agreed);
        crnn_team_run(&m.lease, m.members, meet, &m);
        for (size_t i = 0; i < m.members; i++)
            CHECK(m.round[i] == rounds && m.agreed[i] == m.agreed[0]);
    }
    unsigned char times[ITEMS] = {0};
    for (size_t items = 0; items <= ITEMS; items += 1 + items) {
        memset(times, 0, sizeof times);
        crnn_team_share(&m.lease, items, do_once, times);
        for (size_t i = 0; i < ITEMS; i++)
            CHECK(times[i] == (i < items));
    }
    CHECK(crnn_team_release(&m.lease));
    return size;
}

static void *use(void *argument)
{
    for (size_t i = 0; i < 500; i++)
        hold_meeting(1 + (i + (size_t)(uintptr_t)argument) % 4, 3);
    return NULL;
}

static void *disturb(void *unused)
{
    for (size_t i = 0; i < 100; i++) {
        crnn_team_set_limit(i % 5);
        crnn_team_stop();
        CHECK(crnn_team_limit() >= 1);
        doze(200);
    }
    return unused;
}

static void test_many_users(void)
{
    pthread_t users[4];
    for (uintptr_t i = 0; i < 4; i++)
        CHECK(pthread_create(&users[i], NULL, i ? use : disturb, (void *)i) == 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(users[i], NULL);
    crnn_team_set_limit(0);
    CHECK(crnn_team_stop());
}

/* fegetround() may look at another unit than the one that computes. */
static bool rounds_to_nearest(void)
{
    volatile double one = 1, tiny = 1e-30;
    return one + tiny == one;
}

static void see_environment(void *argument, size_t i)
{
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    ((bool *)argument)[i] = rounds_to_nearest() && sigismember(&blocked, SIGINT) &&
                            sigismember(&blocked, SIGPROF) &&
                            !sigismember(&blocked, SIGSEGV);
}

static void test_environment_of_workers(void)
{
    bool right[MOST] = {0};
    fesetround(FE_UPWARD);
    crnn_lease lease = crnn_team_acquire(3);
    CHECK(lease.size == 3);
    crnn_team_run(&lease, 3, see_environment, right);
    CHECK(!right[0] && right[1] && right[2] && !rounds_to_nearest());
    crnn_team_release(&lease);
    fesetround(FE_TONEAREST);
}

/* A refusal is remembered for a second. */
static void test_failing_creation(void)
{
    for (size_t n = 1; n <= 3; n += 2) {
        doze(1100000);
        CHECK(crnn_team_stop());
        crnn_fail_thread(n);
        CHECK(hold_meeting(4, 2) == n);
        crnn_fail_thread(0);
        CHECK(hold_meeting(4, 2) == n);
    }
    doze(1100000);
    CHECK(hold_meeting(4, 2) == 4);
}

static bool is_calm(void)
{
    crnn_lease lease = crnn_team_acquire(2);
    CHECK(lease.size == 2);
    crnn_team_release(&lease);
    return lease.calm;
}

static void test_stalls_are_reported_and_remembered(void)
{
    meeting m = {.members = 2, .rounds = 10, .slow_from = 3};
    while (!is_calm())
        ;
    m.lease = crnn_team_acquire(2);
    crnn_team_run(&m.lease, 2, meet, &m);
    CHECK(m.agreed[0] == m.agreed[1]);
    CHECK(crnn_team_release(&m.lease));
    size_t penalty = 0;
    while (!is_calm())
        penalty++;
    CHECK(penalty >= 8);
}

/* What a barrier takes is measured as soon as the members are awake. */
static void test_meetings_are_timed(void)
{
    unsigned ns = 0;
    for (size_t i = 0; i < 1000 && ns == 0; i++) {
        while (!is_calm()) /* on a busy machine any meeting may stall */
            ;
        hold_meeting(2, 1);
        crnn_lease lease = crnn_team_acquire(2);
        ns = lease.meeting_ns;
        crnn_team_release(&lease);
    }
    CHECK(0 < ns);
}

static void test_leaving_a_cpu(void)
{
    const crnn_cpus allowed = crnn_cpus_allowed();
    int all[CPU_SETSIZE], before = crnn_cpus_current();
    for (int i = 0; i < CPU_SETSIZE; i++)
        all[i] = i;
    crnn_cpus_avoid(pthread_self(), all, CPU_SETSIZE);
    CHECK(crnn_cpus_allowed().count == allowed.count);
    crnn_cpus_avoid(pthread_self(), &before, 1);
    CHECK(allowed.count == 1 || crnn_cpus_current() != before);
    crnn_cpus_pin(pthread_self(), &allowed);
    CHECK(crnn_cpus_allowed().count == allowed.count);
}

static size_t asked;

static bool ask(void *enough) { return ++asked >= *(const size_t *)enough; }

static void be_late(void *argument, size_t i)
{
    (void)argument;
    if (i > 0)
        doze(50000);
}

static void test_the_caller_is_asked_while_it_waits(void)
{
    size_t enough = 5;
    crnn_lease lease = crnn_team_acquire(2);
    lease.idle = ask;
    lease.context = &enough;
    crnn_team_run(&lease, 2, be_late, NULL);
    CHECK(asked == enough);
    crnn_team_release(&lease);
}

static void expect_child(pid_t child)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Fork in the midst of a job; the child has no other members, and says so. */
typedef struct {
    crnn_lease lease;
    pthread_t caller;
    bool meets;
    pid_t child; /* -1: not yet */
} parting;

static void part(void *argument, size_t i)
{
    parting *p = argument;
    (void)i;
    if (!pthread_equal(pthread_self(), p->caller)) {
        doze(20000);
    } else if (p->child < 0) {
        p->child = fork();
        if (p->child == 0)
            CHECK(hold_meeting(3, 5) == 3);
    }
    if (p->meets)
        crnn_team_barrier(&p->lease);
}

static void test_fork_inside_a_job(bool shared)
{
    parting p = {crnn_team_acquire(3), pthread_self(), !shared, -1};
    CHECK(p.lease.size == 3);
    if (shared)
        crnn_team_share(&p.lease, 20, part, &p);
    else
        crnn_team_run(&p.lease, 3, part, &p);
    CHECK(p.child >= 0);
    if (p.child == 0) {
        CHECK(hold_meeting(3, 5) == 3);
        CHECK(!crnn_team_release(&p.lease));
        CHECK(hold_meeting(3, 5) == 3);
        exit(0);
    }
    CHECK(crnn_team_release(&p.lease));
    expect_child(p.child);
    CHECK(hold_meeting(3, 5) == 3);
}

static void test_fork(size_t depth)
{
    CHECK(hold_meeting(3, 5) == 3);
    if (depth == 0)
        return;
    const pid_t child = fork();
    CHECK(child >= 0);
    CHECK(hold_meeting(3, 5) == 3);
    test_fork(depth - 1);
    if (child == 0)
        exit(0);
    expect_child(child);
}

/* A fault for the thread sanitizer to find: if it does not, it is blind. */
static void race(void *argument, size_t i) { *(size_t *)argument += i; }

static void plant_race(void)
{
    size_t sum = 0;
    crnn_lease lease = crnn_team_acquire(4);
    crnn_team_run(&lease, 4, race, &sum);
    crnn_team_release(&lease);
}

int main(int argc, char **argv)
{
    crnn_assume_cpus(4);
    if (argc > 1 && strcmp(argv[1], "fork") == 0) {
        test_fork(3);
        test_fork_inside_a_job(false);
        test_fork_inside_a_job(true);
    } else if (argc > 1 && strcmp(argv[1], "race") == 0) {
        plant_race();
    } else {
        test_environment_of_workers();
        test_many_users();
        test_failing_creation();
        test_stalls_are_reported_and_remembered();
        test_the_caller_is_asked_while_it_waits();
        test_meetings_are_timed();
        test_leaving_a_cpu();
    }
    puts("done");
    return 0;
}
