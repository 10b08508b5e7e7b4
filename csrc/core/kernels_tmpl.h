/*
 * kernels_tmpl.h - every kernel once, on the vector operations; included by
 * kernels_<isa>_<dtype>.c after a vec_*.h.
 *
 * Lanes run across outputs, never along a sum, so that every variant adds in the same
 * order.
 */
#include <math.h>
#include <string.h>

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define INLINE static inline __attribute__((always_inline))

INLINE vf load(const real *p, size_t n, bool whole)
{
    return whole ? vf_load(p) : vf_loadn(p, n);
}

#include "panels_tmpl.h"
#include "tanh_tmpl.h"

#include "cells/rnn.h"

/* Rows and accumulators of the largest tile of any instruction set. */
#define MAX_ROWS 8
#define MAX_TILE 16

#define MANY_INPUTS 768
#define ROWS_AHEAD 6

INLINE void activate(vf *a, int count, crnn_activation activation)
{
    UNROLL
    for (int i = 0; i < count; i += GROUP) {
        const int n = count - i < GROUP ? count - i : GROUP;
        if (activation == CRNN_TANH)
            cell_forward(a + i, n, CRNN_TANH);
        else
            cell_forward(a + i, n, CRNN_RELU);
    }
}

/* One function for the columns at an edge: inlined it would be most of their code. */
static __attribute__((noinline)) void activate_edge(vf *a, crnn_activation activation)
{
    for (int i = 0; i < MAX_TILE; i += GROUP)
        activate(a + i, GROUP, activation);
}

/* h = activation of a tile's accumulators: a copy, for those whose address is taken
 * would be stored in every turn of the loop over k. */
INLINE void finish(const vf *acc, vf *h, int count, bool whole,
                   crnn_activation activation)
{
    UNROLL
    for (int i = 0; i < MAX_TILE; i++)
        h[i] = i < count ? acc[i] : vf_set1(0);
    if (activation == CRNN_IDENTITY)
        return;
    if (!whole && count > GROUP)
        activate_edge(h, activation);
    else if (activation == CRNN_TANH)
        activate(h, count, CRNN_TANH);
    else
        activate(h, count, CRNN_RELU);
}

/* Add up the products of some inputs; together: all x lie side by side, which leaves
 * one pointer to them; ahead: ask for rows of w before they are used. */
INLINE void accumulate(vf *acc, const real *const *x, ptrdiff_t x_step, const real *w,
                       ptrdiff_t w_step, size_t first, size_t last, int mr, int nv,
                       size_t n, bool whole, bool together, bool ahead)
{
    const real *side = x[0] + (ptrdiff_t)first * x_step;
    for (size_t k = first; k < last; k++, w += w_step, side += x_step) {
        vf wk[MAX_TILE];
        UNROLL
        for (int v = 0; v < nv; v++) {
            wk[v] = load(w + v * VF_N, n, whole || v < nv - 1);
            if (ahead)
                __builtin_prefetch(w + ROWS_AHEAD * w_step + v * VF_N);
        }
        UNROLL
        for (int r = 0; r < mr; r++) {
            const vf xk = vf_set1(together ? side[r] : x[r][(ptrdiff_t)k * x_step]);
            UNROLL
            for (int v = 0; v < nv; v++)
                acc[r * nv + v] = vf_fma(xk, wk[v], acc[r * nv + v]);
        }
    }
}

/* Times the derivative of the activation that gave the states. */
INLINE void derive(const vf *acc, vf *h, const crnn_affine *a, size_t row, size_t col,
                   int mr, int nv, size_t n, bool whole)
{
    UNROLL
    for (int r = 0; r < mr; r++) {
        const real *state = (const real *)a->states[row + r] + col;
        UNROLL
        for (int v = 0; v < nv; v++) {
            const vf s = load(state + v * VF_N, n, whole || v < nv - 1);
            const int i = r * nv + v;
            h[i] = a->activation == CRNN_TANH ? cell_backward(acc[i], s, CRNN_TANH)
                                              : cell_backward(acc[i], s, CRNN_RELU);
        }
    }
}

