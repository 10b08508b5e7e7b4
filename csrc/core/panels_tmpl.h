/*
 * panels_tmpl.h - matrices copied into panels of columns, as they are or transposed;
 * a part of kernels_tmpl.h.
 */

/* Bytes of a row that are copied together, row by row, and rows that are asked for
 * ahead: lines that are alone, a row apart, come slowly. */
#define BYTES_TOGETHER ((size_t)512)
#define ROWS_AHEAD ((size_t)16)

/* Into the second cache: the first has few places for what is on its way, and what is
 * read now waits for one. */
INLINE void fetch(const void *line) { __builtin_prefetch(line, 0, 2); }

/* Into the first. */
INLINE void fetch_near(const void *line) { __builtin_prefetch(line, 0, 3); }

static void pack(const void *w, size_t k, size_t cols, size_t panel, void *panels)
{
    const size_t together = BYTES_TOGETHER / sizeof(real);
    const size_t group = (together + panel - 1) / panel * panel;
    for (size_t first = 0; first < cols; first += group) {
        const size_t last = crnn_min(first + group, cols);
        for (size_t i = 0; i < k; i++) {
            const real *row = (const real *)w + i * cols,
                       *ahead =
                           (const real *)w + crnn_min(i + ROWS_AHEAD, k - 1) * cols;
            for (size_t col = first; col < last; col += CRNN_LINE / sizeof *row)
                fetch(ahead + col);
            for (size_t col = first; col < last; col += panel)
                memcpy((real *)panels + col * k + i * panel, row + col,
                       crnn_min(panel, last - col) * sizeof *row);
        }
    }
}

/* Zipping both halves of a square's rows turns the bits of an index, row and lane, by
 * one place. */
INLINE void transpose(vf *row)
{
    UNROLL
    for (int turns = 1; turns < VF_N; turns *= 2) {
        vf zipped[VF_N];
        UNROLL
        for (int i = 0; i < VF_N / 2; i++) {
            zipped[2 * i] = vf_zip_low(row[i], row[i + VF_N / 2]);
            zipped[2 * i + 1] = vf_zip_high(row[i], row[i + VF_N / 2]);
        }
        UNROLL
        for (int i = 0; i < VF_N; i++)
            row[i] = zipped[i];
    }
}

/* Up to VF_N rows of n values, as n rows; in registers, for with powers of two as
 * strides the lines of a square in memory would drive each other out of the cache. */
INLINE void transpose_square(const real *from, size_t from_step, size_t rows, real *to,
                             size_t to_step, size_t n, bool whole)
{
    vf row[VF_N];
    UNROLL
    for (size_t i = 0; i < VF_N; i++)
        row[i] = whole || i < rows ? load(from + i * from_step, n, whole) : vf_set1(0);
    transpose(row);
    UNROLL
    for (size_t i = 0; i < VF_N; i++) {
        if (whole)
            vf_store(to + i * to_step, row[i]);
        else if (i < n)
            vf_storen(to + i * to_step, row[i], rows);
    }
}

static void transpose_block(const real *from, size_t from_step, size_t rows, real *to,
                            size_t to_step, size_t cols)
{
    for (size_t i = 0; i < rows; i += VF_N)
        for (size_t j = 0; j < cols; j += VF_N) {
            const size_t m = crnn_min(VF_N, rows - i), n = crnn_min(VF_N, cols - j);
            const real *square = from + i * from_step + j;
            if (m == VF_N && n == VF_N)
                transpose_square(square, from_step, m, to + j * to_step + i, to_step, n,
                                 true);
            else
                transpose_square(square, from_step, m, to + j * to_step + i, to_step, n,
                                 false);
        }
}

/* Ask for n rows of k values, from the i-th of each on. */
INLINE void fetch_rows(const real *rows, size_t n, size_t k, size_t i)
{
    for (size_t r = 0; r < n; r++)
        fetch_near(rows + r * k + crnn_min(i, k - 1));
}

static void pack_transposed(const void *w, size_t k, size_t cols, size_t panel,
                            void *panels)
{
    enum { BLOCK = 16 }; /* a square of it stays in the first cache */
    const real *from = w;
    for (size_t col = 0, n; col < cols; col += n) {
        const size_t aside = col % panel;
        n = crnn_min(BLOCK, crnn_min(panel - aside, cols - col));
        const size_t next = col + n;
        real *to = (real *)panels + (col - aside) * k + aside;
        for (size_t i = 0; i < k; i += BLOCK) {
            /* So many rows at once are more streams than a processor foresees. */
            const size_t ahead = i + 2 * BLOCK;
            if (ahead < k)
                fetch_rows(from + col * k, n, k, ahead);
            else if (next < cols)
                fetch_rows(from + next * k, crnn_min(BLOCK, cols - next), k, ahead - k);
            transpose_block(from + col * k + i, k, n, to + i * panel, panel,
                            crnn_min(BLOCK, k - i));
        }
    }
}
