/* backward_calls.h: a call of the table, turned round: its results become inputs, and every gradient that it can
 * have an output. */
#ifndef TESTS_SUPPORT_BACKWARD_CALLS_H
#define TESTS_SUPPORT_BACKWARD_CALLS_H

#include "cases.h"

/* Outputs that gradients come in through, as far as a description lets them. */
#define ALL_RESULTS (CLATTN_OUTPUT | CLATTN_WEIGHTS | CLATTN_LSE)

/* All gradients that a description can have. */
uint32_t all_gradients(const clattn_attention_desc *desc);

/* Makes a case backward: output and lse are the reference's, gradients of `results` random numbers, those of
 * `gradients`, which are NaN yet, are still to be made. */
void backward_case_make(host_call *out, const clattn_case *from, uint32_t results,
                        uint32_t gradients);

#endif
