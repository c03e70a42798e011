/* score_gradients.h: host side of score_gradients.cl. */
#ifndef CLATTN_SCORE_GRADIENTS_H
#define CLATTN_SCORE_GRADIENTS_H

#include "op.h"

/* Whether it takes the weights that forward made in the place of scores. */
bool clattn__takes_saved_weights(const clattn__problem *problem);

/* Scratch memory in the type of the sums, [B*Hkv][group*S][stride] and [B*Hkv][group*S]. */
typedef struct clattn__score_gradients {
    cl_mem scores;        /* raw ones, or room where weights are taken; become weights */
    cl_mem products;      /* gradients of output times values; become gradients of the scores */
    cl_mem modified;      /* gradients of modified scores, or NULL: nobody wants them */
    cl_mem slopes, sinks; /* a row's part of these */
} clattn__score_gradients;

/* Whether the problem takes `modified` for itself. */
bool clattn__wants_modified_gradients(const clattn__problem *problem);

clattn_status clattn__score_gradients_create(clattn__kernel *kernel, clattn_device *device,
                                             clattn_dtype dtype);

clattn_status clattn__score_gradients_run(clattn__kernel *kernel, clattn_device *device,
                                          clattn__timeline *timeline,
                                          const clattn__problem *problem, const clattn__call *call,
                                          const clattn__score_gradients *of, int64_t stride);

#endif
