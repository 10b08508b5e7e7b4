/*
 * tanh_tmpl.h - tanh, the same bits on every instruction set.
 *
 *     t = expm1(2|x|) = 2^n (1 + expm1(2r)) - 1
 *     |x| = n ln 2 / 2 + r,   |r| <= ln 2 / 4
 *     tanh |x| = t / (t + 2)
 *
 * t and t + 2 are kept as sums of two numbers and the quotient is corrected by its
 * remainder, so that little but the last rounding shows.
 *
 * Max error in float32: 1.0 ulp, near 1; of all floats 0.09 % are not correctly rounded
 * (benchmarks/tanh_exhaustive.py).  In float64 1.0 ulp seen, near 1 (test_tanh.py).
 * Odd, monotone, never beyond +-1; subnormals and -0 come back as they are; infinity
 * becomes 1.  A NaN does too: cell_forward() puts it back.
 */
#if CRNN_REAL_BITS == 32
#define SATURATED 9.125f /* tanh rounds to 1 from 9.011 on */
#define TWO_LOG2_E 0x1.715476p+1f
#define HALF_LN2_HIGH 0x1.62e43p-2f
#define HALF_LN2_LOW -0x1.05c61p-30f
#define ROUNDER 0x1.8p23f /* a + ROUNDER has the integer nearest a in its low bits */
/* (expm1(2r) - 2r) / 2r^2 interpolated at Chebyshev nodes: expm1 to 2^-29.1, relative.
 */
static const real expm1_terms[] = {0x1p0f,        0x1.555556p-1f, 0x1.5554eap-2f,
                                   0x1.1110ep-3f, 0x1.6d4324p-5f, 0x1.a124f2p-7f};
#else
#define SATURATED 19.125 /* from 19.062 on */
#define TWO_LOG2_E 0x1.71547652b82fep+1
#define HALF_LN2_HIGH 0x1.62e42fefa39efp-2
#define HALF_LN2_LOW 0x1.abc9e3b39803fp-57
#define ROUNDER 0x1.8p52
/* To 2^-60.0. */
static const real expm1_terms[] = {0x1p0,
                                   0x1.5555555555557p-1,
                                   0x1.5555555555556p-2,
                                   0x1.11111111100dcp-3,
                                   0x1.6c16c16c162d4p-5,
                                   0x1.a01a01abe7fe1p-7,
                                   0x1.a01a01a6d889cp-9,
                                   0x1.71de0231960ebp-11,
                                   0x1.27e4db646b17ep-13,
                                   0x1.af4de97ca4194p-16,
                                   0x1.1f730349868cep-18};
#endif
#define TERMS ((int)(sizeof expm1_terms / sizeof *expm1_terms))

/* Vectors that go through tanh side by side: one alone would mostly wait for itself. */
#define GROUP 4
#define EACH UNROLL for (int i = 0; i < n; i++)

/* (expm1(2r) - 2r) / 2r^2, in pairs of terms, which do not wait for each other. */
INLINE vf expm1_rest(vf r, vf square)
{
    vf sum = vf_set1(expm1_terms[TERMS - 1]);
    if (TERMS % 2 == 0)
        sum = vf_fma(sum, r, vf_set1(expm1_terms[TERMS - 2]));
    UNROLL
    for (int i = (TERMS - 1) / 2 * 2 - 2; i >= 0; i -= 2)
        sum = vf_fma(sum, square,
                     vf_fma(vf_set1(expm1_terms[i + 1]), r, vf_set1(expm1_terms[i])));
    return sum;
}

/* Of n vectors, a constant of at most GROUP, in place. */
INLINE void vf_tanh(vf *x, int n)
{
    vf shifted[GROUP], whole[GROUP], r[GROUP], p[GROUP];
    EACH
    {
        const vf a = vf_min(vf_abs(x[i]), vf_set1(SATURATED));
        /* n is whole; the low bits of shifted hold n + 1. */
        shifted[i] = vf_fma(a, vf_set1(TWO_LOG2_E), vf_set1(ROUNDER + 1));
        whole[i] = vf_sub(shifted[i], vf_set1(ROUNDER + 1));
        /* Exact: the low bits of |x| and of n HALF_LN2_HIGH reach no lower than its. */
        r[i] = vf_fma(whole[i], vf_set1(-HALF_LN2_HIGH), a);
    }
    /* Half of expm1(2r) - 2r and of the part of the argument that r leaves out. */
    EACH
    {
        const vf square = vf_mul(r[i], r[i]);
        p[i] = vf_fma(square, expm1_rest(r[i], square),
                      vf_mul(whole[i], vf_set1(-HALF_LN2_LOW)));
    }

    /* t = t_high + t_low and t + 2 = d_high + d_low; differences are exact, but where 2
     * is less than an ulp of t, near the largest x: there the error is 1 ulp. */
    vf t_high[GROUP], t_low[GROUP], inverse[GROUP];
    EACH
    {
        const vf scale = vf_pow2(shifted[i]); /* 2^(n+1) */
        const vf less = vf_fma(scale, vf_set1((real)0.5), vf_set1(-1));
        const vf most = vf_fma(scale, r[i], less);
        /* Of about t + 2: the remainder makes up for it. */
        inverse[i] = vf_div(vf_set1(1), vf_fma(scale, p[i], vf_add(most, vf_set1(2))));
        const vf part = vf_fma(scale, p[i], vf_fma(scale, r[i], vf_sub(less, most)));
        t_high[i] = vf_add(most, part);
        t_low[i] = vf_sub(part, vf_sub(t_high[i], most));
    }
    EACH
    {
        const vf d_high = vf_add(t_high[i], vf_set1(2));
        const vf d_low =
            vf_add(vf_sub(t_high[i], vf_sub(d_high, vf_set1(2))), t_low[i]);
        const vf q = vf_mul(t_high[i], inverse[i]);
        const vf remainder =
            vf_add(vf_fnma(q, d_low, t_low[i]), vf_fnma(q, d_high, t_high[i]));
        /* The quotient has no sign yet. */
        x[i] = vf_copysign(vf_fma(remainder, inverse[i], q), x[i]);
    }
}
