/* dot_backward.h: what the fused variants of the backward pass of dot-product scores are tested by: cases around
 * blocks, tiles and splits against the reference, and with all of them those of the tables and calls in pieces. */
#ifndef CLATTN_TESTS_DOT_BACKWARD_H
#define CLATTN_TESTS_DOT_BACKWARD_H

#include "tuning/tuning.h"

/* A driver builds anew for each type and size: fewer cases are fewer builds. */
typedef enum dot_backward_cases {
    DOT_BACKWARD_FEW,  /* of one type and size with modifications, around blocks */
    DOT_BACKWARD_SOME, /* all of those but some with dropout, and the tables of one type and size */
    DOT_BACKWARD_ALL
} dot_backward_cases;

/* Tests of a variant on a device with a tuning; how many failed. */
int dot_backward_run(clattn_device *device, const clattn__tuning *tuning, const char *variant,
                     const char *group, dot_backward_cases cases);

#endif
