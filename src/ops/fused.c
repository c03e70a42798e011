/* fused.c: see fused.h. */
#include "fused.h"

#define LEAST_CAPACITY 64

const char *clattn__why_not_fused(const clattn_device *device, const clattn__problem *problem,
                                  bool forced)
{
    const clattn_attention_desc *desc = &problem->desc;
    if (clattn__is_reference(device))
        return "the reference device runs no kernels";
    if (desc->dtype == CLATTN_F64 && !device->info.fp64)
        return "the device has no doubles (cl_khr_fp64)";
    if (desc->outputs & (CLATTN_WEIGHTS | CLATTN_SCORES))
        return "weights and scores are asked for, and it writes none";
    if (desc->score == CLATTN_SCORE_GIVEN)
        return "scores are given, and it makes its own";
    if (!forced && !clattn__is_cpu_like(device))
        return "it is made for CPU-like devices; ask for it by name";
    return NULL;
}

size_t clattn__fused_capacity(const clattn_attention_desc *desc)
{
    size_t most = LEAST_CAPACITY;
    while (most < desc->head_size || most < desc->value_size)
        most *= 2;
    return most;
}
