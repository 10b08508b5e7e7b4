/*
 * tile_tmpl.h - a tile of crnn_affine in registers: some rows by some vectors of
 * columns; a part of kernels_tmpl.h.
 */

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