/*
 * One tile of crnn_affine in registers: mr rows by nv vectors of columns, the last of n
 * columns.  mr, nv and whole (n is VF_N) are constants wherever this is inlined.
 */
INLINE void tile(const crnn_affine *a, size_t row, size_t col, int mr, int nv, size_t n,
                 bool whole)
{
    vf acc[MAX_TILE];
    real *y[MAX_ROWS];
    UNROLL
    for (int r = 0; r < mr; r++)
        y[r] = (real *)a->y[row + r] + col;

    for (int i = 0; i < 2; i++)
        if (a->ahead[i]) {
            UNROLL
            for (int r = 0; r < mr; r++) {
                const real *next = (const real *)a->ahead[i][row + r] + col;
                UNROLL
                for (int v = 0; v < nv; v++)
                    __builtin_prefetch(next + v * VF_N);
            }
        }

    UNROLL
    for (int v = 0; v < nv; v++) {
        const bool full = whole || v < nv - 1;
        vf bias = vf_set1(0);
        if (!a->start && a->b_ih)
            bias = vf_add(load((const real *)a->b_ih + col + v * VF_N, n, full),
                          load((const real *)a->b_hh + col + v * VF_N, n, full));
        UNROLL
        for (int r = 0; r < mr; r++)
            acc[r * nv + v] =
                a->start
                    ? load((const real *)a->start[row + r] + col + v * VF_N, n, full)
                    : bias;
    }

    for (size_t i = 0; i < a->num_terms; i++) {
        const crnn_term *term = &a->terms[i];
        const size_t aside = term->panel ? col % term->panel : col;
        const real *w = (const real *)term->w + (col - aside) * term->k + aside +
                        (ptrdiff_t)term->first * term->w_step,
                   *x[MAX_ROWS];
        const size_t k_end = term->last;
        const ptrdiff_t x_step = term->x_step, w_step = term->w_step;
        bool together = mr > 1;
        UNROLL
        for (int r = 0; r < mr; r++) {
            x[r] = term->x[row + r];
            together = together && x[r] == x[0] + r;
        }
        /* A single row waits for w, and longest where that is beyond the second cache.
         */
        if (mr == 1 && term->k >= MANY_INPUTS)
            accumulate(acc, x, x_step, w, w_step, term->first, k_end, mr, nv, n, whole,
                       false, true);
        else if (together)
            accumulate(acc, x, x_step, w, w_step, term->first, k_end, mr, nv, n, whole,
                       true, false);
        else
            accumulate(acc, x, x_step, w, w_step, term->first, k_end, mr, nv, n, whole,
                       false, false);
    }

    vf h[MAX_TILE];
    if (a->states)
        derive(acc, h, a, row, col, mr, nv, n, whole);
    else
        finish(acc, h, mr * nv, whole, a->activation);
    UNROLL
    for (int r = 0; r < mr; r++) {
        UNROLL
        for (int v = 0; v < nv; v++)
            if (whole || v < nv - 1)
                vf_store(y[r] + v * VF_N, h[r * nv + v]);
            else
                vf_storen(y[r] + v * VF_N, h[r * nv + v], n);
    }
}

#define DEFINE_TILE(mr, nv)                                                            \
    static void tile_##mr##x##nv(const crnn_affine *a, size_t row, size_t col,         \
                                 size_t n)                                             \
    {                                                                                  \
        if (VF_N == 1 || n == VF_N)                                                    \
            tile(a, row, col, mr, nv, n, true);                                        \
        else                                                                           \
            tile(a, row, col, mr, nv, n, false);                                       \
    }
VF_TILES(DEFINE_TILE)

typedef struct {
    size_t rows, vectors;
    void (*run)(const crnn_affine *a, size_t row, size_t col, size_t n);
} tile_shape;

#define TILE_SHAPE(mr, nv) {mr, nv, tile_##mr##x##nv},
static const tile_shape shapes[] = {VF_TILES(TILE_SHAPE)};

/* Those of one row are the last ones. */
#define HAS_ROWS(mr, nv) +((mr) > 1)
#define FIRST_OF_ONE_ROW (0 VF_TILES(HAS_ROWS))

