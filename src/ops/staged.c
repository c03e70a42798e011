/* staged.c: the variants `staged` and `staged-clblast`: pack, scores, rows, weighted sum. They
 * differ in who multiplies: our own products, of which there is a kernel for CPU-like devices, which
 * any device can run, and one for GPU-like ones; or CLBlast's.
 *
 *   query --> (packed) --+
 *   key ----> panels ----+--> scores --> softmax_rows --> weights --+--> output --> hidden_values
 *   value --> panels -----------------------------------------------+
 *
 * Scores that are no products, additive ones and those of distances, are made from queries and keys as
 * they are.
 */
#include "column_sums.h"
#include "hidden_values.h"
#include "pack.h"
#include "pairs.h"
#include "product.h"
#include "softmax_rows.h"
#include "try.h"
#include "variant.h"

#include <stdlib.h>

typedef struct staged {
    const clattn__multiplier *multiplier;
    void *product; /* the multiplier's state */
    clattn__kernel pack, pairs, softmax_rows, column_sums, hidden_values;
    clattn__scratch query, key, value, flags, scores, factors;
    int64_t panel;   /* columns of a panel of the product */
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
    s->multiplier->release(s->product);
    clattn__kernel_release(&s->pack);
    clattn__kernel_release(&s->pairs);
    clattn__kernel_release(&s->softmax_rows);
    clattn__kernel_release(&s->column_sums);
    clattn__kernel_release(&s->hidden_values);
    clattn__scratch_release(&s->query);
    clattn__scratch_release(&s->key);
    clattn__scratch_release(&s->value);
    clattn__scratch_release(&s->flags);
    clattn__scratch_release(&s->scores);
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
    s->multiplier = multiplier;
    s->sum_size = clattn__sum_size(dtype);
    TRY(multiplier->create(&s->product, device, dtype));
    s->panel = multiplier->panel(s->product, device, dtype);
    TRY(clattn__pack_create(&s->pack, device, dtype));
    if (clattn__is_of_pairs(problem->desc.score))
        TRY(clattn__pairs_create(&s->pairs, device, problem));
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
    const bool tiles =
        !clattn__is_cpu_like(device) && clattn__product_tiles_hold(device, problem->desc.dtype);
    return prepare_with(tiles ? &clattn__multiplier_tiles : &clattn__multiplier_lanes, state,
                        device, problem);
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

static clattn__packing key_packing(const staged *s, const clattn__call *call)
{
    return (clattn__packing){CLATTN__LANES_ARE_ROWS, s->panel, call->D,
                             clattn__round_up(call->T, s->panel)};
}

static clattn__packing value_packing(const staged *s, const clattn__call *call)
{
    return (clattn__packing){CLATTN__LANES_ARE_COLUMNS, s->panel, call->T,
                             clattn__round_up(call->Dv, s->panel)};
}

/* Elements from one row of scores to the next: whole panels, and whole vectors for softmax_rows.cl.
 * Rows a power of two apart would all want the same few lines of a cache. */
static int64_t row_stride(const staged *s, const clattn_device *device, const clattn__call *call)
{
    const int64_t step = s->panel > device->tuning->vector ? s->panel : device->tuning->vector,
                  whole = clattn__round_up(call->T, step);
    return whole % 256 == 0 ? whole + step : whole;
}

/* Scores are what grows as a square; the packed tensors are about as large as the caller's. */
static bool fits(const void *state, const clattn_device *device, const clattn__call *call)
{
    const staged *s = state;
    const uint64_t size = s->sum_size, limit = device->info.max_allocation;
    const clattn__packing key = key_packing(s, call), value = value_packing(s, call);
    const uint64_t scores =
        (uint64_t)(call->B * call->Hq * call->S * row_stride(s, device, call)) * size;
    const bool one_row = call->B * call->Hkv * call->S == 1;
    return clattn__packed_count(&call->value, &value) * size <= limit &&
           (uint64_t)(call->B * call->Hkv * key.lanes_padded * call->D) * size <= limit &&
           (uint64_t)(call->B * call->Hq * call->S * call->D) * size <= limit && scores <= limit &&
           (s->multiplier->takes_any_memory ||
            (uint64_t)(call->B * call->Hq * call->S * call->Dv) * size <= limit) &&
           (one_row || scores <= device->tuning->scratch);
}

static clattn_status make_scores(staged *s, clattn_device *device, const clattn__problem *problem,
                                 const clattn__call *call, clattn__timeline *timeline,
                                 int64_t stride)
{
    clattn_status status = CLATTN_OK;
    const clattn_dtype dtype = problem->desc.dtype,
                       sums = dtype == CLATTN_F64 ? CLATTN_F64 : CLATTN_F32;
    const size_t size = clattn__sum_size(dtype);
    if (problem->desc.score == CLATTN_SCORE_GIVEN) {
        const clattn__packing rows = {CLATTN__LANES_ARE_ROWS, 1, stride, call->S};
        return clattn__pack_run(&s->pack, device, timeline, &call->given_scores, &rows,
                                s->scores.memory, NULL);
    }
    if (clattn__is_of_pairs(problem->desc.score))
        return clattn__pairs_run(&s->pairs, device, timeline, problem, call, s->scores.memory,
                                 stride);
    const clattn__packing key = key_packing(s, call);
    if (call->first_row == 0) {
        TRY(clattn__scratch_reserve(&s->key, device,
                                    clattn__packed_count(&call->key, &key) * size));
        TRY(clattn__pack_run(&s->pack, device, timeline, &call->key, &key, s->key.memory, NULL));
    }
    clattn__product product = {.a = call->query.buffer,
                               .a_offset = call->query.offset,
                               .lda = call->query.strides[2],
                               .b = s->key.memory,
                               .b_heads = call->B * call->Hkv,
                               .c = s->scores.memory,
                               .c_is_scratch = true,
                               .N = key.lanes_padded,
                               .K = call->D,
                               .alpha = problem->scale};
    product.c_view = (clattn_view){.batch = call->Hq * call->S * stride,
                                   .head = call->S * stride,
                                   .row = stride,
                                   .column = 1,
                                   .kind = (clattn_int)sums};
    if (!s->multiplier->takes_any_memory || !clattn__rows_are_ready(&call->query, sums)) {
        const clattn__packing query = {CLATTN__LANES_ARE_ROWS, 1, call->D, call->S};
        TRY(clattn__scratch_reserve(&s->query, device,
                                    clattn__packed_count(&call->query, &query) * size));
        TRY(clattn__pack_run(&s->pack, device, timeline, &call->query, &query, s->query.memory,
                             NULL));
        product.a = s->query.memory;
        product.a_offset = 0;
        product.lda = call->D;
    }
    TRY(s->multiplier->run(s->product, device, timeline, dtype, call, &product));
done:
    return status;
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
        TRY(clattn__pack_run(&s->pack, device, timeline, &call->value, &value, s->value.memory,
                             hides ? s->flags.memory : NULL));
    }
    const clattn__product product = {.a = s->scores.memory,
                                     .lda = stride,
                                     .b = s->value.memory,
                                     .b_heads = call->B * call->Hkv,
                                     .c = call->output.buffer,
                                     .factors = factors,
                                     .c_view = clattn__view(&call->output),
                                     .N = call->Dv,
                                     .K = call->T,
                                     .alpha = 1.0};
    TRY(s->multiplier->run(s->product, device, timeline, dtype, call, &product));
    if (hides)
        TRY(clattn__hidden_values_run(&s->hidden_values, device, timeline, problem, call,
                                      s->scores.memory, stride, s->flags.memory, s->panel));
done:
    return status;
}

