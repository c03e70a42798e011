/* limits.c: two small kernels, each repeated until a launch
 * takes long enough to time, the best of three kept. */
#include "limits.h"

#include "call.h"

#include <clattn/clattn_cl.h>
#include <stdio.h>
#include <string.h>

#define LAUNCH_SECONDS 0.02
#define READ_BYTES ((size_t)128 << 20)
#define CHAINS 12

/* fma_chains: 12 independent chains hide the latency of one. The sum is stored, so that none of it
 * is left out. read_all: each work-item walks the buffer with the stride of all of them; a result
 * that never comes is stored. */
static const char source[] =
    "__kernel void fma_chains(__global V *out, float x, float y, int steps)\n"
    "{\n"
    "    V a = (V)(x), b = (V)(y), r[12];\n"
    "    for (int k = 0; k < 12; k++) r[k] = b + (V)((float)k);\n"
    "    for (int i = 0; i < steps; i++) {\n"
    "        r[0] = fma(r[0], a, b); r[1] = fma(r[1], a, b); r[2] = fma(r[2], a, b); r[3] = "
    "fma(r[3], a, b);\n"
    "        r[4] = fma(r[4], a, b); r[5] = fma(r[5], a, b); r[6] = fma(r[6], a, b); r[7] = "
    "fma(r[7], a, b);\n"
    "        r[8] = fma(r[8], a, b); r[9] = fma(r[9], a, b); r[10] = fma(r[10], a, b); r[11] = "
    "fma(r[11], a, b);\n"
    "    }\n"
    "    out[get_global_id(0)] = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + "
    "r[7]))\n"
    "                            + ((r[8] + r[9]) + (r[10] + r[11]));\n"
    "}\n"
    "__kernel void read_all(__global V *out, __global const V *in, int each, int step)\n"
    "{\n"
    "    V s0 = (V)(0.0f), s1 = s0, s2 = s0, s3 = s0;\n"
    "    __global const V *at = in + (step == 1 ? get_global_id(0) * (size_t)each : "
    "get_global_id(0));\n"
    "    for (int i = 0; i < each; i += 4) {\n"
    "        s0 += at[0]; s1 += at[(size_t)step]; s2 += at[2 * (size_t)step]; s3 += at[3 * "
    "(size_t)step];\n"
    "        at += 4 * (size_t)step;\n"
    "    }\n"
    "    out[get_global_id(0)] = (s0 + s1) + (s2 + s3);\n"
    "}\n";

typedef struct bench_objects {
    cl_context context;
    cl_command_queue queue;
    cl_program program;
    cl_kernel kernel;
    cl_mem in, out;
    size_t global, local, vector; /* work-items, of one group, bytes of V */
    int is_cpu;
} bench_objects;

/* Seconds of one launch, the best of three; 0 for a failure. */
static double time_launch(const bench_objects *o)
{
    double best = 0;
    for (int i = 0; i < 3; i++) {
        double begin = cli_now();
        if (clEnqueueNDRangeKernel(o->queue, o->kernel, 1, NULL, &o->global, &o->local, 0, NULL,
                                   NULL) != CL_SUCCESS)
            return 0;
        if (clFinish(o->queue) != CL_SUCCESS)
            return 0;
        double seconds = cli_now() - begin;
        if (i == 0 || seconds < best)
            best = seconds;
    }
    return best;
}

static double measure_flops(bench_objects *o)
{
    const cl_float x = 0.9999f, y = 1e-5f;
    const size_t lanes = o->global * (o->vector / sizeof(cl_float));
    cl_int error = CL_SUCCESS;
    double gflops = 0;
    o->kernel = clCreateKernel(o->program, "fma_chains", &error);
    if (error != CL_SUCCESS)
        return 0;
    for (cl_int steps = 1 << 10; steps <= 1 << 28; steps *= 4) {
        if (clSetKernelArg(o->kernel, 0, sizeof o->out, &o->out) != CL_SUCCESS ||
            clSetKernelArg(o->kernel, 1, sizeof x, &x) != CL_SUCCESS ||
            clSetKernelArg(o->kernel, 2, sizeof y, &y) != CL_SUCCESS ||
            clSetKernelArg(o->kernel, 3, sizeof steps, &steps) != CL_SUCCESS)
            break;
        double seconds = time_launch(o);
        if (seconds <= 0)
            break;
        gflops = 1e-9 * 2 * CHAINS * (double)steps * (double)lanes / seconds;
        if (seconds >= LAUNCH_SECONDS)
            break;
    }
    if (clReleaseKernel(o->kernel) != CL_SUCCESS)
        gflops = 0;
    return gflops;
}

