/* product_clblast.c: products by CLBlast's strided-batched GEMM. */
#include "product.h"

#ifdef CLATTN_WITH_CLBLAST
#include "pack.h"
#include "try.h"

#include <clblast_c.h>
#include <stdlib.h>

/* CLBlast adds up all terms of a sum one after the other, whose error grows with their number. */
#define MOST_TERMS 4096

typedef struct clblast {
    clattn__kernel unpack;
    clattn__scratch dense; /* a result on its way to a tensor that GEMM cannot write */
} clblast;

/* Keys as they are, [T][D], and values transposed, [Dv][T]: dense matrices, whose flags of what is
 * not finite are those of single columns. */
static int64_t panel(const void *state, const clattn_device *device, clattn_dtype dtype)
{
    (void)state, (void)device, (void)dtype;
    return 1;
}

static void release(void *state)
{
    clblast *c = state;
    if (!c)
        return;
    clattn__kernel_release(&c->unpack);
    clattn__scratch_release(&c->dense);
    free(c);
}

static clattn_status create(void **state, clattn_device *device, clattn_dtype dtype)
{
    clattn_status status = CLATTN_OK;
    clblast *c = calloc(1, sizeof *c);
    FAIL_IF(!c, CLATTN_E_MEMORY, "product: no host memory for %zu bytes", sizeof *c);
    *state = c;
    TRY(clattn__unpack_create(&c->unpack, device, dtype));
done:
    return status;
}

/* Terms of the sums from `first` on, added to what is there behind the first ones. */
static clattn_status gemm_part(clattn_device *device, clattn__timeline *timeline,
                               clattn_dtype dtype, int64_t count, int64_t M,
                               const clattn__product *p, cl_mem c, int64_t ldc, int64_t first)
{
    const int64_t left = p->K - first;
    const size_t m = (size_t)M, n = (size_t)p->N, K = (size_t)p->K,
                 k = (size_t)(left < MOST_TERMS ? left : MOST_TERMS), lda = (size_t)p->lda,
                 at = (size_t)(p->a_offset + first), of_b = (size_t)first, rows = (size_t)ldc;
    const double beta = first > 0 ? 1.0 : 0.0;
    cl_command_queue queue = device->queue;
    cl_event event = NULL, *wanted = device->profiling ? &event : NULL;
    CLBlastStatusCode code;
    if (dtype == CLATTN_F64)
        code = CLBlastDgemmStridedBatched(CLBlastLayoutRowMajor, CLBlastTransposeNo,
                                          CLBlastTransposeYes, m, n, k, p->alpha, p->a, at, lda,
                                          m * lda, p->b, of_b, K, n * K, beta, c, 0, rows, m * rows,
                                          (size_t)count, &queue, wanted);
    else
        code = CLBlastSgemmStridedBatched(CLBlastLayoutRowMajor, CLBlastTransposeNo,
                                          CLBlastTransposeYes, m, n, k, (float)p->alpha, p->a, at,
                                          lda, m * lda, p->b, of_b, K, n * K, (float)beta, c, 0,
                                          rows, m * rows, (size_t)count, &queue, wanted);
    if (code < -1000) /* codes of its own lie there; above are OpenCL's */
        return FAIL(CLATTN_E_DEVICE, 0, "CLBlast's product: CLBlast refuses it with its code %d",
                    (int)code);
    if (code != CLBlastSuccess)
        return clattn__fail_cl((int)code, "CLBlast's product");
    return event ? clattn__timeline_add(timeline, "CLBlast", event) : CLATTN_OK;
}

static clattn_status gemm(clattn_device *device, clattn__timeline *timeline, clattn_dtype dtype,
                          int64_t count, int64_t M, const clattn__product *p, cl_mem c, int64_t ldc)
{
    clattn_status status = CLATTN_OK;
    for (int64_t first = 0; first < p->K; first += MOST_TERMS)
        TRY(gemm_part(device, timeline, dtype, count, M, p, c, ldc, first));
done:
    return status;
}

static clattn_status run(void *state, clattn_device *device, clattn__timeline *timeline,
                         clattn_dtype dtype, const clattn__call *call, const clattn__product *p)
{
    clblast *s = state;
    clattn_status status = CLATTN_OK;
    const size_t size = clattn__sum_size(dtype);
    const int64_t M = call->Hq / call->Hkv * call->S, heads = call->B * call->Hkv;
    if (heads * M * p->N == 0)
        return CLATTN_OK;
    if (p->c_is_scratch)
        return gemm(device, timeline, dtype, heads, M, p, p->c, p->c_view.row);
    const size_t bytes = (size_t)(heads * M * p->N) * size;
    TRY(clattn__scratch_reserve(&s->dense, device, bytes));
    if (p->K == 0) { /* GEMM refuses it */
        const cl_double zero = 0;
        TRY_CL("product: clEnqueueFillBuffer",
               clEnqueueFillBuffer(device->queue, s->dense.memory, &zero, size, 0, bytes, 0, NULL,
                                   NULL));
    } else {
        TRY(gemm(device, timeline, dtype, heads, M, p, s->dense.memory, p->N));
    }
    TRY(clattn__unpack_run(&s->unpack, device, timeline, s->dense.memory, call, p->N, p->c,
                           &p->c_view));
done:
    return status;
}

const clattn__multiplier clattn__multiplier_clblast = {false,   false, panel, create,
                                                       release, run,   NULL};
#endif
