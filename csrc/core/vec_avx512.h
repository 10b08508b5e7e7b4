/*
 * vec_avx512.h - the vector operations on AVX-512 F.
 */
#include <immintrin.h>

#include "vec_32_registers.h"

#if CRNN_REAL_BITS == 32
typedef float real;
typedef __m512 vf;
typedef __mmask16 vm;
#define VF_N 16
#define vf_set1 _mm512_set1_ps
#define vf_load _mm512_loadu_ps
#define vf_store _mm512_storeu_ps
#define vf_loadn(p, n) _mm512_maskz_loadu_ps(vf_mask(n), p)
#define vf_storen(p, a, n) _mm512_mask_storeu_ps(p, vf_mask(n), a)
#define vf_add _mm512_add_ps
#define vf_sub _mm512_sub_ps
#define vf_mul _mm512_mul_ps
#define vf_div _mm512_div_ps
#define vf_fma _mm512_fmadd_ps
#define vf_fnma _mm512_fnmadd_ps
#define vf_min _mm512_min_ps
#define vf_max _mm512_max_ps
#define vf_lt(a, b) _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ)
#define vf_unordered(a) _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q)
#define vf_select(m, a, b) _mm512_mask_blend_ps(m, b, a)
#define vf_abs _mm512_abs_ps
/* The ternary function of 0xd8 takes bits of s where the mask is set, of a elsewhere.
 */
#define vf_copysign(a, s)                                                              \
    _mm512_castsi512_ps(_mm512_ternarylogic_epi32(_mm512_castps_si512(a),              \
                                                  _mm512_castps_si512(s),              \
                                                  _mm512_set1_epi32(INT32_MIN), 0xd8))
#define vf_zip_low(a, b)                                                               \
    _mm512_permutex2var_ps(                                                            \
        a, _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),  \
        b)
#define vf_zip_high(a, b)                                                              \
    _mm512_permutex2var_ps(a,                                                          \
                           _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, \
                                             29, 14, 30, 15, 31),                      \
                           b)
#define vf_pow2(t)                                                                     \
    _mm512_castsi512_ps(                                                               \
        _mm512_add_epi32(_mm512_slli_epi32(_mm512_castps_si512(t), 23),                \
                         _mm512_castps_si512(_mm512_set1_ps(1))))
#else
typedef double real;
typedef __m512d vf;
typedef __mmask8 vm;
#define VF_N 8
#define vf_set1 _mm512_set1_pd
#define vf_load _mm512_loadu_pd
#define vf_store _mm512_storeu_pd
#define vf_loadn(p, n) _mm512_maskz_loadu_pd(vf_mask(n), p)
#define vf_storen(p, a, n) _mm512_mask_storeu_pd(p, vf_mask(n), a)
#define vf_add _mm512_add_pd
#define vf_sub _mm512_sub_pd
#define vf_mul _mm512_mul_pd
#define vf_div _mm512_div_pd
#define vf_fma _mm512_fmadd_pd
#define vf_fnma _mm512_fnmadd_pd
#define vf_min _mm512_min_pd
#define vf_max _mm512_max_pd
#define vf_lt(a, b) _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ)
#define vf_unordered(a) _mm512_cmp_pd_mask(a, a, _CMP_UNORD_Q)
#define vf_select(m, a, b) _mm512_mask_blend_pd(m, b, a)
#define vf_abs _mm512_abs_pd
#define vf_copysign(a, s)                                                              \
    _mm512_castsi512_pd(_mm512_ternarylogic_epi64(_mm512_castpd_si512(a),              \
                                                  _mm512_castpd_si512(s),              \
                                                  _mm512_set1_epi64(INT64_MIN), 0xd8))
#define vf_zip_low(a, b)                                                               \
    _mm512_permutex2var_pd(a, _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), b)
#define vf_zip_high(a, b)                                                              \
    _mm512_permutex2var_pd(a, _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15), b)
#define vf_pow2(t)                                                                     \
    _mm512_castsi512_pd(                                                               \
        _mm512_add_epi64(_mm512_slli_epi64(_mm512_castpd_si512(t), 52),                \
                         _mm512_castpd_si512(_mm512_set1_pd(1))))
#endif

#define vf_mask(n) ((vm)((1u << (n)) - 1))

/* Tiles are tuned for a processor for which GCC spills no integer to a vector register:
 * back from there it comes behind the multiply-adds that wait. */
#if !defined(__clang__)
#define VF_TILE __attribute__((target("tune=skylake-avx512")))
#endif
