/*
 * cpus.h - how many CPUs this process may use, and which.
 */
#ifndef CRNN_CPUS_H
#define CRNN_CPUS_H

#include <pthread.h>
#include <stddef.h>

/* CPUs that a thread may run on; the mask is empty where the system has none. */
typedef struct {
    size_t count;
    unsigned long mask[1024 / (8 * sizeof(long))]; /* bit i of the whole: CPU i */
} crnn_cpus;

/* Those of the calling thread; all that are online if the system does not say, or one.
 */
crnn_cpus crnn_cpus_allowed(void);

/* The CPU that the calling thread runs on, -1 if the system does not say. */
int crnn_cpus_current(void);

/* Let the calling thread run where another one may, but not on n CPUs that are taken;
 * nothing if no other CPU is left. */
void crnn_cpus_avoid(pthread_t like, const int *taken, size_t n);

/* Let another thread run on these; nothing where that is impossible. */
void crnn_cpus_pin(pthread_t thread, const crnn_cpus *cpus);

/*
 * CPUs' worth of time that the control groups of this process grant it, rounded up:
 * the least of cpu.max (version 2) and cpu.cfs_quota_us (version 1) of its own group
 * and of those above, at their usual mounts.  SIZE_MAX without a quota, or where none
 * can be read.  root precedes every path: "" but for tests.
 */
size_t crnn_cpus_quota(const char *root);

#endif
