/*
 * workers.h - the threads behind team.h, for the one who holds the team.
 */
#ifndef CRNN_WORKERS_H
#define CRNN_WORKERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpus.h"

/* Have n workers at least, if the system gives them; how many there are now. */
size_t crnn_workers_start(size_t n);

/* End all and wait until they are gone. */
void crnn_workers_stop(void);

/* In a forked child: there are none. */
void crnn_workers_forget(void);

/* How often this process is a forked child. */
unsigned crnn_workers_forks(void);

/* Let all run on these CPUs. */
void crnn_workers_pin(const crnn_cpus *cpus);

/* Whether none of the first n sleeps. */
bool crnn_workers_awake(size_t n);

/* Nanoseconds that members lost at barriers since the last time this was asked, their
 * sum; whether the last job had barriers. */
uint64_t crnn_workers_stalls(bool *had_barriers);

#endif
