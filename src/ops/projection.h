/* projection.h: products of a call's tensors with the matrices of its parameters. */
#ifndef CLATTN_PROJECTION_H
#define CLATTN_PROJECTION_H

#include "pack.h"
#include "product.h"

/* Who makes them; kernels are built when the first one is wanted. */
typedef struct clattn__projector {
    clattn_dtype dtype; /* of the problem */
    const clattn__multiplier *multiplier,
        *shared_multiplier; /* the second of matrices of all heads */
    void *product, *shared_product;
    clattn__kernel pack;
    clattn__scratch rows, matrix;           /* packed, on their way to a product */
    clattn__scratch others, columns, flags; /* likewise, of sums of outer products */
} clattn__projector;
void clattn__projector_release(clattn__projector *projector);

/* A tensor of heads that are all alike, with one of them; and back. */
clattn_tensor clattn__one_of_alike(const clattn_tensor *tensor);
void clattn__as_heads(clattn_tensor *tensor, int64_t heads);

/* A projection: (B, H, rows, D) by the matrix of each head, or the one of all heads, to (B, heads of the
 * matrix, rows, N). Where the matrix has more heads than the rows, as query heads that share a key head
 * have, those rows are multiplied by each of them. */
typedef struct clattn__projection {
    const clattn_tensor *rows;
    clattn_tensor matrix;     /* (1, heads, N, D), or its transpose */
    clattn__pack_lanes lanes; /* the axis of the matrix that N is */
    int64_t N;
    double alpha;
    clattn__scratch *to;
    const clattn_tensor *into; /* or NULL: where it goes, if a product can write it there */
} clattn__projection;
clattn_status clattn__project(clattn__projector *projector, clattn_device *device,
                              clattn__timeline *timeline, const clattn__projection *projection,
                              clattn_tensor *out);

/* The gradient of a projection's matrix: sum over rows r of x[r] y[r]^T, of x (B, H, rows, M) and y (B, H, rows, N)
 * to (1, 1, M, N), or for each head of x to (B, H, M, N), several of which may share one of y. Of y, what is not
 * finite counts as 0: where it may be seen, x is NaN. */
typedef struct clattn__outer {
    const clattn_tensor *x, *y;
    bool of_heads;
    double alpha; /* times it */
    clattn__scratch *to;
} clattn__outer;
clattn_status clattn__sum_outer(clattn__projector *projector, clattn_device *device,
                                clattn__timeline *timeline, const clattn__outer *outer,
                                clattn_tensor *out);

#endif
