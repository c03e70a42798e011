/* softmax_rows.c: host side of softmax_rows.cl. */
#include "softmax_rows.h"

#include "row_outputs.h"

/* Rows that one group makes where a group is one work-item:
 * enough to hide the cost of starting it. */
#define MOST_ROWS 16

size_t clattn__row_group_size(const clattn_device *device)
{
    size_t group = (size_t)device->tuning->softmax_group;
    while (group > device->info.max_work_group && group > 1)
        group /= 2;
    return group;
}

clattn_status clattn__softmax_rows_create(clattn__kernel *kernel, clattn_device *device,
                                          clattn_dtype dtype, uint32_t outputs)
{
    char options[CLATTN__OPTIONS_MAX];
    clattn__options(options, device, dtype, " -DWG=%zu -DTELLS=%d", clattn__row_group_size(device),
                    (outputs & (CLATTN_ARGMAX | CLATTN_ENTROPY)) != 0);
    return clattn__kernel_create(kernel, device, "softmax_rows", options);
}

clattn_int clattn__rows_of_group(const clattn_device *device, clattn_int rows)
{
    const clattn_int share = rows / (8 * (clattn_int)device->info.compute_units);
    if (clattn__row_group_size(device) > 1 || share < 1)
        return 1;
    return share < MOST_ROWS ? share : MOST_ROWS;
}

clattn_status clattn__softmax_rows_run(clattn__kernel *kernel, clattn_device *device,
                                       clattn__timeline *timeline, const clattn__problem *problem,
                                       const clattn__call *call, cl_mem s, int64_t stride,
                                       cl_mem factors)
{
    const clattn_attention_desc *desc = &problem->desc;
    const clattn_modifications modifications = clattn__modifications(problem, call);
    const cl_int normalizer = (cl_int)desc->normalizer, stage = (cl_int)desc->scores_stage,
                 deferred = factors != NULL;
    const clattn_int M = call->Hq / call->Hkv * call->S, heads = call->B * call->Hkv,
                     group_rows = clattn__rows_of_group(device, M * heads);
    const cl_mem mask = clattn__memory_of(&call->mask, s), bias = clattn__memory_of(&call->bias, s),
                 lengths = clattn__memory_of(&call->kv_lengths, s),
                 slopes = clattn__memory_of(&call->alibi_slopes, s),
                 sinks = clattn__memory_of(&call->sinks, s),
                 scores = clattn__memory_of(&call->scores, s),
                 lse = clattn__memory_of(&call->lse, s), row_factors = factors ? factors : s;
    const clattn_view scores_view = clattn__view(&call->scores),
                      lse_view = clattn__view(&call->lse);
    clattn__number softcap;
    clattn__row_outputs row_outputs;
    clattn__arg_list list = {.count = 0};
    const clattn__arg args[] = {
        CLATTN__ARG(s),
        CLATTN__ARG(stride),
        CLATTN__ARG(modifications),
        clattn__number_arg(&softcap, desc->dtype, desc->softcap),
        CLATTN__ARG(call->Hkv),
        CLATTN__ARG(M),
        CLATTN__ARG(group_rows),
        CLATTN__ARG(normalizer),
        CLATTN__ARG(stage),
        CLATTN__ARG(mask),
        CLATTN__ARG(bias),
        CLATTN__ARG(lengths),
        CLATTN__ARG(slopes),
        CLATTN__ARG(sinks),
        CLATTN__ARG(scores),
        CLATTN__ARG(scores_view),
        CLATTN__ARG(lse),
        CLATTN__ARG(lse_view),
        CLATTN__ARG(row_factors),
        CLATTN__ARG(deferred),
    };
    clattn__args_add(&list, args, sizeof args / sizeof *args);
    clattn__row_outputs_add(&list, &row_outputs, call, s);
    clattn__arg_add(&list, sizeof call->dropout, &call->dropout);
    const size_t group = clattn__row_group_size(device);
    const size_t global[3] = {group, (size_t)clattn__ceil_div(M, group_rows), (size_t)heads};
    const size_t local[3] = {group, 1, 1};
    return clattn__launch(device, timeline, kernel, global, local, list.args, list.count);
}
