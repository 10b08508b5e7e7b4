/*
 * onednn_layer.cpp - one layer of an RNN, in one or two directions, as a primitive of
 * oneDNN 2 or 3.
 */
#include <chrono>
#include <cstdio>
#include <unordered_map>

#include <dnnl.hpp>

using namespace dnnl;
using tag = memory::format_tag;

struct sizes {
    memory::dim T, B, I, H, D;
};

struct layer {
    vanilla_rnn_forward primitive;
    std::unordered_map<int, memory> arguments;
};

static engine &cpu()
{
    static engine one(engine::kind::cpu, 0);
    return one;
}

static stream &queue()
{
    static stream one(cpu());
    return one;
}

static memory::desc floats(const memory::dims &shape, tag layout)
{
    return {shape, memory::data_type::f32, layout};
}

static vanilla_rnn_forward::primitive_desc describe(const sizes &s, bool relu,
                                                    bool has_state)
{
    const auto kind = prop_kind::forward_inference;
    const auto act = relu ? algorithm::eltwise_relu : algorithm::eltwise_tanh;
    const auto direction = s.D == 2 ? rnn_direction::bidirectional_concat
                                    : rnn_direction::unidirectional_left2right;
    const auto x = floats({s.T, s.B, s.I}, tag::tnc);
    const auto y = floats({s.T, s.B, s.D * s.H}, tag::tnc);
    const auto w_ih = floats({1, s.D, s.I, 1, s.H}, tag::any);
    const auto w_hh = floats({1, s.D, s.H, 1, s.H}, tag::any);
    const auto b = floats({1, s.D, 1, s.H}, tag::ldgo);
    const auto h_n = floats({1, s.D, s.B, s.H}, tag::ldnc);
    const auto h_0 = has_state ? h_n : memory::desc();
#if DNNL_VERSION_MAJOR >= 3
    return {cpu(), kind, act, direction, x, h_0, w_ih, w_hh, b, y, h_n};
#else
    return {{kind, act, direction, x, h_0, w_ih, w_hh, b, y, h_n}, cpu()};
#endif
}

/* Weights in the layout that the primitive asks for. */
static memory packed(const float *values, const memory::dims &shape,
                     const memory::desc &wanted)
{
    memory plain(floats(shape, tag::ldigo), cpu(), const_cast<float *>(values));
    memory result(wanted, cpu());
    reorder(plain, result).execute(queue(), plain, result);
    queue().wait();
    return result;
}

/*
 * x [T][B][I], w_ih [D][I][H], w_hh [D][H][H], b [D][H]; h_0 [D][B][H], or null: zeros;
 * y [T][B][D*H] and h_n [D][B][H] are written by every pass.  All but w_ih and w_hh
 * must outlive the layer.  Null where oneDNN refuses.
 */
extern "C" void *make_layer(const sizes *s, int relu, float *x, const float *w_ih,
                            const float *w_hh, float *b, float *y, float *h_n,
                            float *h_0)
{
    try {
        const auto desc = describe(*s, relu, h_0);
        auto *made = new layer{vanilla_rnn_forward(desc), {}};
        made->arguments = {
            {DNNL_ARG_SRC_LAYER, {desc.src_layer_desc(), cpu(), x}},
            {DNNL_ARG_WEIGHTS_LAYER,
             packed(w_ih, {1, s->D, s->I, 1, s->H}, desc.weights_layer_desc())},
            {DNNL_ARG_WEIGHTS_ITER,
             packed(w_hh, {1, s->D, s->H, 1, s->H}, desc.weights_iter_desc())},
            {DNNL_ARG_BIAS, {desc.bias_desc(), cpu(), b}},
            {DNNL_ARG_DST_LAYER, {desc.dst_layer_desc(), cpu(), y}},
            {DNNL_ARG_DST_ITER, {desc.dst_iter_desc(), cpu(), h_n}},
        };
        if (h_0)
            made->arguments[DNNL_ARG_SRC_ITER] = {desc.src_iter_desc(), cpu(), h_0};
        return made;
    } catch (const error &) {
        return nullptr;
    }
}

/* The seconds that n passes through the layers take. */
extern "C" double run_layers(void **layers, int count, int n)
{
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < n; i++) {
        for (int l = 0; l < count; l++) {
            auto *one = static_cast<layer *>(layers[l]);
            one->primitive.execute(queue(), one->arguments);
        }
        queue().wait();
    }
    const std::chrono::duration<double> spent =
        std::chrono::steady_clock::now() - start;
    return spent.count();
}

extern "C" const char *version_text()
{
    static char text[32];
    const dnnl_version_t *v = dnnl_version();
    snprintf(text, sizeof text, "%d.%d.%d", v->major, v->minor, v->patch);
    return text;
}
