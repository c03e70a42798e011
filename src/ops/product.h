/* product.h: host side of product_lanes.cl, the batched product for CPU-like devices. */
#ifndef CLATTN_PRODUCT_H
#define CLATTN_PRODUCT_H

#include "op.h"

/* Columns of a panel of B. */
int64_t clattn__product_panel(const clattn_device *device, clattn_dtype dtype);

clattn_status clattn__product_create(clattn__kernel *kernel, clattn_device *device,
                                     clattn_dtype dtype);

/* C = alpha * A B for each key head of the call, whose query heads' rows are taken together: M =
 * group * S. With `factors`, [B*Hkv][M], each row of C has a factor of its own in place of alpha. */
typedef struct clattn__product {
    cl_mem a; /* [B*Hkv][M][lda] from element a_offset on */
    int64_t a_offset, lda;
    cl_mem b; /* panels of pack.cl */
    cl_mem c;
    cl_mem factors;     /* or NULL */
    clattn_view c_view; /* of (B, Hq, S, N) */
    int64_t N, K;
    double alpha;
} clattn__product;
clattn_status clattn__product_run(clattn__kernel *kernel, clattn_device *device,
                                  clattn__timeline *timeline, clattn_dtype dtype,
                                  const clattn__call *call, const clattn__product *product);

#endif
