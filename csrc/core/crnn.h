/*
 * crnn.h - the public C interface: a network of Elman cells over raw buffers.
 *
 * Sizes: T time, B batch, I input, H hidden, L layers, D directions.  Nothing here
 * allocates, starts threads or needs Python; a C program can use it alone.
 */
#ifndef CRNN_H
#define CRNN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sizes.h"

typedef enum { CRNN_F32, CRNN_F64 } crnn_dtype;
typedef enum { CRNN_IDENTITY, CRNN_TANH, CRNN_RELU } crnn_activation;

typedef enum {
    CRNN_OK,
    CRNN_OVERFLOW,  /* a size does not fit in ptrdiff_t */
    CRNN_NO_MEMORY, /* the caller's allocator refused the scratch memory */
    CRNN_CANCELLED, /* crnn_watch.cancelled returned true */
} crnn_status;

/* The arithmetic compiled for one instruction set and dtype; kernels.h has the fields.
 */
typedef struct crnn_kernels crnn_kernels;

/* The i-th variant of the kernels in this binary, slowest first, "generic" at 0; NULL
 * past the last one. */
const crnn_kernels *crnn_variant(size_t i, crnn_dtype dtype);
const char *crnn_isa(const crnn_kernels *kernels);

/* y[n] = tanh(x[n]); max error in ulp and special values: tanh_tmpl.h. */
void crnn_tanh(const crnn_kernels *kernels, const void *x, void *y, size_t n);

/*
 * Values of U(-k, k) from the 32-bit outputs of a generator, as torch draws them:
 * float32 from one output each, float64 from two, high word first.  Source: torch 2.13,
 * aten/src/ATen/core/DistributionsHelper.h.
 */
void crnn_uniform_f32(const uint32_t *raw, float k, float *out, size_t n);
void crnn_uniform_f64(const uint32_t *raw, double k, double *out, size_t n);

/* One layer and direction.  Matrices are transposed, a row holds what one input feature
 * adds to every output; in a network that is by_unit, they are not. */
typedef struct {
    const void *w_ih; /* [I][H], above layer 0 [D*H][H] */
    const void *w_hh; /* [H][H] */
    const void *b_ih; /* [H], or NULL */
    const void *b_hh; /* [H], NULL together with b_ih */
} crnn_weights;

typedef struct {
    const crnn_kernels *kernels;
    crnn_activation activation;
    size_t input_size;           /* I */
    size_t hidden_size;          /* H */
    size_t num_layers;           /* L */
    size_t num_directions;       /* D */
    const crnn_weights *weights; /* [L*D], at layer * D + direction */
    bool by_unit;   /* a row of a matrix belongs to a hidden unit, as torch has it */
    bool few_loads; /* tiles shall load little: the processor loads hardly more than
                       a vector while it multiplies and adds two */
} crnn_network;

/* A three-dimensional array; strides in bytes, any sign, multiples of the element's
 * alignment. */
typedef struct {
    char *data;
    ptrdiff_t stride[3];
} crnn_view;

/*
 * The arrays of one call.  Inputs are never written; outputs overlap nothing.
 *
 * lengths makes the batch ragged: row b has steps 0 .. lengths[b]-1, its reverse
 * direction starts at its own last step, and padded steps of y are not written. offsets
 * makes it packed: step t of x, y and masks starts at row offsets[t], its rows lie one
 * batch stride apart and are those longer than t; rows then come longest first, and
 * lengths must be given.
 */
typedef struct {
    size_t num_steps;      /* T, at least 1 */
    size_t num_rows;       /* B */
    const size_t *lengths; /* [B], 1 .. T (0 .. T in a packed batch), or NULL: T each */
    const size_t *offsets; /* [T], or NULL */
    crnn_view x;           /* [T][B][I] */
    crnn_view h0;          /* [L*D][B][H], last axis contiguous; NULL data: zeros */
    crnn_view y;           /* [T][B][D*H] out, last axis contiguous */
    crnn_view hn; /* [L*D][B][H] out, last axis contiguous; NULL data: not wanted, T = 1
                     and L*D = 1 */
    char *states; /* out, crnn_states_size() bytes kept for crnn_backward(), or NULL */
    size_t num_state_rows;  /* of a layer: T*B, in a packed batch the rows of x */
    const crnn_view *masks; /* [L-1] of [T][B][D*H], last axis contiguous: factors on
                               what layer l hands to l+1 */
} crnn_batch;

/* Bytes of the states of so many rows, aligned to CRNN_ALIGNMENT, or CRNN_TOO_BIG. */
size_t crnn_states_size(const crnn_network *net, size_t num_state_rows);

/* Asked about once a millisecond of work, by every thread; where threads meet at
 * barriers between spans, by the caller's. */
typedef struct {
    bool (*cancelled)(void *context);
    void *context;
} crnn_watch;

/* How a call is divided among threads. */
typedef enum {
    CRNN_ALONE,
    CRNN_ROWS,       /* parts of the batch, each through the whole network */
    CRNN_DIRECTIONS, /* the two directions of a layer */
    CRNN_LAYERS,     /* layers, each a few steps behind the one below */
    CRNN_COLUMNS,    /* hidden units, with a barrier at every step */
} crnn_schedule;

