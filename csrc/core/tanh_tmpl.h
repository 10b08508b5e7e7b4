/*
 * tanh_tmpl.h - tanh, the same bits on every instruction set.
 *
 *     t = expm1(2|x|) = 2^n (1 + expm1(r)) - 1,   2|x| = n ln 2 + r,   |r| <= ln 2 / 2
 *     tanh |x| = t / (t + 2)
 *
 * t and t + 2 are kept as sums of two numbers and the quotient is corrected by its
 * remainder, so that little but the last rounding shows.
 *
 * Max error in float32: 1.0 ulp, near 1; of all floats 0.08 % are not correctly rounded
 * (benchmarks/tanh_exhaustive.py).  In float64 1.0 ulp seen, near 1 (test_tanh.py).
 * Odd, monotone, never beyond +-1; subnormals and -0 come back as they are; infinity
 * becomes 1.  A NaN does too: cell_forward() puts it back.
 */
#if CRNN_REAL_BITS == 32
#define SATURATED 9.125f /* tanh rounds to 1 from 9.011 on */
#define LOG2_E 0x1.715476p+0f
#define LN2_HIGH 0x1.62e43p-1f
#define LN2_LOW -0x1.05c61p-29f
#define ROUNDER 0x1.8p23f /* r + ROUNDER has the integer nearest r in its low bits */
/* (expm1(r) - r) / r^2 interpolated at Chebyshev nodes: expm1 to 2^-29.1, relative. */
static const real expm1_terms[] = {0x1p-1f,        0x1.555556p-3f,  0x1.5554eap-5f,
                                   0x1.1110e0p-7f, 0x1.6d4324p-10f, 0x1.a124f2p-13f};
#else
#define SATURATED 19.125 /* from 19.062 on */
#define LOG2_E 0x1.71547652b82fep+0
#define LN2_HIGH 0x1.62e42fefa39efp-1
#define LN2_LOW 0x1.abc9e3b39803fp-56
#define ROUNDER 0x1.8p52
/* To 2^-60.0. */
static const real expm1_terms[] = {
    0x1p-1,
    0x1.5555555555557p-3,
    0x1.5555555555556p-5,
    0x1.11111111100dcp-7,
    0x1.6c16c16c162d4p-10,
    0x1.a01a01abe7fe1p-13,
    0x1.a01a01a6d889cp-16,
    0x1.71de0231960ebp-19,
    0x1.27e4db646b17ep-22,
    0x1.af4de97ca4194p-26,
    0x1.1f730349868cep-29,
};
#endif
#define TERMS ((int)(sizeof expm1_terms / sizeof *expm1_terms))

/* Vectors that go through tanh side by side: one alone would mostly wait for itself. */
#define GROUP 4
#define EACH UNROLL for (int i = 0; i < n; i++)

/* Of n vectors, a constant of at most GROUP, in place. */
INLINE void vf_tanh(vf *x, int n)
{
    vf twice[GROUP], shifted[GROUP], whole[GROUP], r[GROUP], p[GROUP];
    EACH
    {
        const vf a = vf_min(vf_abs(x[i]), vf_set1(SATURATED));
        twice[i] = vf_add(a, a);
    }
    EACH shifted[i] = vf_fma(twice[i], vf_set1(LOG2_E), vf_set1(ROUNDER));
    EACH whole[i] = vf_sub(shifted[i], vf_set1(ROUNDER));
    /* Exact: the low bits of 2|x| and of n LN2_HIGH reach no lower than those of r. */
    EACH r[i] = vf_fma(whole[i], vf_set1(-LN2_HIGH), twice[i]);

    EACH p[i] = vf_set1(expm1_terms[TERMS - 1]);
    UNROLL
    for (int term = TERMS - 2; term >= 0; term--)
        EACH p[i] = vf_fma(p[i], r[i], vf_set1(expm1_terms[term]));
    /* expm1(r) - r, and the part of the argument that r leaves out. */
    EACH p[i] = vf_fma(vf_mul(r[i], r[i]), p[i], vf_mul(whole[i], vf_set1(-LN2_LOW)));

    /* t = t_high + t_low and t + 2 = d_high + d_low; each difference is exact. */
    vf t_high[GROUP], t_low[GROUP], d_high[GROUP], d_low[GROUP];
    EACH
    {
        const vf scale = vf_pow2(shifted[i]), less = vf_sub(scale, vf_set1(1));
        const vf most = vf_fma(scale, r[i], less);
        const vf part = vf_fma(scale, p[i], vf_fma(scale, r[i], vf_sub(less, most)));
        t_high[i] = vf_add(most, part);
        t_low[i] = vf_sub(part, vf_sub(t_high[i], most));
    }
    EACH d_high[i] = vf_add(t_high[i], vf_set1(2));
    EACH d_low[i] = vf_add(vf_sub(t_high[i], vf_sub(d_high[i], vf_set1(2))), t_low[i]);

    EACH
    {
        const vf inverse = vf_div(vf_set1(1), d_high[i]),
                 q = vf_mul(t_high[i], inverse);
        const vf remainder =
            vf_add(vf_fma(vf_sub(vf_set1(0), q), d_low[i], t_low[i]),
                   vf_fma(vf_sub(vf_set1(0), q), d_high[i], t_high[i]));
        x[i] = vf_copysign(vf_fma(remainder, inverse, q), x[i]);
    }
}
