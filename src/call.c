/* call.c: checks the arguments of one run and brings every tensor to four dimensions. */
#include "dtype.h"
#include "keys.h"
#include "problem.h"
#include "rules.h"
#include "try.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

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

/* The tensors of the arguments but parameters, and who writes them. */
typedef enum written_by { NOBODY, FORWARD, BACKWARD } written_by;
#define FIELD(name, by)                                                                            \
    {                                                                                              \
#name, offsetof(clattn_attention_args, name), by                                           \
    }
static const struct {
    const char *name;
    size_t offset;
    written_by by;
} fields[] = {
    FIELD(output, FORWARD),
    FIELD(weights, FORWARD),
    FIELD(scores, FORWARD),
    FIELD(lse, FORWARD),
    FIELD(column_sums, FORWARD),
    FIELD(argmax, FORWARD),
    FIELD(entropy, FORWARD),
    FIELD(grad.query, BACKWARD),
    FIELD(grad.key, BACKWARD),
    FIELD(grad.value, BACKWARD),
    FIELD(grad.given_scores, BACKWARD),
    FIELD(grad.bias, BACKWARD),
    FIELD(grad.alibi_slopes, BACKWARD),
    FIELD(grad.sinks, BACKWARD),
    FIELD(query, NOBODY),
    FIELD(key, NOBODY),
    FIELD(value, NOBODY),
    FIELD(given_scores, NOBODY),
    FIELD(mask, NOBODY),
    FIELD(bias, NOBODY),
    FIELD(kv_lengths, NOBODY),
    FIELD(alibi_slopes, NOBODY),
    FIELD(sinks, NOBODY),
    FIELD(cu_seqlens_q, NOBODY),
    FIELD(cu_seqlens_k, NOBODY),
    FIELD(weights_heads, NOBODY),
    FIELD(weights_rows, NOBODY),
    FIELD(grad.output, NOBODY),
    FIELD(grad.weights, NOBODY),
    FIELD(grad.lse, NOBODY),
};
#define FIELDS (sizeof fields / sizeof *fields)
#define ALL_FIELDS (FIELDS + (size_t)2 * CLATTN__PARAMS)

/* Any of them, those of parameters and their gradients behind the others. */
typedef struct field {
    const char *name;
    const clattn_tensor *tensor;
    bool written;
} field;

static field field_of(const clattn_attention_args *args, const clattn_attention_desc *desc,
                      size_t number)
{
    const bool backward = desc->direction == CLATTN_BACKWARD;
    if (number < FIELDS)
        return (field){
            fields[number].name,
            (const clattn_tensor *)(const void *)((const char *)args + fields[number].offset),
            fields[number].by == (backward ? BACKWARD : FORWARD)};
    const clattn__param param = (clattn__param)((number - FIELDS) / 2);
    if (number % 2 == FIELDS % 2)
        return (field){clattn__param_name(param), clattn__param_given(&args->params, param), false};
    return (field){clattn__param_gradient_name(param),
                   clattn__param_given(&args->grad.params, param), backward};
}

static clattn_status check_aliases(const clattn_attention_args *args,
                                   const clattn_attention_desc *desc)
{
    clattn_status status = CLATTN_OK;
    for (size_t n = 0; n < ALL_FIELDS; n++) {
        const field out = field_of(args, desc, n);
        if (!out.written || !clattn__has(out.tensor) || clattn_tensor_count(out.tensor) == 0)
            continue;
        for (size_t f = 0; f < ALL_FIELDS; f++) {
            const field other = field_of(args, desc, f);
            /* Filters of two channels are one tensor. Two outputs are looked at once. */
            if (other.tensor == out.tensor || (other.written && f < n))
                continue;
            FAIL_IF(clattn__has(other.tensor) && clattn_tensor_count(other.tensor) > 0 &&
                        overlap(out.tensor, other.tensor),
                    CLATTN_E_ARGUMENT, "%s: shares memory with %s, expected memory of its own",
                    out.name, other.name);
        }
    }
done:
    return status;
}

