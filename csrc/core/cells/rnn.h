/*
 * rnn.h - the Elman cell, pointwise: h = act(a) for a pre-activation a.
 *
 * Every NaN leaves as the same quiet NaN: which operand's payload a multiply-add hands
 * on differs between machines.
 */
static inline vf cell_forward(vf a, crnn_activation activation)
{
    if (activation == CRNN_IDENTITY)
        return a;
    vf h = activation == CRNN_TANH ? vf_tanh(a) : vf_max(a, vf_set1(0));
    return vf_select(vf_unordered(a), vf_set1((real)NAN), h);
}
