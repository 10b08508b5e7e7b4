/*
 * tile_tmpl.h - a tile of crnn_affine in registers: some rows by some vectors of
 * columns; a part of kernels_tmpl.h.
 */

/* Rows and accumulators of the largest tile of any instruction set. */
#define MAX_ROWS 8
#define MAX_TILE 24

/* Accumulators of one that asks for what comes later. */
#define LARGE_TILE 8

/* A tile of more fetches rows that lie together so many inputs before it uses them:
 * each input's are on a line of their own, which the vectors of w would delay (Ice
 * Lake: by a fifth of the time of gradients). */
#define NEAR_TILE 16
#define INPUTS_NEAR 16

#ifdef TANH_GROUP
/* More vectors than registers: they wait in memory, and a loop takes few at a time
 * through tanh.  There are enough to hide the latency, and it is less code. */
INLINE void tanh_in_turns(vf *a, int count)
{
    vf waiting[MAX_TILE];
    UNROLL
    for (int i = 0; i < count; i++)
        waiting[i] = a[i];
    ROLL for (int i = 0; i < count; i += TANH_GROUP)
        cell_forward(waiting + i, TANH_GROUP, CRNN_TANH);
    UNROLL
    for (int i = 0; i < count; i++)
        a[i] = waiting[i];
}
#endif

/* By groups; activation is a constant wherever this is inlined. */
INLINE void activate_groups(vf *a, int count, crnn_activation activation)
{
#ifdef TANH_GROUP
    if (activation == CRNN_TANH && count > TANH_AT_ONCE) {
        tanh_in_turns(a, count);
        return;
    }
#endif
    UNROLL
    for (int i = 0; i < count; i += GROUP)
        cell_forward(a + i, count - i < GROUP ? count - i : GROUP, activation);
}

INLINE void activate(vf *a, int count, crnn_activation activation)
{
    if (activation == CRNN_TANH)
        activate_groups(a, count, CRNN_TANH);
    else
        activate_groups(a, count, CRNN_RELU);
}

/* One function for the columns at an edge: inlined it would be most of their code. */
static __attribute__((noinline)) void activate_edge(vf *a, int count,
                                                    crnn_activation activation)
{
    for (int i = 0; i < count; i += GROUP)
        activate(a + i, GROUP, activation);
}

/* h = activation(h) */
INLINE void finish(vf *h, int count, bool whole, crnn_activation activation)
{
    if (activation == CRNN_IDENTITY)
        return;
    if (!whole && count > GROUP)
        activate_edge(h, count, activation);
    else
        activate(h, count, activation);
}

typedef enum { APART, TOGETHER, AHEAD } manner;

/* Add up the products of some inputs.  Together: all x lie side by side, which leaves
 * one pointer to them; ahead: asking for what will be read later. */
INLINE void accumulate(vf *acc, const real *const *x, ptrdiff_t x_step, const real *w,
                       ptrdiff_t w_step, size_t inputs, int mr, int nv, size_t n,
                       bool whole, manner how, request ask)
{
    const real *side = x[0];
    VF_INPUTS
    for (size_t k = 0; k < inputs; k++, w += w_step, side += x_step) {
        if (how == TOGETHER && mr * nv > NEAR_TILE)
            fetch_near(side + INPUTS_NEAR * x_step);
        if (how == AHEAD) {
            fetch_vectors(ask.next, nv);
            ask.next += ask.pace;
        }
        /* Each is loaded where it is used first: all of the rows or of the vectors,
         * whichever are fewer, and one of the others, take the fewest registers. */
        vf xk[MAX_ROWS], wk[MAX_TILE];
        UNROLL
        for (int i = 0; i < mr * nv; i++) {
            const int r = mr < nv ? i % mr : i / nv, v = mr < nv ? i / mr : i % nv;
            if (v == 0)
                xk[r] =
                    vf_set1(how == TOGETHER ? side[r] : x[r][(ptrdiff_t)k * x_step]);
            if (r == 0)
                wk[v] = load(w + v * VF_N, n, whole || v < nv - 1);
            acc[r * nv + v] = vf_fma(xk[r], wk[v], acc[r * nv + v]);
        }
    }
}

