/* ceiling.c: how much of the machine's multiply-adds a kernel with the products of lanes.cl can reach: those
 * products alone, with exponentials between them (ceiling.cl), and lanes itself, interleaved round by round. */
#include "kernel.h"
#include "measure.h"
#include "on_device.h"
#include "tuning/tuning.h"

#include <clattn/clattn_cl.h>

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 25
#define WARM_UP 5 /* runs of a round that do not count */

static const char *const cases[] = {"1,8,1024,64", "1,8,1024,128", "1,4,4096,64", "8,8,128,64",
                                    "1,32,8,512,512,128"};

enum { PRODUCTS, EXPONENTIALS, LANES, RUNNERS };
static const char *const names[RUNNERS] = {"products", "and exponentials", "lanes"};

typedef struct problem {
    bench_case data;
    int groups, M; /* key heads, and rows of one */
    size_t items;
    float *output; /* what a kernel made */
    clattn_attention_args args;
    clattn_plan *plan;
    cl_kernel kernels[2];
    double seconds[RUNNERS][ROUNDS];
} problem;

/* Scores are to be below 0: queries are, keys are not. */
static void make_scores_negative(bench_case *c)
{
    for (size_t i = 0; i < bench_case_queries(c); i++)
        c->query[i] = -0.25f * fabsf(c->query[i]);
    for (size_t i = 0; i < bench_case_keys(c); i++)
        c->key[i] = 0.25f * fabsf(c->key[i]);
}

static bool make_plan(problem *p, clattn_device *device)
{
    clattn_attention_desc desc = {.struct_size = sizeof desc, .variant = "lanes"};
    desc.query_heads = (size_t)p->data.H, desc.kv_heads = (size_t)p->data.Hkv;
    desc.head_size = (size_t)p->data.D;
    return clattn_plan_create(&p->plan, device, &desc) == CLATTN_OK;
}

static bool make_kernel(problem *p, clattn_device *device, int exponentials)
{
    const clattn__tuning *tuning = clattn__tuning_for(clattn_device_get_info(device));
    char options[1024];
    cl_int error = CL_SUCCESS;
    const int rows = tuning->vector * tuning->lanes_vectors;
    if (p->M % rows || p->data.T % tuning->lanes_block || p->data.D % tuning->vector)
        return false;
    p->items = (size_t)(p->groups * (p->M / rows));
    (void)snprintf(options, sizeof options,
                   "-I " KERNELS " -I " CEILING
                   " -DACC=float -DVW=%d -DKIND=%d -DQUERY_KIND=0 -DMOST=%d -DNV=%d "
                   "-DMK=%d -DMD=%d -DBK=%d -DEXPONENTIALS=%d",
                   tuning->vector, CLATTN_F32, p->data.D, tuning->lanes_vectors, tuning->lanes_keys,
                   tuning->lanes_values, tuning->lanes_block, exponentials);
    p->kernels[exponentials] =
        bench_kernel_make(device, "#include \"ceiling.cl\"\n", "ceiling", options);
    if (!p->kernels[exponentials])
        return false;
    /* Of inputs the first head: it lies where they begin. */
    const cl_mem buffers[4] = {p->args.query.buffer, p->args.key.buffer, p->args.value.buffer,
                               p->args.output.buffer};
    const cl_int sizes[3] = {p->M, p->data.T, p->data.D};
    for (cl_uint i = 0; i < 7 && error == CL_SUCCESS; i++)
        error = i < 4 ? clSetKernelArg(p->kernels[exponentials], i, sizeof *buffers, &buffers[i])
                      : clSetKernelArg(p->kernels[exponentials], i, sizeof *sizes, &sizes[i - 4]);
    return error == CL_SUCCESS;
}

static bool go(problem *p, clattn_device *device, int runner)
{
    if (runner == LANES)
        return clattn_plan_run(p->plan, &p->args) == CLATTN_OK &&
               clattn_device_finish(device) == CLATTN_OK;
    return bench_kernel_run(device, p->kernels[runner], p->items);
}

