/* dot_gradients.c: see dot_gradients.h. */
#include "dot_gradients.h"

#include "fused.h"
#include "sum_up.h"
#include "try.h"

/* Rows of a work-item; elsewhere than on a CPU rows are work-items. */
#define ITEM_ROWS 64

const char *clattn__why_no_dot_gradients(const clattn_device *device,
                                         const clattn__problem *problem, bool forced, uint32_t also)
{
    const clattn_attention_desc *desc = &problem->desc;
    const char *why = clattn__why_not_fused(device, problem, forced, CLATTN_WEIGHTS | also);
    if (why)
        return why;
    if (desc->outputs & CLATTN_WEIGHTS)
        return "gradients of weights come in, and it has none of those";
    if (!(desc->outputs & CLATTN_OUTPUT))
        return "no gradient of an output comes in";
    if (desc->outputs & CLATTN_LSE && desc->normalizer != CLATTN_NORMALIZER_SOFTMAX)
        return "a gradient of lse comes in with another normalizer than softmax";
    if (desc->gradients & (CLATTN_GRAD_BIAS | CLATTN_GRAD_ALIBI_SLOPES))
        return "gradients of bias or slopes are asked for, and it makes none";
    if (clattn__is_packed(problem))
        return "sequences are packed, and it takes those of one length";
    return NULL;
}

clattn_status clattn__dot_gradients_create(clattn__dot_gradients *s, clattn_device *device,
                                           clattn_dtype dtype)
{
    clattn_status status = CLATTN_OK;
    char options[CLATTN__OPTIONS_MAX];
    s->item_rows = clattn__is_cpu_like(device) ? ITEM_ROWS : 1;
    clattn__options(options, device, dtype, " -DROWS=%d", s->item_rows);
    TRY(clattn__kernel_create(&s->row_deltas, device, "row_deltas", options));
    TRY(clattn__sum_up_create(&s->sum_up, device, dtype));
done:
    return status;
}

void clattn__dot_gradients_release(clattn__dot_gradients *s)
{
    clattn__scratch *const scratch[] = {&s->deltas, &s->sink_parts, &s->key_parts, &s->value_parts,
                                        &s->of_key, &s->of_value,   &s->of_sinks};
    clattn__kernel_release(&s->row_deltas);
    clattn__kernel_release(&s->sum_up);
    for (size_t i = 0; i < sizeof scratch / sizeof *scratch; i++)
        clattn__scratch_release(scratch[i]);
}

/* The deltas of rows, and their parts of the gradients of sinks. */
static clattn_status make_deltas(clattn__dot_gradients *s, clattn_device *device,
                                 clattn__timeline *timeline, const clattn__call *call)
{
    clattn_status status = CLATTN_OK;
    const clattn__gradients *grad = &call->grad;
    const size_t bytes =
        (size_t)(call->B * call->Hq * call->S) * clattn__sum_size(call->value.dtype);
    const clattn_tensor none = {0}, *sinks = clattn__has(&grad->sinks) ? &call->sinks : &none;
    TRY(clattn__scratch_reserve(&s->deltas, device, bytes));
    TRY(clattn__scratch_reserve(&s->sink_parts, device, clattn__has(sinks) ? bytes : 0));
    const cl_mem other = s->deltas.memory, output = clattn__memory_of(&call->output, other),
                 grad_output = clattn__memory_of(&grad->output, other),
                 lse = clattn__memory_of(&call->lse, other),
                 grad_lse = clattn__memory_of(&grad->lse, other),
                 of_sinks = clattn__memory_of(sinks, other);
    const clattn_view output_view = clattn__view(&call->output),
                      grad_output_view = clattn__view(&grad->output),
                      lse_view = clattn__view(&call->lse), grad_lse_view = clattn__view(&grad->lse),
                      sinks_view = clattn__view(sinks);
    const cl_int Dv = (cl_int)call->Dv;
    const clattn_int M = call->Hq / call->Hkv * call->S;
    const clattn__arg args[] = {
        CLATTN__ARG(output),
        CLATTN__ARG(output_view),
        CLATTN__ARG(grad_output),
        CLATTN__ARG(grad_output_view),
        CLATTN__ARG(lse),
        CLATTN__ARG(lse_view),
        CLATTN__ARG(grad_lse),
        CLATTN__ARG(grad_lse_view),
        CLATTN__ARG(of_sinks),
        CLATTN__ARG(sinks_view),
        CLATTN__ARG(Dv),
        CLATTN__ARG(call->Hkv),
        CLATTN__ARG(call->S),
        CLATTN__ARG(M),
        CLATTN__ARG(s->deltas.memory),
        CLATTN__ARG(s->sink_parts.memory),
    };
    const size_t global[3] = {(size_t)clattn__ceil_div(M, s->item_rows),
                              (size_t)(call->B * call->Hkv), 1};
    TRY(clattn__launch(device, timeline, &s->row_deltas, global, NULL, args,
                       sizeof args / sizeof *args));
done:
    return status;
}

clattn_status clattn__dot_gradients_begin(clattn__dot_gradients *s, clattn_device *device,
                                          clattn__timeline *timeline,
                                          const clattn__problem *problem, const clattn__call *call,
                                          clattn_tensor *key, clattn_tensor *value)
{
    clattn_status status = CLATTN_OK;
    if (problem->desc.normalizer == CLATTN_NORMALIZER_SOFTMAX)
        TRY(make_deltas(s, device, timeline, call));
    TRY(clattn__sum_target(key, &s->key_parts, device, call, &call->grad.key));
    TRY(clattn__sum_target(value, &s->value_parts, device, call, &call->grad.value));
done:
    return status;
}

clattn_status clattn__dot_gradients_end(clattn__dot_gradients *s, clattn_device *device,
                                        clattn__timeline *timeline, const clattn__call *call,
                                        const clattn_tensor *key, const clattn_tensor *value)
{
    clattn_status status = CLATTN_OK;
    const clattn__gradients *grad = &call->grad;
    const clattn_tensor sinks = clattn__dense(clattn__sum_dtype(call->value.dtype),
                                              s->sink_parts.memory, call->B, call->Hq, call->S, 1);
    const clattn__sum to_key = {key, 1, 0, &grad->key, CLATTN__SUM_OVER_ROWS, &s->of_key},
                      to_value = {value, 1, 0, &grad->value, CLATTN__SUM_OVER_ROWS, &s->of_value},
                      to_sinks = {&sinks, 1, 0, &grad->sinks, CLATTN__SUM_OVER_ALL, &s->of_sinks};
    if (key->buffer != grad->key.buffer)
        TRY(clattn__sum_up_run(&s->sum_up, device, timeline, call, &to_key));
    if (value->buffer != grad->value.buffer)
        TRY(clattn__sum_up_run(&s->sum_up, device, timeline, call, &to_value));
    TRY(clattn__sum_up_run(&s->sum_up, device, timeline, call, &to_sinks));
done:
    return status;
}
