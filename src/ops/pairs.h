/* pairs.h: scores of queries and keys that no product can make: host side of additive_scores.cl and
 * rbf_scores.cl, which write what softmax_rows.cl reads. */
#ifndef CLATTN_PAIRS_H
#define CLATTN_PAIRS_H

#include "op.h"

/* True for the scores that are made here. */
bool clattn__is_of_pairs(clattn_score score);

clattn_status clattn__pairs_create(clattn__kernel *kernel, clattn_device *device,
                                   const clattn__problem *problem);

/* Scores of all rows of a call, [B][Hq][S][stride]; those past T in a row are of no meaning. */
clattn_status clattn__pairs_run(clattn__kernel *kernel, clattn_device *device,
                                clattn__timeline *timeline, const clattn__problem *problem,
                                const clattn__call *call, cl_mem scores, int64_t stride);

#endif
