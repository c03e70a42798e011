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
    const int64_t group = call->Hq / call->Hkv;
    clattn__gradients *grad = &slice.grad;
    clattn_tensor *of_rows[] = {&slice.query,
                                &slice.given_scores,
                                &slice.mask,
                                &slice.bias,
                                &slice.output,
                                &slice.scores,
                                &slice.lse,
                                &slice.argmax,
                                &slice.entropy,
                                &grad->output,
                                &grad->lse,
                                &grad->weights,
                                &grad->query,
                                &grad->given_scores,
                                &grad->bias,
                                &slice.params[CLATTN__BETA],
                                &grad->params[CLATTN__BETA]};
    clattn_tensor *of_keys[] = {&slice.key,         &slice.value, &slice.key_forms,
                                &slice.key_extents, &grad->key,   &grad->value};
    clattn_tensor *of_heads[] = {&slice.alibi_slopes, &slice.sinks, &grad->alibi_slopes,
                                 &grad->sinks};
    static const clattn__param of_sequences[] = {CLATTN__PREVIOUS_WEIGHTS,
                                                 CLATTN__CUMULATIVE_WEIGHTS, CLATTN__COVERAGE};
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
    cut(&grad->hidden, 0, b, batches);
    cut(&grad->hidden, 1, h * group, heads * group);
    for (size_t n = 0; n < sizeof of_heads / sizeof *of_heads; n++)
        cut(of_heads[n], 1, h * group, heads * group);
    for (size_t n = 0; n < CLATTN__PARAMS; n++)
        if (n != CLATTN__BETA) {
            cut(&slice.params[n], 1, h * group, heads * group);
            cut(&grad->params[n], 1, h * group, heads * group);
        }
    for (size_t n = 0; n < sizeof of_sequences / sizeof *of_sequences; n++) {
        cut(&slice.params[of_sequences[n]], 0, b, batches);
        cut(&grad->params[of_sequences[n]], 0, b, batches);
    }
    cut(&slice.kv_lengths, 0, b, batches);
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
    slice.first_batch += b;
    slice.dropout.first_batch += b;
    slice.dropout.first_head += h * group;
    slice.dropout.first_row += i;
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

/* A tensor of a call, and when it is written. */
typedef struct listed {
    clattn_tensor *tensor;
    const char *name;
    enum { READ, WRITTEN, WRITTEN_FORWARD } use;
} listed;

/* Adds those of the list that are written, or those that are not. */
static size_t add_tensors(clattn_tensor **tensors, const char **names, size_t count,
                          const listed *list, size_t length, bool backward, bool written)
{
    for (size_t i = 0; i < length; i++) {
        const bool is = list[i].use == WRITTEN || (list[i].use == WRITTEN_FORWARD && !backward);
        if (is != written)
            continue;
        tensors[count] = list[i].tensor;
        if (names)
            names[count] = list[i].name;
        count++;
    }
    return count;
}

size_t clattn__call_tensors(clattn__call *call, clattn_tensor *tensors[CLATTN__CALL_TENSORS],
                            const char *names[CLATTN__CALL_TENSORS])
{
    clattn__gradients *grad = &call->grad;
    listed list[CLATTN__CALL_TENSORS] = {{&call->query, "query", READ},
                                         {&call->key, "key", READ},
                                         {&call->value, "value", READ},
                                         {&call->given_scores, "given_scores", READ},
                                         {&call->mask, "mask", READ},
                                         {&call->bias, "bias", READ},
                                         {&call->kv_lengths, "kv_lengths", READ},
                                         {&call->alibi_slopes, "alibi_slopes", READ},
                                         {&call->sinks, "sinks", READ},
                                         {&call->cu_seqlens_q, "cu_seqlens_q", READ},
                                         {&call->cu_seqlens_k, "cu_seqlens_k", READ},
                                         {&call->weights_heads, "weights_heads", READ},
                                         {&call->weights_rows, "weights_rows", READ},
                                         {&grad->output, "grad.output", READ},
                                         {&grad->weights, "grad.weights", READ},
                                         {&grad->lse, "grad.lse", READ},
                                         {&call->output, "output", WRITTEN_FORWARD},
                                         {&call->weights, "weights", WRITTEN_FORWARD},
                                         {&call->scores, "scores", WRITTEN_FORWARD},
                                         {&call->lse, "lse", WRITTEN_FORWARD},
                                         {&call->column_sums, "column_sums", WRITTEN_FORWARD},
                                         {&call->argmax, "argmax", WRITTEN_FORWARD},
                                         {&call->entropy, "entropy", WRITTEN_FORWARD},
                                         {&grad->query, "grad.query", WRITTEN},
                                         {&grad->key, "grad.key", WRITTEN},
                                         {&grad->value, "grad.value", WRITTEN},
                                         {&grad->given_scores, "grad.given_scores", WRITTEN},
                                         {&grad->bias, "grad.bias", WRITTEN},
                                         {&grad->alibi_slopes, "grad.alibi_slopes", WRITTEN},
                                         {&grad->sinks, "grad.sinks", WRITTEN}};
    for (size_t p = 0; p < CLATTN__PARAMS; p++) {
        listed *of_param = &list[CLATTN__CALL_TENSORS - 2 * CLATTN__PARAMS + 2 * p];
        of_param[0] = (listed){&call->params[p], clattn__param_name((clattn__param)p), READ};
        of_param[1] =
            (listed){&grad->params[p], clattn__param_gradient_name((clattn__param)p), WRITTEN};
    }
    const size_t inputs =
        add_tensors(tensors, names, 0, list, CLATTN__CALL_TENSORS, call->backward, false);
    (void)add_tensors(tensors, names, inputs, list, CLATTN__CALL_TENSORS, call->backward, true);
    return inputs;
}
