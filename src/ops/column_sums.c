/* column_sums.c: host side of column_sums.cl. */
#include "column_sums.h"

/* Vectors of a work-item: a processor reads several lines of a row at a time, and elsewhere neighbours read
 * neighbouring vectors. */
#define VECTORS_OF_CPU 8

static int vectors_of(const clattn_device *device)
{
    return clattn__is_cpu_like(device) ? VECTORS_OF_CPU : 1;
}

clattn_status clattn__column_sums_create(clattn__kernel *kernel, clattn_device *device,
                                         clattn_dtype dtype)
{
    char options[CLATTN__OPTIONS_MAX];
    clattn__options(options, device, dtype, " -DVECTORS=%d", vectors_of(device));
    return clattn__kernel_create(kernel, device, "column_sums", options);
}

clattn_status clattn__column_sums_run(clattn__kernel *kernel, clattn_device *device,
                                      clattn__timeline *timeline, const clattn__call *call,
                                      cl_mem weights, int64_t stride, cl_mem factors)
{
    const clattn_dtype sums = call->column_sums.dtype;
    const int64_t step = (int64_t)vectors_of(device) * clattn__vector_width(device, sums);
    const cl_int deferred = factors != NULL, more = call->first_row > 0;
    const cl_mem row_factors = factors ? factors : weights;
    const clattn_view view = clattn__view(&call->column_sums);
    const clattn__arg args[] = {
        CLATTN__ARG(weights),
        CLATTN__ARG(stride),
        CLATTN__ARG(call->S),
        CLATTN__ARG(call->T),
        CLATTN__ARG(row_factors),
        CLATTN__ARG(deferred),
        CLATTN__ARG(call->column_sums.buffer),
        CLATTN__ARG(view),
        CLATTN__ARG(more),
    };
    const size_t global[3] = {(size_t)clattn__ceil_div(call->T, step), (size_t)call->Hq,
                              (size_t)call->B},
                 local[3] = {1, 1, 1};
    return clattn__launch(device, timeline, kernel, global, local, args,
                          sizeof args / sizeof *args);
}
