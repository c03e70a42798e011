/* pieces.c: a call as a list of tensors, and the pieces that it is cut into. */
#include "dtype.h"
#include "problem.h"

#include <string.h>

/* Cuts one axis of a tensor that is not broadcast along it. */
static void cut(clattn_tensor *tensor, int axis, int64_t first, int64_t count)
{
    if (!clattn__has(tensor))
        return;
    tensor->offset += first * tensor->strides[axis];
    tensor->shape[axis] = count;
}

clattn__call clattn__call_slice(const clattn__call *call, int64_t b, int64_t batches, int64_t h,
                                int64_t heads, int64_t i, int64_t rows)
{
    clattn__call slice = *call;
    int64_t group = call->Hq / call->Hkv;
    clattn_tensor *of_rows[] = {&slice.query,   &slice.given_scores,
                                &slice.mask,    &slice.bias,
                                &slice.output,  &slice.scores,
                                &slice.lse,     &slice.argmax,
                                &slice.entropy, &slice.params[CLATTN__BETA]};
    clattn_tensor *of_keys[] = {&slice.key, &slice.value, &slice.key_forms, &slice.key_extents};
    clattn_tensor *of_heads[] = {&slice.alibi_slopes, &slice.sinks};
    clattn_tensor *of_sequences[] = {&slice.kv_lengths, &slice.params[CLATTN__PREVIOUS_WEIGHTS],
                                     &slice.params[CLATTN__CUMULATIVE_WEIGHTS],
                                     &slice.params[CLATTN__COVERAGE]};
    for (size_t n = 0; n < sizeof of_rows / sizeof *of_rows; n++) {
        cut(of_rows[n], 0, b, batches);
        cut(of_rows[n], 1, h * group, heads * group);
        cut(of_rows[n], 2, i, rows);
    }
    for (size_t n = 0; n < sizeof of_keys / sizeof *of_keys; n++) {
        /* Keys made by parameters of each query head are as many as those. */
        const int64_t share = of_keys[n]->shape[1] > call->Hkv ? group : 1;
        cut(of_keys[n], 0, b, batches);
        cut(of_keys[n], 1, h * share, heads * share);
    }
    for (size_t n = 0; n < sizeof of_heads / sizeof *of_heads; n++)
        cut(of_heads[n], 1, h * group, heads * group);
    for (size_t n = 0; n < CLATTN__PARAMS; n++)
        if (n != CLATTN__BETA)
            cut(&slice.params[n], 1, h * group, heads * group);
    for (size_t n = 0; n < sizeof of_sequences / sizeof *of_sequences; n++)
        cut(of_sequences[n], 0, b, batches);
    cut(&slice.weights, 0, b, batches);
    if (!clattn__has(&call->weights_heads))
        cut(&slice.weights, 1, h * group, heads * group);
    if (!clattn__has(&call->weights_rows))
        cut(&slice.weights, 2, i, rows);
    cut(&slice.column_sums, 0, b, batches);
    cut(&slice.column_sums, 1, h * group, heads * group);
    slice.B = batches, slice.Hkv = heads, slice.Hq = heads * group, slice.S = rows;
    slice.first_row += i;
    slice.first_head += h * group;
    return slice;
}

bool clattn__is_shared_by_pieces(const clattn__call *call, const clattn_tensor *output)
{
    if (output == &call->column_sums)
        return call->first_row > 0;
    return output == &call->weights &&
           ((clattn__has(&call->weights_heads) && call->first_head > 0) ||
            (clattn__has(&call->weights_rows) && call->first_row > 0));
}

bool clattn__looks_at_weights(const clattn__call *call)
{
    return clattn__has(&call->weights) || clattn__has(&call->column_sums) ||
           clattn__has(&call->argmax) || clattn__has(&call->entropy);
}

int64_t clattn__place_of_weights(const clattn_tensor *chosen, int64_t index)
{
    if (!clattn__has(chosen))
        return index;
    for (int64_t n = 0; n < chosen->shape[3]; n++)
        if (clattn__integer_load(chosen->dtype, chosen->host,
                                 (size_t)clattn__at(chosen, 0, 0, 0, n)) == index)
            return n;
    return -1;
}

size_t clattn__call_tensors(clattn__call *call, clattn_tensor *tensors[CLATTN__CALL_TENSORS],
                            const char *names[CLATTN__CALL_TENSORS])
{
    clattn_tensor *inputs[] = {&call->query,        &call->key,          &call->value,
                               &call->given_scores, &call->mask,         &call->bias,
                               &call->kv_lengths,   &call->alibi_slopes, &call->sinks,
                               &call->cu_seqlens_q, &call->cu_seqlens_k, &call->weights_heads,
                               &call->weights_rows};
    clattn_tensor *outputs[] = {&call->output,      &call->weights, &call->scores, &call->lse,
                                &call->column_sums, &call->argmax,  &call->entropy};
    static const char *const input_names[] = {
        "query",        "key",           "value",        "given_scores", "mask",
        "bias",         "kv_lengths",    "alibi_slopes", "sinks",        "cu_seqlens_q",
        "cu_seqlens_k", "weights_heads", "weights_rows"};
    static const char *const output_names[] = {"output",      "weights", "scores", "lse",
                                               "column_sums", "argmax",  "entropy"};
    enum { INPUTS = sizeof inputs / sizeof *inputs };
    _Static_assert(INPUTS + CLATTN__PARAMS + sizeof outputs / sizeof *outputs ==
                       CLATTN__CALL_TENSORS,
                   "a tensor is missing");
    memcpy(tensors, inputs, sizeof inputs);
    for (size_t p = 0; p < CLATTN__PARAMS; p++)
        tensors[INPUTS + p] = &call->params[p];
    memcpy(tensors + INPUTS + CLATTN__PARAMS, outputs, sizeof outputs);
    if (names) {
        memcpy(names, input_names, sizeof input_names);
        for (size_t p = 0; p < CLATTN__PARAMS; p++)
            names[INPUTS + p] = clattn__param_name((clattn__param)p);
        memcpy(names + INPUTS + CLATTN__PARAMS, output_names, sizeof output_names);
    }
    return INPUTS + CLATTN__PARAMS;
}
