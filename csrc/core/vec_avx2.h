/*
 * vec_avx2.h - the vector operations on AVX2 and FMA.
 */
#include <immintrin.h>

#if CRNN_REAL_BITS == 32
typedef float real;
typedef __m256 vf;
typedef __m256 vm;
#define VF_N 8
#define vf_set1 _mm256_set1_ps
#define vf_load _mm256_loadu_ps
#define vf_store _mm256_storeu_ps
#define vf_add _mm256_add_ps
#define vf_sub _mm256_sub_ps
#define vf_mul _mm256_mul_ps
#define vf_div _mm256_div_ps
#define vf_fma _mm256_fmadd_ps
#define vf_fnma _mm256_fnmadd_ps
#define vf_min _mm256_min_ps
#define vf_max _mm256_max_ps
#define vf_lt(a, b) _mm256_cmp_ps(a, b, _CMP_LT_OQ)
#define vf_unordered(a) _mm256_cmp_ps(a, a, _CMP_UNORD_Q)
#define vf_select(m, a, b) _mm256_blendv_ps(b, a, m)
#define vf_abs(a) _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a)
/* Of a that has no sign. */
#define vf_copysign(a, s) _mm256_or_ps(a, _mm256_and_ps(_mm256_set1_ps(-0.0f), s))
#define vf_mask(n)                                                                     \
    _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(n)),                                    \
                       _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
#define vf_unpack_low _mm256_unpacklo_ps
#define vf_unpack_high _mm256_unpackhi_ps
#define vf_halves _mm256_permute2f128_ps
#define vf_masked_load _mm256_maskload_ps
#define vf_masked_store _mm256_maskstore_ps
#define vf_pow2(t)                                                                     \
    _mm256_castsi256_ps(                                                               \
        _mm256_add_epi32(_mm256_slli_epi32(_mm256_castps_si256(t), 23),                \
                         _mm256_castps_si256(_mm256_set1_ps(1))))
#else
typedef double real;
typedef __m256d vf;
typedef __m256d vm;
#define VF_N 4
#define vf_set1 _mm256_set1_pd
#define vf_load _mm256_loadu_pd
#define vf_store _mm256_storeu_pd
#define vf_add _mm256_add_pd
#define vf_sub _mm256_sub_pd
#define vf_mul _mm256_mul_pd
#define vf_div _mm256_div_pd
#define vf_fma _mm256_fmadd_pd
#define vf_fnma _mm256_fnmadd_pd
#define vf_min _mm256_min_pd
#define vf_max _mm256_max_pd
#define vf_lt(a, b) _mm256_cmp_pd(a, b, _CMP_LT_OQ)
#define vf_unordered(a) _mm256_cmp_pd(a, a, _CMP_UNORD_Q)
#define vf_select(m, a, b) _mm256_blendv_pd(b, a, m)
#define vf_abs(a) _mm256_andnot_pd(_mm256_set1_pd(-0.0), a)
/* Of a that has no sign. */
#define vf_copysign(a, s) _mm256_or_pd(a, _mm256_and_pd(_mm256_set1_pd(-0.0), s))
#define vf_mask(n)                                                                     \
    _mm256_cmpgt_epi64(_mm256_set1_epi64x((long long)(n)),                             \
                       _mm256_setr_epi64x(0, 1, 2, 3))
#define vf_unpack_low _mm256_unpacklo_pd
#define vf_unpack_high _mm256_unpackhi_pd
#define vf_halves _mm256_permute2f128_pd
#define vf_masked_load _mm256_maskload_pd
#define vf_masked_store _mm256_maskstore_pd
#define vf_pow2(t)                                                                     \
    _mm256_castsi256_pd(                                                               \
        _mm256_add_epi64(_mm256_slli_epi64(_mm256_castpd_si256(t), 52),                \
                         _mm256_castpd_si256(_mm256_set1_pd(1))))
#endif

/* Of the 16 registers 12 accumulate; the others hold two vectors of w, a broadcast x
 * and the mask of the last columns. */
#define VF_TILES(X)                                                                    \
    X(6, 2)                                                                            \
    X(6, 1)                                                                            \
    X(5, 2)                                                                            \
    X(5, 1)                                                                            \
    X(4, 2)                                                                            \
    X(4, 1)                                                                            \
    X(3, 4)                                                                            \
    X(3, 2)                                                                            \
    X(3, 1) X(2, 4) X(2, 2) X(2, 1) X(1, 8) X(1, 4) X(1, 2) X(1, 1)

/* So few multiply-adds are worth half the jumps.  Not where vectors are of doubles: the
 * library would be 4 % larger. */
#if CRNN_REAL_BITS == 32
#define VF_INPUTS TWICE
#endif

/* Of more accumulators than the second number, which are even, two at a time. */
#define TANH_GROUP 2
#define TANH_AT_ONCE 8

/* Unpacking zips within the halves of a register. */
#define vf_zip_low(a, b) vf_halves(vf_unpack_low(a, b), vf_unpack_high(a, b), 0x20)
#define vf_zip_high(a, b) vf_halves(vf_unpack_low(a, b), vf_unpack_high(a, b), 0x31)

static inline vf vf_loadn(const real *p, size_t n)
{
    return n == VF_N ? vf_load(p) : vf_masked_load(p, vf_mask(n));
}

static inline void vf_storen(real *p, vf a, size_t n)
{
    if (n == VF_N)
        vf_store(p, a);
    else
        vf_masked_store(p, vf_mask(n), a);
}
