/*
 * uniform.c - initial values of the parameters, bit for bit those of torch.
 */
#include <math.h>

#include "crnn.h"

void crnn_uniform_f32(const uint32_t *raw, float k, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = fmaf((float)(raw[i] & 0xffffff) * 0x1p-24f, 2 * k, -k);
}

void crnn_uniform_f64(const uint32_t *raw, double k, double *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t bits = (uint64_t)raw[2 * i] << 32 | raw[2 * i + 1];
        out[i] = fma((double)(bits & 0x1fffffffffffff) * 0x1p-53, 2 * k, -k);
    }
}