static double measure_bandwidth(bench_objects *o)
{
    /* A CPU core reads a stretch of its own; work-items of a GPU stand side by side, so that a
     * group's reads join. */
    const cl_int each = (cl_int)(READ_BYTES / o->vector / o->global) & ~3;
    const cl_int step = o->is_cpu ? 1 : (cl_int)o->global;
    const double bytes = (double)each * (double)o->global * (double)o->vector;
    const cl_float one = 1;
    cl_int error = CL_SUCCESS;
    double seconds = 0;
    o->kernel = clCreateKernel(o->program, "read_all", &error);
    if (error != CL_SUCCESS)
        return 0;
    /* Memory that was never written may be one shared page
     * of zeros, which is read from the cache. */
    if (clEnqueueFillBuffer(o->queue, o->in, &one, sizeof one, 0, READ_BYTES, 0, NULL, NULL) ==
            CL_SUCCESS &&
        clSetKernelArg(o->kernel, 0, sizeof o->out, &o->out) == CL_SUCCESS &&
        clSetKernelArg(o->kernel, 1, sizeof o->in, &o->in) == CL_SUCCESS &&
        clSetKernelArg(o->kernel, 2, sizeof each, &each) == CL_SUCCESS &&
        clSetKernelArg(o->kernel, 3, sizeof step, &step) == CL_SUCCESS &&
        clFinish(o->queue) == CL_SUCCESS &&
        time_launch(o) > 0) /* some drivers compile at the first launch */
        seconds = time_launch(o);
    if (clReleaseKernel(o->kernel) != CL_SUCCESS)
        seconds = 0;
    return seconds > 0 ? 1e-9 * bytes / seconds : 0;
}

/* A CPU runs one work-item per core at a time, on wide vectors; a GPU hides latency with many
 * groups per unit. */
static void choose_sizes(bench_objects *o, const clattn_device_info *info)
{
    size_t width = info->float_width < 1 ? 1 : info->float_width > 16 ? 16 : info->float_width;
    o->is_cpu = info->kind == CLATTN_DEVICE_CPU;
    if (!o->is_cpu)
        width = 4;
    o->vector = width * sizeof(cl_float);
    o->local = o->is_cpu ? 1 : info->max_work_group < 256 ? info->max_work_group : 256;
    o->global =
        o->is_cpu ? (size_t)info->compute_units * 8 : (size_t)info->compute_units * 8 * o->local;
}

void cli_limits_measure(cli_limits *limits, clattn_device *device)
{
    const clattn_device_info *info = clattn_device_get_info(device);
    bench_objects o = {.context = clattn_device_cl_context(device),
                       .queue = clattn_device_cl_queue(device)};
    const char *text = source;
    char options[32];
    cl_device_id id = NULL;
    cl_int error = CL_SUCCESS;
    memset(limits, 0, sizeof *limits);
    if (!o.context || !o.queue || info->max_allocation < READ_BYTES)
        return;
    choose_sizes(&o, info);
    size_t width = o.vector / sizeof(cl_float);
    snprintf(options, sizeof options, width == 1 ? "-DV=float" : "-DV=float%zu", width);
    if (clGetCommandQueueInfo(o.queue, CL_QUEUE_DEVICE, sizeof(cl_device_id), &id, NULL) !=
        CL_SUCCESS)
        goto done;
    o.program = clCreateProgramWithSource(o.context, 1, &text, NULL, &error);
    if (error != CL_SUCCESS)
        goto done;
    if (clBuildProgram(o.program, 1, &id, options, NULL, NULL) != CL_SUCCESS)
        goto done;
    o.out = clCreateBuffer(o.context, CL_MEM_WRITE_ONLY, o.global * o.vector, NULL, &error);
    if (error != CL_SUCCESS)
        goto done;
    limits->gflops = measure_flops(&o);
    o.in = clCreateBuffer(o.context, CL_MEM_READ_ONLY, READ_BYTES, NULL, &error);
    if (error != CL_SUCCESS)
        goto done;
    limits->gbs = measure_bandwidth(&o);
done:
    if (o.in)
        clReleaseMemObject(o.in);
    if (o.out)
        clReleaseMemObject(o.out);
    if (o.program)
        clReleaseProgram(o.program);
}
