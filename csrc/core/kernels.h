/*
 * kernels.h - the table of functions that every (instruction set, dtype) fills, and
 * what they work on.
 */
#ifndef CRNN_KERNELS_H
#define CRNN_KERNELS_H

#include "crnn.h"

#if defined(__x86_64__)
#define CRNN_X86
#elif defined(__aarch64__)
#define CRNN_AARCH64
#endif

/* Bytes of a cache line. */
#define CRNN_LINE ((size_t)64)

/* How many arrays of rows a product fetches for later ones. */
#define CRNN_AHEAD 3

/* One sum of a product: what the rows x add through the matrix w. */
typedef struct {
    void *const *x;   /* [rows] -> x[k], read only */
    ptrdiff_t x_step; /* elements from x[0] to x[1] */
    const void *w;    /* [k][cols]; in panels: [cols / panel][k][panel] */
    ptrdiff_t w_step; /* elements from one row of w to the next; panel, if in panels */
    size_t k;         /* rows of w */
    size_t first, last; /* of them, those to sum up */
    size_t panel;       /* columns of a panel, or 0 */
    bool uncached;      /* whether w is more than the caches hold */
} crnn_term;

/*
 * y[r][c] = act(start + sum of terms), for r in rows and c in first_col .. last_col-1,
 * each sum ascending in k; given states h, (start + sum of terms) * act'(h) instead.  y
 * may be start, but no x.
 */
typedef struct {
    size_t rows;
    size_t first_col, last_col;
    crnn_term terms[2];
    size_t num_terms;
    void *const *start;  /* [rows] -> start[cols]; NULL: b_ih + b_hh, or zero if NULL */
    const void *b_ih;    /* [cols] */
    const void *b_hh;    /* [cols] */
    void *const *y;      /* [rows] -> y[cols] */
    void *const *copy;   /* [rows] -> what y gets, once more, or NULL */
    void *const *states; /* [rows] -> h[cols], or NULL */
    /* [rows] -> [cols] that will be read or written later, or NULL: to be fetched into
     * the second cache while this product goes on, if it is of several rows: what lies
     * where each tile does, or row by row, which comes sooner from far. */
    void *const *ahead[CRNN_AHEAD];
    bool ahead_by_rows;
    crnn_activation activation;
} crnn_affine;

struct crnn_kernels {
    const char *isa;
    size_t element; /* bytes */
    size_t lanes;   /* elements of a vector */
    /* few_loads: in the tiles that load least for a multiply-add. */
    void (*affine)(const crnn_affine *a, bool few_loads);
    /* Columns of the tile that most of the rows use. */
    size_t (*panel)(size_t rows, bool few_loads);
    /* Copy a matrix [k][cols] into panels. */
    void (*pack)(const void *w, size_t k, size_t cols, size_t panel, void *panels);
    /* The same of its transpose: panels of [cols][k]'. */
    void (*pack_transposed)(const void *w, size_t k, size_t cols, size_t panel,
                            void *panels);
    void (*add)(void *y, const void *x, size_t n);        /* y[n] += x[n] */
    void (*scale)(void *y, const void *factor, size_t n); /* y[n] *= factor[n] */
    void (*tanh)(const void *x, void *y, size_t n);
};

extern const crnn_kernels crnn_kernels_generic_f32, crnn_kernels_generic_f64;
extern const crnn_kernels crnn_kernels_avx2_f32, crnn_kernels_avx2_f64;
extern const crnn_kernels crnn_kernels_avx512_f32, crnn_kernels_avx512_f64;
extern const crnn_kernels crnn_kernels_neon_f32, crnn_kernels_neon_f64;

#endif