/* The last row of the last group, in doubles: a kernel that does something else is no ceiling. */
static bool is_right(problem *p, clattn_device *device, int exponentials)
{
    const size_t D = (size_t)p->data.D;
    const float *row = p->data.query + (size_t)(p->M - 1) * D,
                *got = p->output + ((size_t)p->groups * (size_t)p->M - 1) * D;
    if (!go(p, device, exponentials) ||
        clattn_tensor_read(&p->args.output, device, p->output) != CLATTN_OK)
        return false;
    for (size_t d = 0; d < D; d++) {
        double wanted = 0, size = 0;
        for (size_t k = 0; k < (size_t)p->data.T; k++) {
            double score = 0;
            for (size_t i = 0; i < D; i++)
                score += (double)row[i] * (double)p->data.key[k * D + i];
            const double term =
                (exponentials ? exp(score) : score) * (double)p->data.value[k * D + d];
            wanted += term, size += fabs(term);
        }
        if (!(fabs((double)got[d] - wanted) <= 1e-5 * size))
            return false;
    }
    return true;
}

static bool measure(problem *p, clattn_device *device)
{
    for (int round = 0; round < ROUNDS; round++)
        for (int runner = 0; runner < RUNNERS; runner++) {
            double begin = 0;
            for (int run = 0; run <= WARM_UP; run++) {
                begin = now();
                if (!go(p, device, runner))
                    return false;
            }
            p->seconds[runner][round] = now() - begin;
        }
    return true;
}

static void print(problem *p, const char *name)
{
    const double flops = bench_case_flops(&p->data);
    printf("%-20s", name);
    for (int runner = 0; runner < RUNNERS; runner++) {
        qsort(p->seconds[runner], ROUNDS, sizeof(double), ascending);
        printf(" %9.2f %9.2f %9.1f ", 1e3 * p->seconds[runner][0],
               1e3 * p->seconds[runner][ROUNDS / 2], 1e-9 * flops / p->seconds[runner][0]);
    }
    printf("\n");
}

static bool run_case(problem *p, clattn_device *device, const char *name)
{
    bench_case *c = &p->data;
    if (!bench_case_parse(c, name) || !bench_case_make(c))
        return false;
    make_scores_negative(c);
    p->groups = c->B * c->Hkv, p->M = c->H / c->Hkv * c->S;
    p->output = malloc(bench_case_queries(c) * sizeof(float));
    return p->output && bench_upload(&p->args, device, c) == CLATTN_OK && make_plan(p, device) &&
           make_kernel(p, device, 0) && make_kernel(p, device, 1) && is_right(p, device, 0) &&
           is_right(p, device, 1) && measure(p, device);
}

static void release(problem *p, clattn_device *device)
{
    for (int i = 0; i < 2; i++)
        if (p->kernels[i])
            (void)clReleaseKernel(p->kernels[i]);
    clattn_plan_destroy(p->plan);
    bench_unload(&p->args, device);
    bench_case_free(&p->data);
    free(p->output);
}

int main(void)
{
    clattn_device *device = NULL;
    bool ok = clattn_device_open(&device, NULL, 0) == CLATTN_OK;
    printf("%-20s", "");
    for (int runner = 0; runner < RUNNERS; runner++)
        printf(" %-31s", names[runner]);
    printf("\n%-20s", "(B, H, S, D)");
    for (int runner = 0; runner < RUNNERS; runner++)
        printf(" %9s %9s %9s ", "best ms", "median ms", "GFLOP/s");
    printf("\n");
    for (size_t c = 0; ok && c < sizeof cases / sizeof *cases; c++) {
        static problem p;
        memset(&p, 0, sizeof p);
        ok = run_case(&p, device, cases[c]);
        if (ok)
            print(&p, cases[c]);
        else
            (void)fprintf(stderr, "ceiling: %s failed; last error: %s\n", cases[c],
                          clattn_last_error());
        release(&p, device);
    }
    clattn_device_close(device);
    return ok ? 0 : 3;
}
