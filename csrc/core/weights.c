/*
 * weights.c - the gradients of a layer's parameters: products of dz with what the layer
 * read, over all rows of a span.
 */
#include "adjoint.h"

/* Rows that a product takes up at once: one panel of them should stay in the first
 * cache, and the sums are written for each. */
#define MOST_ROWS ((size_t)512)

/* Bytes of dz, where it is not in panels, that products go through together: each tile
 * of columns reads them again, from the second cache. */
#define BLOCK_BYTES ((size_t)256 << 10)

/* From so many rows on, turning sums back takes little beside adding them up. */
#define MANY_ROWS ((size_t)1024)

/* Some rows of the span, or some units. */
typedef struct {
    size_t first, last;
} interval;

/* Column i of a block from row first on. */
static char *column(const crnn_share *s, const crnn_block *b, size_t i, size_t first)
{
    const size_t aside = b->panel ? i % b->panel : i;
    return b->first + ((ptrdiff_t)((i - aside) * s->a->num_rows + aside) +
                       (ptrdiff_t)first * b->step) *
                          (ptrdiff_t)s->a->d.call.net->kernels->element;
}

/* Whether a group begins with a row of the span, so that nothing has been added up. */
static bool is_first(const crnn_share *s, size_t row)
{
    return (s->a->rows_before + row) % CRNN_GROUP_ROWS == 0;
}

/* Whether a group, the last one too, ends before a row. */
static bool is_last(const crnn_share *s, size_t row)
{
    return is_first(s, row) || (crnn_is_last_span(s->a) && row == s->a->num_rows);
}

/* What a product multiplies x by: rows of a block, whose own first row is at origin. */
static crnn_term rows_of(const crnn_share *s, const crnn_block *b, size_t origin,
                         interval rows, void *const *x, ptrdiff_t x_step)
{
    return (crnn_term){.x = x,
                       .x_step = x_step,
                       .w =
                           b->first + (ptrdiff_t)(rows.first - origin) * b->step *
                                          (ptrdiff_t)s->a->d.call.net->kernels->element,
                       .w_step = b->step,
                       .k = s->a->num_rows,
                       .last = rows.last - rows.first,
                       .panel = b->panel};
}

/* Where a product adds up: some rows and columns of a matrix of so many columns. */
typedef struct {
    char *first;
    size_t num_cols;
    size_t first_row, last_row, first_col, last_col;
} sums;

/* y[r][c] += sum of x[r] w[c] over some rows of the span. */
static bool add_product(crnn_share *s, const sums *y, const crnn_block *x,
                        const crnn_block *w, size_t origin, interval rows)
{
    const size_t element = s->a->d.call.net->kernels->element;
    const size_t n = y->last_row - y->first_row;
    if (rows.first >= rows.last)
        return true;
    for (size_t r = 0; r < n; r++) {
        s->rows->x[r] = column(s, x, y->first_row + r, rows.first);
        s->rows->y[r] = y->first + (y->first_row + r) * y->num_cols * element;
    }
    const crnn_affine product = {
        .rows = n,
        .first_col = y->first_col,
        .last_col = y->last_col,
        .terms = {rows_of(s, w, origin, rows, s->rows->x, x->step)},
        .num_terms = 1,
        .start = is_first(s, rows.first) ? NULL : s->rows->y,
        .y = s->rows->y,
        .ahead = {crnn_rows_ahead(s->a, s->rows, n, n * y->num_cols)},
    };
    return crnn_product(&s->lane, &product);
}

/* db += sum of dz over some rows of the span. */
static bool add_rows(crnn_share *s, void *db, interval units, interval rows)
{
    void *one = (void *)&s->a->one;
    const crnn_affine product = {
        .rows = 1,
        .first_col = units.first,
        .last_col = units.last,
        .terms = {rows_of(s, &s->a->gradients, 0, rows, &one, 0)},
        .num_terms = 1,
        .start = is_first(s, rows.first) ? NULL : &db,
        .y = &db,
    };
    return crnn_product(&s->lane, &product);
}

/*
 * Whether the gradient of w_ih is added up transposed, to be turned back at last: where
 * few inputs would leave lanes idle across them, and where the inputs lie so that lanes
 * across them read badly, and rows are many.  The same for all spans: rows whole lines
 * apart begin alike.
 */
