/*
 * memory.h - the one allocator of the C code, which tests can make fail.
 */
#ifndef CRNN_MEMORY_H
#define CRNN_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* size bytes aligned to 128, or NULL. */
void *crnn_alloc(size_t size);
void crnn_free(void *memory);

/* The same for one call, to be given back: the block is kept for the next call, for new
 * pages may take the system longer than the call takes. */
void *crnn_borrow(size_t size);
void crnn_give_back(void *memory);

/* Blocks that are allocated and not yet freed. */
size_t crnn_live_blocks(void);

/* Let the n-th allocation from now on return NULL, or all from there on; 0 ends it. */
void crnn_fail_allocation(size_t n, bool forever);

#endif
