/*
 * packing.c - the matrices copied into panels of columns: whether, and where to.
 */
#include "division.h"

/* Rows that a matrix is multiplied by. */
#define FEW_USES ((size_t)32)
#define MANY_USES ((size_t)256)
#define NEVER SIZE_MAX

/* Rows of a matrix that leaves no room for others in the second cache. */
#define MANY_INPUTS ((size_t)512)

/* Sets of lines of the second cache. */
#define NUM_SETS ((size_t)1024)

/* Rows so many bytes apart, or a multiple, share the places of a few lines. */
#define PAGE ((size_t)4 << 10)

/* In bytes. */
static size_t second_cache(const crnn_network *net)
{
    return (size_t)(crnn_has_small_cache(net) ? 512 : 1024) << 10;
}

/* What a matrix finds free of the third, which is slow beside a small second one. */
static size_t third_cache(const crnn_network *net)
{
    return (size_t)(crnn_has_small_cache(net) ? 2 : 8) << 20;
}

static bool is_strided_badly(const crnn_network *net, size_t cols)
{
    /* Rows of a matrix some multiples of 64 bytes apart fall into few sets of a cache:
     * those of one panel must fit into the ways of the second level. */
    const size_t row = crnn_mul(cols, net->kernels->element);
    size_t line = CRNN_LINE, together = 1;
    while (together < NUM_SETS && row % (line * 2) == 0) {
        line *= 2;
        together *= 2;
    }
    return row % CRNN_LINE == 0 &&
           net->hidden_size > second_cache(net) / CRNN_LINE / together;
}

/* Of any matrix: those that are by_unit have rows of several lengths. */
static bool any_strided_badly(const crnn_network *net)
{
    return is_strided_badly(net, net->hidden_size) ||
           (net->by_unit &&
            (is_strided_badly(net, net->input_size) ||
             is_strided_badly(net, net->num_directions * net->hidden_size)));
}

/* Rows that a matrix must be multiplied by to be worth a copy, or NEVER. */
static size_t least_uses(const crnn_network *net, const crnn_plan *plan)
{
    const size_t row = crnn_mul(net->hidden_size, net->kernels->element);
    const size_t matrix = crnn_mul(net->hidden_size, row);
    const bool small_cache = crnn_has_small_cache(net), together = plan->part_rows > 1;
    /* Several lines of each row are nearly as good as a panel if a cache has them. */
    if (net->hidden_size >= MANY_INPUTS && together && !small_cache)
        return row % PAGE == 0              ? 2 * FEW_USES
               : matrix > third_cache(net)  ? MANY_USES / 2
               : matrix > second_cache(net) ? 2 * MANY_USES
                                            : 4 * MANY_USES;
    /* A lane's columns of a whole row are too short to be read as a stream. */
    if (plan->schedule == CRNN_COLUMNS)
        return FEW_USES;
    /* So are those of a tile: no stream beyond the second cache, none where they are a
     * line, and a poor one where the matrix leaves little of that cache to others. */
    if (any_strided_badly(net))
        return together ? FEW_USES : 2 * FEW_USES;
    if (matrix > second_cache(net))
        return 2 * FEW_USES;
    if (!small_cache)
        return together && matrix > second_cache(net) / 4 ? 4 * MANY_USES : NEVER;
    /* A small second cache gives pieces of rows slowly even where it holds them all. */
    if (matrix < 2 * CRNN_FIRST_CACHE)
        return NEVER;
    const size_t width =
        net->kernels->panel(crnn_max(plan->part_rows, 1), net->few_loads);
    return crnn_mul(width, net->kernels->element) > CRNN_LINE ? 2 * FEW_USES
                                                              : 4 * FEW_USES;
}

bool crnn_is_packed(const crnn_network *net, const crnn_plan *plan, size_t uses,
                    bool turned)
{
    return turned || uses >= least_uses(net, plan);
}

size_t crnn_panel_of(const crnn_call *call, size_t rows)
{
    const crnn_plan *plan = call->plan;
    if (!plan->packed)
        return 0;
    const size_t lanes = plan->schedule == CRNN_COLUMNS ? plan->threads : 1;
    return crnn_min(call->net->kernels->panel(crnn_max(rows, 1), call->net->few_loads),
                    crnn_share_of(call->net->hidden_size, lanes));
}

size_t crnn_panels_size(size_t k, size_t cols, size_t panel)
{
    return crnn_mul(k, crnn_add(cols, panel - 1) / panel * panel);
}

crnn_matrix crnn_take_matrix(const crnn_call *call, crnn_scratch *m, const void *from,
                             size_t k, size_t cols, size_t panel)
{
    const size_t element = call->net->kernels->element;
    crnn_matrix matrix = {
        {.w = from,
         .w_step = (ptrdiff_t)cols,
         .k = k,
         .last = k,
         .uncached = crnn_mul(crnn_mul(k, cols), element) > third_cache(call->net)},
        .cols = cols,
        .from = from};
    if (!panel)
        return matrix;
    matrix.panels = crnn_take(m, crnn_panels_size(k, cols, panel), element);
    matrix.term.w = matrix.panels;
    matrix.term.w_step = (ptrdiff_t)panel;
    matrix.term.panel = panel;
    return matrix;
}

static void pack_matrix(const crnn_call *call, const crnn_matrix *matrix)
{
    const crnn_kernels *kernels = call->net->kernels;
    const bool turned = crnn_is_turned(call->net, call->backward);
    if (matrix->panels)
        (turned ? kernels->pack_transposed
                : kernels->pack)(matrix->from, matrix->term.k, matrix->cols,
                                 matrix->term.panel, matrix->panels);
}

/* The i-th of some shares: every so many-th matrix. */
static bool pack_share(crnn_division *d, size_t i)
{
    const crnn_network *net = d->call.net;
    const size_t count = 2 * net->num_layers * net->num_directions;
    for (size_t n = i; n < count; n += d->call.plan->threads) {
        const crnn_matrices *pair = &d->call.matrices[n / 2];
        if (crnn_is_cancelled(&d->call))
            return false;
        pack_matrix(&d->call, n % 2 ? &pair->hh : &pair->ih);
    }
    return true;
}

bool crnn_pack_matrices(crnn_division *d)
{
    return crnn_run_lanes(d, d->call.plan->threads, false, pack_share);
}
