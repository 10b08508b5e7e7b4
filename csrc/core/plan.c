/*
 * plan.c - how a call is divided among threads: one model of what the work costs.
 *
 * Costs are cycles of one core.  They need to rank the schedules, not to be right: a
 * product is limited by its multiply-adds or by reading its matrix from the cache that
 * holds it, and threads meet for a price.
 */
#include "division.h"

/* A span's projection should still be in the second cache when the recurrence comes to
 * it, beside both matrices and what is fetched for the next span.  Spans are long
 * instead if each brings w_ih from afar, but not if threads share that matrix. */
#define SPAN_BYTES ((size_t)128 << 10)
#define LONG_SPAN_BYTES ((size_t)512 << 10)
/* A matrix that alone fills the second cache. */
#define LARGE_MATRIX ((size_t)1 << 20)
#define SPAN_ROWS ((size_t)1024)
/* Layers that follow each other: spans short enough that all soon have work. */
#define STAGGER_STEPS ((size_t)16)
/* Of a part of the batch: pointers to them take memory. */
#define MOST_ROWS ((size_t)1024)

/* Rows of a whole tile, and bytes of dz, which two directions at once keep for all
 * steps. */
#define TILE_ROWS ((size_t)8)
#define MOST_KEPT ((size_t)1 << 20)

/* Multiply-adds a lane of steps whose threads meet: only after them it is asked whether
 * a call shall end. */
#define MEETING_WORK ((size_t)1 << 24)

#define SECOND_CACHE 800e3 /* bytes, beside what else is there */
#define LATE_CYCLES 0.2    /* a vector from further away */
#define TANH_CYCLES 14.0   /* a vector */
#define STEP_CYCLES 150.0  /* rows found, states kept, a call into the kernels */
#define JOIN_CYCLES 6000.0 /* waking the team and waiting for it */
#define MEETING_NS 80u     /* of a team that has not measured it */
/* A barrier, and the states that then go from cache to cache. */
#define CYCLES_OF_MEETING_NS 10.0
#define LEAST_CYCLES 80000.0 /* some 20 us: below it a call stays alone */
#define WAKE_CYCLES 320000.0 /* more than that, where members sleep */
#define LEAST_GAIN 0.9
/* Of barriers, which any disturbance delays, more so where threads need none at all
 * within a layer. */
#define DOUBT 1.01
#define MORE_DOUBT 1.06

typedef struct {
    const crnn_network *net;
    double steps;  /* T */
    double filled; /* the share of rows that are no padding */
    double meeting_cycles;
} workload;

/* Cycles to read a vector of a matrix of so many bytes. */
static double read_cycles(double bytes)
{
    return bytes <= 33e3           ? 0.5
           : bytes <= SECOND_CACHE ? 1.3
           : bytes <= 16e6         ? 2.6
                                   : 5.0;
}

/* One product of rows with a matrix [k][cols].  What comes from beyond the second cache
 * is late now and then, though multiply-adds take longer. */
static double product_cycles(const workload *w, double rows, double k, double cols)
{
    const double element = (double)w->net->kernels->element;
    const double vectors = cols / (double)w->net->kernels->lanes;
    const double matrix = k * cols * element, states = rows * (k + cols) * element;
    const double late = matrix + states > SECOND_CACHE ? LATE_CYCLES : 0;
    const double add = rows * 0.5 + late, read = read_cycles(matrix);
    return k * vectors * (add > read ? add : read);
}

/* One layer in one direction, of which a thread computes some rows and columns. */
static double layer_cycles(const workload *w, size_t layer, double rows, double cols)
{
    const crnn_network *net = w->net;
    const double H = (double)net->hidden_size, D = (double)net->num_directions;
    const double inputs = layer == 0 ? (double)net->input_size : D * H;
    const double step = product_cycles(w, rows * w->filled, H, cols) +
                        rows * w->filled * cols / (double)net->kernels->lanes *
                            (TANH_CYCLES + inputs * 0.5);
    return w->steps * (step + STEP_CYCLES);
}

static double network_cycles(const workload *w, double rows, double cols)
{
    double sum = 0;
    for (size_t layer = 0; layer < w->net->num_layers && layer < 2; layer++)
        sum += layer_cycles(w, layer, rows, cols) *
               (layer ? (double)w->net->num_layers - 1 : 1);
    return sum * (double)w->net->num_directions;
}

