/*
 * call.h - one call of a network on its way from arrays to the core.
 */
#ifndef CRNN_CALL_H
#define CRNN_CALL_H

#include "binding.h"

/* How the axes of the arrays are named; axes_of[] in prepare.c. */
typedef enum {
    TIME_FIRST,
    BATCH_FIRST,
    UNBATCHED,
    PACKED,
    CELL,
    UNBATCHED_CELL,
    STREAM,
    UNBATCHED_STREAM,
} call_layout;

typedef struct {
    const char *x, *states, *y;
} call_axes;

extern const call_axes axes_of[];

/* Everything that one call knows before it computes; call_prepare() sets each field. */
typedef struct {
    const network_object *self;
    int type_num;
    call_layout layout;
    axis_sizes sizes;
    crnn_network net;
    crnn_batch batch;
    const crnn_gradients *gradients; /* NULL: forward */
    PyObject *x, *h0;                /* borrowed; h0 NULL: zeros */
    PyObject *dy, *dhn;              /* borrowed, or NULL */
    PyObject *out;    /* borrowed: the array that y views, if it is the caller's */
    PyObject *memory; /* owned: keeps the parameters that net points to */
    size_t memory_bytes;
    crnn_division *ready; /* net and batch, laid out for a caller alone; or NULL */
} pending_call;

/* What _run() and _record() read besides: lengths and masks, in memory of their own. */
typedef struct {
    size_t *rows; /* offsets [T], then lengths [B] */
    crnn_view *masks;
    PyObject *mask_arrays; /* borrowed, or NULL: what masks view */
} call_extras;

/* Whether dropout is certain not to act. */
bool call_is_without_dropout(const network_object *self);

/* How a network reads arrays of this rank, as its attributes stand. */
call_layout call_layout_of(const network_object *self, int x_ndim);

/*
 * Start a call with what the network alone decides; self->memory is not NULL, and the
 * network's lock is held.  A mode that is no activation leaves CRNN_IDENTITY.
 */
void call_prepare(pending_call *c, const network_object *self, size_t variant,
                  call_layout layout);

/*
 * Start a call with arguments that can go to the core as they are, h0 or None, with
 * nothing to convert, to warn of or to explain; false if they cannot.  T and B are then
 * bound.
 */
bool call_start_directly(pending_call *c, network_object *self, size_t variant,
                         PyObject *x, PyObject *h0);

/* Whether the features of each row are contiguous, as the recurrence reads states. */
bool call_can_read(const pending_call *c, const crnn_view *view);

/*
 * Read (x, hx=None, lengths=None, batch_sizes=None, masks=None), all that memory safety
 * needs checked; false with an exception. c->memory and e are to be let go of in either
 * case.
 */
bool call_parse(pending_call *c, call_extras *e, network_object *self, PyObject *args,
                PyObject *kwargs);
void call_free(pending_call *c, call_extras *e);

/* Compute; without the GIL and on the team where that is worth it. */
crnn_status call_compute(const pending_call *c);

/* Make the outputs, compute them and let go of the parameters; T and B are bound. */
PyObject *call_finish(pending_call *c);

#endif
