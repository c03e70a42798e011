/* call.c: checks the arguments of one run and brings every tensor to four dimensions. */
#include "dtype.h"
#include "problem.h"
#include "try.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A size that no tensor has told yet. */
#define ANY (-1)

/* Of a tensor, from its first to its last: their bytes can still be counted in 64 bits. */
#define MOST_ELEMENTS ((uint64_t)INT64_MAX / 8)

/* Which axes of (B, H, rows, columns) a tensor's own
 * dimensions are, by the rank of query and value. */
static const int axes_bhsd[4] = {0, 1, 2, 3}, axes_bshd[4] = {0, 2, 1, 3},
                 axes_one_head[4] = {0, 2, 3}, axes_matrix[4] = {2, 3}, axes_packed[4] = {2, 1, 3};

typedef struct rule {
    const char *name;
    const int *axes;        /* of the tensor's dimensions */
    uint32_t rank;          /* that it must have; the largest that it may have when it broadcasts */
    int64_t shape[4];       /* expected, canonical; ANY where it is free */
    const char *letters[4]; /* what the axes are called in a sentence */
    bool broadcast, written;
    clattn_dtype dtypes[3]; /* that it may have, repeated to fill */
} rule;

/* "(2, 8, 7, 64)" */
static void print_found(char *text, size_t size, const clattn_tensor *tensor)
{
    size_t used = 0;
    for (uint32_t i = 0; i < tensor->rank && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%lld", i ? ", " : "(",
                                 (long long)tensor->shape[i]);
    if (used < size)
        (void)snprintf(text + used, size - used, ")");
}

/* "(B=2, Hkv=8, T, D=64)": a letter alone where the length is free. */
static void print_expected(char *text, size_t size, const rule *expected)
{
    size_t used = 0;
    for (uint32_t i = 0; i < expected->rank && used < size; i++) {
        const int axis = expected->axes[i];
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "(",
                                 expected->letters[axis]);
        if (expected->shape[axis] != ANY && used < size)
            used += (size_t)snprintf(text + used, size - used, "=%lld",
                                     (long long)expected->shape[axis]);
    }
    if (used < size)
        (void)snprintf(text + used, size - used, ")");
}

static clattn_status wrong_shape(const clattn_tensor *tensor, const rule *expected)
{
    char found[128], wanted[160];
    print_found(found, sizeof found, tensor);
    print_expected(wanted, sizeof wanted, expected);
    return FAIL(CLATTN_E_ARGUMENT, 0, "%s: shape %s, expected %s%s", expected->name, found,
                expected->broadcast ? "what broadcasts to " : "", wanted);
}

/* What `factor` steps of `stride` add to `*sum`; false where no number holds it. */
static bool add_reach(uint64_t *sum, int64_t stride, uint64_t factor)
{
    const uint64_t length = stride < 0 ? 0 - (uint64_t)stride : (uint64_t)stride;
    uint64_t reach;
    return !__builtin_mul_overflow(length, factor, &reach) &&
           !__builtin_add_overflow(*sum, reach, sum) && *sum <= MOST_ELEMENTS;
}

/* Everything below multiplies and adds these numbers without a look at overflow. A dimension of 0
 * must not hide what the others do: strides are products of those too. */
static clattn_status check_memory(const clattn_tensor *tensor, const char *name)
{
    clattn_status status = CLATTN_OK;
    uint64_t count = 1, reach = 0;
    bool empty = false;
    for (uint32_t i = 0; i < tensor->rank; i++) {
        FAIL_IF(tensor->shape[i] < 0, CLATTN_E_ARGUMENT,
                "%s: dimension %u is %lld, expected a number from 0", name, i,
                (long long)tensor->shape[i]);
        empty = empty || tensor->shape[i] == 0;
    }
    for (uint32_t i = 0; i < tensor->rank; i++)
        FAIL_IF(tensor->shape[i] != 0 &&
                    (__builtin_mul_overflow(count, (uint64_t)tensor->shape[i], &count) ||
                     count > MOST_ELEMENTS),
                CLATTN_E_ARGUMENT,
                "%s: dimension %u is %lld, expected a shape of fewer elements than memory can hold",
                name, i, (long long)tensor->shape[i]);
    FAIL_IF(!empty && !tensor->host && !tensor->buffer, CLATTN_E_ARGUMENT,
            "%s: neither host nor buffer is set, expected one of them", name);
    FAIL_IF(tensor->host && tensor->buffer, CLATTN_E_ARGUMENT,
            "%s: host and buffer are both set, expected one of them", name);
    FAIL_IF(!empty && !add_reach(&reach, tensor->offset, 1), CLATTN_E_ARGUMENT,
            "%s: offset %lld, expected one that memory can hold", name, (long long)tensor->offset);
    for (uint32_t i = 0; i < tensor->rank && !empty; i++)
        FAIL_IF(!add_reach(&reach, tensor->strides[i], (uint64_t)tensor->shape[i] - 1),
                CLATTN_E_ARGUMENT,
                "%s: stride %u is %lld, expected strides whose elements memory can hold", name, i,
                (long long)tensor->strides[i]);
done:
    return status;
}

