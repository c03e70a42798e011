/* staged.c: the variants `staged` and `staged-clblast`: scores, rows, weighted sum. They
 * differ in who multiplies: our own products, of which there is a kernel for CPU-like devices, which
 * any device can run, and one for GPU-like ones; or CLBlast's.
 *
 *   scores --> softmax_rows --> weights --+--> output --> hidden_values
 *   value --> panels ---------------------+
 */
#include "column_sums.h"
#include "hidden_values.h"
#include "pack.h"
#include "scores.h"
#include "softmax_rows.h"
#include "try.h"
#include "variant.h"

#include <stdlib.h>

typedef struct staged {
    clattn__scores scores;
    clattn__kernel softmax_rows, column_sums, hidden_values;
    clattn__scratch value, flags, factors;
    size_t sum_size; /* bytes of the type in which sums are kept */
} staged;

static bool refuse(const char *why, char *reason, size_t size)
{
    if (why)
        (void)snprintf(reason, size, "%s", why);
    return !why;
}

static const char *why_not(const clattn_device *device, const clattn__problem *problem)
{
    if (clattn__is_reference(device))
        return "the reference device runs no kernels";
    if (problem->desc.dtype == CLATTN_F64 && !device->info.fp64)
        return "the device has no doubles (cl_khr_fp64)";
    if (clattn__is_packed(problem))
        return "sequences are packed, and it takes those of one length";
    return NULL;
}

static bool accepts(const clattn_device *device, const clattn__problem *problem, bool forced,
                    char *reason, size_t size)
{
    (void)forced;
    return refuse(why_not(device, problem), reason, size);
}

static bool accepts_clblast(const clattn_device *device, const clattn__problem *problem,
                            bool forced, char *reason, size_t size)
{
    const char *why = why_not(device, problem);
#ifndef CLATTN_WITH_CLBLAST
    why = "this library was built without CLBlast";
#endif
    if (!why && !forced && clattn__is_cpu_like(device))
        why = "on CPU-like devices CLBlast is slower than staged; ask for it by name";
    if (!why && !device->in_order)
        why = "the queue is out of order, and CLBlast's products run in order";
    return refuse(why, reason, size);
}

static void release(void *state)
{
    staged *s = state;
    if (!s)
        return;
    clattn__scores_release(&s->scores);
    clattn__kernel_release(&s->softmax_rows);
    clattn__kernel_release(&s->column_sums);
    clattn__kernel_release(&s->hidden_values);
    clattn__scratch_release(&s->value);
    clattn__scratch_release(&s->flags);
    clattn__scratch_release(&s->factors);
    free(s);
}

static clattn_status prepare_with(const clattn__multiplier *multiplier, void **state,
                                  clattn_device *device, const clattn__problem *problem)
{
    clattn_status status = CLATTN_OK;
    const clattn_dtype dtype = problem->desc.dtype;
    staged *s = calloc(1, sizeof *s);
    FAIL_IF(!s, CLATTN_E_MEMORY, "staged: no host memory for %zu bytes", sizeof *s);
    *state = s;
    s->sum_size = clattn__sum_size(dtype);
    TRY(clattn__scores_create(&s->scores, multiplier, device, problem));
    TRY(clattn__softmax_rows_create(&s->softmax_rows, device, dtype, problem->desc.outputs));
    if (problem->desc.outputs & CLATTN_COLUMN_SUMS)
        TRY(clattn__column_sums_create(&s->column_sums, device, dtype));
    if (clattn__problem_hides_keys(problem))
        TRY(clattn__hidden_values_create(&s->hidden_values, device, dtype));
done:
    return status;
}

static clattn_status prepare(void **state, clattn_device *device, const clattn__problem *problem)
{
    return prepare_with(clattn__own_multiplier(device, problem->desc.dtype), state, device,
                        problem);
}

static clattn_status prepare_clblast(void **state, clattn_device *device,
                                     const clattn__problem *problem)
{
#ifdef CLATTN_WITH_CLBLAST
    return prepare_with(&clattn__multiplier_clblast, state, device, problem);
#else
    (void)state, (void)device, (void)problem;
    return FAIL(CLATTN_E_UNSUPPORTED, 0, "staged-clblast: built without CLBlast");
#endif
}

