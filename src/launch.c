/* launch.c: enqueues kernels. */
#include "launch.h"

#include "try.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Work-items of a group where a CPU may choose. */
#define CPU_GROUP 8

clattn_status clattn__kernel_create(clattn__kernel *kernel, clattn_device *device, const char *name,
                                    const char *options)
{
    clattn_status status = CLATTN_OK;
    char file[64];
    *kernel = (clattn__kernel){.name = name};
    (void)snprintf(file, sizeof file, "%s.cl", name);
    TRY(clattn__program_get(&kernel->program, device, file, options));
    TRY(clattn__program_kernel(&kernel->handle, kernel->program));
done:
    return status;
}

void clattn__kernel_release(clattn__kernel *kernel)
{
    if (kernel->handle)
        (void)clReleaseKernel(kernel->handle);
    *kernel = (clattn__kernel){0};
}

void clattn__arg_add(clattn__arg_list *list, size_t size, const void *value)
{
    assert(list->count < sizeof list->args / sizeof *list->args);
    list->args[list->count++] = (clattn__arg){size, value};
}

void clattn__args_add(clattn__arg_list *list, const clattn__arg *args, size_t count)
{
    for (size_t i = 0; i < count; i++)
        clattn__arg_add(list, args[i].size, args[i].value);
}

clattn_status clattn__timeline_add(clattn__timeline *timeline, const char *kernel, cl_event event)
{
    if (timeline->count == timeline->capacity) {
        size_t capacity = timeline->capacity ? 2 * timeline->capacity : 16;
        void *more = realloc(timeline->launches, capacity * sizeof *timeline->launches);
        if (!more) {
            (void)clReleaseEvent(event);
            return FAIL(CLATTN_E_MEMORY, 0, "timeline: no host memory for %zu launches", capacity);
        }
        timeline->launches = more;
        timeline->capacity = capacity;
    }
    timeline->launches[timeline->count++] = (struct clattn__launched){kernel, event};
    return CLATTN_OK;
}

/* The driver knows which size of groups suits a GPU. Those of CPUs compile a kernel for each size they meet, and left
 * alone take another one for each shape. */
static const size_t *choose_group(const clattn_device *device, const size_t global[3],
                                  size_t chosen[3])
{
    if (!clattn__is_cpu_like(device))
        return NULL;
    chosen[0] =
        global[0] % CPU_GROUP == 0 && device->info.max_work_group >= CPU_GROUP ? CPU_GROUP : 1;
    chosen[1] = chosen[2] = 1;
    return chosen;
}

clattn_status clattn__launch(clattn_device *device, clattn__timeline *timeline,
                             clattn__kernel *kernel, const size_t global[3], const size_t local[3],
                             const clattn__arg *args, size_t arg_count)
{
    clattn_status status = CLATTN_OK;
    cl_event event = NULL;
    char what[96];
    size_t chosen[3];
    if (global[0] == 0 || global[1] == 0 || global[2] == 0)
        goto done;
    for (size_t i = 0; i < arg_count; i++) {
        cl_int error = clSetKernelArg(kernel->handle, (cl_uint)i, args[i].size, args[i].value);
        if (error == CL_SUCCESS)
            continue;
        (void)snprintf(what, sizeof what, "%s: clSetKernelArg of argument %zu", kernel->name, i);
        status = clattn__fail_cl(error, what);
        goto done;
    }
    (void)snprintf(what, sizeof what, "%s: clEnqueueNDRangeKernel", kernel->name);
    TRY_CL(what, clEnqueueNDRangeKernel(device->queue, kernel->handle, 3, NULL, global,
                                        local ? local : choose_group(device, global, chosen), 0,
                                        NULL, device->profiling ? &event : NULL));
    clattn__program_ran(kernel->program);
    if (event)
        TRY(clattn__timeline_add(timeline, kernel->name, event));
    TRY(clattn__order(device));
done:
    return status;
}

clattn_status clattn__order(clattn_device *device)
{
    clattn_status status = CLATTN_OK;
    if (!device->in_order)
        TRY_CL("queue: clEnqueueBarrierWithWaitList",
               clEnqueueBarrierWithWaitList(device->queue, 0, NULL, NULL));
done:
    return status;
}

void clattn__timeline_clear(clattn__timeline *timeline)
{
    for (size_t i = 0; i < timeline->count; i++)
        (void)clReleaseEvent(timeline->launches[i].event);
    free(timeline->launches);
    *timeline = (clattn__timeline){0};
}

clattn_status clattn__timeline_read(const clattn__timeline *timeline, clattn_timing *timings,
                                    size_t capacity, size_t *count)
{
    clattn_status status = CLATTN_OK;
    size_t found = 0;
    *count = 0;
    for (size_t i = 0; i < timeline->count; i++) {
        const struct clattn__launched *launch = &timeline->launches[i];
        cl_ulong begin = 0, end = 0;
        size_t at = 0;
        TRY_CL("timing: clWaitForEvents", clWaitForEvents(1, &launch->event));
        TRY_CL("timing: clGetEventProfilingInfo",
               clGetEventProfilingInfo(launch->event, CL_PROFILING_COMMAND_START, sizeof begin,
                                       &begin, NULL));
        TRY_CL("timing: clGetEventProfilingInfo",
               clGetEventProfilingInfo(launch->event, CL_PROFILING_COMMAND_END, sizeof end, &end,
                                       NULL));
        while (at < found && strcmp(timings[at].kernel, launch->kernel) != 0)
            at++;
        if (at == found) {
            if (found == capacity)
                continue;
            timings[found++] = (clattn_timing){.kernel = launch->kernel};
        }
        timings[at].launches++;
        timings[at].seconds += 1e-9 * (double)(end - begin);
    }
    *count = found;
done:
    return status;
}
