/*
 * workers.h - how the threads of the team come and go; for the one who holds the team.
 */
#ifndef CRNN_WORKERS_H
#define CRNN_WORKERS_H

#include <stdbool.h>
#include <stddef.h>

#include "cpus.h"

/* Have n workers at least, if the system gives them; how many there are now. */
size_t crnn_workers_start(size_t n);

/* End all and wait until they are gone. */
void crnn_workers_stop(void);

/* In a forked child: there are none. */
void crnn_workers_forget(void);

/* Let all run on these CPUs. */
void crnn_workers_pin(const crnn_cpus *cpus);

/* Whether none of the first n sleeps. */
bool crnn_workers_awake(size_t n);

#endif
