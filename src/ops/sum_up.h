/* sum_up.h: gradients of what is used more than once: host side of sum_up.cl. */
#ifndef CLATTN_SUM_UP_H
#define CLATTN_SUM_UP_H

#include "op.h"

/* A gradient in the making. */
typedef struct clattn__sum {
    const clattn_tensor
        *from; /* in the type of the sums, each part as a piece of a call makes it */
    int64_t folds,
        fold_step; /* parts of it that are added up, and their distance in elements; 0 give 0 */
    const clattn_tensor *to; /* of the piece; axes of stride 0 are summed over */
    bool of_rows; /* axis 2 of `to` is that of queries, else it is summed over them as well */
    clattn__scratch
        *partial; /* the sum so far where a call is cut along an axis that is summed over; of one
                                 gradient, from a call's first piece to its last */
} clattn__sum;

clattn_status clattn__sum_up_create(clattn__kernel *kernel, clattn_device *device,
                                    clattn_dtype dtype);

/* Adds a piece's part; what is complete then, and only that, is written to `to`. */
clattn_status clattn__sum_up_run(clattn__kernel *kernel, clattn_device *device,
                                 clattn__timeline *timeline, const clattn__call *call,
                                 const clattn__sum *sum);

#endif
