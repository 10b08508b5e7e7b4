/*
 * kernels_neon_f32.c - the float32 kernels for Advanced SIMD.
 */
#include "kernels.h"

#ifdef CRNN_AARCH64
#define CRNN_ISA neon
#define CRNN_REAL_BITS 32
#include "vec_neon.h"

#include "kernels_tmpl.h"
#endif
