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

/* Checks `tensor` and writes its canonical view; fills the shape that `expected` leaves free. */
clattn_status clattn__view_init(clattn_tensor *out, const clattn_tensor *tensor,
                                clattn__rule *expected);

/* Refuses a tensor that is missing or given for nothing; `reason` says what asks for it. */
clattn_status clattn__check_presence(const clattn_tensor *tensor, bool wanted, const char *name,
                                     const char *reason);

/* Refuses numbers in host memory that are not finite in the type of the sums, in which kernels take
 * them. */
clattn_status clattn__check_finite(const clattn_tensor *view, const char *name, clattn_dtype dtype);

#endif
