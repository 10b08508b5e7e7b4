/*
 * rnn.h - the Elman cell, pointwise: h = act(a) for pre-activations a, and back.
 *
 * Every NaN leaves as the same quiet NaN: which operand's payload a multiply-add hands
 * on differs between machines.
 */
INLINE void cell_forward(vf *a, int n, crnn_activation activation)
{
    vf h[GROUP];
    EACH h[i] = activation == CRNN_TANH ? a[i] : vf_max(a[i], vf_set1(0));
    if (activation == CRNN_TANH)
        vf_tanh(h, n);
    EACH a[i] = vf_select(vf_unordered(a[i]), vf_set1((real)NAN), h[i]);
}

/* The gradient of a from that of h: d (1 - h^2), or d where h > 0; where h is NaN, d.
 */
INLINE vf cell_backward(vf d, vf h, crnn_activation activation)
{
    if (activation == CRNN_TANH)
        return vf_mul(d, vf_fma(vf_sub(vf_set1(0), h), h, vf_set1(1)));
    return vf_select(vf_lt(vf_set1(0), h), d,
                     vf_select(vf_unordered(h), d, vf_set1(0)));
}