/* True when two indices may name one element: no axis may
 * step into the extent of the finer ones. */
static bool overlaps_itself(const clattn_tensor *tensor)
{
    bool used[CLATTN_MAX_RANK] = {false};
    int64_t extent = 1;
    for (uint32_t n = 0; n < tensor->rank; n++) {
        uint32_t finest = CLATTN_MAX_RANK;
        for (uint32_t i = 0; i < tensor->rank; i++)
            if (!used[i] && (finest == CLATTN_MAX_RANK ||
                             llabs(tensor->strides[i]) < llabs(tensor->strides[finest])))
                finest = i;
        used[finest] = true;
        if (tensor->shape[finest] <= 1)
            continue;
        if (llabs(tensor->strides[finest]) < extent)
            return true;
        extent += llabs(tensor->strides[finest]) * (tensor->shape[finest] - 1);
    }
    return false;
}

/* Checks `tensor` and writes its canonical view; fills the shape that `expected` leaves free. */
static clattn_status view(clattn_tensor *out, const clattn_tensor *tensor, rule *expected)
{
    clattn_status status = CLATTN_OK;
    const int *axes = expected->axes;
    memset(out, 0, sizeof *out);
    FAIL_IF(tensor->rank > CLATTN_MAX_RANK, CLATTN_E_ARGUMENT, "%s: rank %u, expected at most %d",
            expected->name, tensor->rank, CLATTN_MAX_RANK);
    FAIL_IF(
        tensor->dtype != expected->dtypes[0] && tensor->dtype != expected->dtypes[1] &&
            tensor->dtype != expected->dtypes[2],
        CLATTN_E_ARGUMENT, "%s: dtype %s, expected %s%s%s%s%s", expected->name,
        clattn_dtype_name(tensor->dtype), clattn_dtype_name(expected->dtypes[0]),
        expected->dtypes[1] == expected->dtypes[0] ? "" : " or ",
        expected->dtypes[1] == expected->dtypes[0] ? "" : clattn_dtype_name(expected->dtypes[1]),
        expected->dtypes[2] == expected->dtypes[1] ? "" : " or ",
        expected->dtypes[2] == expected->dtypes[1] ? "" : clattn_dtype_name(expected->dtypes[2]));
    TRY(check_memory(tensor, expected->name));
    if (tensor->rank > expected->rank || (!expected->broadcast && tensor->rank != expected->rank)) {
        status = wrong_shape(tensor, expected);
        goto done;
    }
    axes += expected->rank - tensor->rank;
    *out = *tensor;
    out->rank = 4;
    for (int axis = 0; axis < 4; axis++) {
        out->shape[axis] = expected->shape[axis];
        out->strides[axis] = 0;
    }
    for (uint32_t i = 0; i < tensor->rank; i++) {
        int64_t *length = &out->shape[axes[i]];
        if (*length == ANY)
            *length = tensor->shape[i];
        if (tensor->shape[i] == *length) {
            out->strides[axes[i]] = *length == 1 ? 0 : tensor->strides[i];
        } else if (!expected->broadcast || tensor->shape[i] != 1) {
            status = wrong_shape(tensor, expected);
            goto done;
        }
    }
    FAIL_IF(expected->written && clattn_tensor_count(tensor) > 0 && overlaps_itself(out),
            CLATTN_E_ARGUMENT,
            "%s: its strides let elements overlap, expected an own place for each", expected->name);
    memcpy(expected->shape, out->shape, sizeof expected->shape);
done:
    return status;
}

static clattn_status presence(const clattn_tensor *tensor, bool wanted, const char *name,
                              const char *reason)
{
    clattn_status status = CLATTN_OK;
    FAIL_IF(wanted && !clattn__has(tensor), CLATTN_E_ARGUMENT,
            "%s: missing, but the description asks for it (%s)", name, reason);
    FAIL_IF(!wanted && clattn__has(tensor), CLATTN_E_ARGUMENT,
            "%s: given, but the description does not ask for it (%s)", name, reason);
done:
    return status;
}

