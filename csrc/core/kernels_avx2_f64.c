/*
 * kernels_avx2_f64.c - the float64 kernels for AVX2 and FMA.
 */
#include "kernels.h"

#ifdef CRNN_X86
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#define CRNN_ISA avx2
#define CRNN_REAL_BITS 64
#include "vec_avx2.h"

#include "kernels_tmpl.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
