/* dot_gradients.h: what the fused variants of the backward pass of dot-product scores share: which problems they
 * take, what the gradients of a row's weights have in common (row_deltas.cl), gradients of sinks, and those of keys
 * and values that rows of several pieces add to. */
#ifndef CLATTN_DOT_GRADIENTS_H
#define CLATTN_DOT_GRADIENTS_H

#include "op.h"

/* Why no such variant takes the problem, in one clause; NULL: it may. `also` is CLATTN__DROPOUT where it drops
 * weights. */
const char *clattn__why_no_dot_gradients(const clattn_device *device,
                                         const clattn__problem *problem, bool forced,
                                         uint32_t also);

typedef struct clattn__dot_gradients {
    clattn__kernel row_deltas, sum_up;
    int item_rows;                              /* ROWS of row_deltas.cl */
    clattn__scratch deltas, sink_parts;         /* of each row */
    clattn__scratch key_parts, value_parts;     /* of a piece of rows, in the type of the sums */
    clattn__scratch of_key, of_value, of_sinks; /* sums over pieces */
} clattn__dot_gradients;

clattn_status clattn__dot_gradients_create(clattn__dot_gradients *s, clattn_device *device,
                                           clattn_dtype dtype);
void clattn__dot_gradients_release(clattn__dot_gradients *s);

/* Makes the deltas of all rows where the normalizer wants them, and says where a piece's gradients of keys and
 * values are to be made: what they are in the end, or the piece's part of it. */
clattn_status clattn__dot_gradients_begin(clattn__dot_gradients *s, clattn_device *device,
                                          clattn__timeline *timeline,
                                          const clattn__problem *problem, const clattn__call *call,
                                          clattn_tensor *key, clattn_tensor *value);

/* Adds the piece's parts to the gradients of keys, values and sinks. */
clattn_status clattn__dot_gradients_end(clattn__dot_gradients *s, clattn_device *device,
                                        clattn__timeline *timeline, const clattn__call *call,
                                        const clattn_tensor *key, const clattn_tensor *value);

#endif
