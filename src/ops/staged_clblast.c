/* staged_clblast.c: the variant `staged-clblast`: as `staged`, with CLBlast's strided-batched
 * products. It is what GPU-like devices take; on CPU-like ones CLBlast builds for seconds and is
 * slower than our own product. */
#include "hidden_values.h"
#include "pack.h"
#include "softmax_rows.h"
#include "try.h"
#include "variant.h"

#ifdef CLATTN_WITH_CLBLAST
#include <clblast_c.h>
#endif

#include <stdlib.h>

typedef struct staged {
    clattn__kernel pack, unpack, softmax_rows, hidden_values;
    clattn__scratch query, key, value, flags, scores, output;
    size_t sum_size; /* bytes of the type in which sums are kept */
} staged;

static bool accepts(const clattn_device *device, const clattn__problem *problem, bool forced,
                    char *reason, size_t size)
{
    const char *why = NULL;
#ifndef CLATTN_WITH_CLBLAST
    why = "this library was built without CLBlast";
#endif
    if (clattn__is_reference(device))
        why = "the reference device runs no kernels";
    else if (problem->desc.dtype == CLATTN_F64 && !device->info.fp64)
        why = "the device has no doubles (cl_khr_fp64)";
    else if (!forced && clattn__is_cpu_like(device))
        why =
            "on CPU-like devices CLBlast is slower than staged, so it has to be asked for by name";
    else if (!device->in_order)
        why = "the queue is out of order, and CLBlast's products run in order";
    if (why)
        (void)snprintf(reason, size, "%s", why);
    return !why;
}

static void release(void *state)
{
    staged *s = state;
    if (!s)
        return;
    clattn__kernel_release(&s->pack);
    clattn__kernel_release(&s->unpack);
    clattn__kernel_release(&s->softmax_rows);
    clattn__kernel_release(&s->hidden_values);
    clattn__scratch_release(&s->query);
    clattn__scratch_release(&s->key);
    clattn__scratch_release(&s->value);
    clattn__scratch_release(&s->flags);
    clattn__scratch_release(&s->scores);
    clattn__scratch_release(&s->output);
    free(s);
}

static clattn_status prepare(void **state, clattn_device *device, const clattn__problem *problem)
{
    clattn_status status = CLATTN_OK;
    const clattn_dtype dtype = problem->desc.dtype;
    staged *s = calloc(1, sizeof *s);
    FAIL_IF(!s, CLATTN_E_MEMORY, "staged-clblast: no host memory for %zu bytes", sizeof *s);
    *state = s;
    s->sum_size = clattn__sum_size(dtype);
    TRY(clattn__pack_create(&s->pack, device, dtype));
    TRY(clattn__unpack_create(&s->unpack, device, dtype));
    TRY(clattn__softmax_rows_create(&s->softmax_rows, device, dtype));
    if (clattn__problem_hides_keys(problem))
        TRY(clattn__hidden_values_create(&s->hidden_values, device, dtype));
done:
    return status;
}

/* Elements from one row of scores to the next: whole vectors, as softmax_rows.cl reads them. */
static int64_t row_stride(const clattn_device *device, const clattn__call *call)
{
    return clattn__round_up(call->T, device->tuning->vector);
}

static bool fits(const void *state, const clattn_device *device, const clattn__call *call)
{
    const staged *s = state;
    const uint64_t size = s->sum_size, limit = device->info.max_allocation;
    const uint64_t scores =
        (uint64_t)(call->B * call->Hq * call->S * row_stride(device, call)) * size;
    const bool one_row = call->B * call->Hkv * call->S == 1;
    return (uint64_t)(call->B * call->Hkv * call->T * (call->D > call->Dv ? call->D : call->Dv)) *
                   size <=
               limit &&
           (uint64_t)(call->B * call->Hq * call->S * (call->D > call->Dv ? call->D : call->Dv)) *
                   size <=
               limit &&
           scores <= limit && (one_row || scores <= device->tuning->scratch);
}

#ifdef CLATTN_WITH_CLBLAST
/* C = alpha * A B^T for each of `count` heads, all dense: A [M][K] with rows of lda, B [N][K], C
 * [M][N] with rows of ldc. */
static clattn_status product(clattn_device *device, clattn_dtype dtype, int64_t count, int64_t M,
                             int64_t N, int64_t K, double alpha, cl_mem a, int64_t lda, cl_mem b,
                             cl_mem c, int64_t ldc)
{
    const size_t m = (size_t)M, n = (size_t)N, k = (size_t)K, la = (size_t)lda, lc = (size_t)ldc;
    cl_command_queue queue = device->queue;
    CLBlastStatusCode code;
    if (count == 0 || M == 0 || N == 0 || K == 0)
        return CLATTN_OK;
    if (dtype == CLATTN_F64)
        code = CLBlastDgemmStridedBatched(
            CLBlastLayoutRowMajor, CLBlastTransposeNo, CLBlastTransposeYes, m, n, k, alpha, a, 0,
            la, m * la, b, 0, k, n * k, 0.0, c, 0, lc, m * lc, (size_t)count, &queue, NULL);
    else
        code = CLBlastSgemmStridedBatched(
            CLBlastLayoutRowMajor, CLBlastTransposeNo, CLBlastTransposeYes, m, n, k, (float)alpha,
            a, 0, la, m * la, b, 0, k, n * k, 0.0F, c, 0, lc, m * lc, (size_t)count, &queue, NULL);
    return code == CLBlastSuccess ? CLATTN_OK
                                  : clattn__fail_cl((int)code, "staged-clblast: CLBlast's product");
}
#else
static clattn_status product(clattn_device *device, clattn_dtype dtype, int64_t count, int64_t M,
                             int64_t N, int64_t K, double alpha, cl_mem a, int64_t lda, cl_mem b,
                             cl_mem c, int64_t ldc)
{
    (void)device, (void)dtype, (void)count, (void)M, (void)N, (void)K, (void)alpha;
    (void)a, (void)lda, (void)b, (void)c, (void)ldc;
    return FAIL(CLATTN_E_UNSUPPORTED, 0, "staged-clblast: this library was built without CLBlast");
}
#endif

