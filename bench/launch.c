/* launch.c: what the smallest problem costs beside an empty kernel, launched and waited for: microseconds of
 * one head, one query, 64 keys of 64, best and median of interleaved rounds. */
#include "kernel.h"
#include "measure.h"
#include "on_device.h"

#include <clattn/clattn_cl.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define ROUNDS 4000

static bool go_attention(clattn_device *device, clattn_plan *plan,
                         const clattn_attention_args *args)
{
    return clattn_plan_run(plan, args) == CLATTN_OK && clattn_device_finish(device) == CLATTN_OK;
}

int main(void)
{
    static double seconds[2][ROUNDS];
    clattn_attention_desc desc = {.struct_size = sizeof desc, .query_heads = 1, .head_size = 64};
    clattn_attention_args args = {.struct_size = sizeof args};
    bench_case smallest;
    clattn_device *device = NULL;
    clattn_plan *plan = NULL;
    cl_kernel empty = NULL;
    bool ok = bench_case_parse(&smallest, "1,1,1,1,64,64") && bench_case_make(&smallest) &&
              clattn_device_open(&device, NULL, 0) == CLATTN_OK &&
              clattn_plan_create(&plan, device, &desc) == CLATTN_OK &&
              bench_upload(&args, device, &smallest) == CLATTN_OK;
    if (ok)
        empty = bench_kernel_make(device, "kernel void empty(global int *unused) {}", "empty", "");
    ok = ok && empty && clSetKernelArg(empty, 0, sizeof(cl_mem), NULL) == CL_SUCCESS &&
         bench_kernel_run(device, empty, 1) && go_attention(device, plan, &args);
    for (int round = 0; ok && round < ROUNDS; round++) {
        const double begin = now();
        ok = bench_kernel_run(device, empty, 1);
        const double middle = now();
        ok = ok && go_attention(device, plan, &args);
        seconds[0][round] = middle - begin;
        seconds[1][round] = now() - middle;
    }
    if (ok) {
        qsort(seconds[0], ROUNDS, sizeof(double), ascending);
        qsort(seconds[1], ROUNDS, sizeof(double), ascending);
        printf("%-34s %8s %8s\n", "microseconds", "best", "median");
        printf("%-34s %8.1f %8.1f\n", "an empty kernel", 1e6 * seconds[0][0],
               1e6 * seconds[0][ROUNDS / 2]);
        printf("%-34s %8.1f %8.1f\n", "(1, 1, 1, 64, 64), plan made", 1e6 * seconds[1][0],
               1e6 * seconds[1][ROUNDS / 2]);
        printf("%-34s %8.2f %8.2f\n", "ratio", seconds[1][0] / seconds[0][0],
               seconds[1][ROUNDS / 2] / seconds[0][ROUNDS / 2]);
    } else {
        (void)fprintf(stderr, "launch: %s\n", clattn_last_error());
    }
    if (empty)
        (void)clReleaseKernel(empty);
    clattn_plan_destroy(plan);
    bench_unload(&args, device);
    bench_case_free(&smallest);
    clattn_device_close(device);
    return ok ? 0 : 3;
}
