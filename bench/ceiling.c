/* ceiling.c: how much of the machine's multiply-adds a kernel with the products of lanes.cl can reach: those
 * products alone, with exponentials between them (ceiling.cl), and lanes itself, interleaved round by round. */
#include "measure.h"
#include "tuning/tuning.h"

#include <clattn/clattn.h>
#include <clattn/clattn_cl.h>

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 25
#define WARM_UP 5 /* runs of a round that do not count */
#define KIND_F32 0

/* G key heads of M rows of all their query heads, T keys, D elements. */
static const struct {
    const char *name;
    int B, Hq, Hkv, S, T, D;
} cases[] = {
    {"1,8,1024,64", 1, 8, 8, 1024, 1024, 64},        {"1,8,1024,128", 1, 8, 8, 1024, 1024, 128},
    {"1,4,4096,64", 1, 4, 4, 4096, 4096, 64},        {"8,8,128,64", 8, 8, 8, 128, 128, 64},
    {"1,32,8,512,512,128", 1, 32, 8, 512, 512, 128},
};

enum { PRODUCTS, EXPONENTIALS, LANES, RUNNERS };
static const char *const names[RUNNERS] = {"products", "and exponentials", "lanes"};

typedef struct problem {
    int groups, M, T, D;
    size_t items;
    float *data[3], *output; /* query, key, value of one head; what a kernel made of them */
    clattn_tensor tensors[3];
    clattn_attention_args args; /* of the whole problem, for lanes */
    clattn_plan *plan;
    cl_program programs[2];
    cl_kernel kernels[2];
    double seconds[RUNNERS][ROUNDS];
} problem;

/* Scores are to be below 0: queries are, keys are not. */
static bool make_data(problem *p, clattn_device *device)
{
    const int rows[3] = {p->M, p->T, p->T};
    unsigned state = 1;
    for (int t = 0; t < 3; t++) {
        const size_t count = (size_t)rows[t] * (size_t)p->D;
        const int64_t shape[2] = {rows[t], p->D};
        p->data[t] = malloc(count * sizeof(float));
        if (!p->data[t] ||
            clattn_tensor_alloc(&p->tensors[t], device, CLATTN_F32, 2, shape) != CLATTN_OK)
            return false;
        for (size_t i = 0; i < count; i++) {
            state = state * 1664525u + 1013904223u;
            p->data[t][i] = (float)(state >> 8) * 0x1p-24f * (t == 0 ? -0.25f : 0.25f);
        }
        if (clattn_tensor_write(&p->tensors[t], device, p->data[t]) != CLATTN_OK)
            return false;
    }
    return true;
}

/* The problem as a user would give it, of numbers that do not matter. */
static bool make_lanes(problem *p, clattn_device *device, size_t c)
{
    clattn_attention_desc desc = {.struct_size = sizeof desc, .variant = "lanes"};
    clattn_tensor *const tensors[] = {&p->args.query, &p->args.key, &p->args.value,
                                      &p->args.output};
    desc.query_heads = (size_t)cases[c].Hq, desc.kv_heads = (size_t)cases[c].Hkv;
    desc.head_size = (size_t)p->D;
    p->args.struct_size = sizeof p->args;
    bool ok = clattn_plan_create(&p->plan, device, &desc) == CLATTN_OK;
    for (int t = 0; ok && t < 4; t++) {
        const bool of_keys = t == 1 || t == 2;
        const int64_t shape[4] = {cases[c].B, of_keys ? cases[c].Hkv : cases[c].Hq,
                                  of_keys ? cases[c].T : cases[c].S, p->D};
        const size_t count = (size_t)(shape[0] * shape[1] * shape[2] * shape[3]);
        float *numbers = malloc(count * sizeof *numbers);
        for (size_t i = 0; numbers && i < count; i++)
            numbers[i] = (float)(i * 2654435761u % 65536) / 65536.0f - 0.5f;
        ok = numbers &&
             clattn_tensor_alloc(tensors[t], device, CLATTN_F32, 4, shape) == CLATTN_OK &&
             clattn_tensor_write(tensors[t], device, numbers) == CLATTN_OK;
        free(numbers);
    }
    return ok;
}

