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
#define ROLL _Pragma("clang loop unroll(disable)")
#define TWICE _Pragma("clang loop unroll_count(2)")
#else
#define UNROLL _Pragma("GCC unroll 24")
#define ROLL _Pragma("GCC unroll 1")
#define TWICE _Pragma("GCC unroll 2")
#endif
#define INLINE static inline __attribute__((always_inline))

INLINE vf load(const real *p, size_t n, bool whole)
{
    return whole ? vf_load(p) : vf_loadn(p, n);
}

/* How the loop along a sum is unrolled, if an instruction set gains from it. */
#ifndef VF_INPUTS
#define VF_INPUTS
#endif

#include "panels_tmpl.h"
#include "tanh_tmpl.h"

#include "cells/rnn.h"
#include "fetch_tmpl.h"
#include "tile_tmpl.h"

/* Attributes of the tiles, where an instruction set has any. */
#ifndef VF_TILE
#define VF_TILE
#endif

#define DEFINE_TILE(mr, nv)                                                            \
    VF_TILE static void tile_##mr##x##nv(const crnn_affine *a, size_t row, size_t col, \
                                         size_t n)                                     \
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

/* Of a whole tile; where loads are few too, unless an instruction set has better. */
#ifndef VF_FEW_LOADS_ROWS
#define VF_FEW_LOADS_ROWS (shapes->rows)
#endif

static size_t most_rows(bool few_loads)
{
    return few_loads ? VF_FEW_LOADS_ROWS : shapes->rows;
}

static size_t panel(size_t rows, bool few_loads)
{
    return widest_of(crnn_min(rows, most_rows(few_loads)))->vectors * VF_N;
}

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
static void affine(const crnn_affine *a, bool few_loads)
{
    if (a->rows == 0)
        return;
    if (a->rows == 1) {
        affine_rows(a, 0, 1, shapes + FIRST_OF_ONE_ROW);
        return;
    }
    const size_t most = most_rows(few_loads), tiles = (a->rows + most - 1) / most;
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
