/* rules.h: what a tensor of a call may look like, and its view of rank 4. */
#ifndef CLATTN_RULES_H
#define CLATTN_RULES_H

#include "problem.h"

/* A size that no tensor has told yet. */
#define CLATTN__ANY (-1)

typedef struct clattn__rule {
    const char *name;
    const int *axes;        /* of the tensor's dimensions */
    uint32_t rank;          /* that it must have; the largest that it may have when it broadcasts */
    int64_t shape[4];       /* expected, canonical; CLATTN__ANY where it is free */
    const char *letters[4]; /* what the axes are called in a sentence */
    bool broadcast, written;
    clattn_dtype dtypes[3]; /* that it may have, repeated to fill */
} clattn__rule;

/* Which axes of (B, H, rows, columns) the dimensions of a tensor are, by the rank of query and value, and what
 * the lengths of sequences are called. */
typedef struct clattn__axes {
    uint32_t rank;
    const int *own;    /* of query, key, value and output */
    const int *square; /* of what is queries times keys */
    const int *rows;   /* of what is a number for each query; one dimension less */
    const int *keys;   /* ... for each key of each query head; likewise */
    const char *S, *T;
} clattn__axes;
clattn__axes clattn__axes_of(const clattn_attention_desc *desc, uint32_t rank);

/* Checks `tensor` and writes its canonical view; fills the shape that `expected` leaves free. */
clattn_status clattn__view_init(clattn_tensor *out, const clattn_tensor *tensor,
                                clattn__rule *expected);

/* The same for a gradient, which has the shape of what it is `of` and broadcasts where that does. */
clattn_status clattn__gradient_view(clattn_tensor *out, const clattn_tensor *tensor,
                                    const clattn_tensor *of, clattn__rule rule);

/* Refuses a tensor that is missing or given for nothing; `reason` says what asks for it. */
clattn_status clattn__check_presence(const clattn_tensor *tensor, bool wanted, const char *name,
                                     const char *reason);

/* The view of a tensor that is there if, and only if, it is wanted. */
clattn_status clattn__view_wanted(clattn_tensor *view, const clattn_tensor *tensor, bool wanted,
                                  const char *asked_by, clattn__rule rule);

/* Refuses numbers in host memory that are not finite in the type of the sums, in which kernels take
 * them. */
clattn_status clattn__check_finite(const clattn_tensor *view, const char *name, clattn_dtype dtype);

#endif