/* The host values of lengths, slopes and sinks are checked
 * here; a device's are clamped by the kernels. */
static clattn_status check_lengths(const clattn_tensor *lengths, int64_t T)
{
    clattn_status status = CLATTN_OK;
    for (int64_t b = 0; lengths->host && b < lengths->shape[0]; b++) {
        int64_t length = clattn__integer_load(lengths->dtype, lengths->host,
                                              (size_t)clattn__at(lengths, b, 0, 0, 0));
        FAIL_IF(length < 0 || length > T, CLATTN_E_ARGUMENT,
                "kv_lengths: element %lld is %lld, expected 0 to %lld (T)", (long long)b,
                (long long)length, (long long)T);
    }
done:
    return status;
}

/* In the type of the sums, in which the kernels take them. */
static clattn_status check_finite(const clattn_tensor *tensor, const char *name, clattn_dtype dtype)
{
    clattn_status status = CLATTN_OK;
    for (int64_t h = 0; tensor->host && h < tensor->shape[1]; h++) {
        double value = clattn_element_load(tensor->dtype, tensor->host,
                                           (size_t)clattn__at(tensor, 0, h, 0, 0));
        const bool wide = dtype == CLATTN_F64;
        FAIL_IF(!isfinite(wide ? value : (double)(float)value), CLATTN_E_ARGUMENT,
                "%s: element %lld is %g, expected a finite number of %s", name, (long long)h, value,
                wide ? "f64" : "f32");
    }
done:
    return status;
}

/* True when the elements of two tensors share memory. Views may be
 * woven into each other without an element in common, so only those
 * without gaps are compared as a whole, others where they begin. */
static bool overlap(const clattn_tensor *a, const clattn_tensor *b)
{
    const clattn_tensor *const both[] = {a, b};
    uintptr_t origin[2], first[2], end[2];
    bool dense = true;
    if (a->buffer != b->buffer)
        return false;
    for (size_t i = 0; i < 2; i++) {
        const uintptr_t size = clattn_dtype_size(both[i]->dtype), base = (uintptr_t)both[i]->host;
        int64_t low, high;
        clattn__tensor_extent(both[i], &low, &high);
        origin[i] = base + (uintptr_t)both[i]->offset * size;
        first[i] = origin[i] + (uintptr_t)low * size;
        end[i] = origin[i] + (uintptr_t)(high + 1) * size;
        dense = dense && (size_t)(high - low + 1) <= clattn_tensor_count(both[i]);
    }
    return origin[0] == origin[1] || (dense && first[0] < end[1] && first[1] < end[0]);
}

static clattn_status check_aliases(const clattn_attention_args *args)
{
    clattn_status status = CLATTN_OK;
    const clattn_tensor *const tensors[] = {
        &args->output, &args->weights,      &args->scores,      &args->lse,
        &args->query,  &args->key,          &args->value,       &args->given_scores,
        &args->mask,   &args->bias,         &args->kv_lengths,  &args->alibi_slopes,
        &args->sinks,  &args->cu_seqlens_q, &args->cu_seqlens_k};
    static const char *const names[] = {"output", "weights",      "scores",      "lse",
                                        "query",  "key",          "value",       "given_scores",
                                        "mask",   "bias",         "kv_lengths",  "alibi_slopes",
                                        "sinks",  "cu_seqlens_q", "cu_seqlens_k"};
    for (size_t out = 0; out < 4; out++) {
        if (!clattn__has(tensors[out]) || clattn_tensor_count(tensors[out]) == 0)
            continue;
        for (size_t other = out + 1; other < sizeof names / sizeof *names; other++)
            FAIL_IF(clattn__has(tensors[other]) && clattn_tensor_count(tensors[other]) > 0 &&
                        overlap(tensors[out], tensors[other]),
                    CLATTN_E_ARGUMENT, "%s: shares memory with %s, expected memory of its own",
                    names[out], names[other]);
    }
done:
    return status;
}

/* Which axes the dimensions of query, key, value and output are, which have the rank of value. */
static const int *axes_of(const clattn_attention_desc *desc, uint32_t rank)
{
    if (desc->flags & CLATTN_PACKED)
        return axes_packed;
    if (rank == 4)
        return desc->layout == CLATTN_BSHD ? axes_bshd : axes_bhsd;
    return rank == 3 ? axes_one_head : axes_matrix;
}

