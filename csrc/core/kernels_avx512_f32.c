/*
 * kernels_avx512_f32.c - the float32 kernels for AVX-512 F.
 */
#include "kernels.h"

#ifdef CRNN_X86
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,fma"))),                   \
                             apply_to = function)
#else
#pragma GCC target("avx512f,fma")
#endif
#define CRNN_ISA avx512
#define CRNN_REAL_BITS 32
#include "vec_avx512.h"

#include "kernels_tmpl.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
