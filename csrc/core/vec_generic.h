/*
 * vec_generic.h - the vector operations in plain C, one lane: the specification of all
 * the others.
 */
#include <math.h>
#include <string.h>

#define VF_N 1
/* Tiles of the matrix product as X(rows, vectors): rows fall one by one, and vectors
 * with each number of rows, both to 1. */
#define VF_TILES(X) X(2, 4) X(2, 1) X(1, 4) X(1, 1)

#if CRNN_REAL_BITS == 32
typedef float real;
typedef uint32_t bits;
#define vf_fma fmaf
#define vf_abs fabsf
#define vf_copysign copysignf
#define VF_FRACTION 23
#else
typedef double real;
typedef uint64_t bits;
#define vf_fma fma
#define vf_abs fabs
#define vf_copysign copysign
#define VF_FRACTION 52
#endif
#define vf_fnma(a, b, c) vf_fma(-(a), b, c)

typedef real vf;
typedef bool vm;

static inline vf vf_set1(real x) { return x; }
static inline vf vf_load(const real *p) { return *p; }
static inline void vf_store(real *p, vf a) { *p = a; }
static inline vf vf_loadn(const real *p, size_t n) { return n ? *p : 0; }
static inline void vf_storen(real *p, vf a, size_t n)
{
    if (n)
        *p = a;
}

static inline vf vf_add(vf a, vf b) { return a + b; }
static inline vf vf_sub(vf a, vf b) { return a - b; }
static inline vf vf_mul(vf a, vf b) { return a * b; }
static inline vf vf_div(vf a, vf b) { return a / b; }
static inline vf vf_min(vf a, vf b) { return a < b ? a : b; }
static inline vf vf_max(vf a, vf b) { return a > b ? a : b; }

/* The first and the second half of a0 b0 a1 b1 ...; of one lane, no halves to speak of.
 */
static inline vf vf_zip_low(vf a, vf b) { return (void)b, a; }
static inline vf vf_zip_high(vf a, vf b) { return (void)a, b; }

static inline vm vf_lt(vf a, vf b) { return a < b; }
static inline vm vf_unordered(vf a) { return a != a; }
static inline vf vf_select(vm m, vf a, vf b) { return m ? a : b; }

/* 2^n of t = 1.5 * 2^VF_FRACTION + n: the low bits of t hold n, which goes to the
 * exponent of 1. */
static inline vf vf_pow2(vf t)
{
    real one = 1, power;
    bits b, o;
    memcpy(&b, &t, sizeof b);
    memcpy(&o, &one, sizeof o);
    b = (b << VF_FRACTION) + o;
    memcpy(&power, &b, sizeof b);
    return power;
}
