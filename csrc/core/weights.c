/*
 * weights.c - the gradients of a layer's parameters: products of dz with what the layer
 * read, over all steps and rows, a chunk of them at a time.
 */
#include <string.h>

#include "adjoint.h"

#define LINE ((size_t)64)
/* Rows that lie further apart share so few sets of the first cache that what a tile
 * reads of a chunk drives itself out. */
#define MOST_STRIDE ((size_t)1536)
/* Hidden units for which it pays to copy such rows, and those that begin within a line.
 */
#define MANY_UNITS ((size_t)384)
#define SOME_UNITS ((size_t)192)

/* A chunk of n rows, as they lie, or in panels [cols / panel][n][panel]. */
typedef struct {
    char *first;
    size_t step; /* elements from one row to the next */
    size_t panel;
    size_t n;
} block;

/* Whether the collected rows are read sooner as they lie than copied. */
static bool are_handy(const crnn_share *s, size_t n, size_t element)
{
    void *const *rows = s->rows->x;
    const ptrdiff_t step = n > 1 ? (char *)rows[1] - (char *)rows[0] : 0;
    const size_t units = s->last_unit - s->first_unit;
    if (step < 0 || (size_t)step % element ||
        (units >= MANY_UNITS && (size_t)step > MOST_STRIDE) ||
        (units >= SOME_UNITS && (uintptr_t)rows[0] % LINE))
        return false;
    for (size_t i = 2; i < n; i++)
        if ((char *)rows[i] - (char *)rows[i - 1] != step)
            return false;
    return true;
}

/* Copy n rows into panels of so many bytes, a line at a time: calls that copy a few
 * lines take longer. */
static void pack(void *const *rows, size_t n, size_t width, size_t panel, char *panels)
{
    for (size_t i = 0; i < n; i++)
        for (size_t col = 0; col < width; col += panel) {
            const size_t bytes = crnn_min(panel, width - col);
            const char *from = (const char *)rows[i] + col;
            char *to = panels + col * n + i * panel;
            size_t done = 0;
            for (; done + LINE <= bytes; done += LINE)
                memcpy(to + done, from + done, LINE);
            if (done < bytes)
                memcpy(to + done, from + done, bytes - done);
        }
}

/* The collected rows as a block; panels is memory for it. */
static block block_of(const crnn_share *s, size_t n, size_t width, size_t panel,
                      char *panels)
{
    void *const *rows = s->rows->x;
    const size_t element = s->a->d.call.net->kernels->element;
    if (are_handy(s, n, element)) {
        const size_t step = n > 1 ? (size_t)((char *)rows[1] - (char *)rows[0]) : 0;
        return (block){rows[0], step / element, 0, n};
    }
    pack(rows, n, width * element, panel * element, panels);
    return (block){panels, panel, panel, n};
}

static char *column(const block *b, size_t i, size_t element)
{
    const size_t aside = b->panel ? i % b->panel : i;
    return b->first + ((i - aside) * b->n + aside) * element;
}

/* What a product multiplies x by: the rows of a block. */
static crnn_term rows_of(const block *b, void *const *x, size_t x_step)
{
    return (crnn_term){.x = x,
                       .x_step = (ptrdiff_t)x_step,
                       .w = b->first,
                       .w_step = b->step,
                       .k = b->n,
                       .last = b->n,
                       .panel = b->panel};
}

/* Where a product adds up, row by row. */
typedef struct {
    char *first;
    size_t rows, cols;
} sums;

/* y[r][c] += sum of a[r] b[c] over the rows of the blocks, or = for the first of them.
 */
static bool add_product(crnn_share *s, sums y, const block *a, const block *b,
                        bool first)
{
    const size_t element = s->a->d.call.net->kernels->element;
    for (size_t r = 0; r < y.rows; r++) {
        s->rows->x[r] = column(a, r, element);
        s->rows->y[r] = y.first + r * y.cols * element;
    }
    const crnn_affine product = {.rows = y.rows,
                                 .last_col = y.cols,
                                 .terms = {rows_of(b, s->rows->x, a->step)},
                                 .num_terms = 1,
                                 .resume = !first,
                                 .y = s->rows->y};
    return crnn_product(&s->lane, &product);
}

/* db += sum of dz over the rows. */
static bool add_rows(crnn_share *s, char *db, const block *dz, bool first)
{
    void *one = &s->a->one;
    void *y = db + s->first_unit * s->a->d.call.net->kernels->element;
    const crnn_affine product = {.rows = 1,
                                 .last_col = s->last_unit - s->first_unit,
                                 .terms = {rows_of(dz, &one, 0)},
                                 .num_terms = 1,
                                 .resume = !first,
                                 .y = &y};
    return crnn_product(&s->lane, &product);
}

/* Whether few inputs would leave lanes idle across them: then these are across units,
 * and the sums are transposed at last. */
static bool is_turned(const crnn_share *s, size_t units, size_t inputs)
{
    const size_t lanes = s->a->d.call.net->kernels->lanes;
    return inputs < CRNN_NARROW * lanes && inputs * ((units + lanes - 1) / lanes) <
                                               units * ((inputs + lanes - 1) / lanes);
}

bool crnn_run_weights(crnn_share *s, size_t direction)
{
    const crnn_adjoint *a = s->a;
    const crnn_call *call = &a->d.call;
    const crnn_network *net = call->net;
    const size_t index = s->layer * net->num_directions + direction;
    const size_t H = net->hidden_size, inputs = crnn_inputs_of(net, index);
    const size_t units = s->last_unit - s->first_unit, element = net->kernels->element;
    const size_t offset = direction * call->state_bytes + s->first_unit * element;
    const bool turned = is_turned(s, units, inputs);
    const crnn_weight_gradients *dw = &a->g->dw[index];
    const sums ih = {(char *)dw->w_ih + s->first_unit * inputs * element, units,
                     inputs},
               hi = {s->rows->turned, inputs, units},
               hh = {(char *)dw->w_hh + s->first_unit * H * element, units, H};
    const crnn_sequence gradients = crnn_dz_sequence(s, a->dz);
    crnn_place next = crnn_place_at(s, 0);
    s->chunk = a->chunk;
    for (bool first = true;; first = false) {
        const crnn_place at = next;
        const size_t n =
            crnn_collect(s, &next, call->num_steps, &gradients, offset, s->rows->x);
        if (n == 0)
            break;
        const block dz = block_of(s, n, units, a->panel_dz, s->rows->dz);
        crnn_collect_inputs(s, at, n);
        const block x = block_of(s, n, inputs, a->panel_rows, s->rows->panels);
        if (!(turned ? add_product(s, hi, &x, &dz, first)
                     : add_product(s, ih, &dz, &x, first)))
            return false;
        crnn_collect_states(s, at, n, direction);
        const block h = block_of(s, n, H, a->panel_rows, s->rows->panels);
        if (!add_product(s, hh, &dz, &h, first) ||
            (dw->b && !add_rows(s, dw->b, &dz, first)))
            return false;
    }
    if (turned)
        crnn_transpose(net->kernels, hi.first, inputs, units, ih.first);
    return true;
}
