/*
 * fetch_tmpl.h - what a tile asks for before it or another one needs it; a part of
 * kernels_tmpl.h.
 */

/* How far ahead of a single row, and of several. */
#define BYTES_AHEAD ((size_t)8 << 10)
#define INPUTS_AHEAD 48

/* Bytes of two lines that a second cache gets together. */
#define PAIR (2 * CRNN_LINE)

/* What to ask for while a term is read: from next on, and so many bytes further at
 * every input. */
typedef struct {
    const char *next;
    ptrdiff_t pace;
} request;

/* Whether a tile asks for what it comes to: in a matrix that no cache has, for with
 * others it would take 5 to 15 % longer (Zen 5).  A single row asks for its part of
 * each row of w, unless that lies in panels, which are one stream, or in vectors of
 * half a line (Zen 3: 5 %); more rows for the short piece of each that they read, or
 * where a panel is as wide as they are for their part of the next one. */
INLINE bool asks_ahead(const crnn_term *term, int mr, int nv, bool whole)
{
    if (!term->uncached)
        return false;
    if (mr == 1)
        return !term->panel && sizeof(vf) >= CRNN_LINE;
    return whole && (!term->panel || term->panel == (size_t)nv * VF_N);
}

/* From an input on, where w stands. */
INLINE request request_of(const crnn_affine *a, const crnn_term *term, const real *w,
                          size_t row, size_t input, int mr, int nv)
{
    const size_t width = nv * sizeof(vf), inputs = term->last - term->first;
    if (!term->panel) {
        const ptrdiff_t pace = term->w_step * (ptrdiff_t)sizeof *w;
        const size_t ahead = mr == 1 ? BYTES_AHEAD / width : INPUTS_AHEAD;
        return (request){(const char *)w + (ptrdiff_t)ahead * pace, pace};
    }
    const size_t pace = (width * mr + a->rows - 1) / a->rows;
    return (request){(const char *)w + width * (term->k + inputs * row / a->rows) -
                         (input - term->first) * (width - pace),
                     (ptrdiff_t)pace};
}

/* Ask for so many vectors.  What of their first line, or pair of lines, lies before the
 * next one was asked for by the columns before: half a pair brings the other half too,
 * and two halves take the places of two pairs (Zen 5: 3 % of training). */
INLINE void fetch_vectors(const char *next, int nv)
{
    const size_t bytes = nv * sizeof(vf);
    const size_t unit = bytes < PAIR ? CRNN_LINE : PAIR;
    const char *last = next + unit - 1, *line = last - (uintptr_t)last % unit;
    UNROLL
    for (size_t i = 0; i < bytes; i += CRNN_LINE)
        fetch(line + i);
}

INLINE bool looks_ahead(const crnn_affine *a)
{
    return a->ahead[0] || a->ahead[1] || a->ahead[2];
}

/* Columns of a row. */
typedef struct {
    size_t row, col;
} place;

/* Where a tile begins to ask: where it lies itself, or, row by row, behind what the
 * tiles before it ask for. */
INLINE place first_ahead(const crnn_affine *a, size_t row, size_t col, int nv)
{
    if (!a->ahead_by_rows)
        return (place){row, col};
    const size_t cols = a->last_col - a->first_col;
    const size_t before = (col - a->first_col) * a->rows + row * nv * VF_N;
    return (place){before / cols, a->first_col + before % cols};
}

/* Ask for a row of a tile of each of what will be read or written later, and go on to
 * the tile's next row, or to what comes behind. */
INLINE void fetch_ahead(const crnn_affine *a, place *at, int nv)
{
    for (int i = 0; i < CRNN_AHEAD && at->row < a->rows; i++)
        if (a->ahead[i])
            fetch_vectors((const char *)((const real *)a->ahead[i][at->row] + at->col),
                          nv);
    if (a->ahead_by_rows)
        at->col += nv * VF_N;
    else
        at->row++;
    if (at->col >= a->last_col) {
        at->col -= a->last_col - a->first_col;
        at->row++;
    }
}
