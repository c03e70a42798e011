/* hidden_values.c: host side of hidden_values.cl. */
#include "hidden_values.h"

#include "pack.h"

#define ITEM_ROWS 64

clattn_status clattn__hidden_values_create(clattn__kernel *kernel, clattn_device *device,
                                           clattn_dtype dtype)
{
    char options[CLATTN__OPTIONS_MAX];
    clattn__options(options, device, dtype, " -DROWS=%d -DDEPTHS=%d", ITEM_ROWS,
                    CLATTN__PACK_DEPTHS);
    return clattn__kernel_create(kernel, device, "hidden_values", options);
}

static clattn_status run(clattn__kernel *kernel, clattn_device *device, clattn__timeline *timeline,
                         const clattn__problem *problem, const clattn__call *call, cl_mem weights,
                         int64_t stride, cl_mem flags, int64_t width, const clattn_tensor *from,
                         const clattn_tensor *to, bool skips_zero, bool is_turned)
{
    const clattn_modifications modifications = clattn__modifications(problem, call);
    const clattn_int M = call->Hq / call->Hkv * call->S, N = from->shape[3],
                     panels = clattn__ceil_div(N, width),
                     blocks = clattn__ceil_div(is_turned ? M : call->T, CLATTN__PACK_DEPTHS);
    const cl_int W = (cl_int)width, skips = skips_zero, turned = is_turned;
    if (M == 0)
        return CLATTN_OK;
    const cl_mem mask = call->mask.buffer ? call->mask.buffer : weights,
                 bias = call->bias.buffer ? call->bias.buffer : weights,
                 lengths = call->kv_lengths.buffer ? call->kv_lengths.buffer : weights,
                 slopes = call->alibi_slopes.buffer ? call->alibi_slopes.buffer : weights,
                 value = from->buffer ? from->buffer : weights, output = to->buffer;
    const clattn_view value_view = clattn__view(from), output_view = clattn__view(to);
    const clattn__arg args[] = {
        CLATTN__ARG(weights),
        CLATTN__ARG(stride),
        CLATTN__ARG(flags),
        CLATTN__ARG(panels),
        CLATTN__ARG(blocks),
        CLATTN__ARG(W),
        CLATTN__ARG(modifications),
        CLATTN__ARG(call->Hkv),
        CLATTN__ARG(M),
        CLATTN__ARG(N),
        CLATTN__ARG(mask),
        CLATTN__ARG(bias),
        CLATTN__ARG(lengths),
        CLATTN__ARG(slopes),
        CLATTN__ARG(value),
        CLATTN__ARG(value_view),
        CLATTN__ARG(output),
        CLATTN__ARG(output_view),
        CLATTN__ARG(skips),
        CLATTN__ARG(turned),
    };
    const size_t global[3] = {(size_t)clattn__ceil_div(is_turned ? call->T : M, ITEM_ROWS),
                              (size_t)(call->B * call->Hkv), 1};
    const size_t local[3] = {1, 1, 1};
    return clattn__launch(device, timeline, kernel, global, local, args,
                          sizeof args / sizeof *args);
}

clattn_status clattn__hidden_values_run(clattn__kernel *kernel, clattn_device *device,
                                        clattn__timeline *timeline, const clattn__problem *problem,
                                        const clattn__call *call, cl_mem weights, int64_t stride,
                                        cl_mem flags, int64_t width, bool skips_zero)
{
    return run(kernel, device, timeline, problem, call, weights, stride, flags, width, &call->value,
               &call->output, skips_zero, false);
}

clattn_status clattn__hidden_rows_run(clattn__kernel *kernel, clattn_device *device,
                                      clattn__timeline *timeline, const clattn__problem *problem,
                                      const clattn__call *call, cl_mem weights, int64_t stride,
                                      cl_mem flags, int64_t width, const clattn_tensor *rows,
                                      const clattn_tensor *to)
{
    return run(kernel, device, timeline, problem, call, weights, stride, flags, width, rows, to,
               false, true);
}
