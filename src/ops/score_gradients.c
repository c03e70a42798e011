/* score_gradients.c: host side of score_gradients.cl. */
#include "score_gradients.h"

#include "softmax_rows.h"

bool clattn__wants_modified_gradients(const clattn__problem *problem)
{
    return problem->desc.softcap > 0 || problem->desc.gradients & CLATTN_GRAD_BIAS;
}

bool clattn__takes_saved_weights(const clattn__problem *problem)
{
    const clattn_attention_desc *desc = &problem->desc;
    const bool needs_scores = desc->softcap > 0 || (desc->normalizer != CLATTN_NORMALIZER_SOFTMAX &&
                                                    desc->outputs & CLATTN_LSE);
    /* Weights of NONE say nothing of their shares, dropped ones not what they were, those of given scores not which
     * of these are -infinity, and rounded ones err by more than gradients may. */
    const bool tell_all = desc->normalizer != CLATTN_NORMALIZER_NONE &&
                          desc->score != CLATTN_SCORE_GIVEN && desc->dropout == 0 &&
                          desc->dtype == clattn__sum_dtype(desc->dtype);
    return desc->flags & CLATTN_SAVED_WEIGHTS && tell_all && !needs_scores;
}

clattn_status clattn__score_gradients_create(clattn__kernel *kernel, clattn_device *device,
                                             clattn_dtype dtype)
{
    char options[CLATTN__OPTIONS_MAX];
    clattn__options(options, device, dtype, " -DWG=%zu", clattn__row_group_size(device));
    return clattn__kernel_create(kernel, device, "score_gradients", options);
}

clattn_status clattn__score_gradients_run(clattn__kernel *kernel, clattn_device *device,
                                          clattn__timeline *timeline,
                                          const clattn__problem *problem, const clattn__call *call,
                                          const clattn__score_gradients *of, int64_t stride)
{
    const clattn_attention_desc *desc = &problem->desc;
    const clattn_modifications modifications = clattn__modifications(problem, call);
    const cl_mem s = of->scores, dx = of->modified ? of->modified : s,
                 mask = clattn__memory_of(&call->mask, s), bias = clattn__memory_of(&call->bias, s),
                 lengths = clattn__memory_of(&call->kv_lengths, s),
                 slopes = clattn__memory_of(&call->alibi_slopes, s),
                 sinks = clattn__memory_of(&call->sinks, s),
                 weights = clattn__memory_of(&call->grad.weights, s),
                 lse = clattn__memory_of(&call->grad.lse, s),
                 saved = clattn__memory_of(&call->weights, s),
                 saved_lse = clattn__memory_of(&call->lse, s);
    const cl_int normalizer = (cl_int)desc->normalizer, has_dw = clattn__has(&call->grad.output),
                 has_dx = of->modified != NULL;
    const clattn_int M = call->Hq / call->Hkv * call->S, heads = call->B * call->Hkv,
                     group_rows = clattn__rows_of_group(device, M * heads);
    const clattn_view of_weights = clattn__view(&call->grad.weights),
                      of_lse = clattn__view(&call->grad.lse),
                      of_saved = clattn__takes_saved_weights(problem)
                                     ? clattn__view(&call->weights)
                                     : (clattn_view){.kind = KIND_ABSENT},
                      of_saved_lse = clattn__view(&call->lse);
    clattn__number softcap;
    const clattn__arg args[] = {
        CLATTN__ARG(s),
        CLATTN__ARG(of->products),
        CLATTN__ARG(has_dw),
        CLATTN__ARG(dx),
        CLATTN__ARG(has_dx),
        CLATTN__ARG(stride),
        CLATTN__ARG(modifications),
        clattn__number_arg(&softcap, desc->dtype, desc->softcap),
        CLATTN__ARG(call->Hkv),
        CLATTN__ARG(M),
        CLATTN__ARG(group_rows),
        CLATTN__ARG(normalizer),
        CLATTN__ARG(mask),
        CLATTN__ARG(bias),
        CLATTN__ARG(lengths),
        CLATTN__ARG(slopes),
        CLATTN__ARG(sinks),
        CLATTN__ARG(weights),
        CLATTN__ARG(of_weights),
        CLATTN__ARG(lse),
        CLATTN__ARG(of_lse),
        CLATTN__ARG(saved),
        CLATTN__ARG(of_saved),
        CLATTN__ARG(saved_lse),
        CLATTN__ARG(of_saved_lse),
        CLATTN__ARG(of->slopes),
        CLATTN__ARG(of->sinks),
        CLATTN__ARG(call->dropout),
    };
    const size_t group = clattn__row_group_size(device);
    const size_t global[3] = {group, (size_t)clattn__ceil_div(M, group_rows), (size_t)heads},
                 local[3] = {group, 1, 1};
    return clattn__launch(device, timeline, kernel, global, local, args,
                          sizeof args / sizeof *args);
}
