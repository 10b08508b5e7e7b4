/*
 * vec_32_registers.h - the tiles of instruction sets with 32 vector registers.
 *
 * 16 of them accumulate: enough to hide the latency of fma with one row or eight.  Five
 * and six rows have 20 and 24, and load 0.4 times for each; eight rows load 0.6 times.
 */
#define VF_TILES(X)                                                                    \
    X(8, 2)                                                                            \
    X(8, 1)                                                                            \
    X(7, 2)                                                                            \
    X(7, 1)                                                                            \
    X(6, 4)                                                                            \
    X(6, 2)                                                                            \
    X(6, 1)                                                                            \
    X(5, 4)                                                                            \
    X(5, 2)                                                                            \
    X(5, 1)                                                                            \
    X(4, 4)                                                                            \
    X(4, 2)                                                                            \
    X(4, 1)                                                                            \
    X(3, 4)                                                                            \
    X(3, 2)                                                                            \
    X(3, 1) X(2, 8) X(2, 4) X(2, 2) X(2, 1) X(1, 16) X(1, 8) X(1, 4) X(1, 2) X(1, 1)

/* Rows of a whole tile where loads are few. */
#define VF_FEW_LOADS_ROWS 6

/* Of more accumulators than the second number, which are even, so many at a time. */
#define TANH_GROUP (CRNN_REAL_BITS == 32 ? 4 : 2)
#define TANH_AT_ONCE (CRNN_REAL_BITS == 32 ? 16 : 8)
