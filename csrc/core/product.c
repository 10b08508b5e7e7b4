/*
 * product.c - one product of a lane, cut where it is long so that the watch is looked
 * at.
 */
#include "run.h"

/* Multiply-adds a lane between two looks at the watch, what the way to a row and to a
 * product weighs beside them, and the sizes that products are cut into. */
#define WATCH_WORK ((size_t)1 << 20)
#define ROW_WORK ((size_t)128)
#define PRODUCT_WORK ((size_t)2048)
#define WATCH_COLS ((size_t)256)
#define WATCH_ROWS ((size_t)24)

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

/* Run a product; false when cancelled. */
static bool piece(crnn_lane *lane, const crnn_affine *a, size_t k)
{
    lane->run->call->net->kernels->affine(a);
    const size_t outputs = a->rows * (a->last_col - a->first_col);
    return !cancelled(lane, outputs * (k + ROW_WORK) + PRODUCT_WORK);
}

/* Run a product as several that take up at most so many inputs each: the sum goes on
 * where the one before left it. */
static bool by_inputs(crnn_lane *lane, crnn_affine a, size_t most)
{
    const crnn_activation activation = a.activation;
    void *const *states = a.states, *const *copy = a.copy;
    const crnn_term terms[2] = {a.terms[0], a.terms[1]};
    const size_t num_terms = a.num_terms;
    a.num_terms = 1;
    for (size_t i = 0; i < num_terms; i++) {
        a.terms[0] = terms[i];
        for (size_t first = terms[i].first; first < terms[i].last; first += most) {
            a.terms[0].first = first;
            a.terms[0].last = crnn_min(first + most, terms[i].last);
            const bool done = i + 1 == num_terms && a.terms[0].last == terms[i].last;
            a.activation = done ? activation : CRNN_IDENTITY;
            a.states = done ? states : NULL;
            a.copy = done ? copy : NULL;
            if (!piece(lane, &a, a.terms[0].last - first))
                return false;
            a.start = a.y;
        }
    }
    return true;
}

bool crnn_product(crnn_lane *lane, const crnn_affine *a)
{
    size_t k = 0;
    for (size_t i = 0; i < a->num_terms; i++)
        k += a->terms[i].last - a->terms[i].first;
    const size_t work = watch_work(lane), width = a->last_col - a->first_col;
    if (crnn_mul(crnn_mul(a->rows, width), k + ROW_WORK) <= work)
        return piece(lane, a, k);

    const size_t rows = crnn_min(a->rows, WATCH_ROWS),
                 cols = crnn_min(width, WATCH_COLS);
    const size_t inputs = crnn_max(work / (rows * cols), 1);
    for (size_t row = 0; row < a->rows; row += rows)
        for (size_t col = a->first_col; col < a->last_col; col += cols) {
            crnn_affine part = *a;
            part.rows = crnn_min(rows, a->rows - row);
            part.first_col = col;
            part.last_col = crnn_min(col + cols, a->last_col);
            part.y += row;
            part.start += part.start ? row : 0;
            part.copy += part.copy ? row : 0;
            part.states += part.states ? row : 0;
            for (size_t i = 0; i < CRNN_AHEAD; i++)
                part.ahead[i] += part.ahead[i] ? row : 0;
            for (size_t i = 0; i < part.num_terms; i++)
                part.terms[i].x += row;
            if (!(k <= inputs ? piece(lane, &part, k) : by_inputs(lane, part, inputs)))
                return false;
        }
    return true;
}
