/* cases.c: makes the tensors of a case; the tables are in case_tables.c. */
#include "cases.h"

#include "problem.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* xorshift64* (Vigna, arXiv:1402.6246), then twelve uniform
 * numbers for a nearly normal one: the same everywhere. */
static double uniform(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (double)(*state * 0x2545f4914f6cdd1dULL >> 11) * 0x1p-53;
}

static double normal(uint64_t *state)
{
    double sum = -6;
    for (int n = 0; n < 12; n++)
        sum += uniform(state);
    return sum;
}

/* A NaN of f32 with all bits set, which arithmetic on bits turns into a number. */
static double nan_with_payload(void)
{
    const uint32_t bits = 0x7fffffff;
    float value;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

/* What an argmax holds before it is written: no key, and not what stands for none. */
#define NO_KEY (-7.0)

static double tiny_number(clattn_dtype dtype)
{
    switch (dtype) {
    case CLATTN_F16:
        return 0x1p-20;
    case CLATTN_F64:
        return 0x1p-1060;
    default:
        return 0x1p-130;
    }
}

static double lowest_number(clattn_dtype dtype)
{
    switch (dtype) {
    case CLATTN_F16:
        return -65504.0;
    case CLATTN_BF16:
        return -0x1.fep127;
    default:
        return -0x1.fffffep127;
    }
}

static void fill(const clattn_tensor *tensor, const clattn_case *from, double spread,
                 uint64_t *seed)
{
    const size_t count = clattn_tensor_count(tensor);
    for (size_t i = 0; i < count; i++) {
        double value = spread * normal(seed);
        if (from->fill == FILL_CONSTANT)
            value = 0.5;
        if (from->fill == FILL_POSITIVE)
            value = uniform(seed);
        if (from->fill == FILL_DENORMAL && i % 2)
            value *= tiny_number(tensor->dtype);
        host_tensor_set(tensor, i, value);
    }
}

static void fill_scores(const clattn_tensor *tensor, const clattn_case *from, uint64_t *seed)
{
    fill(tensor, from, from->fill == FILL_HUGE ? 1e4 : 1.0, seed);
    const size_t count = clattn_tensor_count(tensor), T = (size_t)tensor->shape[tensor->rank - 1];
    for (size_t i = 0; i < count; i++) {
        if (from->fill == FILL_EXTREME)
            host_tensor_set(tensor, i, uniform(seed) < 0.5 ? -3e38 : 3e38);
        if (from->fill >= FILL_MINUS_INF_SCORES && (i % 3 == 0 || i / T % 4 == 0))
            host_tensor_set(tensor, i, -(double)INFINITY);
        if (from->fill == FILL_NAN_LAST && i % T == T - 1)
            host_tensor_set(tensor, i, nan_with_payload());
        if (from->fill == FILL_INF_LAST && i % T == T - 1)
            host_tensor_set(tensor, i, (double)INFINITY);
    }
}

/* Writes over the last `keys` keys of each head of a key or value tensor of rank 4 or less. */
static void spoil_last_keys(const clattn_tensor *tensor, const clattn_case *from, size_t keys,
                            double value)
{
    const uint32_t axis = from->packed                                       ? 0
                          : from->layout == CLATTN_BSHD && tensor->rank == 4 ? 1
                                                                             : tensor->rank - 2;
    const size_t count = clattn_tensor_count(tensor);
    size_t inner = 1;
    for (uint32_t a = axis + 1; a < tensor->rank; a++)
        inner *= (size_t)tensor->shape[a];
    for (size_t i = 0; i < count; i++)
        if (i / inner % (size_t)tensor->shape[axis] + keys >= (size_t)tensor->shape[axis])
            host_tensor_set(tensor, i, value);
}

/* Masks hide the last key from all, so that what a fill puts there stays behind them. */
static void fill_mask(const clattn_tensor *mask, const clattn_case *from, uint64_t *seed)
{
    const size_t count = clattn_tensor_count(mask), last = (size_t)mask->shape[mask->rank - 1];
    for (size_t i = 0; i < count; i++) {
        bool hidden = uniform(seed) < 0.25 || (last > 1 && i % last == last - 1);
        if (from->mask == MASK_NONE_VISIBLE)
            hidden = i % 2 == 0;
        if (mask->dtype == CLATTN_BOOL)
            host_tensor_set(mask, i, !hidden);
        else if (hidden)
            host_tensor_set(mask, i,
                            from->mask == MASK_FLOAT_LOWEST ? lowest_number(from->dtype)
                                                            : -(double)INFINITY);
        else
            host_tensor_set(mask, i, from->mask == MASK_FLOAT_LOWEST ? 0.0 : normal(seed));
    }
}

/* 0 asks for the default, -1 for an empty dimension. */
static int64_t size_or(int64_t size, int64_t otherwise)
{
    return size < 0 ? 0 : size ? size : otherwise;
}

typedef struct sizes {
    int64_t B, Hq, Hkv, S, T, D, Dk, Dv, A;
} sizes;

static sizes sizes_of(const clattn_case *from)
{
    sizes n = {.B = size_or(from->B, 1),
               .Hq = size_or(from->Hq, 1),
               .S = size_or(from->S, 5),
               .D = size_or(from->D, 8)};
    n.Hkv = size_or(from->Hkv, n.Hq);
    n.T = size_or(from->T, n.S);
    n.Dv = size_or(from->Dv, n.D);
    n.Dk = size_or(from->Dk, n.D);
    n.A = clattn__is_additive(from->score) ? size_or(from->A, 8) : 0;
    if (!from->packed)
        return n;
    n.B = n.S = n.T = 0;
    for (; from->packed[n.B].S >= 0; n.B++)
        n.S += from->packed[n.B].S, n.T += from->packed[n.B].T;
    return n;
}

/* Writes over a packed query, key or value of every second sequence. */
static void spoil_sequences(const clattn_tensor *tensor, const clattn_case *from, bool of_keys,
                            double value)
{
    const int64_t inner = tensor->shape[1] * tensor->shape[2];
    int64_t first = 0;
    for (int64_t b = 0; from->packed[b].S >= 0; b++) {
        const int64_t end = first + (of_keys ? from->packed[b].T : from->packed[b].S);
        for (int64_t i = first * inner; b % 2 && i < end * inner; i++)
            host_tensor_set(tensor, (size_t)i, value);
        first = end;
    }
}

static void make_starts(host_call *out, const clattn_case *from, const sizes *n)
{
    clattn_tensor *const made[] = {&out->args.cu_seqlens_q, &out->args.cu_seqlens_k};
    const int64_t count = n->B + 1;
    for (size_t t = 0; t < 2; t++) {
        int64_t first = 0;
        *made[t] =
            host_call_tensor(out, from->lengths == LENGTHS_RAGGED_I64 ? CLATTN_I64 : CLATTN_I32, 1,
                             &count, STRIDES_DENSE);
        for (int64_t b = 0; b <= n->B; b++) {
            host_tensor_set(made[t], (size_t)b, (double)first);
            first += b == n->B ? 0 : t ? from->packed[b].T : from->packed[b].S;
        }
    }
}

static void make_lengths(host_call *out, const clattn_case *from, int64_t B, int64_t T)
{
    clattn_tensor lengths = host_call_tensor(
        out, from->lengths == LENGTHS_RAGGED_I64 ? CLATTN_I64 : CLATTN_I32, 1, &B, STRIDES_DENSE);
    for (int64_t b = 0; b < B; b++) {
        int64_t length = B > 1 ? b * (T - 1) / (B - 1) : T - 1;
        if (from->lengths == LENGTHS_ALL)
            length = T;
        if (from->lengths == LENGTHS_NONE)
            length = 0;
        host_tensor_set(&lengths, (size_t)b, (double)length);
    }
    out->args.kv_lengths = lengths;
}

/* A tensor of the case's rank, from its four canonical dimensions. */
static clattn_tensor make(host_call *out, const clattn_case *from, clattn_dtype dtype,
                          bool has_layout, int64_t heads, int64_t B, int64_t rows, int64_t columns)
{
    const uint32_t rank = from->rank ? from->rank : 4;
    const bool swap = has_layout && from->layout == CLATTN_BSHD;
    if (from->packed)
        return host_call_tensor(out, dtype, 3, (int64_t[]){rows, heads, columns}, from->strides);
    const int64_t four[] = {B, swap ? rows : heads, swap ? heads : rows, columns},
                  fewer[] = {B, rows, columns};
    return host_call_tensor(out, dtype, rank, rank == 4 ? four : fewer + (3 - rank), from->strides);
}

static void make_inputs(host_call *out, const clattn_case *from, const sizes *n, uint64_t *seed)
{
    clattn_attention_args *args = &out->args;
    const clattn_dtype t = from->dtype;
    const double spread = from->fill == FILL_HUGE ? 100.0 : 1.0;
    if (from->score == CLATTN_SCORE_GIVEN) {
        args->given_scores = make(out, from, t, false, n->Hq, n->B, n->S, n->T);
        fill_scores(&args->given_scores, from, seed);
    } else {
        args->query = make(out, from, t, true, n->Hq, n->B, n->S, n->D);
        if (from->score != CLATTN_SCORE_LOCATION)
            args->key = make(out, from, t, true, n->Hkv, n->B, n->T, n->Dk);
        fill(&args->query, from, spread, seed);
        fill(&args->key, from, spread, seed);
        if (from->fill == FILL_NAN_LAST && args->key.rank)
            spoil_last_keys(&args->key, from, 1, nan_with_payload());
        if (from->fill == FILL_INF_KEY)
            spoil_last_keys(&args->key, from, 1, (double)INFINITY);
    }
    args->value = make(out, from, t, true, n->Hkv, n->B, n->T, n->Dv);
    fill(&args->value, from, 1.0, seed);
    for (size_t i = 0; i < clattn_tensor_count(&args->value); i++)
        if (from->fill == FILL_HUGE_VALUES)
            host_tensor_set(&args->value, i, 3e38);
        else if (from->fill == FILL_TINY_VALUES)
            host_tensor_set(&args->value, i, 1e-37 * host_tensor_get(&args->value, i));
    if (from->fill == FILL_NAN_LAST || from->fill == FILL_MINUS_INF_SCORES_NAN_LAST)
        spoil_last_keys(&args->value, from, 1, nan_with_payload());
    if (from->fill == FILL_NAN_SEQUENCES) {
        spoil_sequences(&args->query, from, false, nan_with_payload());
        spoil_sequences(&args->key, from, true, nan_with_payload());
        spoil_sequences(&args->value, from, true, nan_with_payload());
    }
    if (from->fill == FILL_INF_SEQUENCES)
        spoil_sequences(&args->value, from, true, (double)INFINITY);
    if (from->fill == FILL_HUGE_LAST)
        spoil_last_keys(&args->value, from, 8, 3e38);
    if (from->fill == FILL_INF_LAST)
        spoil_last_keys(&args->value, from, 1, (double)INFINITY);
}

/* A parameter of the shape (rows, columns), (columns) where rows is 0, with an axis of heads in front
 * where heads differ. */
static clattn_tensor make_param(host_call *out, const clattn_case *from, const sizes *n,
                                int64_t rows, int64_t columns, double spread, uint64_t *seed)
{
    int64_t shape[3];
    uint32_t rank = 0;
    if (from->params & PARAMS_OF_HEADS)
        shape[rank++] = n->Hq;
    if (rows)
        shape[rank++] = rows;
    shape[rank++] = columns;
    /* Of any float type, whatever the call's; f64 keeps what f32 would round. */
    const clattn_dtype dtype = from->strides == STRIDES_DENSE ? CLATTN_F32 : from->dtype;
    clattn_tensor made = host_call_tensor(out, dtype, rank, shape, from->strides);
    for (size_t i = 0; i < clattn_tensor_count(&made); i++)
        host_tensor_set(&made, i, spread * normal(seed));
    return made;
}

/* Positive numbers. */
static clattn_tensor make_numbers(host_call *out, uint32_t rank, const int64_t *shape,
                                  uint64_t *seed)
{
    clattn_tensor made = host_call_tensor(out, CLATTN_F32, rank, shape, STRIDES_DENSE);
    for (size_t i = 0; i < clattn_tensor_count(&made); i++)
        host_tensor_set(&made, i, 0.25 + uniform(seed));
    return made;
}

/* Weights of earlier steps, which add up to about 1 for each step. */
static clattn_tensor make_seen(host_call *out, const clattn_case *from, const sizes *n,
                               uint64_t *seed)
{
    const bool heads = from->params & PARAMS_OF_HEADS;
    const int64_t all[] = {n->B, n->Hq, n->T}, some[] = {n->B, n->T};
    clattn_tensor made =
        host_call_tensor(out, from->dtype, heads ? 3 : 2, heads ? all : some, from->strides);
    for (size_t i = 0; i < clattn_tensor_count(&made); i++)
        host_tensor_set(&made, i, 2.0 * uniform(seed) / (double)n->T);
    return made;
}

static void make_params(host_call *out, const clattn_case *from, const sizes *n, uint64_t *seed)
{
    clattn_score_params *p = &out->args.params;
    const double of_query = from->param_spread > 0 ? from->param_spread : 1 / sqrt((double)n->D),
                 of_key = from->param_spread > 0 ? from->param_spread : 1 / sqrt((double)n->Dk);
    const int64_t rows[] = {n->B, n->Hq, n->S}, fewer[] = {n->B, n->S}, one = 1;
    const bool heads = from->params & PARAMS_OF_HEADS;
    if (from->score == CLATTN_SCORE_GENERAL)
        p->weight = make_param(out, from, n, n->D, n->Dk, of_query, seed);
    if (from->score == CLATTN_SCORE_LOCATION)
        p->weight = make_param(out, from, n, n->T + 3, n->D, of_query, seed);
    if (from->score == CLATTN_SCORE_COSINE && from->params & PARAM_OF_ROWS)
        p->beta = make_numbers(out, heads ? 3 : 2, heads ? rows : fewer, seed);
    else if (from->score == CLATTN_SCORE_COSINE)
        p->beta = make_numbers(out, 1, heads ? &n->Hq : &one, seed);
    if (from->score == CLATTN_SCORE_RBF)
        p->gamma = make_numbers(out, 1, heads ? &n->Hq : &one, seed);
    if (!clattn__is_additive(from->score))
        return;
    p->w_query = make_param(out, from, n, n->A, n->D, of_query, seed);
    p->w_key = make_param(out, from, n, n->A, n->Dk, of_key, seed);
    p->v = make_param(out, from, n, 0, n->A, from->v_spread > 0 ? from->v_spread : 1.0, seed);
    if (from->params & PARAM_BIAS)
        p->bias = make_param(out, from, n, 0, n->A, 0.5, seed);
    if (from->params & PARAM_G)
        p->g = make_numbers(out, 1, heads ? &n->Hq : &one, seed);
    if (from->score == CLATTN_SCORE_COVERAGE) {
        p->w_coverage = make_param(out, from, n, 0, n->A, 2.0, seed);
        p->coverage = make_seen(out, from, n, seed);
    }
    if (from->score != CLATTN_SCORE_LOCATION_SENSITIVE)
        return;
    const int64_t C = size_or(from->C, 3), K = size_or(from->K, 5);
    const int64_t two[] = {n->Hq, C, 2, K};
    p->w_location = make_param(out, from, n, n->A, C, 1.0, seed);
    p->previous_weights = make_seen(out, from, n, seed);
    if (from->params & PARAM_CUMULATIVE) {
        p->cumulative_weights = make_seen(out, from, n, seed);
        p->conv =
            host_call_tensor(out, CLATTN_F32, heads ? 4 : 3, heads ? two : two + 1, STRIDES_DENSE);
        for (size_t i = 0; i < clattn_tensor_count(&p->conv); i++)
            host_tensor_set(&p->conv, i, normal(seed));
    } else {
        p->conv = make_param(out, from, n, C, K, 1.0, seed);
    }
}

static void make_mask(host_call *out, const clattn_case *from, const sizes *n, uint64_t *seed)
{
    const bool is_float = from->mask >= MASK_FLOAT_FULL;
    const bool keys =
        from->mask == MASK_KEYS || from->mask == MASK_FLOAT_KEYS || from->mask == MASK_FLOAT_LOWEST;
    const clattn_dtype dtype = !is_float                         ? CLATTN_BOOL
                               : from->mask == MASK_FLOAT_LOWEST ? CLATTN_F32
                                                                 : from->dtype;
    if (from->mask == MASK_ROWS)
        out->args.mask = host_call_tensor(out, dtype, 2, (int64_t[]){n->S, n->T}, from->strides);
    else if (from->mask == MASK_NONE_VISIBLE)
        out->args.mask = make(out, from, dtype, false, 1, n->B, n->S, 1);
    else
        out->args.mask =
            make(out, from, dtype, false, keys ? 1 : n->Hq, n->B, keys ? 1 : n->S, n->T);
    fill_mask(&out->args.mask, from, seed);
}

static void make_modifiers(host_call *out, const clattn_case *from, const sizes *n, uint64_t *seed)
{
    clattn_attention_args *args = &out->args;
    if (from->flags & CLATTN_MASK)
        make_mask(out, from, n, seed);
    if (from->flags & CLATTN_BIAS) {
        args->bias = from->bias == BIAS_HEADS
                         ? make(out, from, from->dtype, false, n->Hq, 1, 1, n->T)
                         : make(out, from, from->dtype, false, n->Hq, n->B, n->S, n->T);
        fill(&args->bias, from, 1.0, seed);
    }
    if (from->flags & CLATTN_KV_LENGTHS)
        make_lengths(out, from, n->B, n->T);
    if (from->packed)
        make_starts(out, from, n);
    if (from->flags & CLATTN_ALIBI) {
        args->alibi_slopes = host_call_tensor(out, CLATTN_F32, 1, &n->Hq, STRIDES_DENSE);
        for (int64_t h = 0; h < n->Hq; h++)
            host_tensor_set(&args->alibi_slopes, (size_t)h,
                            exp2(-8.0 * (double)(h + 1) / (double)n->Hq));
    }
    if (from->flags & CLATTN_SINKS) {
        args->sinks = host_call_tensor(out, CLATTN_F32, 1, &n->Hq, STRIDES_DENSE);
        fill(&args->sinks, from, from->fill == FILL_HUGE ? 1e4 : 1.0, seed);
    }
}

/* A list of heads or rows; returns how many weights have, which are `all` without one. */
static int64_t make_chosen(host_call *out, clattn_tensor *tensor, const int64_t *chosen,
                           uint32_t flag, clattn_dtype dtype, int64_t all)
{
    int64_t count = 0;
    if (!chosen || !(out->desc.outputs & CLATTN_WEIGHTS))
        return all;
    while (chosen[count] != NONE_CHOSEN)
        count++;
    *tensor = host_call_tensor(out, dtype, 1, &count, STRIDES_DENSE);
    for (int64_t i = 0; i < count; i++)
        host_tensor_set(tensor, (size_t)i, (double)chosen[i]);
    out->desc.flags |= flag;
    return count;
}

static uint32_t all_outputs(const clattn_case *from)
{
    uint32_t all = CLATTN_OUTPUT | CLATTN_LSE;
    if (from->packed)
        return all;
    all |= CLATTN_WEIGHTS | CLATTN_SCORES | CLATTN_COLUMN_SUMS | CLATTN_ARGMAX;
    return from->normalizer == CLATTN_NORMALIZER_NONE ? all : all | CLATTN_ENTROPY;
}

static void make_outputs(host_call *out, const clattn_case *from, const sizes *n)
{
    clattn_attention_args *args = &out->args;
    const clattn_dtype t = from->dtype;
    const uint32_t rank = from->rank ? from->rank : 4;
    const int64_t rows[] = {n->B, n->Hq, n->S}, fewer[] = {n->B, n->S},
                  keys[] = {n->B, n->Hq, n->T}, fewer_keys[] = {n->B, n->T};
    const int64_t *const of_rows = rank == 4 ? rows : fewer + (3 - rank), *const of_keys =
                                                                              rank == 4
                                                                                  ? keys
                                                                                  : fewer_keys +
                                                                                        (3 - rank);
    const int64_t heads = make_chosen(out, &args->weights_heads, from->weights_heads,
                                      CLATTN_WEIGHTS_HEADS, CLATTN_I32, n->Hq),
                  chosen = make_chosen(out, &args->weights_rows, from->weights_rows,
                                       CLATTN_WEIGHTS_ROWS, CLATTN_I64, n->S);
    const clattn_dtype sums = t == CLATTN_F64 ? CLATTN_F64 : CLATTN_F32;
    const char *name;
    if (out->desc.outputs & CLATTN_OUTPUT)
        args->output = make(out, from, t, true, n->Hq, n->B, n->S, n->Dv);
    if (out->desc.outputs & CLATTN_WEIGHTS)
        args->weights = make(out, from, t, false, heads, n->B, chosen, n->T);
    if (out->desc.outputs & CLATTN_SCORES)
        args->scores = make(out, from, t, false, n->Hq, n->B, n->S, n->T);
    if (out->desc.outputs & CLATTN_LSE && from->packed)
        args->lse = host_call_tensor(out, sums, 2, rows + 1, STRIDES_DENSE);
    else if (out->desc.outputs & CLATTN_LSE)
        args->lse = host_call_tensor(out, sums, rank - 1, of_rows, STRIDES_DENSE);
    if (out->desc.outputs & CLATTN_COLUMN_SUMS)
        args->column_sums = host_call_tensor(out, sums, rank - 1, of_keys, from->strides);
    if (out->desc.outputs & CLATTN_ARGMAX)
        args->argmax = host_call_tensor(out, t == CLATTN_F16 ? CLATTN_I64 : CLATTN_I32, rank - 1,
                                        of_rows, from->strides);
    if (out->desc.outputs & CLATTN_ENTROPY)
        args->entropy = host_call_tensor(out, sums, rank - 1, of_rows, STRIDES_DENSE);
    for (size_t o = 0; host_call_output(out, o, &name); o++) {
        const clattn_tensor *tensor = host_call_output(out, o, &name);
        const bool integers = tensor == &out->args.argmax;
        for (size_t i = 0; i < clattn_tensor_count(tensor); i++)
            host_tensor_set(tensor, i, integers ? NO_KEY : nan_with_payload());
    }
}

void case_make(host_call *out, const clattn_case *from)
{
    const sizes n = sizes_of(from);
    uint64_t seed = 0x9e3779b97f4a7c15ULL;
    *out = (host_call){.desc = {.struct_size = sizeof out->desc,
                                .dtype = from->dtype,
                                .layout = from->layout,
                                .score = from->score,
                                .normalizer = from->normalizer,
                                .alignment = from->alignment,
                                .precision = from->precision,
                                .flags = from->flags | (from->packed ? CLATTN_PACKED : 0),
                                .scores_stage = from->stage,
                                .query_heads = (size_t)n.Hq,
                                .kv_heads = (size_t)n.Hkv,
                                .head_size = (size_t)n.D,
                                .value_size = (size_t)n.Dv,
                                .scale = from->scale,
                                .softcap = from->softcap,
                                .dropout = from->dropout,
                                .key_size = (size_t)n.Dk,
                                .hidden_size = (size_t)n.A,
                                .window_left = from->window_left,
                                .window_right = from->window_right},
                       .args.struct_size = sizeof out->args,
                       .args.dropout_seed = 0x123456789abcdef,
                       .args.dropout_offset = 42};
    out->desc.outputs = from->outputs ? from->outputs : all_outputs(from);
    make_inputs(out, from, &n, &seed);
    make_params(out, from, &n, &seed);
    make_modifiers(out, from, &n, &seed);
    make_outputs(out, from, &n);
}
