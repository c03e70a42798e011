/* variant.h: one implementation of the forward or of the backward pass, a row of its dispatch table. */
#ifndef CLATTN_VARIANT_H
#define CLATTN_VARIANT_H

#include "launch.h"
#include "problem.h"

typedef struct clattn__variant {
    const char *name;
    /* True when the variant takes the problem on this device; else `reason` says why not, in one
     * clause. `forced`: the caller asked for it by name, so that being slow is no reason. */
    bool (*accepts)(const clattn_device *device, const clattn__problem *problem, bool forced,
                    char *reason, size_t reason_size);
    /* True when the variant is for this call, as few queries are, or, where the caller `forced` it by
     * name, when it can at all; NULL: it is for any. Only a call can say, since B, S and T come with
     * it. */
    bool (*takes)(const clattn__call *call, bool forced);
    /* Builds what the variant needs; `*state` is released by
     * release(), which takes NULL and half-made states. */
    clattn_status (*prepare)(void **state, clattn_device *device, const clattn__problem *problem);
    void (*release)(void *state);
    /* True when the call is small enough to run in one piece; NULL: any is. A call that is not is
     * cut along batch, key heads and rows, in this order. */
    bool (*fits)(const void *state, const clattn_device *device, const clattn__call *call);
    /* Enqueues the call, whose tensors all lie in device memory, in one piece. Where
     * a call was cut, the pieces of the same heads come in the order of their rows:
     * one whose first row is not 0 has the keys and values of the piece before. */
    clattn_status (*run)(void *state, clattn_device *device, const clattn__problem *problem,
                         const clattn__call *call, clattn__timeline *timeline);
    /* What a plan's explanation adds once the variant is prepared, one clause or NULL; NULL: nothing. */
    const char *(*remark)(const void *state);
} clattn__variant;

extern const clattn__variant clattn__variant_reference;
extern const clattn__variant clattn__variant_additive;
extern const clattn__variant clattn__variant_decode;
extern const clattn__variant clattn__variant_lanes;
extern const clattn__variant clattn__variant_tiles;
extern const clattn__variant clattn__variant_staged;
extern const clattn__variant clattn__variant_staged_clblast;

/* Of the backward pass. */
extern const clattn__variant clattn__variant_tiles_backward;
extern const clattn__variant clattn__variant_lanes_backward;
extern const clattn__variant clattn__variant_staged_backward;

#endif