static clattn__packing value_packing(const staged *s, const clattn__call *call)
{
    return (clattn__packing){CLATTN__LANES_ARE_COLUMNS, s->scores.panel, call->T,
                             clattn__round_up(call->Dv, s->scores.panel)};
}

/* Scores are what grows as a square; the packed tensors are about as large as the caller's. */
static bool fits(const void *state, const clattn_device *device, const clattn__call *call)
{
    const staged *s = state;
    const uint64_t size = s->sum_size, limit = device->info.max_allocation;
    const clattn__packing value = value_packing(s, call);
    const bool one_row = call->B * call->Hkv * call->S == 1;
    return clattn__scores_fit(&s->scores, device, call) &&
           clattn__packed_count(&call->value, &value) * size <= limit &&
           (s->scores.multiplier->takes_any_memory ||
            (uint64_t)(call->B * call->Hq * call->S * call->Dv) * size <= limit) &&
           (one_row || clattn__scores_bytes(&s->scores, device, call) <= device->tuning->scratch);
}

static clattn_status make_output(staged *s, clattn_device *device, const clattn__problem *problem,
                                 const clattn__call *call, clattn__timeline *timeline,
                                 int64_t stride, cl_mem factors)
{
    clattn_status status = CLATTN_OK;
    const clattn_dtype dtype = problem->desc.dtype;
    const clattn__packing value = value_packing(s, call);
    const bool hides = clattn__problem_hides_keys(problem);
    if (call->first_row == 0) {
        TRY(clattn__scratch_reserve(&s->value, device,
                                    clattn__packed_count(&call->value, &value) * s->sum_size));
        if (hides)
            TRY(clattn__scratch_reserve(&s->flags, device,
                                        clattn__packed_flags(&call->value, &value)));
        TRY(clattn__pack_run(&s->scores.pack, device, timeline, &call->value, &value,
                             s->value.memory, hides ? s->flags.memory : NULL));
    }
    const clattn__product product = {.a = s->scores.scores.memory,
                                     .lda = stride,
                                     .b = s->value.memory,
                                     .b_heads = call->B * call->Hkv,
                                     .c = call->output.buffer,
                                     .factors = factors,
                                     .c_view = clattn__view(&call->output),
                                     .N = call->Dv,
                                     .K = call->T,
                                     .alpha = 1.0};
    TRY(s->scores.multiplier->run(s->scores.product, device, timeline, dtype, call, &product));
    if (hides)
        TRY(clattn__hidden_values_run(&s->hidden_values, device, timeline, problem, call,
                                      s->scores.scores.memory, stride, s->flags.memory,
                                      s->scores.panel, false));
done:
    return status;
}

static clattn_status run(void *state, clattn_device *device, const clattn__problem *problem,
                         const clattn__call *call, clattn__timeline *timeline)
{
    staged *s = state;
    clattn_status status = CLATTN_OK;
    const int64_t stride = clattn__scores_stride(&s->scores, device, call);
    const size_t rows = (size_t)(call->B * call->Hq * call->S);
    cl_mem factors = NULL;
    /* Weights that nobody asked for need not be finished: the output takes what is left of it. */
    if (s->scores.multiplier->takes_factors && !clattn__has(&call->weights)) {
        TRY(clattn__scratch_reserve(&s->factors, device, rows * s->sum_size));
        factors = s->factors.memory;
    }
    TRY(clattn__scores_run(&s->scores, device, timeline, problem, call, stride));
    const cl_mem scores = s->scores.scores.memory;
    TRY(clattn__softmax_rows_run(&s->softmax_rows, device, timeline, problem, call, scores, stride,
                                 factors));
    if (clattn__has(&call->column_sums))
        TRY(clattn__column_sums_run(&s->column_sums, device, timeline, call, scores, stride,
                                    factors));
    if (clattn__has(&call->output))
        TRY(make_output(s, device, problem, call, timeline, stride, factors));
done:
    return status;
}

static const char *remark(const void *state)
{
    const clattn__scores *by = &((const staged *)state)->scores;
    return by->multiplier->remark ? by->multiplier->remark(by->product) : NULL;
}

const clattn__variant clattn__variant_staged = {"staged", accepts, NULL, prepare,
                                                release,  fits,    run,  remark};
const clattn__variant clattn__variant_staged_clblast = {
    "staged-clblast", accepts_clblast, NULL, prepare_clblast, release, fits, run, remark};
