/* chunked.h: what variants share that go over keys chunk by chunk and merge what they find: decode.cl and
 * additive.cl with chunks.clh, decode_merge.cl. */
#ifndef CLATTN_CHUNKED_H
#define CLATTN_CHUNKED_H

#include "fused.h"
#include "row_outputs.h"

/* Keys that are merged as one; not a matter of tuning, as a result's bits depend on it. */
#define CLATTN__CHUNK 256
/* Values of more elements are more than a core's caches hold of what a work-item keeps. */
#define CLATTN__CHUNKED_MOST 1024

/* The state of such a variant. */
typedef struct clattn__chunked {
    clattn__kernel kernel, merge, column_sums;
    size_t capacity; /* values of so many elements */
    clattn_dtype dtype;
    clattn__scratch parts; /* what each chunk of several work-items found */
    clattn__scratch
        kept; /* scores of rows whose weights are of interest, until their sums are known */
} clattn__chunked;

/* Builds kernels/<name>.cl with `options` of its own for sizes up to `capacity`. */
clattn_status clattn__chunked_prepare(void **state, clattn_device *device,
                                      const clattn__problem *problem, const char *name,
                                      const char *options, size_t capacity);
void clattn__chunked_release(void *state);
/* No memory of a call is larger than one allocation may be. */
bool clattn__chunked_fits(const void *state, const clattn_device *device, const clattn__call *call);

/* How the chunks of the keys of `groups` groups of rows are shared out: to one work-item each, or to
 * several, so that each compute unit has some; and the memory for that, or any where none is needed. */
typedef struct clattn__split {
    clattn_split shared;
    clattn_int chunks;
    cl_mem parts, kept;
    clattn__row_outputs row_outputs;
} clattn__split;
clattn_status clattn__split_init(clattn__split *split, clattn__chunked *chunked,
                                 clattn_device *device, const clattn__call *call, int64_t groups);

/* The arguments of a kernel that say so, and what is told of weights. */
void clattn__split_add(clattn__arg_list *list, clattn__split *split, const clattn__call *call);

/* After the kernel: one result of what several work-items found, of `heads` groups of M rows in a batch
 * entry, and the column sums of weights. */
clattn_status clattn__chunked_finish(clattn__chunked *chunked, clattn_device *device,
                                     clattn__timeline *timeline, const clattn__problem *problem,
                                     const clattn__call *call, const clattn__split *split,
                                     clattn_int heads, clattn_int M);

#endif