static bool is_turned(const crnn_adjoint *a)
{
    const crnn_network *net = a->d.call.net;
    const crnn_batch *batch = a->d.call.batch;
    const size_t lanes = net->kernels->lanes, H = net->hidden_size;
    const size_t inputs = crnn_num_inputs(a);
    const size_t step =
        (size_t)(a->inputs.step < 0 ? -a->inputs.step : a->inputs.step) *
        net->kernels->element;
    if (inputs < CRNN_NARROW * lanes)
        return inputs * ((H + lanes - 1) / lanes) < H * ((inputs + lanes - 1) / lanes);
    return !a->inputs.panel && batch->num_steps * batch->num_rows >= MANY_ROWS &&
           ((uintptr_t)a->inputs.first % CRNN_LINE || step != crnn_row_step(step));
}

/* Where the first group is added up, and then those that follow. */
static crnn_weight_gradients totals(const crnn_adjoint *a)
{
    crnn_weight_gradients dw = a->g->dw[crnn_index_of(a, a->direction)];
    if (is_turned(a))
        dw.w_ih = a->turned;
    return dw;
}

/* to[n] += from[n], from an element on. */
static void add_part(const crnn_adjoint *a, void *to, const void *from, size_t first,
                     size_t n)
{
    const crnn_kernels *kernels = a->d.call.net->kernels;
    const size_t at = first * kernels->element;
    kernels->add((char *)to + at, (const char *)from + at, n);
}

/* Add the sums of a group for some units to the totals. */
static void add_group(const crnn_adjoint *a, interval units)
{
    const size_t H = a->d.call.net->hidden_size, inputs = crnn_num_inputs(a);
    const size_t first = units.first, n = units.last - units.first;
    const crnn_weight_gradients to = totals(a), *group = &a->group;
    if (is_turned(a))
        for (size_t i = 0; i < inputs; i++)
            add_part(a, to.w_ih, group->w_ih, i * H + first, n);
    else
        add_part(a, to.w_ih, group->w_ih, first * inputs, n * inputs);
    add_part(a, to.w_hh, group->w_hh, first * H, n * H);
    if (to.b)
        add_part(a, to.b, group->b, first, n);
}

/* Add what some rows of a group give to the gradients of some units' parameters. */
static bool add_units(crnn_share *s, interval units, interval rows)
{
    const crnn_adjoint *a = s->a;
    const size_t H = a->d.call.net->hidden_size, inputs = crnn_num_inputs(a);
    const bool apart = a->rows_before + rows.first >= CRNN_GROUP_ROWS;
    const crnn_weight_gradients dw = apart ? a->group : totals(a);
    const sums ih = {dw.w_ih, inputs, units.first, units.last, 0, inputs},
               hi = {dw.w_ih, H, 0, inputs, units.first, units.last},
               hh = {dw.w_hh, H, units.first, units.last, 0, H};
    const size_t kept = crnn_max(rows.first, crnn_min(rows.last, a->num_kept));
    const bool ended =
        (is_turned(a) ? add_product(s, &hi, &a->inputs, &a->gradients, 0, rows)
                      : add_product(s, &ih, &a->gradients, &a->inputs, 0, rows)) &&
        add_product(s, &hh, &a->gradients, &a->states, 0,
                    (interval){rows.first, kept}) &&
        add_product(s, &hh, &a->gradients, &a->first_states, a->num_kept,
                    (interval){kept, rows.last}) &&
        (!dw.b || add_rows(s, dw.b, units, rows));
    if (ended && apart && is_last(s, rows.last))
        add_group(a, units);
    return ended;
}

bool crnn_run_weights(crnn_share *s)
{
    const crnn_adjoint *a = s->a;
    const size_t unit_bytes =
        crnn_min(MOST_ROWS, a->num_rows) * a->d.call.net->kernels->element;
    const size_t panel =
        a->gradients.panel ? a->gradients.panel : BLOCK_BYTES / unit_bytes / 16 * 16;
    for (size_t first = 0, n; first < a->num_rows; first += n) {
        const size_t left =
            CRNN_GROUP_ROWS - (a->rows_before + first) % CRNN_GROUP_ROWS;
        n = crnn_min(crnn_min(MOST_ROWS, left), a->num_rows - first);
        const interval rows = {first, first + n};
        /* Panels or blocks of dz stay in cache for all products. */
        for (size_t unit = s->first_unit, end; unit < s->last_unit; unit = end) {
            end = crnn_min(unit - unit % panel + panel, s->last_unit);
            if (!add_units(s, (interval){unit, end}, rows))
                return false;
        }
    }
    return true;
}

void crnn_end_weights(const crnn_adjoint *a)
{
    const crnn_network *net = a->d.call.net;
    const size_t inputs = crnn_num_inputs(a);
    if (is_turned(a)) /* as one panel of all columns */
        net->kernels->pack_transposed(a->turned, net->hidden_size, inputs, inputs,
                                      a->g->dw[crnn_index_of(a, a->direction)].w_ih);
}
