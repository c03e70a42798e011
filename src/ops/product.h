/* product.h: the batched product of scores and weighted sums, and of projections, and who computes it. */
#ifndef CLATTN_PRODUCT_H
#define CLATTN_PRODUCT_H

#include "op.h"

/* C = alpha * A B for each key head of a call, whose query heads'
 * rows are taken together: M = group * S. With `factors`, [B*Hkv][M],
 * each row of C has a factor of its own in place of alpha. */
typedef struct clattn__product {
    cl_mem a; /* [B*Hkv][M][lda] from element a_offset on */
    int64_t a_offset, lda;
    cl_mem b;        /* panels of pack.cl, as wide as the multiplier wants them */
    int64_t b_heads; /* key head g of all B*Hkv reads the panels of head g % b_heads */
    cl_mem c;
    bool c_is_scratch;  /* dense rows, as well aligned as a driver's own memory */
    cl_mem factors;     /* or NULL */
    clattn_view c_view; /* of (B, Hq, S, N) */
    int64_t N, K;
    double alpha;
} clattn__product;

/* One way to compute products. */
typedef struct clattn__multiplier {
    bool takes_factors;
    /* Reads and writes the caller's tensors, too, which may be aligned to their elements only. */
    bool takes_any_memory;
    /* Columns of a panel of B. */
    int64_t (*panel)(const void *state, const clattn_device *device, clattn_dtype dtype);
    /* Builds what it needs; `*state` is released by release(), which takes NULL. */
    clattn_status (*create)(void **state, clattn_device *device, clattn_dtype dtype);
    void (*release)(void *state);
    clattn_status (*run)(void *state, clattn_device *device, clattn__timeline *timeline,
                         clattn_dtype dtype, const clattn__call *call,
                         const clattn__product *product);
    /* What is worth telling about how it was built; NULL: nothing. */
    const char *(*remark)(const void *state);
} clattn__multiplier;

extern const clattn__multiplier
    clattn__multiplier_lanes; /* product_lanes.cl, for CPU-like devices */
extern const clattn__multiplier
    clattn__multiplier_tiles; /* product_tiles.cl, for GPU-like devices */
/* Whether the device can hold one of its tiles. */
bool clattn__product_tiles_hold(const clattn_device *device, clattn_dtype dtype);
#ifdef CLATTN_WITH_CLBLAST
extern const clattn__multiplier clattn__multiplier_clblast; /* CLBlast, for queues in order */
#endif

#endif
