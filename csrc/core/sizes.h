/*
 * sizes.h - size arithmetic that cannot wrap.
 *
 * Sizes saturate: what does not fit in a ptrdiff_t becomes CRNN_TOO_BIG and stays it,
 * so that a whole expression is written as arithmetic and checked once, at its end.
 */
#ifndef CRNN_SIZES_H
#define CRNN_SIZES_H

#include <stddef.h>
#include <stdint.h>

#define CRNN_TOO_BIG ((size_t)PTRDIFF_MAX)

static inline size_t crnn_add(size_t a, size_t b)
{
    return a >= CRNN_TOO_BIG || b >= CRNN_TOO_BIG - a ? CRNN_TOO_BIG : a + b;
}

static inline size_t crnn_mul(size_t a, size_t b)
{
    const size_t root = (size_t)1 << (sizeof(size_t) * 4 - 1);
    if (a < root && b < root) /* nearly always; a division takes longer */
        return a * b;
    return b != 0 && a > (CRNN_TOO_BIG - 1) / b ? CRNN_TOO_BIG : a * b;
}

static inline size_t crnn_min(size_t a, size_t b) { return a < b ? a : b; }

static inline size_t crnn_max(size_t a, size_t b) { return a > b ? a : b; }

#endif
