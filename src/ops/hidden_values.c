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

clattn_status clattn__hidden_values_run(clattn__kernel *kernel, clattn_device *device,
                                        clattn__timeline *timeline, const clattn__problem *problem,
                                        const clattn__call *call, cl_mem weights, int64_t stride,
                                        cl_mem flags, int64_t width, bool skips_zero)
{
    const clattn_modifications modifications = clattn__modifications(problem, call);
    const clattn_int M = call->Hq / call->Hkv * call->S, panels = clattn__ceil_div(call->Dv, width),
                     blocks = clattn__ceil_div(call->T, CLATTN__PACK_DEPTHS);
    const cl_int W = (cl_int)width, skips = skips_zero;
    const cl_mem mask = call->mask.buffer ? call->mask.buffer : weights,
                 bias = call->bias.buffer ? call->bias.buffer : weights,
                 lengths = call->kv_lengths.buffer ? call->kv_lengths.buffer : weights,
                 slopes = call->alibi_slopes.buffer ? call->alibi_slopes.buffer : weights,
                 value = call->value.buffer ? call->value.buffer : weights,
                 output = call->output.buffer;
    const clattn_view value_view = clattn__view(&call->value),
                      output_view = clattn__view(&call->output);
    const clattn__arg args[] = {
        CLATTN__ARG(weights),       CLATTN__ARG(stride),    CLATTN__ARG(flags),
        CLATTN__ARG(panels),        CLATTN__ARG(blocks),    CLATTN__ARG(W),
        CLATTN__ARG(modifications), CLATTN__ARG(call->Hkv), CLATTN__ARG(M),
        CLATTN__ARG(call->Dv),      CLATTN__ARG(mask),      CLATTN__ARG(bias),
        CLATTN__ARG(lengths),       CLATTN__ARG(slopes),    CLATTN__ARG(value),
        CLATTN__ARG(value_view),    CLATTN__ARG(output),    CLATTN__ARG(output_view),
        CLATTN__ARG(skips),
    };
    const size_t global[3] = {(size_t)clattn__ceil_div(M, ITEM_ROWS), (size_t)(call->B * call->Hkv),
                              1};
    const size_t local[3] = {1, 1, 1};
    return clattn__launch(device, timeline, kernel, global, local, args,
                          sizeof args / sizeof *args);
}
