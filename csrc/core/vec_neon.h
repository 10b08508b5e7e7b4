/*
 * vec_neon.h - the vector operations on AArch64's Advanced SIMD.
 */
#include <arm_neon.h>

#include "vec_32_registers.h"

#if CRNN_REAL_BITS == 32
typedef float real;
typedef float32x4_t vf;
typedef uint32x4_t vm;
#define VF_N 4
#define vf_set1 vdupq_n_f32
#define vf_load vld1q_f32
#define vf_store vst1q_f32
#define vf_add vaddq_f32
#define vf_sub vsubq_f32
#define vf_mul vmulq_f32
#define vf_div vdivq_f32
#define vf_fma(a, b, c) vfmaq_f32(c, a, b)
#define vf_fnma(a, b, c) vfmsq_f32(c, a, b)
#define vf_lt vcltq_f32
#define vf_unordered(a) vmvnq_u32(vceqq_f32(a, a))
#define vf_select vbslq_f32
#define vf_abs vabsq_f32
#define vf_zip_low vzip1q_f32
#define vf_zip_high vzip2q_f32
#define vf_copysign(a, s) vbslq_f32(vdupq_n_u32(0x80000000u), s, a)
#define vf_pow2(t)                                                                     \
    vreinterpretq_f32_u32(vaddq_u32(vshlq_n_u32(vreinterpretq_u32_f32(t), 23),         \
                                    vreinterpretq_u32_f32(vdupq_n_f32(1))))
#else
typedef double real;
typedef float64x2_t vf;
typedef uint64x2_t vm;
#define VF_N 2
#define vf_set1 vdupq_n_f64
#define vf_load vld1q_f64
#define vf_store vst1q_f64
#define vf_add vaddq_f64
#define vf_sub vsubq_f64
#define vf_mul vmulq_f64
#define vf_div vdivq_f64
#define vf_fma(a, b, c) vfmaq_f64(c, a, b)
#define vf_fnma(a, b, c) vfmsq_f64(c, a, b)
#define vf_lt vcltq_f64
#define vf_unordered(a) veorq_u64(vceqq_f64(a, a), vdupq_n_u64(UINT64_MAX))
#define vf_select vbslq_f64
#define vf_abs vabsq_f64
#define vf_zip_low vzip1q_f64
#define vf_zip_high vzip2q_f64
#define vf_copysign(a, s) vbslq_f64(vdupq_n_u64(UINT64_C(1) << 63), s, a)
#define vf_pow2(t)                                                                     \
    vreinterpretq_f64_u64(vaddq_u64(vshlq_n_u64(vreinterpretq_u64_f64(t), 52),         \
                                    vreinterpretq_u64_f64(vdupq_n_f64(1))))
#endif

/* The machine's own minimum and maximum let a NaN in a win; the specification gives b.
 */
static inline vf vf_min(vf a, vf b) { return vf_select(vf_lt(a, b), a, b); }
static inline vf vf_max(vf a, vf b) { return vf_select(vf_lt(b, a), a, b); }

static inline vf vf_loadn(const real *p, size_t n)
{
    if (n == VF_N)
        return vf_load(p);
    real lanes[VF_N] = {0};
    for (size_t i = 0; i < n; i++)
        lanes[i] = p[i];
    return vf_load(lanes);
}

static inline void vf_storen(real *p, vf a, size_t n)
{
    if (n == VF_N) {
        vf_store(p, a);
        return;
    }
    real lanes[VF_N];
    vf_store(lanes, a);
    for (size_t i = 0; i < n; i++)
        p[i] = lanes[i];
}
