/* fused.c: see fused.h. */
#include "fused.h"

#define LEAST_CAPACITY 64
/* Runs of packed sequences: so many that any half of them is about half of the work, and so long that
 * reading the keys once more for each does not show. */
#define LEAST_RUNS 8
#define LONGEST_RUN 64

const char *clattn__why_not_passed(const clattn_device *device, const clattn__problem *problem,
                                   uint32_t also)
{
    const clattn_attention_desc *desc = &problem->desc;
    if (clattn__is_reference(device))
        return "the reference device runs no kernels";
    if (desc->dtype == CLATTN_F64 && !device->info.fp64)
        return "the device has no doubles (cl_khr_fp64)";
    const uint32_t missing = desc->outputs & ~(CLATTN_OUTPUT | CLATTN_LSE | also);
    if (missing & CLATTN_SCORES)
        return "scores are asked for, and it writes none";
    if (missing)
        return missing & CLATTN_WEIGHTS
                   ? "weights are asked for, and it writes none"
                   : "column sums, argmax or entropy are asked for, and it has "
                     "no weights";
    if (desc->score == CLATTN_SCORE_GIVEN)
        return "scores are given, and it makes its own";
    if (desc->dropout > 0 && !(also & CLATTN__DROPOUT))
        return "weights are dropped, and it drops none";
    if (desc->normalizer > CLATTN_NORMALIZER_SIGMOID)
        return "it has no other normalizers than softmax, none and sigmoid";
    return NULL;
}

const char *clattn__why_not_fused(const clattn_device *device, const clattn__problem *problem,
                                  bool forced, uint32_t also)
{
    const clattn_score score = problem->desc.score;
    const char *why = clattn__why_not_passed(device, problem, also);
    if (why)
        return why;
    if (score != CLATTN_SCORE_SCALED_DOT && score != CLATTN_SCORE_DOT)
        return "scores are no products of queries and keys";
    if (problem->desc.dropout > 0 && clattn__is_packed(problem))
        return "weights of packed sequences are dropped, and it drops those of sequences of one "
               "length";
    /* Packed sequences nothing else may take: being slow there is no reason. */
    if (!forced && !clattn__is_cpu_like(device) && !clattn__is_packed(problem))
        return "it is made for CPU-like devices; ask for it by name";
    return NULL;
}

const char *clattn__why_not_of_one_dtype(const clattn__problem *problem)
{
    const clattn_dtype dtype = problem->desc.dtype;
    return problem->query_dtype == dtype && problem->key_dtype == dtype
               ? NULL
               : "queries or keys come in the type of the sums, and it takes those of the values' "
                 "type";
}

bool clattn__fused_is_general(const clattn__problem *problem)
{
    const clattn_attention_desc *desc = &problem->desc;
    return clattn__problem_hides_keys(problem) || (desc->flags & (CLATTN_ALIBI | CLATTN_SINKS)) ||
           desc->softcap > 0;
}

size_t clattn__fused_capacity(size_t size, size_t other)
{
    size_t most = LEAST_CAPACITY;
    while (most < size || most < other)
        most *= 2;
    return most;
}

void clattn__fused_args_init(clattn__fused_args *a, const clattn__problem *problem,
                             const clattn__call *call, const clattn_tensor *key,
                             const clattn_tensor *value)
{
    const clattn_attention_desc *desc = &problem->desc;
    const cl_mem other = call->query.buffer;
    a->query = call->query.buffer, a->query_view = clattn__view(&call->query);
    a->key = key->buffer, a->key_view = clattn__view(key);
    a->value = value->buffer, a->value_view = clattn__view(value);
    a->output = clattn__memory_of(&call->output, other);
    a->output_view = clattn__view(&call->output);
    a->lse = clattn__memory_of(&call->lse, other), a->lse_view = clattn__view(&call->lse);
    a->mask = clattn__memory_of(&call->mask, other);
    a->bias = clattn__memory_of(&call->bias, other);
    a->kv_lengths = clattn__memory_of(&call->kv_lengths, other);
    a->alibi_slopes = clattn__memory_of(&call->alibi_slopes, other);
    a->sinks = clattn__memory_of(&call->sinks, other);
    a->modifications = clattn__modifications(problem, call);
    a->heads = call->Hkv, a->M = call->Hq / call->Hkv * call->S;
    a->D = (cl_int)call->D, a->Dv = (cl_int)call->Dv;
    a->normalizer = (cl_int)desc->normalizer;
    const clattn__arg shared[] = {
        CLATTN__ARG(a->query),
        CLATTN__ARG(a->query_view),
        CLATTN__ARG(a->key),
        CLATTN__ARG(a->key_view),
        CLATTN__ARG(a->value),
        CLATTN__ARG(a->value_view),
        CLATTN__ARG(a->output),
        CLATTN__ARG(a->output_view),
        CLATTN__ARG(a->lse),
        CLATTN__ARG(a->lse_view),
        CLATTN__ARG(a->D),
        CLATTN__ARG(a->Dv),
        clattn__number_arg(&a->scale, desc->dtype, problem->scale),
        clattn__number_arg(&a->softcap, desc->dtype, desc->softcap),
        CLATTN__ARG(a->modifications),
        CLATTN__ARG(a->heads),
        CLATTN__ARG(a->M),
        CLATTN__ARG(a->normalizer),
        CLATTN__ARG(a->mask),
        CLATTN__ARG(a->bias),
        CLATTN__ARG(a->kv_lengths),
        CLATTN__ARG(a->alibi_slopes),
        CLATTN__ARG(a->sinks),
    };
    a->all.count = 0;
    clattn__args_add(&a->all, shared, sizeof shared / sizeof *shared);
}

void clattn__fused_args_add_packed(clattn__fused_args *a, const clattn__call *call)
{
    a->cu_seqlens_q = clattn__memory_of(&call->cu_seqlens_q, call->query.buffer);
    a->cu_seqlens_k = clattn__memory_of(&call->cu_seqlens_k, call->query.buffer);
    clattn__arg_add(&a->all, sizeof a->cu_seqlens_q, &a->cu_seqlens_q);
    clattn__arg_add(&a->all, sizeof a->cu_seqlens_k, &a->cu_seqlens_k);
}

static clattn_int greatest_divisor(clattn_int a, clattn_int b)
{
    while (b) {
        const clattn_int rest = a % b;
        a = b, b = rest;
    }
    return a;
}

clattn_int clattn__packed_blocks(const clattn__call *call, clattn_int rows)
{
    return call->Hq / call->Hkv * call->S / rows + clattn__sequences(call);
}

clattn__packed_order clattn__packed_order_of(const clattn__call *call, clattn_int rows)
{
    clattn__packed_order order = {.run = 1};
    if (!clattn__has(&call->cu_seqlens_q) || clattn__sequences(call) == 0)
        return order;
    const clattn_int blocks = clattn__packed_blocks(call, rows);
    order.run = blocks / LEAST_RUNS;
    if (order.run < 1)
        order.run = 1;
    if (order.run > LONGEST_RUN)
        order.run = LONGEST_RUN;
    const clattn_int runs = clattn__ceil_div(blocks, order.run);
    order.step = (clattn_int)(0.6180339887 * (double)runs);
    while (greatest_divisor(order.step, runs) != 1)
        order.step++;
    order.items = (size_t)(runs * order.run * call->Hkv);
    return order;
}
