/*
 * kernels_neon_f64.c - the float64 kernels for Advanced SIMD.
 */
#include "kernels.h"

#ifdef CRNN_AARCH64
#define CRNN_ISA neon
#define CRNN_REAL_BITS 64
#include "vec_neon.h"

#include "kernels_tmpl.h"
#endif
