/* products.c: see products.h. */
#include "products.h"

#include "kernel.h"
#include "tuning/tuning.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define SHIFT 40 /* more than any score of the bench */

static bool build(bench_products *p, clattn_device *device, const bench_case *c,
                  const clattn__tuning *tuning, bool exponentials)
{
    char options[1024];
    (void)snprintf(options, sizeof options,
                   "-I " KERNELS " -I " CEILING
                   " -DACC=float -DVW=%d -DMOST=%d -DNV=%d -DMR=%d -DBQ=%d -DBK=%d"
                   " -DEXPONENTIALS=%d -DSHIFT=%d",
                   tuning->vector, c->D, tuning->tile_vectors, tuning->tile_rows,
                   tuning->backward_rows, tuning->backward_keys, exponentials, SHIFT);
    p->kernel = bench_kernel_make(device, "#include \"ceiling_backward.cl\"\n", "ceiling_backward",
                                  options);
    return p->kernel;
}

static bool set_arguments(bench_products *p, const bench_case *c, const clattn_attention_args *args)
{
    const cl_mem buffers[] = {args->query.buffer,      args->key.buffer,
                              args->value.buffer,      args->grad.output.buffer,
                              args->grad.query.buffer, args->grad.key.buffer,
                              args->grad.value.buffer};
    const cl_int sizes[] = {c->H / c->Hkv * c->S, c->T, c->D, c->causal};
    cl_int error = CL_SUCCESS;
    for (cl_uint i = 0; i < 11 && error == CL_SUCCESS; i++)
        error = i < 7 ? clSetKernelArg(p->kernel, i, sizeof *buffers, &buffers[i])
                      : clSetKernelArg(p->kernel, i, sizeof *sizes, &sizes[i - 7]);
    return error == CL_SUCCESS;
}

static double dot(const float *a, const float *b, int D)
{
    double sum = 0;
    for (int d = 0; d < D; d++)
        sum += (double)a[d] * (double)b[d];
    return sum;
}

/* Whether the last row that was made is the formula's, in doubles. */
static bool is_row(const float *got, const double *wanted, const double *sizes, int D)
{
    for (int d = 0; d < D; d++)
        if (!(fabs((double)got[d] - wanted[d]) <= 1e-5 * sizes[d]))
            return false;
    return true;
}

/* Gradients of the last query and of a key that all queries see: a kernel that does something else is no ceiling. */
static bool is_right(const bench_products *p, clattn_device *device, const bench_case *c,
                     const clattn_attention_args *args, int block, bool exponentials)
{
    const int D = c->D, T = c->T, M = c->H / c->Hkv * c->S, seen = c->causal ? 0 : T - 1;
    const float *const row = c->query + (ptrdiff_t)((M - 1) % block) * D;
    const float *const seen_key = c->key + (ptrdiff_t)seen * D;
    float *got[2] = {malloc(bench_case_queries(c) * sizeof(float)),
                     malloc(bench_case_keys(c) * sizeof(float))};
    double *sums = calloc(4 * (size_t)D, sizeof *sums);
    bool ok = got[0] && got[1] && sums && bench_products_run(p, device) &&
              clattn_tensor_read(&args->grad.query, device, got[0]) == CLATTN_OK &&
              clattn_tensor_read(&args->grad.value, device, got[1]) == CLATTN_OK;
    for (int k = 0; ok && k < T; k++) {
        const float *const key = c->key + (ptrdiff_t)k * D;
        const double slope = dot(row, c->value + (ptrdiff_t)k * D, D);
        for (int d = 0; d < D; d++) {
            sums[d] += slope * (double)key[d];
            sums[D + d] += fabs(slope * (double)key[d]);
        }
    }
    for (int i = 0; ok && i < M; i++) {
        const float *const query = c->query + (ptrdiff_t)(i % block) * D;
        const double score = dot(query, seen_key, D),
                     weight = exponentials ? exp(score - SHIFT) : score;
        for (int d = 0; d < D; d++) {
            sums[2 * D + d] += weight * (double)query[d];
            sums[3 * D + d] += fabs(weight * (double)query[d]);
        }
    }
    ok = ok && is_row(got[0] + bench_case_queries(c) - D, sums, sums + D, D) &&
         is_row(got[1] + bench_case_keys(c) - (ptrdiff_t)(T - seen) * D, sums + 2 * D, sums + 3 * D,
                D);
    free(got[0]);
    free(got[1]);
    free(sums);
    return ok;
}

bool bench_products_make(bench_products *p, clattn_device *device, const bench_case *c,
                         const clattn_attention_args *args, bool exponentials)
{
    const clattn__tuning *tuning = clattn__tuning_for(clattn_device_get_info(device));
    const int panel = tuning->vector * tuning->tile_vectors;
    *p = (bench_products){.groups = (size_t)(c->B * c->Hkv)};
    return p->groups >= clattn_device_get_info(device)->compute_units && c->D % panel == 0 &&
           c->T % panel == 0 && (!c->causal || (c->H == c->Hkv && c->S == c->T)) &&
           build(p, device, c, tuning, exponentials) && set_arguments(p, c, args) &&
           is_right(p, device, c, args, tuning->backward_rows, exponentials);
}

bool bench_products_run(const bench_products *p, clattn_device *device)
{
    return bench_kernel_run(device, p->kernel, p->groups);
}

void bench_products_release(bench_products *p)
{
    if (p->kernel)
        (void)clReleaseKernel(p->kernel);
    *p = (bench_products){0};
}
