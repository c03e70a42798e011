/* scores.h: the scores of all pairs of queries and keys in scratch memory, for what is staged.
 *
 *   query --> (packed) --+
 *   key ----> panels ----+--> scores
 *
 * Scores that are no products, additive ones and those of distances, are made from queries and keys as
 * they are. */
#ifndef CLATTN_SCORES_H
#define CLATTN_SCORES_H

#include "product.h"

typedef struct clattn__scores {
    const clattn__multiplier *multiplier;
    void *product; /* the multiplier's state */
    clattn__kernel pack, pairs;
    clattn__scratch query, key, scores;
    int64_t panel; /* columns of a panel of the product */
} clattn__scores;

/* Our own multiplier for the device. */
const clattn__multiplier *clattn__own_multiplier(const clattn_device *device, clattn_dtype dtype);

/* Whether it succeeds or not, clattn__scores_release() may follow. */
clattn_status clattn__scores_create(clattn__scores *scores, const clattn__multiplier *multiplier,
                                    clattn_device *device, const clattn__problem *problem);
void clattn__scores_release(clattn__scores *scores);

/* Elements from one row of scores to the next: whole panels, and whole vectors. Rows a power of two apart
 * would all want the same few lines of a cache. */
int64_t clattn__scores_stride(const clattn__scores *scores, const clattn_device *device,
                              const clattn__call *call);

/* Bytes of the scores of a call. */
uint64_t clattn__scores_bytes(const clattn__scores *scores, const clattn_device *device,
                              const clattn__call *call);

/* True when no tensor that is packed for them, nor they themselves, take more than one allocation may be. */
bool clattn__scores_fit(const clattn__scores *scores, const clattn_device *device,
                        const clattn__call *call);

/* Rows (a, a_offset and lda of a product, and its c and alpha) times keys, or what stands in their place, transposed:
 * to memory as that of scores. The panels of keys, which are of the call's first piece of rows, stay. */
clattn_status clattn__scores_multiply(clattn__scores *scores, clattn_device *device,
                                      clattn__timeline *timeline, const clattn__call *call,
                                      clattn__product rows, const clattn_tensor *keys,
                                      clattn__scratch *panels, int64_t stride);

/* Room for `scores->scores`, [B*Hkv][group*S][stride]. */
clattn_status clattn__scores_reserve(clattn__scores *scores, clattn_device *device,
                                     const clattn__call *call, int64_t stride);

/* Makes them; those past T in a row are of no meaning. */
clattn_status clattn__scores_run(clattn__scores *scores, clattn_device *device,
                                 clattn__timeline *timeline, const clattn__problem *problem,
                                 const clattn__call *call, int64_t stride);

#endif
