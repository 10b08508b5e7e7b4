/*
 * kernels_generic_f32.c - the float32 kernels in plain C.
 */
#include "kernels.h"

#define CRNN_ISA generic
#define CRNN_REAL_BITS 32
#include "vec_generic.h"

#include "kernels_tmpl.h"
