/* operands.h: what the parameters of a score make of queries and keys, before they meet.
 *
 *   GENERAL             query weight               meets keys as DOT
 *   COSINE              beta query / |query|       meets key / |key| as DOT
 *   LOCATION            weight query               are the scores, GIVEN
 *   ADDITIVE, LOCATION_SENSITIVE, COVERAGE
 *                       w_query query              meets w_key key, features of keys and the rows that they
 *                                                  count with as ADDITIVE
 *
 * All other scores meet as they are. So what comes below knows four scores: DOT, GIVEN, ADDITIVE, RBF. */
#ifndef CLATTN_OPERANDS_H
#define CLATTN_OPERANDS_H

#include "op.h"
#include "projection.h"

typedef struct clattn__operands {
    clattn_dtype dtype; /* of the problem */
    clattn__projector projector;
    clattn__kernel unit_rows, location_features;
    clattn__scratch query, key, v, filter_rows, features;
    clattn_tensor projected_key; /* of the piece before */
} clattn__operands;

/* True when a problem's queries and keys do not meet as they are. */
bool clattn__has_operands(const clattn__problem *problem);

/* The problem that is left then. */
clattn__problem clattn__problem_of_operands(const clattn__problem *problem);

/* Kernels are built when the first call wants them. */
void clattn__operands_init(clattn__operands *operands, const clattn__problem *problem);
void clattn__operands_release(clattn__operands *operands);

/* True when no operand of the call is larger than one allocation may be. */
bool clattn__operands_fit(const clattn_device *device, const clattn__problem *problem,
                          const clattn__call *call);

/* Enqueues their making; `call`, of the problem as it is, becomes one of the problem that is left. */
clattn_status clattn__operands_run(clattn__operands *operands, clattn_device *device,
                                   clattn__timeline *timeline, const clattn__problem *problem,
                                   clattn__call *call);

/* What is made of keys alone, (B, heads, T, N). */
clattn_status clattn__operands_of_keys(clattn__operands *operands, clattn_device *device,
                                       clattn__timeline *timeline, const clattn__problem *problem,
                                       const clattn__call *call, clattn__scratch *to,
                                       clattn_tensor *out);

#endif
