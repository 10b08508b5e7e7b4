/*
 * memory.c - the one allocator of the C code, which tests can make fail.
 */
#include "memory.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#define ALIGNMENT ((size_t)64)

static atomic_size_t live_blocks;
static atomic_size_t countdown; /* allocations until one fails; 0: none will */
static atomic_bool fail_forever;

static bool must_fail(void)
{
    size_t left = atomic_load(&countdown);
    while (left > 0) {
        const size_t next = left == 1 && atomic_load(&fail_forever) ? 1 : left - 1;
        if (atomic_compare_exchange_weak(&countdown, &left, next))
            return left == 1;
    }
    return false;
}

void *crnn_alloc(size_t size)
{
    if (size > PTRDIFF_MAX - ALIGNMENT || must_fail())
        return NULL;
    /* A whole number of blocks, as aligned_alloc asks, and never none. */
    void *memory = aligned_alloc(ALIGNMENT, (size / ALIGNMENT + 1) * ALIGNMENT);
    if (memory)
        atomic_fetch_add(&live_blocks, 1);
    return memory;
}

void crnn_free(void *memory)
{
    if (memory)
        atomic_fetch_sub(&live_blocks, 1);
    free(memory);
}

size_t crnn_live_blocks(void) { return atomic_load(&live_blocks); }

void crnn_fail_allocation(size_t n, bool forever)
{
    atomic_store(&fail_forever, forever);
    atomic_store(&countdown, n);
}