clattn__axes clattn__axes_of(const clattn_attention_desc *desc, uint32_t rank)
{
    static const int bhsd[4] = {0, 1, 2, 3}, bshd[4] = {0, 2, 1, 3}, one_head[4] = {0, 2, 3},
                     matrix[4] = {2, 3}, packed[4] = {2, 1, 3}, rows_bhs[4] = {0, 1, 2},
                     rows_bs[4] = {0, 2}, rows_s[4] = {2}, rows_packed[4] = {1, 2},
                     keys_bht[4] = {0, 1, 3}, keys_bt[4] = {0, 3}, keys_t[4] = {3};
    if (desc->flags & CLATTN_PACKED)
        return (clattn__axes){rank, packed, packed, rows_packed, keys_bt, "total_q", "total_k"};
    if (rank == 4)
        return (clattn__axes){
            rank, desc->layout == CLATTN_BSHD ? bshd : bhsd, bhsd, rows_bhs, keys_bht, "S", "T"};
    if (rank == 3)
        return (clattn__axes){rank, one_head, one_head, rows_bs, keys_bt, "S", "T"};
    return (clattn__axes){rank, matrix, matrix, rows_s, keys_t, "S", "T"};
}

clattn_status clattn__view_wanted(clattn_tensor *view, const clattn_tensor *tensor, bool wanted,
                                  const char *asked_by, clattn__rule rule)
{
    clattn_status status = CLATTN_OK;
    TRY(clattn__check_presence(tensor, wanted, rule.name, asked_by));
    if (wanted)
        TRY(clattn__view_init(view, tensor, &rule));
done:
    return status;
}

static clattn_status check_rank(const clattn_attention_desc *desc, const char *name, uint32_t rank)
{
    clattn_status status = CLATTN_OK;
    const bool packed = desc->flags & CLATTN_PACKED;
    FAIL_IF(packed && rank != 3, CLATTN_E_ARGUMENT,
            "value: rank %u, expected 3 for packed sequences: (total_k, Hkv, Dv)", rank);
    FAIL_IF(rank < 2 || rank > 4, CLATTN_E_ARGUMENT, "%s: rank %u, expected 2, 3 or 4", name, rank);
    FAIL_IF(!packed && rank < 4 && desc->query_heads != 1, CLATTN_E_ARGUMENT,
            "%s: rank %u with %zu heads in the description, expected rank 4", name, rank,
            desc->query_heads);
done:
    return status;
}

static clattn_status view_cu_seqlens(clattn__call *call, const clattn_attention_args *args)
{
    clattn_status status = CLATTN_OK;
    static const int only_axis[4] = {0};
    clattn__rule starts = {
        "cu_seqlens_q",        only_axis, 1,     {CLATTN__ANY, 1, 1, 1},
        {"B + 1", "", "", ""}, false,     false, {CLATTN_I32, CLATTN_I64, CLATTN_I64}};
    TRY(clattn__view_init(&call->cu_seqlens_q, &args->cu_seqlens_q, &starts));
    TRY(clattn__check_cu_seqlens(&call->cu_seqlens_q, starts.name, call->S, "query"));
    starts.name = "cu_seqlens_k";
    TRY(clattn__view_init(&call->cu_seqlens_k, &args->cu_seqlens_k, &starts));
    TRY(clattn__check_cu_seqlens(&call->cu_seqlens_k, starts.name, call->T, "key"));
done:
    return status;
}

/* Also tells T. */
static clattn_status view_key(clattn__call *call, const clattn_attention_desc *desc,
                              const clattn_tensor *key, int64_t B, uint32_t rank)
{
    clattn_status status = CLATTN_OK;
    const clattn_dtype t = desc->dtype;
    clattn__rule rule = {"key",
                         clattn__axes_of(desc, rank).own,
                         rank,
                         {B, call->Hkv, CLATTN__ANY, call->Dk},
                         {"B", "Hkv", desc->flags & CLATTN_PACKED ? "total_k" : "T",
                          call->Dk == call->D ? "D" : "Dk"},
                         false,
                         false,
                         {t, t, t}};
    TRY(clattn__view_init(&call->key, key, &rule));
    call->T = call->key.shape[2];
done:
    return status;
}