static clattn_status run(void *state, clattn_device *device, const clattn__problem *problem,
                         const clattn__call *call, clattn__timeline *timeline)
{
    staged *s = state;
    clattn_status status = CLATTN_OK;
    const int64_t stride = row_stride(s, device, call);
    const size_t rows = (size_t)(call->B * call->Hq * call->S);
    cl_mem factors = NULL;
    TRY(clattn__scratch_reserve(&s->scores, device, rows * (size_t)stride * s->sum_size));
    /* Weights that nobody asked for need not be finished: the output takes what is left of it. */
    if (s->multiplier->takes_factors && !clattn__has(&call->weights)) {
        TRY(clattn__scratch_reserve(&s->factors, device, rows * s->sum_size));
        factors = s->factors.memory;
    }
    TRY(make_scores(s, device, problem, call, timeline, stride));
    TRY(clattn__softmax_rows_run(&s->softmax_rows, device, timeline, problem, call,
                                 s->scores.memory, stride, factors));
    if (clattn__has(&call->column_sums))
        TRY(clattn__column_sums_run(&s->column_sums, device, timeline, call, s->scores.memory,
                                    stride, factors));
    if (clattn__has(&call->output))
        TRY(make_output(s, device, problem, call, timeline, stride, factors));
done:
    return status;
}

static const char *remark(const void *state)
{
    const staged *s = state;
    return s->multiplier->remark ? s->multiplier->remark(s->product) : NULL;
}

const clattn__variant clattn__variant_staged = {"staged", accepts, NULL, prepare,
                                                release,  fits,    run,  remark};
const clattn__variant clattn__variant_staged_clblast = {
    "staged-clblast", accepts_clblast, NULL, prepare_clblast, release, fits, run, remark};