/* The same of a term from one input to another. */
INLINE void add_term(vf *acc, const crnn_affine *a, const crnn_term *term, size_t row,
                     size_t col, size_t first, size_t last, int mr, int nv, size_t n,
                     bool whole)
{
    const ptrdiff_t x_step = term->x_step, w_step = term->w_step;
    const size_t aside = term->panel ? col % term->panel : col;
    const real *w = (const real *)term->w + (col - aside) * term->k + aside +
                    (ptrdiff_t)first * w_step,
               *x[MAX_ROWS];
    bool together = mr > 1 && x_step != 1;
    UNROLL
    for (int r = 0; r < mr; r++) {
        x[r] = (const real *)term->x[row + r] + (ptrdiff_t)first * x_step;
        together = together && x[r] == x[0] + r;
    }
    const size_t inputs = last - first;
    if (together)
        accumulate(acc, x, x_step, w, w_step, inputs, mr, nv, n, whole, TOGETHER,
                   (request){0});
    else if (asks_ahead(term, mr, nv, whole))
        accumulate(acc, x, x_step, w, w_step, inputs, mr, nv, n, whole, AHEAD,
                   request_of(a, term, w, row, first, mr, nv));
    else
        accumulate(acc, x, x_step, w, w_step, inputs, mr, nv, n, whole, APART,
                   (request){0});
}

/* Times the derivative of the activation that gave the states. */
INLINE void derive(vf *h, const crnn_affine *a, size_t row, size_t col, int mr, int nv,
                   size_t n, bool whole)
{
    UNROLL
    for (int r = 0; r < mr; r++) {
        const real *state = (const real *)a->states[row + r] + col;
        UNROLL
        for (int v = 0; v < nv; v++) {
            const vf s = load(state + v * VF_N, n, whole || v < nv - 1);
            const int i = r * nv + v;
            h[i] = a->activation == CRNN_TANH ? cell_backward(h[i], s, CRNN_TANH)
                                              : cell_backward(h[i], s, CRNN_RELU);
        }
    }
}

/* Write the tile to its place in some rows. */
INLINE void leave(const vf *h, void *const *rows, size_t row, size_t col, int mr,
                  int nv, size_t n, bool whole)
{
    real *y[MAX_ROWS];
    UNROLL
    for (int r = 0; r < mr; r++)
        y[r] = (real *)rows[row + r] + col;
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

/*
 * One tile of crnn_affine in registers: mr rows by nv vectors of columns, the last of n
 * columns.  mr, nv and whole (n is VF_N) are constants wherever this is inlined.
 */
INLINE void tile(const crnn_affine *a, size_t row, size_t col, int mr, int nv, size_t n,
                 bool whole)
{
    vf acc[MAX_TILE];
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

    /* A large tile asks for what comes later: at once if its rows are a line each, else
     * row by row, with a part of the inputs after each: all together they would keep
     * what the product itself waits for.  Tiles at an edge are few, and a row alone is
     * foreseen. */
    const bool large = whole && mr > 1 && mr * nv >= LARGE_TILE;
    const int parts = nv * sizeof(vf) > CRNN_LINE ? mr : 1;
    for (size_t i = 0; i < a->num_terms; i++) {
        const crnn_term *term = &a->terms[i];
        const size_t inputs = term->last - term->first;
        const bool asks = large && i + 1 == a->num_terms && looks_ahead(a);
        size_t first = term->first;
        place at = {0};
        if (asks)
            at = first_ahead(a, row, col, nv);
        for (int part = asks ? 0 : parts - 1; part < parts; part++) {
            for (int r = 0; asks && r < mr / parts; r++)
                fetch_ahead(a, &at, nv);
            const size_t last = term->first + inputs * (part + 1) / parts;
            add_term(acc, a, term, row, col, first, last, mr, nv, n, whole);
            first = last;
        }
    }

    /* A copy: accumulators in memory would be stored in every turn of the loop. */
    vf h[MAX_TILE];
    UNROLL
    for (int i = 0; i < MAX_TILE; i++)
        h[i] = i < mr * nv ? acc[i] : vf_set1(0);
    if (a->states)
        derive(h, a, row, col, mr, nv, n, whole);
    else
        finish(h, mr * nv, whole, a->activation);
    leave(h, a->y, row, col, mr, nv, n, whole);
    if (a->copy)
        leave(h, a->copy, row, col, mr, nv, n, whole);
}
