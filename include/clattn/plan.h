/* plan.h: a description made ready for one device. Describing is cheap; planning checks, chooses
 * and builds; running enqueues. */
#ifndef CLATTN_PLAN_H
#define CLATTN_PLAN_H

#include <clattn/attention.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct clattn_plan clattn_plan;

/**
 * Makes a plan: checks the description, takes the first variant that accepts it, builds its kernels
 * (or loads them from the user's cache). `*out` is the caller's to destroy before the device is
 * closed, and NULL after a failure.
 *
 * @return CLATTN_E_ARGUMENT for a bad desc, CLATTN_E_UNSUPPORTED when no variant takes it,
 * CLATTN_E_BUILD.
 */
CLATTN_API clattn_status clattn_plan_create(clattn_plan **out, clattn_device *device,
                                            const clattn_attention_desc *desc);

/**
 * Enqueues the plan on the device's queue. B, S, T, lengths and strides may differ from call to
 * call. Host tensors are read and written when the queue gets there: leave them alone until
 * clattn_device_finish(). One thread per plan at a time; a device takes plans of many threads. The
 * reference finishes inside the call, and so does a host output with gaps between its elements; a
 * host input with gaps may wait for the queue. After CLATTN_E_ARGUMENT and CLATTN_E_UNSUPPORTED
 * nothing was enqueued; after any other failure nothing is under way any more.
 */
CLATTN_API clattn_status clattn_plan_run(clattn_plan *plan, const clattn_attention_args *args);

/**
 * Makes of keys what the plan's score makes of them before they meet a query: w_key key of additive
 * scores, weight key of GENERAL, key / |key| of COSINE. An RNN decoder calls once per step with the same
 * encoder outputs, and need not project them again. The plan has CLATTN_PROJECTED_KEYS; of `args`, only
 * key and the parameters w_key or weight are read, before the call returns. `*out` is the caller's to
 * destroy, goes with every plan of the same device, score, type and sizes, forward and backward, and is NULL after
 * a failure.
 *
 * @return CLATTN_E_ARGUMENT, CLATTN_E_UNSUPPORTED when no buffer holds them in one piece.
 */
CLATTN_API clattn_status clattn_keys_create(clattn_keys **out, clattn_plan *plan,
                                            const clattn_attention_args *args);

/** Runs that are under way go on and finish. NULL is fine. */
CLATTN_API void clattn_keys_destroy(clattn_keys *keys);

/** The name of the variant of the last run, before the first of the one that takes any call: "lanes",
 * "staged", "reference", ... A plan may have another one for calls of a few queries, which is built at
 * the first of them; clattn_plan_explain() names both. */
CLATTN_API const char *clattn_plan_variant(const clattn_plan *plan);

/** One line per variant of the dispatch table, in order:
 * its name and "chosen", or the reason of its refusal; then one more for what the chosen one has to tell
 * of how it was built, as the size of its tiles. */
CLATTN_API const char *clattn_plan_explain(const clattn_plan *plan);

/** Floating-point operations of the products of `args`: 2*B*Hq*S*T*(D + Dv), backward
 * 2*B*Hq*S*T*(3*D + 2*Dv), whichever gradients are wanted; D counts as 0 with given scores, and masked
 * pairs count too. Packed sequences have a sum of S*T in place of B*S*T, as far as their lengths lie in
 * host memory. 0 for arguments that clattn_plan_run() refuses. */
CLATTN_API double clattn_plan_flops(const clattn_plan *plan, const clattn_attention_args *args);

/** How long one kernel of a plan took, summed over its launches of one run. */
typedef struct clattn_timing {
    const char *kernel; /* lives as long as the plan */
    size_t launches;
    double seconds;
} clattn_timing;

/**
 * The times of the last run, kernel by kernel, on a device opened with CLATTN_DEVICE_PROFILE; waits
 * for that run. Writes at most `capacity` entries and their number to `*count`; 0 without
 * profiling.
 */
CLATTN_API clattn_status clattn_plan_timing(clattn_plan *plan, clattn_timing *timings,
                                            size_t capacity, size_t *count);

/** Destroys a plan; runs that are under way go on and finish. NULL is fine. */
CLATTN_API void clattn_plan_destroy(clattn_plan *plan);

#ifdef __cplusplus
}
#endif
#endif
