/* verdict.h: what the judges of forward and backward have in common: errors of elements, and the bound that they are
 * held against (docs/numerics.md). */
#ifndef CLATTN_REFERENCE_VERDICT_H
#define CLATTN_REFERENCE_VERDICT_H

#include "pass.h"

#include <clattn/reference.h>

/* What was seen of one tensor. */
typedef struct clattn__finding {
    double error, plain_error; /* largest |got - reference| and |plain - reference| */
    double peak;               /* largest |reference| */
    size_t worst, checked, left_out;
} clattn__finding;

/* One more error, of the element of this index. */
void clattn__finding_take(clattn__finding *found, double error, size_t index);

/* The same of an element at `at` of a tensor. Where plain code in the same precision leaves the range of its numbers
 * and the reference does not, nothing can be asked of a device: such an element is left out. */
void clattn__finding_compare(clattn__finding *found, const clattn_tensor *tensor, int64_t at,
                             size_t index, long double reference, long double plain);

/* 2 * plain error + 8u (1 + score / 4) value + one last place of the type that it is stored in */
double clattn__finding_bound(const clattn__finding *found, const clattn_attention_desc *desc,
                             clattn_dtype stored, double score, double value);

/* Adds a verdict to a report. */
void clattn__report_add(clattn_report *report, const char *name, const clattn__finding *found,
                        double bound);

/* Judges the gradients of a call whose tensors all lie in host memory; `rows_before_heads` says that the axes of
 * the caller's query, key and value are in the order of CLATTN_BSHD. */
clattn_status clattn__verify_backward(clattn_report *report, const clattn__problem *problem,
                                      const clattn__call *call, bool rows_before_heads);

#endif