static clattn_status check_rank(const clattn_attention_desc *desc, uint32_t rank)
{
    clattn_status status = CLATTN_OK;
    const bool packed = desc->flags & CLATTN_PACKED;
    FAIL_IF(packed && rank != 3, CLATTN_E_ARGUMENT,
            "value: rank %u, expected 3 for packed sequences: (total_k, Hkv, Dv)", rank);
    FAIL_IF(rank < 2 || rank > 4, CLATTN_E_ARGUMENT, "value: rank %u, expected 2, 3 or 4", rank);
    FAIL_IF(!packed && rank < 4 && desc->query_heads != 1, CLATTN_E_ARGUMENT,
            "value: rank %u with %zu heads in the description, expected rank 4", rank,
            desc->query_heads);
done:
    return status;
}

static clattn_status view_cu_seqlens(clattn__call *call, const clattn_attention_args *args)
{
    clattn_status status = CLATTN_OK;
    static const int only_axis[4] = {0};
    rule starts = {"cu_seqlens_q",        only_axis, 1,     {ANY, 1, 1, 1},
                   {"B + 1", "", "", ""}, false,     false, {CLATTN_I32, CLATTN_I64, CLATTN_I64}};
    TRY(view(&call->cu_seqlens_q, &args->cu_seqlens_q, &starts));
    TRY(clattn__check_cu_seqlens(&call->cu_seqlens_q, starts.name, call->S, "query"));
    starts.name = "cu_seqlens_k";
    TRY(view(&call->cu_seqlens_k, &args->cu_seqlens_k, &starts));
    TRY(clattn__check_cu_seqlens(&call->cu_seqlens_k, starts.name, call->T, "key"));
done:
    return status;
}

