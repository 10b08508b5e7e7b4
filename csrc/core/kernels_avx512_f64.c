/*
 * kernels_avx512_f64.c - the float64 kernels for AVX-512 F.
 */
#include "kernels.h"

#ifdef CRNN_X86
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,fma"))),                   \
                             apply_to = function)
#else
/* Tuned for processors for which GCC spills no integer to a vector register: back from
 * there it comes behind the multiply-adds that wait. */
#pragma GCC target("avx512f,fma,tune=skylake-avx512")
#endif
#define CRNN_ISA avx512
#define CRNN_REAL_BITS 64
#include "vec_avx512.h"

#include "kernels_tmpl.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