/* The tensors that every description has a rule for; `rank` is that of value. */
static clattn_status view_inputs(clattn__call *call, const clattn_attention_desc *desc,
                                 const clattn_attention_args *args)
{
    clattn_status status = CLATTN_OK;
    const bool given = desc->score == CLATTN_SCORE_GIVEN,
               location = desc->score == CLATTN_SCORE_LOCATION,
               packed = desc->flags & CLATTN_PACKED,
               projected = desc->flags & CLATTN_PROJECTED_KEYS;
    const uint32_t rank = args->value.rank;
    const clattn__axes axes = clattn__axes_of(desc, rank);
    int64_t B = rank == 2 || packed ? 1 : CLATTN__ANY, Hq = (int64_t)desc->query_heads,
            Hkv = (int64_t)desc->kv_heads;
    clattn_dtype t = desc->dtype;

    TRY(clattn__check_presence(&args->query, !given, "query", "score"));
    TRY(clattn__check_presence(&args->key,
                               !given && !projected && (clattn__has(&args->key) || !location),
                               "key", projected ? "CLATTN_PROJECTED_KEYS" : "score"));
    FAIL_IF(args->projected_keys && !projected, CLATTN_E_ARGUMENT,
            "projected_keys: given, but the description does not ask for it "
            "(CLATTN_PROJECTED_KEYS)");
    TRY(clattn__check_presence(&args->given_scores, given, "given_scores", "CLATTN_SCORE_GIVEN"));
    TRY(clattn__check_presence(&args->value, true, "value", "always"));
    TRY(clattn__check_presence(&args->mask, desc->flags & CLATTN_MASK, "mask", "CLATTN_MASK"));
    TRY(clattn__check_presence(&args->bias, desc->flags & CLATTN_BIAS, "bias", "CLATTN_BIAS"));
    TRY(clattn__check_presence(&args->kv_lengths, desc->flags & CLATTN_KV_LENGTHS, "kv_lengths",
                               "CLATTN_KV_LENGTHS"));
    TRY(clattn__check_presence(&args->alibi_slopes, desc->flags & CLATTN_ALIBI, "alibi_slopes",
                               "CLATTN_ALIBI"));
    TRY(clattn__check_presence(&args->sinks, desc->flags & CLATTN_SINKS, "sinks", "CLATTN_SINKS"));
    TRY(clattn__check_presence(&args->cu_seqlens_q, packed, "cu_seqlens_q", "CLATTN_PACKED"));
    TRY(clattn__check_presence(&args->cu_seqlens_k, packed, "cu_seqlens_k", "CLATTN_PACKED"));
    TRY(check_rank(desc, "value", rank));

    call->S = CLATTN__ANY, call->T = CLATTN__ANY;
    if (given) {
        clattn__rule scores = {
            "given_scores",        axes.square, rank,  {B, Hq, CLATTN__ANY, CLATTN__ANY},
            {"B", "Hq", "S", "T"}, false,       false, {t, CLATTN_F32, CLATTN_F32}};
        TRY(clattn__view_init(&call->given_scores, &args->given_scores, &scores));
        B = scores.shape[0], call->S = scores.shape[2], call->T = scores.shape[3];
    } else {
        clattn__rule query = {
            "query", axes.own, rank,     {B, Hq, CLATTN__ANY, call->D}, {"B", "Hq", axes.S, "D"},
            false,   false,    {t, t, t}};
        TRY(clattn__view_init(&call->query, &args->query, &query));
        B = query.shape[0], call->S = query.shape[2];
        if (projected) {
            TRY(clattn__keys_check(args->projected_keys, desc, B));
            call->key = args->projected_keys->key;
            call->params[args->projected_keys->param] = args->projected_keys->matrix;
            call->key_forms = args->projected_keys->made.forms;
            call->key_extents = args->projected_keys->made.extents;
            call->T = args->projected_keys->T;
        }
        if (clattn__has(&args->key))
            TRY(view_key(call, desc, &args->key, B, rank));
    }
    call->B = B;
    clattn__rule value = {
        "value", axes.own, rank,     {B, Hkv, call->T, call->Dv}, {"B", "Hkv", axes.T, "Dv"},
        false,   false,    {t, t, t}};
    TRY(clattn__view_init(&call->value, &args->value, &value));
    call->T = value.shape[2];

    clattn__rule mask = {"mask",
                         axes.square,
                         rank,
                         {B, Hq, call->S, call->T},
                         {"B", "Hq", "S", "T"},
                         true,
                         false,
                         {CLATTN_BOOL, CLATTN_F32, t}};
    if (clattn__has(&args->mask))
        TRY(clattn__view_init(&call->mask, &args->mask, &mask));
    clattn__rule bias = {
        "bias", axes.square,       rank, {B, Hq, call->S, call->T}, {"B", "Hq", "S", "T"}, true,
        false,  {CLATTN_F32, t, t}};
    if (clattn__has(&args->bias))
        TRY(clattn__view_init(&call->bias, &args->bias, &bias));
    static const int batch_axis[4] = {0}, head_axis[4] = {1};
    clattn__rule lengths = {
        "kv_lengths",      batch_axis, 1,     {B, 1, 1, 1},
        {"B", "", "", ""}, false,      false, {CLATTN_I32, CLATTN_I64, CLATTN_I64}};
    if (clattn__has(&args->kv_lengths)) {
        TRY(clattn__view_init(&call->kv_lengths, &args->kv_lengths, &lengths));
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
        clattn__rule numbers = {per_head[i].name,   head_axis, 1,     {1, Hq, 1, 1},
                                {"", "Hq", "", ""}, false,     false, {CLATTN_F32, own, own}};
        if (!clattn__has(per_head[i].from))
            continue;
        TRY(clattn__view_init(per_head[i].to, per_head[i].from, &numbers));
        TRY(clattn__check_finite(per_head[i].to, per_head[i].name, t));
    }
done:
    return status;
}

