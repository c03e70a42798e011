/* call.c: checks the arguments of one run and brings every tensor to four dimensions. */
#include "dtype.h"
#include "keys.h"
#include "problem.h"
#include "rules.h"
#include "try.h"

#include <stddef.h>
#include <string.h>

/* Which axes of (B, H, rows, columns) a tensor's own
 * dimensions are, by the rank of query and value. */
static const int axes_bhsd[4] = {0, 1, 2, 3}, axes_bshd[4] = {0, 2, 1, 3},
                 axes_one_head[4] = {0, 2, 3}, axes_matrix[4] = {2, 3}, axes_packed[4] = {2, 1, 3};

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

/* The tensors of the arguments, outputs first. */
#define OUTPUTS 7
#define FIELD(name)                                                                                \
    {                                                                                              \
#name, offsetof(clattn_attention_args, name)                                               \
    }
static const struct {
    const char *name;
    size_t offset;
} fields[] = {
    FIELD(output),
    FIELD(weights),
    FIELD(scores),
    FIELD(lse),
    FIELD(column_sums),
    FIELD(argmax),
    FIELD(entropy),
    FIELD(query),
    FIELD(key),
    FIELD(value),
    FIELD(given_scores),
    FIELD(mask),
    FIELD(bias),
    FIELD(kv_lengths),
    FIELD(alibi_slopes),
    FIELD(sinks),
    FIELD(cu_seqlens_q),
    FIELD(cu_seqlens_k),
    FIELD(weights_heads),
    FIELD(weights_rows),
    FIELD(params.weight),
    FIELD(params.w_query),
    FIELD(params.w_key),
    FIELD(params.v),
    FIELD(params.bias),
    FIELD(params.g),
    FIELD(params.conv),
    FIELD(params.w_location),
    FIELD(params.w_coverage),
    FIELD(params.beta),
    FIELD(params.gamma),
    FIELD(params.previous_weights),
    FIELD(params.cumulative_weights),
    FIELD(params.coverage),
};

static const clattn_tensor *field_of(const clattn_attention_args *args, size_t field)
{
    return (const clattn_tensor *)(const void *)((const char *)args + fields[field].offset);
}

static clattn_status check_aliases(const clattn_attention_args *args)
{
    clattn_status status = CLATTN_OK;
    for (size_t out = 0; out < OUTPUTS; out++) {
        const clattn_tensor *written = field_of(args, out);
        if (!clattn__has(written) || clattn_tensor_count(written) == 0)
            continue;
        for (size_t f = out + 1; f < sizeof fields / sizeof *fields; f++) {
            const clattn_tensor *other = field_of(args, f);
            FAIL_IF(clattn__has(other) && clattn_tensor_count(other) > 0 && overlap(written, other),
                    CLATTN_E_ARGUMENT, "%s: shares memory with %s, expected memory of its own",
                    fields[out].name, fields[f].name);
        }
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
                         axes_of(desc, rank),
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
    uint32_t rank = args->value.rank;
    const int *axes = axes_of(desc, rank), *square = rank == 4 ? axes_bhsd : axes;
    const char *S = packed ? "total_q" : "S", *T = packed ? "total_k" : "T";
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
            "given_scores",        square, rank,  {B, Hq, CLATTN__ANY, CLATTN__ANY},
            {"B", "Hq", "S", "T"}, false,  false, {t, CLATTN_F32, CLATTN_F32}};
        TRY(clattn__view_init(&call->given_scores, &args->given_scores, &scores));
        B = scores.shape[0], call->S = scores.shape[2], call->T = scores.shape[3];
    } else {
        clattn__rule query = {
            "query", axes,  rank,     {B, Hq, CLATTN__ANY, call->D}, {"B", "Hq", S, "D"},
            false,   false, {t, t, t}};
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
        "value", axes,  rank,     {B, Hkv, call->T, call->Dv}, {"B", "Hkv", T, "Dv"},
        false,   false, {t, t, t}};
    TRY(clattn__view_init(&call->value, &args->value, &value));
    call->T = value.shape[2];

    clattn__rule mask = {"mask",
                         square,
                         rank,
                         {B, Hq, call->S, call->T},
                         {"B", "Hq", "S", "T"},
                         true,
                         false,
                         {CLATTN_BOOL, CLATTN_F32, t}};
    if (clattn__has(&args->mask))
        TRY(clattn__view_init(&call->mask, &args->mask, &mask));
    clattn__rule bias = {"bias",
                         square,
                         rank,
                         {B, Hq, call->S, call->T},
                         {"B", "Hq", "S", "T"},
                         true,
                         false,
                         {CLATTN_F32, t, t}};
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

