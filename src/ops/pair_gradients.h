/* pair_gradients.h: from gradients of scores that pairs.h makes to those of what they were made of: host side of
 * pair_gradients.cl. */
#ifndef CLATTN_PAIR_GRADIENTS_H
#define CLATTN_PAIR_GRADIENTS_H

#include "op.h"

/* Dense memory in the type of the sums; NULL: nobody wants it. N is the size of queries as they meet keys, A of
 * additive scores, D of RBF. */
typedef struct clattn__pair_gradients {
    cl_mem query; /* [B][Hq][S][N] */
    cl_mem
        hidden;   /* of keys and of what features add to them, for each query head, [B][Hq][T][N] */
    cl_mem units; /* of v, [B][Hq][N]; of gamma what each unit adds to it */
} clattn__pair_gradients;

clattn_status clattn__pair_gradients_create(clattn__kernel *kernel, clattn_device *device,
                                            const clattn__problem *problem);

/* `ds` are the gradients of the scores, [B][Hq][S][stride], 0 at hidden pairs. The call is one of operands
 * (operands.h). What is summed over queries is that of the call's rows. */
clattn_status clattn__pair_gradients_run(clattn__kernel *kernel, clattn_device *device,
                                         clattn__timeline *timeline, const clattn__problem *problem,
                                         const clattn__call *call, cl_mem ds, int64_t stride,
                                         const clattn__pair_gradients *to);

#endif
