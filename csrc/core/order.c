/*
 * order.c - the rows of a ragged batch in order of falling length.
 */
#include "run.h"

const size_t *crnn_sort_rows(const size_t *lengths, size_t n, size_t *order,
                             size_t *spare)
{
    for (size_t i = 0; i < n; i++)
        order[i] = i;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t start = 0; start < n; start += 2 * width) {
            size_t a = start, b = crnn_min(start + width, n);
            const size_t middle = b, end = crnn_min(start + 2 * width, n);
            for (size_t i = start; i < end; i++) {
                const bool first =
                    b == end || (a < middle && lengths[order[a]] >= lengths[order[b]]);
                spare[i] = first ? order[a++] : order[b++];
            }
        }
        size_t *sorted = spare;
        spare = order;
        order = sorted;
    }
    return order;
}

size_t crnn_rows_active(const crnn_run *r, size_t t)
{
    const crnn_call *c = r->call;
    if (!c->batch->lengths)
        return t < c->num_steps ? r->num_rows : 0;
    size_t low = 0,
           high = r->num_rows; /* longer than t: those before low, none from high */
    while (low < high) {
        const size_t i = high == r->num_rows ? high - 1 : low + (high - low) / 2;
        if (c->batch->lengths[crnn_row_of(r, i)] > t)
            low = i + 1;
        else
            high = i;
    }
    return low;
}
