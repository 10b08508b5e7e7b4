/*
 * memory.c - the one allocator of the C code, which tests can make fail.
 */
#define _DEFAULT_SOURCE /* madvise */
#include "memory.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define ALIGNMENT ((size_t)128)

#define LARGE ((size_t)4 << 20) /* what NumPy asks huge pages for */

#define LARGEST_SPARE ((size_t)64 << 20) /* more than this is not kept */

/* What stands before the memory of a borrowed block. */
typedef struct {
    _Alignas(ALIGNMENT) size_t size;
} borrowed;

static _Atomic(borrowed *) spare; /* the block given back last */
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

/* New memory comes a page at a time, at the first touch of each, which takes longer
 * than to copy a matrix there: ask for larger pages. */
static void ask_for_huge_pages(char *memory, size_t size)
{
#ifdef MADV_HUGEPAGE
    if (size < LARGE)
        return;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE),
                 aside = -(uintptr_t)memory % page;
    (void)madvise(memory + aside, size - aside, MADV_HUGEPAGE);
#else
    (void)memory, (void)size;
#endif
}

static void *allocate(size_t size)
{
    if (size > PTRDIFF_MAX - ALIGNMENT)
        return NULL;
    /* A whole number of blocks, as aligned_alloc asks, and never none. */
    void *memory = aligned_alloc(ALIGNMENT, (size / ALIGNMENT + 1) * ALIGNMENT);
    if (memory)
        ask_for_huge_pages(memory, size);
    return memory;
}

static void *counted(void *memory)
{
    if (memory)
        atomic_fetch_add(&live_blocks, 1);
    return memory;
}

void *crnn_alloc(size_t size) { return must_fail() ? NULL : counted(allocate(size)); }

void crnn_free(void *memory)
{
    if (memory)
        atomic_fetch_sub(&live_blocks, 1);
    free(memory);
}

void *crnn_borrow(size_t size)
{
    if (size > PTRDIFF_MAX - sizeof(borrowed) || must_fail())
        return NULL;
    borrowed *block = atomic_exchange(&spare, NULL);
    if (block && block->size < size) {
        free(block);
        block = NULL;
    }
    if (!block) {
        block = allocate(sizeof *block + size);
        if (block)
            block->size = size;
    }
    return block ? counted(block + 1) : NULL;
}

void crnn_give_back(void *memory)
{
    borrowed *block = (borrowed *)memory - 1;
    atomic_fetch_sub(&live_blocks, 1);
    free(block->size <= LARGEST_SPARE ? atomic_exchange(&spare, block) : block);
}

size_t crnn_live_blocks(void) { return atomic_load(&live_blocks); }

void crnn_fail_allocation(size_t n, bool forever)
{
    atomic_store(&fail_forever, forever);
    atomic_store(&countdown, n);
}