static bool make_kernel(problem *p, clattn_device *device, int exponentials)
{
    const clattn__tuning *tuning = clattn__tuning_for(clattn_device_get_info(device));
    const char *source = "#include \"ceiling.cl\"\n";
    char options[1024];
    cl_int error = CL_SUCCESS;
    const int rows = tuning->vector * tuning->lanes_vectors;
    if (p->M % rows || p->T % tuning->lanes_block || p->D % tuning->vector)
        return false;
    p->items = (size_t)(p->groups * (p->M / rows));
    (void)snprintf(options, sizeof options,
                   "-I " KERNELS " -I " CEILING " -DACC=float -DVW=%d -DKIND=%d -DMOST=%d -DNV=%d "
                   "-DMK=%d -DMD=%d -DBK=%d -DEXPONENTIALS=%d",
                   tuning->vector, KIND_F32, p->D, tuning->lanes_vectors, tuning->lanes_keys,
                   tuning->lanes_values, tuning->lanes_block, exponentials);
    cl_program *program = &p->programs[exponentials];
    *program =
        clCreateProgramWithSource(clattn_device_cl_context(device), 1, &source, NULL, &error);
    if (error != CL_SUCCESS || clBuildProgram(*program, 0, NULL, options, NULL, NULL) != CL_SUCCESS)
        return false;
    p->kernels[exponentials] = clCreateKernel(*program, "ceiling", &error);
    if (error != CL_SUCCESS)
        return false;
    const cl_mem buffers[4] = {p->tensors[0].buffer, p->tensors[1].buffer, p->tensors[2].buffer,
                               p->args.output.buffer};
    const cl_int sizes[3] = {p->M, p->T, p->D};
    for (cl_uint i = 0; i < 7 && error == CL_SUCCESS; i++)
        error = i < 4 ? clSetKernelArg(p->kernels[exponentials], i, sizeof *buffers, &buffers[i])
                      : clSetKernelArg(p->kernels[exponentials], i, sizeof *sizes, &sizes[i - 4]);
    return error == CL_SUCCESS;
}

static bool go(problem *p, clattn_device *device, int runner)
{
    const cl_command_queue queue = clattn_device_cl_queue(device);
    const size_t one = 1;
    if (runner == LANES)
        return clattn_plan_run(p->plan, &p->args) == CLATTN_OK &&
               clattn_device_finish(device) == CLATTN_OK;
    return clEnqueueNDRangeKernel(queue, p->kernels[runner], 1, NULL, &p->items, &one, 0, NULL,
                                  NULL) == CL_SUCCESS &&
           clFinish(queue) == CL_SUCCESS;
}

/* The last row of the last group, in doubles: a kernel that does something else is no ceiling. */
static bool is_right(problem *p, clattn_device *device, int exponentials)
{
    const size_t D = (size_t)p->D;
    const float *row = p->data[0] + (size_t)(p->M - 1) * D,
                *got = p->output + ((size_t)p->groups * (size_t)p->M - 1) * D;
    if (!go(p, device, exponentials) ||
        clattn_tensor_read(&p->args.output, device, p->output) != CLATTN_OK)
        return false;
    for (size_t d = 0; d < D; d++) {
        double wanted = 0, size = 0;
        for (size_t k = 0; k < (size_t)p->T; k++) {
            double score = 0;
            for (size_t i = 0; i < D; i++)
                score += (double)row[i] * (double)p->data[1][k * D + i];
            const double term = (exponentials ? exp(score) : score) * (double)p->data[2][k * D + d];
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
    const double flops = 4.0 * p->groups * (double)p->M * p->T * p->D;
    printf("%-20s", name);
    for (int runner = 0; runner < RUNNERS; runner++) {
        qsort(p->seconds[runner], ROUNDS, sizeof(double), ascending);
        printf(" %9.2f %9.2f %9.1f ", 1e3 * p->seconds[runner][0],
               1e3 * p->seconds[runner][ROUNDS / 2], 1e-9 * flops / p->seconds[runner][0]);
    }
    printf("\n");
}

static bool run_case(problem *p, clattn_device *device, size_t c)
{
    p->groups = cases[c].B * cases[c].Hkv;
    p->M = cases[c].Hq / cases[c].Hkv * cases[c].S, p->T = cases[c].T, p->D = cases[c].D;
    p->output = malloc((size_t)p->groups * (size_t)p->M * (size_t)p->D * sizeof(float));
    return p->output && make_data(p, device) && make_lanes(p, device, c) &&
           make_kernel(p, device, 0) && make_kernel(p, device, 1) && is_right(p, device, 0) &&
           is_right(p, device, 1) && measure(p, device);
}

static void release(problem *p, clattn_device *device)
{
    for (int i = 0; i < 2; i++) {
        if (p->kernels[i])
            (void)clReleaseKernel(p->kernels[i]);
        if (p->programs[i])
            (void)clReleaseProgram(p->programs[i]);
    }
    clattn_plan_destroy(p->plan);
    clattn_tensor *const tensors[] = {&p->args.query,  &p->args.key,   &p->args.value,
                                      &p->args.output, &p->tensors[0], &p->tensors[1],
                                      &p->tensors[2]};
    for (size_t t = 0; t < sizeof tensors / sizeof *tensors; t++)
        clattn_tensor_free(tensors[t], device);
    for (int t = 0; t < 3; t++)
        free(p->data[t]);
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
        ok = run_case(&p, device, c);
        if (ok)
            print(&p, cases[c].name);
        else
            (void)fprintf(stderr, "ceiling: %s failed; last error: %s\n", cases[c].name,
                          clattn_last_error());
        release(&p, device);
    }
    clattn_device_close(device);
    return ok ? 0 : 3;
}