/* Of which heads or rows weights are given out, and how many these are. */
static clattn_status view_chosen(clattn_tensor *view, const clattn_tensor *tensor, bool wanted,
                                 const char *name, const char *flag, int64_t *length)
{
    clattn_status status = CLATTN_OK;
    static const int only_axis[4] = {3};
    int64_t before = -1;
    clattn__rule numbers = {name,
                            only_axis,
                            1,
                            {1, 1, 1, CLATTN__ANY},
                            {"", "", "", "n"},
                            false,
                            false,
                            {CLATTN_I32, CLATTN_I64, CLATTN_I64}};
    TRY(clattn__check_presence(tensor, wanted, name, flag));
    if (!wanted)
        goto done;
    TRY(clattn__view_init(view, tensor, &numbers));
    for (int64_t n = 0; view->host && n < view->shape[3]; n++) {
        const int64_t index =
            clattn__integer_load(view->dtype, view->host, (size_t)clattn__at(view, 0, 0, 0, n));
        FAIL_IF(index <= before || index >= *length, CLATTN_E_ARGUMENT,
                "%s: element %lld is %lld, expected rising numbers from 0 to %lld", name,
                (long long)n, (long long)index, (long long)*length - 1);
        before = index;
    }
    *length = view->shape[3];
done:
    return status;
}

static clattn_status view_output(clattn_tensor *view, const clattn_tensor *tensor,
                                 const clattn_attention_desc *desc, uint32_t output,
                                 const char *asked_by, clattn__rule rule)
{
    rule.written = true;
    return clattn__view_wanted(view, tensor, desc->outputs & output, asked_by, rule);
}

