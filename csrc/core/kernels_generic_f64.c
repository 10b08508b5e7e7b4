/*
 * kernels_generic_f64.c - the float64 kernels in plain C.
 */
#include "kernels.h"

#define CRNN_ISA generic
#define CRNN_REAL_BITS 64
#include "vec_generic.h"

#include "kernels_tmpl.h"
