/* gradients.c: the tensors of a call backward: what forward gave out, and gradients. */
#include "dtype.h"
#include "keys.h"
#include "rules.h"
#include "try.h"

/* Output and lse, as far as gradients are made from them, and the gradients that come in. */
static clattn_status view_results(clattn__call *call, const clattn_attention_desc *desc,
                                  const clattn_attention_args *args)
{
    clattn_status status = CLATTN_OK;
    const clattn__axes axes = clattn__axes_of(desc, args->value.rank);
    const clattn_dtype t = desc->dtype, wide = t == CLATTN_F64 ? CLATTN_F64 : CLATTN_F32;
    const bool softmax = desc->normalizer == CLATTN_NORMALIZER_SOFTMAX,
               of_output = desc->outputs & CLATTN_OUTPUT;
    clattn__rule output = {.name = "output",
                           .axes = axes.own,
                           .rank = axes.rank,
                           .shape = {call->B, call->Hq, call->S, call->Dv},
                           .letters = {"B", "Hq", axes.S, "Dv"},
                           .dtypes = {t, t, t}},
                 weights = {.axes = axes.square,
                            .rank = axes.rank,
                            .shape = {call->B, call->Hq, call->S, call->T},
                            .letters = {"B", "Hq", "S", "T"},
                            .dtypes = {t, t, t}},
                 lse = {.name = "lse",
                        .axes = axes.rows,
                        .rank = axes.rank - 1,
                        .shape = {call->B, call->Hq, call->S, 1},
                        .letters = {"B", "Hq", axes.S, ""},
                        .dtypes = {wide, wide, wide}};
    TRY(clattn__view_wanted(&call->output, &args->output, softmax && of_output,
                            "backward of softmax", output));
    TRY(clattn__view_wanted(&call->lse, &args->lse, softmax, "backward of softmax", lse));
    if (desc->flags & CLATTN_SAVED_WEIGHTS) {
        weights.name = "weights";
        TRY(clattn__view_wanted(&call->weights, &args->weights, true, "CLATTN_SAVED_WEIGHTS",
                                weights));
    }
    output.name = "grad.output", weights.name = "grad.weights", lse.name = "grad.lse";
    TRY(clattn__view_wanted(&call->grad.output, &args->grad.output, of_output, "CLATTN_OUTPUT",
                            output));
    TRY(clattn__view_wanted(&call->grad.weights, &args->grad.weights,
                            desc->outputs & CLATTN_WEIGHTS, "CLATTN_WEIGHTS", weights));
    TRY(clattn__view_wanted(&call->grad.lse, &args->grad.lse, desc->outputs & CLATTN_LSE,
                            "CLATTN_LSE", lse));
done:
    return status;
}

static clattn_status view_gradient(clattn_tensor *view, const clattn_tensor *tensor,
                                   const clattn_tensor *of, bool wanted, const char *asked_by,
                                   clattn__rule rule)
{
    clattn_status status = CLATTN_OK;
    TRY(clattn__check_presence(tensor, wanted, rule.name, asked_by));
    if (wanted)
        TRY(clattn__gradient_view(view, tensor, of, rule));
done:
    return status;
}

#define VIEW_GRADIENT(name, gradient, ...)                                                         \
    TRY(view_gradient(&call->grad.name, &args->grad.name, &args->name, desc->gradients &gradient,  \
                      #gradient, (clattn__rule){"grad." #name, __VA_ARGS__}))

/* The gradient of keys, or of what projected ones hold. */
static clattn_status view_key_gradient(clattn__call *call, const clattn_attention_desc *desc,
                                       const clattn_attention_args *args, const clattn__axes *axes)
{
    const clattn_keys *keys = args->projected_keys;
    const clattn_dtype t = desc->dtype;
    const bool wanted = desc->gradients & CLATTN_GRAD_KEY;
    clattn__rule rule = {.name = "grad.key",
                         .axes = axes->own,
                         .rank = axes->rank,
                         .shape = {call->B, call->Hkv, call->T, call->Dk},
                         .letters = {"B", "Hkv", axes->T, "Dk"},
                         .written = true,
                         .dtypes = {t, t, t}};
    if (!(desc->flags & CLATTN_PROJECTED_KEYS))
        return view_gradient(&call->grad.key, &args->grad.key, &args->key, wanted,
                             "CLATTN_GRAD_KEY", rule);
    rule.shape[1] = keys->heads, rule.shape[3] = keys->size;
    rule.letters[1] = keys->heads == call->Hkv ? "Hkv" : "Hq";
    rule.letters[3] = clattn__is_additive(desc->score) ? "A" : "D";
    return clattn__view_wanted(&call->grad.key, &args->grad.key, wanted, "CLATTN_GRAD_KEY", rule);
}

static clattn_dtype float_or(clattn_dtype dtype)
{
    return clattn__dtype_is_float(dtype) ? dtype : CLATTN_F32;
}

clattn_status clattn__call_gradients(clattn__call *call, const clattn_attention_desc *desc,
                                     const clattn_attention_args *args)
{
    clattn_status status = CLATTN_OK;
    static const int heads[4] = {1};
    const clattn__axes axes = clattn__axes_of(desc, args->value.rank);
    const clattn_dtype t = desc->dtype, of_slopes = float_or(args->grad.alibi_slopes.dtype),
                       of_sinks = float_or(args->grad.sinks.dtype);
    const int64_t B = call->B, Hq = call->Hq, Hkv = call->Hkv, S = call->S, T = call->T;
    TRY(view_results(call, desc, args));
    VIEW_GRADIENT(query, CLATTN_GRAD_QUERY, axes.own, axes.rank, {B, Hq, S, call->D},
                  {"B", "Hq", axes.S, "D"}, .dtypes = {t, t, t});
    TRY(view_key_gradient(call, desc, args, &axes));
    VIEW_GRADIENT(value, CLATTN_GRAD_VALUE, axes.own, axes.rank, {B, Hkv, T, call->Dv},
                  {"B", "Hkv", axes.T, "Dv"}, .dtypes = {t, t, t});
    VIEW_GRADIENT(given_scores, CLATTN_GRAD_GIVEN_SCORES, axes.square, axes.rank, {B, Hq, S, T},
                  {"B", "Hq", "S", "T"}, .dtypes = {t, CLATTN_F32, CLATTN_F32});
    VIEW_GRADIENT(bias, CLATTN_GRAD_BIAS, axes.square, axes.rank, {B, Hq, S, T},
                  {"B", "Hq", "S", "T"}, .broadcast = true, .dtypes = {CLATTN_F32, t, t});
    VIEW_GRADIENT(alibi_slopes, CLATTN_GRAD_ALIBI_SLOPES, heads, 1, {1, Hq, 1, 1},
                  {"", "Hq", "", ""}, .dtypes = {CLATTN_F32, of_slopes, of_slopes});
    VIEW_GRADIENT(sinks, CLATTN_GRAD_SINKS, heads, 1, {1, Hq, 1, 1}, {"", "Hq", "", ""},
                  .dtypes = {CLATTN_F32, of_sinks, of_sinks});
    TRY(clattn__call_param_gradients(call, desc, &args->grad.params, &args->params));
done:
    return status;
}