#define VIEW_OUTPUT(name, output, ...)                                                             \
    TRY(view_output(&call->name, &args->name, desc, output, #output,                               \
                    (clattn__rule){#name, __VA_ARGS__}))

static clattn_status view_outputs(clattn__call *call, const clattn_attention_desc *desc,
                                  const clattn_attention_args *args)
{
    clattn_status status = CLATTN_OK;
    const clattn__axes axes = clattn__axes_of(desc, args->value.rank);
    const uint32_t rank = axes.rank, fewer = rank - 1;
    const clattn_dtype t = desc->dtype, wide = t == CLATTN_F64 ? CLATTN_F64 : CLATTN_F32;
    const int64_t B = call->B, Hq = call->Hq, S = call->S, T = call->T;
    int64_t heads = Hq, chosen = S;
    TRY(view_chosen(&call->weights_heads, &args->weights_heads, desc->flags & CLATTN_WEIGHTS_HEADS,
                    "weights_heads", "CLATTN_WEIGHTS_HEADS", &heads));
    FAIL_IF(rank < 4 && !(desc->flags & CLATTN_PACKED) && heads != 1, CLATTN_E_ARGUMENT,
            "weights_heads: shape (%lld), expected (1), as weights of rank %u have one head",
            (long long)heads, rank);
    TRY(view_chosen(&call->weights_rows, &args->weights_rows, desc->flags & CLATTN_WEIGHTS_ROWS,
                    "weights_rows", "CLATTN_WEIGHTS_ROWS", &chosen));
    VIEW_OUTPUT(output, CLATTN_OUTPUT, axes.own, rank, {B, Hq, S, call->Dv},
                {"B", "Hq", axes.S, "Dv"}, .dtypes = {t, t, t});
    VIEW_OUTPUT(weights, CLATTN_WEIGHTS, axes.square, rank, {B, heads, chosen, T},
                {"B", "Hq", "S", "T"}, .dtypes = {t, t, t});
    VIEW_OUTPUT(scores, CLATTN_SCORES, axes.square, rank, {B, Hq, S, T}, {"B", "Hq", "S", "T"},
                .dtypes = {t, t, t});
    VIEW_OUTPUT(lse, CLATTN_LSE, axes.rows, fewer, {B, Hq, S, 1}, {"B", "Hq", axes.S, ""},
                .dtypes = {wide, wide, wide});
    VIEW_OUTPUT(column_sums, CLATTN_COLUMN_SUMS, axes.keys, fewer, {B, Hq, 1, T},
                {"B", "Hq", "", "T"}, .dtypes = {wide, wide, wide});
    VIEW_OUTPUT(argmax, CLATTN_ARGMAX, axes.rows, fewer, {B, Hq, S, 1}, {"B", "Hq", "S", ""},
                .dtypes = {CLATTN_I32, CLATTN_I64, CLATTN_I64});
    VIEW_OUTPUT(entropy, CLATTN_ENTROPY, axes.rows, fewer, {B, Hq, S, 1}, {"B", "Hq", "S", ""},
                .dtypes = {wide, wide, wide});
done:
    return status;
}

/* The caller's arguments, and the sizes that the description tells. */
static clattn_status begin(clattn__call *call, clattn_attention_args *args,
                           const clattn_attention_desc *desc, const clattn_attention_args *given)
{
    *call = (clattn__call){.Hq = (int64_t)desc->query_heads,
                           .Hkv = (int64_t)desc->kv_heads,
                           .D = (int64_t)desc->head_size,
                           .Dk = (int64_t)desc->key_size,
                           .Dv = (int64_t)desc->value_size};
    return clattn__struct_copy(args, sizeof *args, given, given->struct_size,
                               "clattn_attention_args");
}

clattn_status clattn__call_init(clattn__call *call, const clattn__problem *problem,
                                const clattn_attention_args *given)
{
    clattn_status status = CLATTN_OK;
    const clattn_attention_desc *desc = &problem->desc;
    clattn_attention_args args;
    TRY(begin(call, &args, desc, given));
    TRY(view_inputs(call, desc, &args));
    TRY(clattn__call_params(call, desc, &args.params));
    call->all_rows = call->S;
    call->all_heads = call->Hq;
    call->all_batches = call->B;
    call->backward = clattn__is_backward(problem);
    call->dropout = (clattn_dropout){.threshold = llround(desc->dropout * 0x1p32),
                                     .seed = (int64_t)args.dropout_seed,
                                     .offset = (int64_t)args.dropout_offset,
                                     .heads = call->Hq,
                                     .rows = call->S,
                                     .keys = call->T};
    TRY(call->backward ? clattn__call_gradients(call, desc, &args)
                       : view_outputs(call, desc, &args));
    TRY(check_aliases(&args, desc));
done:
    return status;
}

clattn_status clattn__call_init_keys(clattn__call *call, const clattn__problem *problem,
                                     const clattn_attention_args *given)
{
    clattn_status status = CLATTN_OK;
    const clattn_attention_desc *desc = &problem->desc;
    clattn_attention_args args;
    TRY(begin(call, &args, desc, given));
    TRY(clattn__check_presence(&args.key, true, "key", "CLATTN_PROJECTED_KEYS"));
    TRY(check_rank(desc, "key", args.key.rank));
    TRY(view_key(call, desc, &args.key, args.key.rank == 2 ? 1 : CLATTN__ANY, args.key.rank));
    call->B = call->key.shape[0];
    TRY(clattn__call_keys(call, desc, &args));
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
