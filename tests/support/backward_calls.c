/* backward_calls.c: see backward_calls.h. */
#include "backward_calls.h"

#include "problem.h"
#include "support/checks.h"

#include <math.h>
#include <string.h>

uint32_t all_gradients(const clattn_attention_desc *desc)
{
    uint32_t gradients = CLATTN_GRAD_VALUE;
    if (desc->score == CLATTN_SCORE_GIVEN)
        gradients |= CLATTN_GRAD_GIVEN_SCORES;
    else
        gradients |= CLATTN_GRAD_QUERY;
    if (desc->score != CLATTN_SCORE_GIVEN && desc->score != CLATTN_SCORE_LOCATION)
        gradients |= CLATTN_GRAD_KEY;
    if (desc->score > CLATTN_SCORE_GIVEN)
        gradients |= CLATTN_GRAD_PARAMS;
    if (desc->flags & CLATTN_BIAS)
        gradients |= CLATTN_GRAD_BIAS;
    if (desc->flags & CLATTN_ALIBI)
        gradients |= CLATTN_GRAD_ALIBI_SLOPES;
    if (desc->flags & CLATTN_SINKS)
        gradients |= CLATTN_GRAD_SINKS;
    return gradients;
}

/* Numbers in [-1, 1], the same everywhere. */
static void fill(const clattn_tensor *tensor, uint32_t seed)
{
    for (size_t i = 0; i < clattn_tensor_count(tensor); i++) {
        seed = seed * 1664525u + 1013904223u;
        host_tensor_set(tensor, i, (double)(seed >> 8) * 0x1p-23 - 1);
    }
}

static clattn_tensor like(host_call *call, const clattn_tensor *of, clattn_dtype dtype,
                          host_strides strides)
{
    const clattn_tensor none = {0};
    if (!clattn__has(of))
        return none;
    const clattn_tensor made = host_call_tensor(call, dtype, of->rank, of->shape, strides);
    for (size_t i = 0; i < clattn_tensor_count(&made); i++)
        host_tensor_set(&made, i, (double)NAN);
    return made;
}

static void make_gradients(host_call *call, uint32_t gradients, host_strides strides)
{
    clattn_attention_args *args = &call->args;
    const struct {
        uint32_t gradient;
        const clattn_tensor *of;
        clattn_tensor *to;
    } each[] = {
        {CLATTN_GRAD_QUERY, &args->query, &args->grad.query},
        {CLATTN_GRAD_KEY, &args->key, &args->grad.key},
        {CLATTN_GRAD_VALUE, &args->value, &args->grad.value},
        {CLATTN_GRAD_GIVEN_SCORES, &args->given_scores, &args->grad.given_scores},
        {CLATTN_GRAD_BIAS, &args->bias, &args->grad.bias},
        {CLATTN_GRAD_ALIBI_SLOPES, &args->alibi_slopes, &args->grad.alibi_slopes},
        {CLATTN_GRAD_SINKS, &args->sinks, &args->grad.sinks},
    };
    for (size_t i = 0; i < sizeof each / sizeof *each; i++)
        if (gradients & each[i].gradient)
            *each[i].to = like(call, each[i].of, each[i].of->dtype, strides);
    for (size_t p = 0; gradients & CLATTN_GRAD_PARAMS && p < CLATTN__PARAMS; p++) {
        const clattn_tensor *of = clattn__param_given(&args->params, (clattn__param)p),
                            *to = clattn__param_given(&args->grad.params, (clattn__param)p);
        if (p != CLATTN__CONV_CUMULATIVE)
            *(clattn_tensor *)to = like(call, of, of->dtype, STRIDES_DENSE);
    }
}

void backward_case_make(host_call *out, const clattn_case *from, uint32_t results,
                        uint32_t gradients)
{
    clattn_case forward = *from;
    const clattn_tensor none = {0};
    forward.outputs = CLATTN_OUTPUT | CLATTN_LSE | (from->packed ? 0 : CLATTN_WEIGHTS);
    forward.weights_heads = forward.weights_rows = NULL;
    case_make(out, &forward);
    clattn_attention_desc *desc = &out->desc;
    clattn_attention_args *args = &out->args;
    const bool softmax = desc->normalizer == CLATTN_NORMALIZER_SOFTMAX;
    assert_status(CLATTN_OK, clattn_reference_run(desc, args));
    desc->direction = CLATTN_BACKWARD;
    desc->outputs = results & (from->packed ? CLATTN_OUTPUT | CLATTN_LSE : ALL_RESULTS);
    desc->gradients = gradients & all_gradients(desc);
    if (desc->outputs & CLATTN_OUTPUT)
        args->grad.output = like(out, &args->output, args->output.dtype, from->strides);
    if (desc->outputs & CLATTN_WEIGHTS)
        args->grad.weights = like(out, &args->weights, args->weights.dtype, from->strides);
    if (desc->outputs & CLATTN_LSE)
        args->grad.lse = like(out, &args->lse, args->lse.dtype, STRIDES_DENSE);
    fill(&args->grad.output, 1);
    fill(&args->grad.weights, 2);
    fill(&args->grad.lse, 3);
    args->weights = none;
    if (!softmax)
        args->lse = none;
    if (!softmax || !(desc->outputs & CLATTN_OUTPUT))
        args->output = none;
    make_gradients(out, desc->gradients, from->strides);
}
