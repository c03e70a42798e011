/* sum_up.h: gradients of what is used more than once: host side of sum_up.cl. */
#ifndef CLATTN_SUM_UP_H
#define CLATTN_SUM_UP_H

#include "op.h"

/* What the pieces of a call share of a gradient. */
typedef enum clattn__sum_over {
    CLATTN__SUM_OVER_NOTHING, /* queries and given scores: each piece has its own */
    CLATTN__SUM_OVER_ROWS,    /* keys and values: pieces of the same heads add to the same */
    CLATTN__SUM_OVER_PLACES, /* bias and beta: wherever it broadcasts, and each row has its own otherwise */
    CLATTN__SUM_OVER_ALL /* parameters: likewise, and over all rows */
} clattn__sum_over;

/* A gradient in the making. */
typedef struct clattn__sum {
    const clattn_tensor *from; /* in the type of the sums, as a piece of a call makes it */
    int64_t folds,
        fold_step; /* parts of it that are added up, and their distance in elements; 0 give 0 */
    const clattn_tensor
        *to; /* of the piece; axes of stride 0 are summed over; absent: nothing is done */
    clattn__sum_over over;
    clattn__scratch
        *partial; /* the sum so far where pieces share it, from the first one to the last; of one
                                 gradient alone */
} clattn__sum;

clattn_status clattn__sum_up_create(clattn__kernel *kernel, clattn_device *device,
                                    clattn_dtype dtype);

/* Where a piece's gradient of keys or values is made: where it belongs, where the piece has all rows, else in `part`,
 * for clattn__sum_up_run() to add up. */
clattn_status clattn__sum_target(clattn_tensor *out, clattn__scratch *part, clattn_device *device,
                                 const clattn__call *call, const clattn_tensor *gradient);

/* Adds a piece's part; what is complete then, and only that, is written to `to`. */
clattn_status clattn__sum_up_run(clattn__kernel *kernel, clattn_device *device,
                                 clattn__timeline *timeline, const clattn__call *call,
                                 const clattn__sum *sum);

#endif
