/*
 * planted_fault.c - what a sanitizer must report before its silence counts; .ci/run
 * calls these through ctypes, as crnn's own code is called.
 */
#include <limits.h>
#include <stdlib.h>

/* AddressSanitizer: heap-buffer-overflow. */
int read_beyond(void)
{
    volatile char *block = malloc(8);
    const int byte = block ? block[8] : 0;
    free((void *)block);
    return byte;
}

/* UndefinedBehaviorSanitizer: signed integer overflow. */
int add_beyond(void)
{
    volatile int largest = INT_MAX;
    return largest + 1;
}
