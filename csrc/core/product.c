/*
 * product.c - one product of a lane, cut where it is long so that the watch is looked
 * at.
 */
#include "run.h"

/* Multiply-adds a lane between two looks at the watch, what the way to a row and to a
 * product weighs beside them, and the sizes that products are cut into. */
#define WATCH_WORK ((size_t)1 << 22)
#define ROW_WORK ((size_t)128)
#define PRODUCT_WORK ((size_t)2048)
#define WATCH_ROWS ((size_t)24)
#define WATCH_COLS ((size_t)256)
#define WATCH_INPUTS ((size_t)1024)
/* Of more rows: with so many inputs half of a small second cache. */
#define NARROW_COLS ((size_t)64)

static size_t watch_work(const crnn_lane *lane)
{
    return WATCH_WORK * lane->run->call->net->kernels->lanes;
}

/* Whether the call shall end.  Lanes that meet at barriers are asked between spans. */
static bool cancelled(crnn_lane *lane, size_t work)
{
    const crnn_watch *watch = lane->run->call->watch;
    lane->unwatched += work;
    if (lane->unwatched < watch_work(lane) || lane->barrier || !watch)
        return false;
    lane->unwatched = 0;
    return watch->cancelled(watch->context);
}

static size_t num_inputs(const crnn_affine *a)
{
    size_t sum = 0;
    for (size_t i = 0; i < a->num_terms; i++)
        sum += a->terms[i].last - a->terms[i].first;
    return sum;
}

/* Run a product; false when cancelled. */
static bool piece(crnn_lane *lane, const crnn_affine *a)
{
    const crnn_network *net = lane->run->call->net;
    net->kernels->affine(a, net->few_loads);
    const size_t outputs = a->rows * (a->last_col - a->first_col);
    return !cancelled(lane, outputs * (num_inputs(a) + ROW_WORK) + PRODUCT_WORK);
}

/* One part of the sum, in blocks of columns and these in blocks of rows: what a block
 * reads of the matrix comes from afar once, and from the second cache for the other
 * rows. */
static bool in_blocks(crnn_lane *lane, const crnn_affine *a)
{
    const size_t rows = crnn_min(a->rows, WATCH_ROWS);
    const size_t cols = rows < a->rows ? NARROW_COLS : WATCH_COLS;
    for (size_t col = a->first_col; col < a->last_col; col += cols)
        for (size_t row = 0; row < a->rows; row += rows) {
            crnn_affine block = *a;
            block.rows = crnn_min(rows, a->rows - row);
            block.first_col = col;
            block.last_col = crnn_min(col + cols, a->last_col);
            block.y += row;
            block.start += block.start ? row : 0;
            block.copy += block.copy ? row : 0;
            block.states += block.states ? row : 0;
            for (size_t i = 0; i < CRNN_AHEAD; i++)
                block.ahead[i] += block.ahead[i] ? row : 0;
            block.terms[0].x += row;
            if (!piece(lane, &block))
                return false;
        }
    return true;
}

bool crnn_product(crnn_lane *lane, const crnn_affine *a)
{
    const size_t outputs = crnn_mul(a->rows, a->last_col - a->first_col);
    const size_t work = crnn_mul(outputs, num_inputs(a) + ROW_WORK);
    if (a->num_terms == 0 || work <= watch_work(lane))
        return piece(lane, a);

    /* The sum goes on where the part before left it. */
    crnn_affine part = *a;
    part.num_terms = 1;
    for (size_t i = 0; i < a->num_terms; i++) {
        const crnn_term *term = &a->terms[i];
        for (size_t first = term->first, last; first < term->last; first = last) {
            last = crnn_min(first + WATCH_INPUTS, term->last);
            const bool ends = i + 1 == a->num_terms && last == term->last;
            part.terms[0] = *term;
            part.terms[0].first = first;
            part.terms[0].last = last;
            part.activation = ends ? a->activation : CRNN_IDENTITY;
            part.states = ends ? a->states : NULL;
            part.copy = ends ? a->copy : NULL;
            if (!in_blocks(lane, &part))
                return false;
            part.start = a->y;
        }
    }
    return true;
}
