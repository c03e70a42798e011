/* operand_gradients.h: from the gradients of operands (operands.h) to those of queries, keys and parameters.
 *
 *   GENERAL     query weight = q:      query += weight q',    weight += query^T q'
 *   COSINE      beta query / |query|, key / |key|: what their lengths and directions are worth
 *   LOCATION    weight query = scores: query += weight^T s',  weight += s'^T query
 *   ADDITIVE, LOCATION_SENSITIVE, COVERAGE
 *               query and key as with GENERAL; what a key adds to the hidden units, h: features += w_location^T h',
 *               w_location += h'^T features; from there the filters and the weights that they looked at
 *
 * The gradients of projected keys and queries are those of operands: variants write them to the caller's. */
#ifndef CLATTN_OPERAND_GRADIENTS_H
#define CLATTN_OPERAND_GRADIENTS_H

#include "operands.h"

typedef struct clattn__operand_gradients {
    clattn_dtype dtype;
    clattn__kernel sum_up, unit_rows, filters, weights;
    clattn__scratch query, key, scores, v; /* of the operands */
    clattn__scratch made, lengths, keys;   /* of one of what they were made of at a time */
    clattn__scratch of_features;
    clattn__scratch partial[CLATTN__PARAMS]; /* sums over pieces */
} clattn__operand_gradients;

/* Kernels are built when the first call wants them. */
void clattn__operand_gradients_init(clattn__operand_gradients *gradients,
                                    const clattn__problem *problem);
void clattn__operand_gradients_release(clattn__operand_gradients *gradients);

/* True when no gradient of an operand is larger than one allocation may be. */
bool clattn__operand_gradients_fit(const clattn_device *device, const clattn__problem *problem,
                                   const clattn__call *call);

/* Gives a call of operands, made of `call`, places for their gradients, as far as gradients of `call` are made
 * from them. */
clattn_status clattn__operand_gradients_place(clattn__operand_gradients *gradients,
                                              clattn_device *device, const clattn__problem *problem,
                                              const clattn__call *call, clattn__call *of_operands);

/* Enqueues the way back, once the gradients of operands are made. */
clattn_status clattn__operand_gradients_run(clattn__operand_gradients *gradients,
                                            clattn__operands *operands, clattn_device *device,
                                            clattn__timeline *timeline,
                                            const clattn__problem *problem,
                                            const clattn__call *call,
                                            const clattn__call *of_operands);

#endif
