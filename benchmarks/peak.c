/*
 * peak.c - what one core of this machine can do: fused multiply-adds a second, and
 * bytes read a second from memory of a given size.
 *
 * Vectors are the widest that the compiler's target has.  Compiled by limits.py.
 */
#define _POSIX_C_SOURCE 199309L
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__AVX512F__)
#define WIDTH 64
#define CHAINS 24
#elif defined(__AVX__)
#define WIDTH 32
#define CHAINS 12
#else
#define WIDTH 16
#define CHAINS 24
#endif

#define LINE 64
#define LOADS 8
#define REPEAT 65536

typedef float vector __attribute__((vector_size(WIDTH)));
typedef uint64_t bits __attribute__((vector_size(WIDTH)));

/* Volatile, so that neither the work nor its order with the clock is optimized away. */
static volatile float factor = 0.5f, kept;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Independent chains, enough to hide the latency, all in registers. */
static vector run_chains(size_t n)
{
    vector a[CHAINS], m = {0}, c = {0};
    m += factor;
    c += factor;
    for (int i = 0; i < CHAINS; i++)
        a[i] = c * (float)i;
    for (size_t k = 0; k < n; k++)
#pragma GCC unroll 32
        for (int i = 0; i < CHAINS; i++)
            a[i] = a[i] * m + c;
    for (int i = 1; i < CHAINS; i++)
        a[0] += a[i];
    return a[0];
}

/* Floating-point operations a second, the best of many short trials. */
double peak_flops(double seconds)
{
    double best = 0;
    for (double end = now() + seconds, start = now(); start < end;) {
        kept = run_chains(REPEAT)[0];
        const double stop = now();
        const double flop = 2.0 * REPEAT * CHAINS * (WIDTH / sizeof(float));
        best = flop / (stop - start) > best ? flop / (stop - start) : best;
        start = stop;
    }
    return best;
}

static bits read_all(const bits *p, size_t n)
{
    bits sum[LOADS] = {{0}};
    for (size_t i = 0; i < n; i += LOADS)
#pragma GCC unroll 8
        for (int j = 0; j < LOADS; j++)
            sum[j] ^= p[i + j];
    for (int j = 1; j < LOADS; j++)
        sum[0] ^= sum[j];
    return sum[0];
}

/* Bytes a second over a block of that many bytes, again and again; 0 without memory. */
double read_rate(size_t bytes, double seconds)
{
    bytes -= bytes % (LOADS * WIDTH);
    bits *block = aligned_alloc(LINE, bytes);
    if (!block)
        return 0;
    memset(block, 1, bytes);
    const size_t passes = 1 + ((size_t)1 << 20) / bytes;
    double best = 0;
    for (double end = now() + seconds, start = now(); start < end;) {
        bits sum = {0};
        for (size_t i = 0; i < passes; i++) {
            sum ^= read_all(block, bytes / WIDTH);
            /* Each pass must read again. */
            __asm__ volatile("" : : "r"(block) : "memory");
        }
        kept = (float)sum[0];
        const double stop = now();
        const double rate = (double)bytes * (double)passes / (stop - start);
        best = rate > best ? rate : best;
        start = stop;
    }
    free(block);
    return best;
}
