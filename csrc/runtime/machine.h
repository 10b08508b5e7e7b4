/*
 * machine.h - what the arithmetic needs to know and to set on this machine.
 */
#ifndef CRNN_MACHINE_H
#define CRNN_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

/* Whether the CPU and the operating system can run the kernels of this name. */
bool crnn_machine_has(const char *isa);

/* Whether the CPU loads hardly more than a vector of 512 bits while it multiplies and
 * adds two: measured on an Ice Lake, and taken to be so wherever Intel made it. */
bool crnn_machine_loads_slowly(void);

/* Nanoseconds of a clock that never goes back. */
uint64_t crnn_now(void);

/*
 * The floating-point environment: control word and sticky flags.  The kernels run in
 * the default one, whatever rounding, flushing or traps the caller has set, and the
 * caller gets his own back with no flag raised.
 */
typedef struct {
    uint64_t control, status;
} crnn_fpenv;

crnn_fpenv crnn_fpenv_enter(void);
void crnn_fpenv_leave(crnn_fpenv callers);

#endif