/* The tensors that every description has a rule for; `rank` is that of value. */
static clattn_status view_inputs(clattn__call *call, const clattn_attention_desc *desc,
                                 const clattn_attention_args *args)
{
    clattn_status status = CLATTN_OK;
    const bool given = desc->score == CLATTN_SCORE_GIVEN, packed = desc->flags & CLATTN_PACKED;
    uint32_t rank = args->value.rank;
    const int *axes = axes_of(desc, rank), *square = rank == 4 ? axes_bhsd : axes;
    const char *S = packed ? "total_q" : "S", *T = packed ? "total_k" : "T";
    int64_t B = rank == 2 || packed ? 1 : ANY, Hq = (int64_t)desc->query_heads,
            Hkv = (int64_t)desc->kv_heads;
    clattn_dtype t = desc->dtype;

    TRY(presence(&args->query, !given, "query", "score"));
    TRY(presence(&args->key, !given, "key", "score"));
    TRY(presence(&args->given_scores, given, "given_scores", "CLATTN_SCORE_GIVEN"));
    TRY(presence(&args->value, true, "value", "always"));
    TRY(presence(&args->mask, desc->flags & CLATTN_MASK, "mask", "CLATTN_MASK"));
    TRY(presence(&args->bias, desc->flags & CLATTN_BIAS, "bias", "CLATTN_BIAS"));
    TRY(presence(&args->kv_lengths, desc->flags & CLATTN_KV_LENGTHS, "kv_lengths",
                 "CLATTN_KV_LENGTHS"));
    TRY(presence(&args->alibi_slopes, desc->flags & CLATTN_ALIBI, "alibi_slopes", "CLATTN_ALIBI"));
    TRY(presence(&args->sinks, desc->flags & CLATTN_SINKS, "sinks", "CLATTN_SINKS"));
    TRY(presence(&args->cu_seqlens_q, packed, "cu_seqlens_q", "CLATTN_PACKED"));
    TRY(presence(&args->cu_seqlens_k, packed, "cu_seqlens_k", "CLATTN_PACKED"));
    TRY(check_rank(desc, rank));

    call->S = ANY, call->T = ANY;
    if (given) {
        rule scores = {"given_scores",        square, rank,  {B, Hq, ANY, ANY},
                       {"B", "Hq", "S", "T"}, false,  false, {t, CLATTN_F32, CLATTN_F32}};
        TRY(view(&call->given_scores, &args->given_scores, &scores));
        B = scores.shape[0], call->S = scores.shape[2], call->T = scores.shape[3];
    } else {
        rule query = {"query", axes,  rank,     {B, Hq, ANY, call->D}, {"B", "Hq", S, "D"},
                      false,   false, {t, t, t}};
        TRY(view(&call->query, &args->query, &query));
        B = query.shape[0], call->S = query.shape[2];
        rule key = {"key", axes,  rank,     {B, Hkv, ANY, call->D}, {"B", "Hkv", T, "D"},
                    false, false, {t, t, t}};
        TRY(view(&call->key, &args->key, &key));
        call->T = key.shape[2];
    }
    call->B = B;
    rule value = {"value", axes,  rank,     {B, Hkv, call->T, call->Dv}, {"B", "Hkv", T, "Dv"},
                  false,   false, {t, t, t}};
    TRY(view(&call->value, &args->value, &value));

    rule mask = {"mask",
                 square,
                 rank,
                 {B, Hq, call->S, call->T},
                 {"B", "Hq", "S", "T"},
                 true,
                 false,
                 {CLATTN_BOOL, CLATTN_F32, t}};
    if (clattn__has(&args->mask))
        TRY(view(&call->mask, &args->mask, &mask));
    rule bias = {"bias",
                 square,
                 rank,
                 {B, Hq, call->S, call->T},
                 {"B", "Hq", "S", "T"},
                 true,
                 false,
                 {CLATTN_F32, t, t}};
    if (clattn__has(&args->bias))
        TRY(view(&call->bias, &args->bias, &bias));
    static const int batch_axis[4] = {0}, head_axis[4] = {1};
    rule lengths = {"kv_lengths",      batch_axis, 1,     {B, 1, 1, 1},
                    {"B", "", "", ""}, false,      false, {CLATTN_I32, CLATTN_I64, CLATTN_I64}};
    if (clattn__has(&args->kv_lengths)) {
        TRY(view(&call->kv_lengths, &args->kv_lengths, &lengths));
        TRY(check_lengths(&call->kv_lengths, call->T));
    }
    if (packed)
        TRY(view_cu_seqlens(call, args));
    const struct {
        const char *name;
        const clattn_tensor *from;
        clattn_tensor *to;
    } per_head[] = {{"alibi_slopes", &args->alibi_slopes, &call->alibi_slopes},
                    {"sinks", &args->sinks, &call->sinks}};
    for (size_t i = 0; i < sizeof per_head / sizeof *per_head; i++) {
        clattn_dtype own =
            clattn__dtype_is_float(per_head[i].from->dtype) ? per_head[i].from->dtype : CLATTN_F32;
        rule numbers = {per_head[i].name,   head_axis, 1,     {1, Hq, 1, 1},
                        {"", "Hq", "", ""}, false,     false, {CLATTN_F32, own, own}};
        if (!clattn__has(per_head[i].from))
            continue;
        TRY(view(per_head[i].to, per_head[i].from, &numbers));
        TRY(check_finite(per_head[i].to, per_head[i].name, t));
    }
done:
    return status;
}

static clattn_status view_outputs(clattn__call *call, const clattn_attention_desc *desc,
                                  const clattn_attention_args *args)
{
    clattn_status status = CLATTN_OK;
    static const int lse_bhs[4] = {0, 1, 2}, lse_bs[4] = {0, 2}, lse_s[4] = {2},
                     lse_packed[4] = {1, 2};
    const bool packed = desc->flags & CLATTN_PACKED;
    uint32_t rank = args->value.rank;
    const int *axes = axes_of(desc, rank), *square = rank == 4 ? axes_bhsd : axes;
    const int *rows = packed ? lse_packed : rank == 4 ? lse_bhs : (rank == 3 ? lse_bs : lse_s);
    const char *letter = packed ? "total_q" : "S";
    clattn_dtype t = desc->dtype, wide = t == CLATTN_F64 ? CLATTN_F64 : CLATTN_F32;
    int64_t B = call->B, Hq = call->Hq, S = call->S, T = call->T;

    TRY(presence(&args->output, desc->outputs & CLATTN_OUTPUT, "output", "CLATTN_OUTPUT"));
    TRY(presence(&args->weights, desc->outputs & CLATTN_WEIGHTS, "weights", "CLATTN_WEIGHTS"));
    TRY(presence(&args->scores, desc->outputs & CLATTN_SCORES, "scores", "CLATTN_SCORES"));
    TRY(presence(&args->lse, desc->outputs & CLATTN_LSE, "lse", "CLATTN_LSE"));
    rule output = {"output", axes, rank,     {B, Hq, S, call->Dv}, {"B", "Hq", letter, "Dv"},
                   false,    true, {t, t, t}};
    if (clattn__has(&args->output))
        TRY(view(&call->output, &args->output, &output));
    rule weights = {"weights", square, rank,     {B, Hq, S, T}, {"B", "Hq", "S", "T"},
                    false,     true,   {t, t, t}};
    if (clattn__has(&args->weights))
        TRY(view(&call->weights, &args->weights, &weights));
    rule scores = {"scores", square, rank,     {B, Hq, S, T}, {"B", "Hq", "S", "T"},
                   false,    true,   {t, t, t}};
    if (clattn__has(&args->scores))
        TRY(view(&call->scores, &args->scores, &scores));
    rule lse = {"lse", rows, rank - 1,          {B, Hq, S, 1}, {"B", "Hq", letter, ""},
                false, true, {wide, wide, wide}};
    if (clattn__has(&args->lse))
        TRY(view(&call->lse, &args->lse, &lse));
    TRY(check_aliases(args));
done:
    return status;
}