/* Whether columns col .. col + width - 1 lie in one panel of every term. */
static bool fits(const crnn_affine *a, size_t col, size_t width)
{
    for (size_t i = 0; i < a->num_terms; i++)
        if (a->terms[i].panel && col % a->terms[i].panel + width > a->terms[i].panel)
            return false;
    return true;
}

static const tile_shape *widest_of(size_t rows)
{
    const tile_shape *shape = shapes;
    while (shape->rows > rows)
        shape++;
    return shape;
}

static size_t panel(size_t rows) { return widest_of(rows)->vectors * VF_N; }

/* Rows row .. end - 1 in tiles of as many rows as the widest has.  Columns outside,
 * rows inside: a panel of w stays in cache for all of them. */
static void affine_rows(const crnn_affine *a, size_t row, size_t end,
                        const tile_shape *widest)
{
    for (size_t col = a->first_col; row < end && col < a->last_col;) {
        const tile_shape *shape = widest;
        const size_t left = a->last_col - col;
        while ((shape->vectors - 1) * VF_N >= left ||
               !fits(a, col, shape->vectors * VF_N))
            shape++;
        const size_t before = (shape->vectors - 1) * VF_N;
        const size_t n = crnn_min(left - before, VF_N);
        for (size_t r = row; r < end; r += shape->rows)
            shape->run(a, r, col, n);
        col += before + n;
    }
}

/* As few tiles of rows as there can be, and these as even as can be: a tile of one or
 * two rows reads all of w for little arithmetic. */
static void affine(const crnn_affine *a)
{
    if (a->rows == 0)
        return;
    if (a->rows == 1) {
        affine_rows(a, 0, 1, shapes + FIRST_OF_ONE_ROW);
        return;
    }
    const size_t tiles = (a->rows + shapes->rows - 1) / shapes->rows;
    const size_t rows = a->rows / tiles, larger = a->rows % tiles;
    affine_rows(a, 0, larger * (rows + 1), widest_of(rows + 1));
    affine_rows(a, larger * (rows + 1), a->rows, widest_of(rows));
}

/* y[i] = f(y[i], x[i]) for all i; a is y and b is x in the expression. */
#define DEFINE_MAP(name, expression)                                                   \
    static void name(void *y, const void *x, size_t n)                                 \
    {                                                                                  \
        for (size_t i = 0; i < n; i += VF_N) {                                         \
            const size_t left = crnn_min(n - i, VF_N);                                 \
            const vf a = vf_loadn((const real *)y + i, left),                          \
                     b = vf_loadn((const real *)x + i, left);                          \
            vf_storen((real *)y + i, expression, left);                                \
        }                                                                              \
    }
DEFINE_MAP(scale, vf_mul(a, b))
DEFINE_MAP(add, vf_add(a, b))

static void map_tanh(const void *x, void *y, size_t n)
{
    for (size_t i = 0; i < n; i += GROUP * VF_N) {
        vf a[GROUP];
        for (size_t v = 0; v < GROUP; v++) {
            const size_t at = crnn_min(n, i + v * VF_N);
            a[v] = vf_loadn((const real *)x + at, crnn_min(n - at, VF_N));
        }
        activate(a, GROUP, CRNN_TANH);
        for (size_t v = 0; v < GROUP; v++) {
            const size_t at = crnn_min(n, i + v * VF_N);
            vf_storen((real *)y + at, a[v], crnn_min(n - at, VF_N));
        }
    }
}

#define TABLE_NAME(isa, bits) TABLE_NAME_(isa, bits)
#define TABLE_NAME_(isa, bits) crnn_kernels_##isa##_f##bits
#define TEXT(isa) TEXT_(isa)
#define TEXT_(isa) #isa

const crnn_kernels TABLE_NAME(CRNN_ISA, CRNN_REAL_BITS) = {
    .isa = TEXT(CRNN_ISA),
    .element = sizeof(real),
    .lanes = VF_N,
    .affine = affine,
    .panel = panel,
    .pack = pack,
    .pack_transposed = pack_transposed,
    .add = add,
    .scale = scale,
    .tanh = map_tanh,
};