/* A dense copy of `tensor` in `scratch`. */
static clattn_status pack(staged *s, clattn_device *device, clattn__timeline *timeline,
                          const clattn_tensor *tensor, clattn__pack_lanes lanes, int64_t depths,
                          clattn__scratch *scratch, size_t size, cl_mem flags)
{
    clattn_status status = CLATTN_OK;
    const clattn__packing packing = {lanes, 1, depths,
                                     tensor->shape[lanes == CLATTN__LANES_ARE_ROWS ? 2 : 3]};
    TRY(clattn__scratch_reserve(scratch, device, clattn__packed_count(tensor, &packing) * size));
    TRY(clattn__pack_run(&s->pack, device, timeline, tensor, &packing, scratch->memory, flags));
done:
    return status;
}

static clattn_status make_output(staged *s, clattn_device *device, const clattn__problem *problem,
                                 const clattn__call *call, clattn__timeline *timeline,
                                 int64_t stride)
{
    clattn_status status = CLATTN_OK;
    const clattn_dtype dtype = problem->desc.dtype;
    const size_t size = clattn__sum_size(dtype);
    const int64_t M = call->Hq / call->Hkv * call->S;
    const size_t bytes = (size_t)(call->B * call->Hq * call->S * call->Dv) * size;
    /* The values go in transposed, [Dv][T], so that their flags are those of panels one column
     * wide. */
    const clattn__packing columns = {CLATTN__LANES_ARE_COLUMNS, 1, call->T, call->Dv};
    const bool hides = clattn__problem_hides_keys(problem);
    if (hides)
        TRY(clattn__scratch_reserve(&s->flags, device,
                                    clattn__packed_flags(&call->value, &columns)));
    TRY(pack(s, device, timeline, &call->value, CLATTN__LANES_ARE_COLUMNS, call->T, &s->value, size,
             hides ? s->flags.memory : NULL));
    TRY(clattn__scratch_reserve(&s->output, device, bytes));
    if (call->T == 0) {
        const cl_double zero = 0;
        TRY_CL("staged-clblast: clEnqueueFillBuffer",
               clEnqueueFillBuffer(device->queue, s->output.memory, &zero, size, 0, bytes, 0, NULL,
                                   NULL));
    }
    TRY(product(device, dtype, call->B * call->Hkv, M, call->Dv, call->T, 1.0, s->scores.memory,
                stride, s->value.memory, s->output.memory, call->Dv));
    TRY(clattn__unpack_run(&s->unpack, device, timeline, s->output.memory, call, &call->output));
    if (hides)
        TRY(clattn__hidden_values_run(&s->hidden_values, device, timeline, problem, call,
                                      s->scores.memory, stride, s->flags.memory, 1));
done:
    return status;
}

static clattn_status run(void *state, clattn_device *device, const clattn__problem *problem,
                         const clattn__call *call, clattn__timeline *timeline)
{
    staged *s = state;
    clattn_status status = CLATTN_OK;
    const clattn_dtype dtype = problem->desc.dtype;
    const size_t size = clattn__sum_size(dtype);
    const int64_t stride = row_stride(device, call), M = call->Hq / call->Hkv * call->S;
    TRY(clattn__scratch_reserve(&s->scores, device,
                                (size_t)(call->B * call->Hq * call->S * stride) * size));
    if (problem->desc.score == CLATTN_SCORE_GIVEN) {
        TRY(pack(s, device, timeline, &call->given_scores, CLATTN__LANES_ARE_ROWS, stride,
                 &s->scores, size, NULL));
    } else {
        TRY(pack(s, device, timeline, &call->query, CLATTN__LANES_ARE_ROWS, call->D, &s->query,
                 size, NULL));
        TRY(pack(s, device, timeline, &call->key, CLATTN__LANES_ARE_ROWS, call->D, &s->key, size,
                 NULL));
        TRY(product(device, dtype, call->B * call->Hkv, M, call->T, call->D, problem->scale,
                    s->query.memory, call->D, s->key.memory, s->scores.memory, stride));
    }
    TRY(clattn__softmax_rows_run(&s->softmax_rows, device, timeline, problem, call,
                                 s->scores.memory, stride, NULL));
    if (clattn__has(&call->output))
        TRY(make_output(s, device, problem, call, timeline, stride));
done:
    return status;
}

const clattn__variant clattn__variant_staged_clblast = {"staged-clblast", accepts, prepare,
                                                        release,          fits,    run};
