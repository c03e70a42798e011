#include "backward_call.h"

#include "problem.h"

#include <math.h>
#include <stddef.h>

/* splitmix64 (Steele et al., OOPSLA 2014): numbers from -1 to 1. */
static double number(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ULL;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-52 - 1.0;
}

#define GRADIENT(name, bit)                                                                        \
    {                                                                                              \
        &call->args.name, &call->args.grad.name, bit, "grad." #name                                \
    }

bool backward_call_gradient(host_call *call, size_t index, backward_gradient *out)
{
    const backward_gradient inputs[] = {
        GRADIENT(query, CLATTN_GRAD_QUERY), GRADIENT(key, CLATTN_GRAD_KEY),
        GRADIENT(value, CLATTN_GRAD_VALUE), GRADIENT(given_scores, CLATTN_GRAD_GIVEN_SCORES),
        GRADIENT(bias, CLATTN_GRAD_BIAS),   GRADIENT(alibi_slopes, CLATTN_GRAD_ALIBI_SLOPES),
        GRADIENT(sinks, CLATTN_GRAD_SINKS)};
    const size_t count = sizeof inputs / sizeof *inputs;
    if (index < count) {
        *out = inputs[index];
        return true;
    }
    clattn__param param = (clattn__param)(index - count);
    if (param >= CLATTN__CONV_CUMULATIVE)
        param++; /* conv has both */
    if (param >= CLATTN__PARAMS)
        return false;
    *out = (backward_gradient){
        .of = clattn__param_given(&call->args.params, param),
        .gradient = (clattn_tensor *)clattn__param_given(&call->args.grad.params, param),
        .bit = CLATTN_GRAD_PARAMS,
        .name = clattn__param_gradient_name(param)};
    return true;
}

/* A tensor like another one, whose elements are random, or NaN. */
static clattn_tensor like(host_call *call, const clattn_tensor *tensor, host_strides strides,
                          uint64_t *seed)
{
    clattn_tensor made =
        host_call_tensor(call, tensor->dtype, tensor->rank, tensor->shape, strides);
    for (size_t i = 0; i < clattn_tensor_count(&made); i++)
        host_tensor_set(&made, i, seed ? number(seed) : (double)NAN);
    return made;
}

void backward_call_turn(host_call *call, uint32_t outputs, host_strides strides)
{
    clattn_attention_args *args = &call->args, forward = *args;
    clattn_attention_desc *desc = &call->desc;
    const bool softmax = desc->normalizer == CLATTN_NORMALIZER_SOFTMAX;
    backward_gradient each;
    uint64_t seed = 1;
    desc->direction = CLATTN_BACKWARD;
    desc->outputs &=
        (outputs ? outputs : desc->outputs) & (CLATTN_OUTPUT | CLATTN_WEIGHTS | CLATTN_LSE);
    desc->flags &= ~(uint32_t)(CLATTN_WEIGHTS_HEADS | CLATTN_WEIGHTS_ROWS);
    desc->gradients = 0;
    args->output = args->weights = args->scores = args->lse = args->column_sums = args->argmax =
        args->entropy = args->weights_heads = args->weights_rows = (clattn_tensor){0};
    if (desc->outputs & CLATTN_OUTPUT)
        args->grad.output = like(call, &forward.output, strides, &seed);
    if (desc->outputs & CLATTN_WEIGHTS)
        args->grad.weights = like(call, &forward.weights, strides, &seed);
    if (desc->outputs & CLATTN_LSE)
        args->grad.lse = like(call, &forward.lse, strides, &seed);
    if (softmax && desc->outputs & CLATTN_OUTPUT)
        args->output = forward.output;
    if (softmax)
        args->lse = forward.lse;
    for (size_t n = 0; backward_call_gradient(call, n, &each); n++) {
        if (!each.of->rank || (each.bit == CLATTN_GRAD_KEY && desc->score == CLATTN_SCORE_LOCATION))
            continue;
        *each.gradient = like(call, each.of, strides, NULL);
        desc->gradients |= each.bit;
    }
}

void backward_call_project(host_call *call, const clattn_keys *keys, host_strides strides)
{
    const clattn_tensor none = {0};
    clattn_attention_args *args = &call->args;
    clattn_attention_desc *desc = &call->desc;
    clattn_tensor held = args->key;
    const bool of_heads = args->params.w_key.rank == 3 || args->params.weight.rank == 3;
    const uint32_t heads = desc->layout == CLATTN_BSHD ? 2 : 1;
    if (of_heads && held.rank == 4)
        held.shape[heads] = args->query.shape[heads];
    held.shape[held.rank - 1] = (int64_t)(desc->hidden_size ? desc->hidden_size : desc->head_size);
    if (desc->gradients & CLATTN_GRAD_KEY)
        args->grad.key = like(call, &held, strides, NULL);
    args->key = args->params.w_key = args->params.weight = none;
    args->grad.params.w_key = args->grad.params.weight = none;
    args->projected_keys = keys;
    desc->flags |= CLATTN_PROJECTED_KEYS;
    if (desc->score == CLATTN_SCORE_GENERAL) /* it has no other parameters */
        desc->gradients &= ~(uint32_t)CLATTN_GRAD_PARAMS;
}

void backward_call_keep(host_call *call, uint32_t gradients)
{
    backward_gradient each;
    call->desc.gradients &= gradients;
    for (size_t n = 0; backward_call_gradient(call, n, &each); n++)
        if (!(each.bit & gradients))
            *each.gradient = (clattn_tensor){0};
}