static double plan_cycles(const workload *w, const crnn_plan *plan, size_t B)
{
    const crnn_network *net = w->net;
    const size_t threads = plan->threads;
    const double H = (double)net->hidden_size, rows = (double)B,
                 L = (double)net->num_layers, n = (double)threads,
                 spans = w->steps / (double)crnn_max(plan->span_steps, 1);
    const double alone = network_cycles(w, rows, H);
    switch (plan->schedule) {
    case CRNN_ROWS:
        return network_cycles(w, rows / n, H) + JOIN_CYCLES;
    case CRNN_DIRECTIONS:
        return alone / 2 + L * JOIN_CYCLES;
    case CRNN_LAYERS:
        return alone / L * (double)((net->num_layers + threads - 1) / threads) *
                   (spans + L - 1) / spans +
               (spans + L - 1) * JOIN_CYCLES;
    case CRNN_COLUMNS:
        return network_cycles(w, rows,
                              (double)crnn_share_of(net->hidden_size, threads)) +
               w->steps * L * (double)net->num_directions * w->meeting_cycles +
               spans * L * JOIN_CYCLES;
    default:
        return alone;
    }
}

/* Threads that a schedule can use. */
static size_t threads_for(const crnn_network *net, size_t B, const crnn_team *team,
                          crnn_schedule schedule)
{
    const size_t H = net->hidden_size;
    if (B > MOST_ROWS)
        return schedule == CRNN_ROWS ? team->size : 1;
    switch (schedule) {
    case CRNN_ROWS:
        return crnn_min(B, team->size);
    case CRNN_DIRECTIONS:
        return net->num_directions == 2 ? crnn_min(2, team->size) : 1;
    case CRNN_LAYERS:
        return net->num_directions == 1 ? crnn_min(net->num_layers, team->size) : 1;
    case CRNN_COLUMNS:
        return crnn_min(crnn_max(H / 64, 1), team->size);
    default:
        return 1;
    }
}

static size_t row_bytes(const crnn_network *net)
{
    return crnn_mul(net->hidden_size, net->kernels->element);
}

/* Whether whoever reads a matrix waits for it: it comes from the third cache, which is
 * slow where loads are few. */
static bool is_afar(const crnn_network *net)
{
    return net->few_loads && crnn_mul(net->hidden_size, row_bytes(net)) >= LARGE_MATRIX;
}

/* Parts are more than threads, so that one that has to share its processor takes fewer,
 * unless each brings the matrices from afar; but none is less than a tile unless that
 * leaves a thread without. */
static size_t rows_of_part(const crnn_network *net, size_t B, size_t threads)
{
    const size_t parts = is_afar(net) ? threads : 4 * threads;
    const size_t rows =
        (crnn_max(B, 1) - 1) / parts / TILE_ROWS * TILE_ROWS + TILE_ROWS;
    return crnn_min(crnn_min(rows, MOST_ROWS), (B - 1) / threads + 1);
}

/* Whether a backward pass had better divide the batch than its directions: what it
 * takes the gradients from would be beyond the second cache. */
static bool keeps_too_much(const crnn_network *net, const crnn_batch *batch,
                           size_t threads)
{
    const size_t rows = crnn_mul(batch->num_steps, batch->num_rows);
    return crnn_mul(rows, row_bytes(net)) >= MOST_KEPT &&
           rows_of_part(net, batch->num_rows, threads) >= TILE_ROWS;
}

static size_t span_steps(const crnn_network *net, size_t rows, size_t T, bool shares)
{
    const size_t bytes = is_afar(net) && !shares ? LONG_SPAN_BYTES : SPAN_BYTES;
    const size_t most = crnn_min(bytes / crnn_max(row_bytes(net), 1), SPAN_ROWS);
    return crnn_min(crnn_max(most / crnn_max(rows, 1), 1), T);
}

/* Multiply-adds of one step of the widest layer. */
static size_t step_work(const crnn_network *net, size_t rows)
{
    const size_t H = net->hidden_size;
    const size_t inputs =
        crnn_max(net->input_size, crnn_mul(net->num_directions, net->hidden_size));
    return crnn_mul(crnn_mul(crnn_max(rows, 1), H), crnn_add(inputs, H));
}

