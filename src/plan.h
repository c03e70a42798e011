/* plan.h: what a plan is made of. */
#ifndef CLATTN_SRC_PLAN_H
#define CLATTN_SRC_PLAN_H

#include "device.h"
#include "ops/operand_gradients.h"
#include "variant.h"

struct clattn_plan {
    clattn_device *device;
    clattn__problem problem; /* the caller's */
    clattn__problem left;    /* what variants meet: the same, or what operands leave of it */
    bool by_sequence; /* packed sequences, which no variant takes together, are a call each */
    clattn__operands operands; /* what the parameters of the score make of queries and keys */
    clattn__operand_gradients operand_gradients;
    struct chosen {
        const clattn__variant *variant; /* or NULL */
        void *state;                    /* the variant's own: kernels and scratch memory */
        bool ready;
    } some, any, *current; /* of the last run, or of the next one */
    char *explain;
    clattn__timeline timeline; /* of the last run, on a profiling queue */
};

/* True when no host tensor and no operand of a call takes more than one allocation may be. */
bool clattn__plan_tensors_fit(const clattn_plan *plan, clattn__call *call);

#endif
