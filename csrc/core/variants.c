/*
 * variants.c - which variants of the kernels this binary holds.
 */
#include "kernels.h"

static const crnn_kernels *const variants[][2] = {
    {&crnn_kernels_generic_f32, &crnn_kernels_generic_f64},
#ifdef CRNN_X86
    {&crnn_kernels_avx2_f32, &crnn_kernels_avx2_f64},
    {&crnn_kernels_avx512_f32, &crnn_kernels_avx512_f64},
#endif
#ifdef CRNN_AARCH64
    {&crnn_kernels_neon_f32, &crnn_kernels_neon_f64},
#endif
};

const crnn_kernels *crnn_variant(size_t i, crnn_dtype dtype)
{
    return i < sizeof variants / sizeof *variants ? variants[i][dtype] : NULL;
}

const char *crnn_isa(const crnn_kernels *kernels) { return kernels->isa; }

void crnn_tanh(const crnn_kernels *kernels, const void *x, void *y, size_t n)
{
    kernels->tanh(x, y, n);
}