static clattn_status view_outputs(clattn__call *call, const clattn_attention_desc *desc,
                                  const clattn_attention_args *args)
{
    clattn_status status = CLATTN_OK;
    static const int rows_bhs[4] = {0, 1, 2}, rows_bs[4] = {0, 2}, rows_s[4] = {2},
                     rows_packed[4] = {1, 2}, keys_bht[4] = {0, 1, 3}, keys_bt[4] = {0, 3},
                     keys_t[4] = {3};
    const bool packed = desc->flags & CLATTN_PACKED;
    uint32_t rank = args->value.rank;
    const int *axes = axes_of(desc, rank), *square = rank == 4 ? axes_bhsd : axes;
    const int *rows = packed      ? rows_packed
                      : rank == 4 ? rows_bhs
                      : rank == 3 ? rows_bs
                                  : rows_s,
              *keys = rank == 4   ? keys_bht
                      : rank == 3 ? keys_bt
                                  : keys_t;
    const char *letter = packed ? "total_q" : "S";
    clattn_dtype t = desc->dtype, wide = t == CLATTN_F64 ? CLATTN_F64 : CLATTN_F32;
    int64_t B = call->B, Hq = call->Hq, S = call->S, T = call->T, heads = Hq, chosen = S;
    TRY(view_chosen(&call->weights_heads, &args->weights_heads, desc->flags & CLATTN_WEIGHTS_HEADS,
                    "weights_heads", "CLATTN_WEIGHTS_HEADS", &heads));
    TRY(view_chosen(&call->weights_rows, &args->weights_rows, desc->flags & CLATTN_WEIGHTS_ROWS,
                    "weights_rows", "CLATTN_WEIGHTS_ROWS", &chosen));
    const struct {
        const clattn_tensor *from;
        clattn_tensor *to;
        uint32_t output;
        const char *asked_by;
        clattn__rule rule;
    } outputs[OUTPUTS] = {
        {&args->output,
         &call->output,
         CLATTN_OUTPUT,
         "CLATTN_OUTPUT",
         {"output",
          axes,
          rank,
          {B, Hq, S, call->Dv},
          {"B", "Hq", letter, "Dv"},
          false,
          true,
          {t, t, t}}},
        {&args->weights,
         &call->weights,
         CLATTN_WEIGHTS,
         "CLATTN_WEIGHTS",
         {"weights",
          square,
          rank,
          {B, heads, chosen, T},
          {"B", "Hq", "S", "T"},
          false,
          true,
          {t, t, t}}},
        {&args->scores,
         &call->scores,
         CLATTN_SCORES,
         "CLATTN_SCORES",
         {"scores", square, rank, {B, Hq, S, T}, {"B", "Hq", "S", "T"}, false, true, {t, t, t}}},
        {&args->lse,
         &call->lse,
         CLATTN_LSE,
         "CLATTN_LSE",
         {"lse",
          rows,
          rank - 1,
          {B, Hq, S, 1},
          {"B", "Hq", letter, ""},
          false,
          true,
          {wide, wide, wide}}},
        {&args->column_sums,
         &call->column_sums,
         CLATTN_COLUMN_SUMS,
         "CLATTN_COLUMN_SUMS",
         {"column_sums",
          keys,
          rank - 1,
          {B, Hq, 1, T},
          {"B", "Hq", "", "T"},
          false,
          true,
          {wide, wide, wide}}},
        {&args->argmax,
         &call->argmax,
         CLATTN_ARGMAX,
         "CLATTN_ARGMAX",
         {"argmax",
          rows,
          rank - 1,
          {B, Hq, S, 1},
          {"B", "Hq", "S", ""},
          false,
          true,
          {CLATTN_I32, CLATTN_I64, CLATTN_I64}}},
        {&args->entropy,
         &call->entropy,
         CLATTN_ENTROPY,
         "CLATTN_ENTROPY",
         {"entropy",
          rows,
          rank - 1,
          {B, Hq, S, 1},
          {"B", "Hq", "S", ""},
          false,
          true,
          {wide, wide, wide}}},
    };
    for (size_t o = 0; o < OUTPUTS; o++) {
        clattn__rule rule = outputs[o].rule;
        TRY(clattn__check_presence(outputs[o].from, desc->outputs & outputs[o].output, rule.name,
                                   outputs[o].asked_by));
        if (clattn__has(outputs[o].from))
            TRY(clattn__view_init(outputs[o].to, outputs[o].from, &rule));
    }
    TRY(check_aliases(args));
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
    TRY(view_outputs(call, desc, &args));
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
    _Static_assert(INPUTS + CLATTN__PARAMS + OUTPUTS == CLATTN__CALL_TENSORS,
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