size_t crnn_meeting_steps(const crnn_network *net, size_t rows)
{
    return crnn_max(MEETING_WORK * net->kernels->lanes / step_work(net, rows), 1);
}

static double share_filled(const crnn_batch *batch)
{
    size_t sum = 0;
    for (size_t row = 0; batch->lengths && row < batch->num_rows; row++)
        sum += batch->lengths[row];
    const double all = (double)batch->num_steps * (double)batch->num_rows;
    return batch->lengths && all > 0 ? (double)sum / all : 1;
}

/* What a schedule makes of a call, but for what it costs. */
static crnn_plan plan_as(const crnn_network *net, const crnn_batch *batch,
                         crnn_schedule schedule, size_t threads, bool turned)
{
    const size_t T = batch->num_steps, B = batch->num_rows;
    crnn_plan plan = {.schedule = schedule, .threads = threads, .share = 1};
    plan.part_rows =
        schedule == CRNN_ROWS ? rows_of_part(net, B, threads) : crnn_min(B, MOST_ROWS);
    plan.parts = B > plan.part_rows ? (B - 1) / plan.part_rows + 1 : 1;
    plan.span_steps = span_steps(net, plan.part_rows, T, schedule == CRNN_COLUMNS);
    if (schedule == CRNN_LAYERS)
        plan.span_steps = crnn_min(plan.span_steps, crnn_max(T / 16, STAGGER_STEPS));
    if (schedule == CRNN_COLUMNS)
        plan.span_steps = crnn_min(plan.span_steps, crnn_meeting_steps(net, B));
    plan.packed = crnn_is_packed(net, &plan, crnn_mul(T, B), turned);
    return plan;
}

static crnn_plan plan_call(const crnn_network *net, const crnn_batch *batch,
                           const crnn_team *team, bool backward)
{
    const size_t B = batch->num_rows;
    const bool turned = crnn_is_turned(net, backward);
    crnn_plan best = plan_as(net, batch, CRNN_ALONE, 1, turned);
    if (team->size < 2 || (!team->calm && !team->preferred))
        return best;

    const double meeting = team->meeting_ns ? team->meeting_ns : MEETING_NS;
    const workload w = {net, (double)batch->num_steps, share_filled(batch),
                        meeting * CYCLES_OF_MEETING_NS};
    const double alone = network_cycles(&w, (double)B, (double)net->hidden_size);
    if (!team->preferred && alone < LEAST_CYCLES + (team->awake ? 0 : WAKE_CYCLES))
        return best;
    for (crnn_schedule s = CRNN_ROWS; s <= CRNN_COLUMNS; s++) {
        const size_t threads = threads_for(net, B, team, s);
        if (threads < 2 || (backward && s == CRNN_LAYERS))
            continue;
        if (backward && s == CRNN_DIRECTIONS && !team->preferred &&
            keeps_too_much(net, batch, threads))
            continue;
        crnn_plan plan = plan_as(net, batch, s, threads, turned);
        const double doubt = s != CRNN_COLUMNS           ? 1
                             : best.schedule > CRNN_ROWS ? MORE_DOUBT
                                                         : DOUBT;
        plan.share = doubt * plan_cycles(&w, &plan, B) / alone;
        if (team->preferred ? s == team->preferred
                            : plan.share < best.share && plan.share < LEAST_GAIN)
            best = plan;
    }
    return best;
}

crnn_plan crnn_plan_forward(const crnn_network *net, const crnn_batch *batch,
                            const crnn_team *team)
{
    return plan_call(net, batch, team, false);
}

crnn_plan crnn_plan_backward(const crnn_network *net, const crnn_batch *batch,
                             const crnn_team *team)
{
    return plan_call(net, batch, team, true);
}

size_t crnn_forward_work(const crnn_network *net, const crnn_batch *batch)
{
    const size_t H = net->hidden_size, D = net->num_directions;
    const size_t inputs =
        crnn_add(net->input_size, crnn_mul(net->num_layers - 1, crnn_mul(D, H)));
    const size_t terms = crnn_add(inputs, crnn_mul(net->num_layers, H));
    const size_t rows = crnn_mul(batch->num_steps, batch->num_rows);
    return crnn_mul(rows, crnn_mul(crnn_mul(D, H), terms));
}