/* Threads that the caller lends to a call. */
typedef struct {
    size_t size; /* at least 1; 1 is the caller alone, and the functions may be NULL */
    bool awake;  /* run() costs little, or more calls follow to share its cost */
    bool calm;   /* the caller has not waited in vain of late */
    unsigned meeting_ns;     /* what barrier() takes, 0: as usual */
    crnn_schedule preferred; /* wherever it can be; CRNN_ALONE: what costs least */
    /* Call task(argument, i) for i in 0 .. n-1, in this order, each on whichever thread
     * comes for it, and return when all have ended. */
    void (*share)(void *context, size_t n, void (*task)(void *argument, size_t i),
                  void *argument);
    /* The same for n <= size, each on a thread of its own, 0 on the caller's. */
    void (*run)(void *context, size_t n, void (*task)(void *argument, size_t i),
                void *argument);
    /* In such a task of run(): wait until all n have come here.  False, for all of
     * them, if one had to wait long at the barrier before. */
    bool (*barrier)(void *context);
    void *context;
} crnn_team;

typedef struct {
    crnn_schedule schedule;
    size_t threads; /* that can be of use */
    size_t parts;   /* of the batch, each of part_rows rows, the last of fewer */
    size_t part_rows;
    size_t span_steps; /* steps whose inputs are projected in one product, if many */
    bool packed;       /* the matrices are copied into panels first */
    double share;      /* of one thread's time, estimated */
} crnn_plan;

crnn_plan crnn_plan_forward(const crnn_network *net, const crnn_batch *batch,
                            const crnn_team *team);

/* Of scratch memory: two cache lines, for processors fetch them in pairs, and what
 * threads write side by side must not share one. */
#define CRNN_ALIGNMENT 128

/* Bytes of scratch memory that crnn_forward() needs under a plan. */
crnn_status crnn_forward_scratch(const crnn_network *net, const crnn_batch *batch,
                                 const crnn_plan *plan, size_t *bytes);

/*
 * Run the whole network over a batch:
 *
 *     for l in layers, d in directions, t in time:
 *         h[t] = act(b_ih + b_hh + w_ih x[t] + w_hh h[t-1])
 *
 * One order of accumulation, whatever the machine, the shape and the plan: b_ih + b_hh,
 * then fma over the inputs in ascending order, then over the hidden units.  scratch is
 * aligned to CRNN_ALIGNMENT.  After CRNN_CANCELLED the outputs are undefined.  Source:
 * Elman 1990; torch.nn.RNN for the layers, directions and biases.
 */
crnn_status crnn_forward(const crnn_network *net, const crnn_batch *batch,
                         const crnn_plan *plan, const crnn_team *team,
                         const crnn_watch *watch, void *scratch);

/*
 * The two halves of crnn_forward(), for callers that repeat a call, or have some memory
 * at hand.  prepare() lays a call out in *bytes of scratch memory; where these are too
 * few it gives NULL and sets *bytes, CRNN_TOO_BIG if that cannot be.  run() computes
 * what net, batch and plan say by then: data pointers, strides and the values behind
 * them may have changed, but neither sizes nor weights, nor whether h0 has data.
 */
typedef struct crnn_division crnn_division;
crnn_division *crnn_forward_prepare(const crnn_network *net, const crnn_batch *batch,
                                    const crnn_plan *plan, void *scratch,
                                    size_t *bytes);
crnn_status crnn_forward_run(crnn_division *call, const crnn_team *team,
                             const crnn_watch *watch);

/* Gradients of the parameters of one layer and direction: of the matrices, a row for
 * each hidden unit, and of either bias. */
typedef struct {
    void *w_ih; /* [H][I], above layer 0 [H][D*H] */
    void *w_hh; /* [H][H] */
    void *b;    /* [H], or NULL */
} crnn_weight_gradients;

/* Gradients of a loss, in to out.  Views as in crnn_batch, the last axes contiguous. */
typedef struct {
    crnn_view dy;  /* [T][B][D*H], or NULL data: zeros */
    crnn_view dhn; /* [L*D][B][H], or NULL data: zeros */
    crnn_view dx;  /* [T][B][I] out, padded steps not written; or NULL data */
    crnn_view dh0; /* [L*D][B][H] out, or NULL data */
    const crnn_weight_gradients *dw; /* [L*D] out, or NULL */
} crnn_gradients;

crnn_plan crnn_plan_backward(const crnn_network *net, const crnn_batch *batch,
                             const crnn_team *team);
crnn_status crnn_backward_scratch(const crnn_network *net, const crnn_batch *batch,
                                  const crnn_gradients *gradients,
                                  const crnn_plan *plan, size_t *bytes);

/*
 * Backpropagate through the whole network, for a batch whose states crnn_forward() has
 * kept; its y and hn are not used:
 *
 *     dz[t] = (dy[t] + w_hh' dz[t+1]) * act'(h[t])
 *     dx[t] = w_ih' dz[t],  dh0 = w_hh' dz[0]
 *     dw_ih = sum dz[t] x[t]',  dw_hh = sum dz[t] h[t-1]',  db = sum dz[t]
 *
 * One order of accumulation: fma over the hidden units in ascending order, of the
 * forward direction first; over the rows [T][B], where those of a step stand from the
 * longest to the shortest and equal ones as they come, from the last to the first, and
 * in the reverse direction from the first to the last: as backpropagation comes to
 * them, each 4096 from zero, and their sums added up in turn.  A NaN is NaN everywhere,
 * though not always the same one.  Scratch memory, in elements: L D H (I + H) for
 * panels, min(L - 1, 2) T B D H between layers, H (I + H) for sums, and some H for each
 * row of a span of steps, which are T only where two threads take a direction each.
 * Source: Werbos 1990.
 */
crnn_status crnn_backward(const crnn_network *net, const crnn_batch *batch,
                          const crnn_gradients *gradients, const crnn_plan *plan,
                          const crnn_team *team, const crnn_watch *watch,
                          void *scratch);

/* Multiply-adds of one call, saturated: what callers weigh the cost of locks against.
 */
size_t crnn_forward_work(const crnn_network *net, const crnn_batch *batch);

#endif