clattn_status clattn__call_init(clattn__call *call, const clattn__problem *problem,
                                const clattn_attention_args *given)
{
    clattn_status status = CLATTN_OK;
    const clattn_attention_desc *desc = &problem->desc;
    clattn_attention_args args;
    memset(call, 0, sizeof *call);
    TRY(clattn__struct_copy(&args, sizeof args, given, given->struct_size,
                            "clattn_attention_args"));
    call->Hq = (int64_t)desc->query_heads, call->Hkv = (int64_t)desc->kv_heads;
    call->D = (int64_t)desc->head_size, call->Dv = (int64_t)desc->value_size;
    TRY(view_inputs(call, desc, &args));
    call->all_rows = call->S;
    TRY(view_outputs(call, desc, &args));
done:
    return status;
}

void clattn__tensor_extent(const clattn_tensor *tensor, int64_t *low, int64_t *high)
{
    *low = *high = 0;
    for (uint32_t i = 0; i < tensor->rank; i++) {
        int64_t reach = (tensor->shape[i] - 1) * tensor->strides[i];
        *(reach < 0 ? low : high) += reach;
    }
}

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
    clattn_tensor *of_rows[] = {&slice.query,  &slice.given_scores, &slice.mask,   &slice.bias,
                                &slice.output, &slice.weights,      &slice.scores, &slice.lse};
    clattn_tensor *of_keys[] = {&slice.key, &slice.value};
    clattn_tensor *of_heads[] = {&slice.alibi_slopes, &slice.sinks};
    for (size_t n = 0; n < sizeof of_rows / sizeof *of_rows; n++) {
        cut(of_rows[n], 0, b, batches);
        cut(of_rows[n], 1, h * group, heads * group);
        cut(of_rows[n], 2, i, rows);
    }
    for (size_t n = 0; n < sizeof of_keys / sizeof *of_keys; n++) {
        cut(of_keys[n], 0, b, batches);
        cut(of_keys[n], 1, h, heads);
    }
    for (size_t n = 0; n < sizeof of_heads / sizeof *of_heads; n++)
        cut(of_heads[n], 1, h * group, heads * group);
    cut(&slice.kv_lengths, 0, b, batches);
    slice.B = batches, slice.Hkv = heads, slice.Hq = heads * group, slice.S = rows;
    slice.first_row += i;
    return slice;
}

size_t clattn__call_tensors(clattn__call *call, clattn_tensor *tensors[CLATTN__CALL_TENSORS],
                            const char *names[CLATTN__CALL_TENSORS])
{
    clattn_tensor *all[] = {&call->query,        &call->key,          &call->value,
                            &call->given_scores, &call->mask,         &call->bias,
                            &call->kv_lengths,   &call->alibi_slopes, &call->sinks,
                            &call->cu_seqlens_q, &call->cu_seqlens_k, &call->output,
                            &call->weights,      &call->scores,       &call->lse};
    static const char *const all_names[] = {
        "query",        "key",        "value",        "given_scores", "mask",
        "bias",         "kv_lengths", "alibi_slopes", "sinks",        "cu_seqlens_q",
        "cu_seqlens_k", "output",     "weights",      "scores",       "lse"};
    _Static_assert(sizeof all / sizeof *all == CLATTN__CALL_TENSORS, "a tensor is missing");
    memcpy(tensors, all, sizeof all);
    if (names)
        memcpy(names, all_names, sizeof all_names);
    return 11;
}
