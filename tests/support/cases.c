#include "cases.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define EACH_DTYPE(words, ...)                                                                     \
    {"f32 " words, .dtype = CLATTN_F32, __VA_ARGS__},                                              \
        {"f16 " words, .dtype = CLATTN_F16, __VA_ARGS__},                                          \
        {"bf16 " words, .dtype = CLATTN_BF16, __VA_ARGS__},                                        \
    {                                                                                              \
        "f64 " words, .dtype = CLATTN_F64, __VA_ARGS__                                             \
    }

/* clang-format off: one row, one case */
static const clattn_case that_hurt[] = {
    {"one of all", .S = 1, .D = 1},
    {"one key", .B = 2, .Hq = 3, .S = 7, .T = 1},
    {"one query", .B = 2, .Hq = 3, .S = 1, .T = 33},
    {"one query, many keys", .Hq = 4, .Hkv = 2, .S = 1, .T = 1031, .D = 64},
    {"no keys", .B = 2, .Hq = 2, .S = 3, .T = -1},
    {"no queries", .B = 2, .Hq = 2, .S = -1, .T = 3},
    {"no batch", .B = -1, .Hq = 2, .S = 3},
    {"one past 16", .Hq = 2, .S = 17, .D = 17},
    {"one past 32", .Hq = 2, .S = 33, .D = 33},
    {"one past 64", .S = 65, .D = 65},
    {"one past 128", .S = 129, .D = 64},
    {"one past 256", .S = 257, .D = 64},
    {"a tile", .Hq = 2, .S = 64, .D = 64},
    {"primes", .B = 3, .Hq = 5, .S = 31, .T = 37, .D = 19, .Dv = 23},
    {"fewer queries than keys", .Hq = 2, .S = 13, .T = 131, .D = 32},
    {"more queries than keys", .Hq = 2, .S = 131, .T = 13, .D = 32},
    {"narrow values", .Hq = 2, .S = 17, .D = 64, .Dv = 1},
    {"wide values", .Hq = 2, .S = 17, .D = 8, .Dv = 129},
    {"head size 1", .Hq = 2, .S = 33, .D = 1},
    {"head size 3", .Hq = 2, .S = 33, .D = 3},
    {"head size 257", .Hq = 2, .S = 17, .D = 257},
    {"grouped heads", .B = 2, .Hq = 6, .Hkv = 2, .S = 17, .D = 16},
    {"one key head", .B = 2, .Hq = 8, .Hkv = 1, .S = 9, .T = 21, .D = 16},
    {"many small heads", .B = 5, .Hq = 12, .S = 3, .T = 4, .D = 4},
    {"rank 3", .B = 3, .rank = 3, .S = 9, .T = 11, .flags = CLATTN_MASK | CLATTN_CAUSAL},
    {"rank 2", .rank = 2, .S = 9, .T = 11, .flags = CLATTN_MASK | CLATTN_BIAS,
     .mask = MASK_FLOAT_FULL},
    EACH_DTYPE("plain", .B = 2, .Hq = 2, .S = 33, .T = 47, .D = 32),
    EACH_DTYPE("causal, grouped", .B = 2, .Hq = 4, .Hkv = 2, .S = 33, .D = 32,
               .flags = CLATTN_CAUSAL),
    EACH_DTYPE("all modifications", .B = 2, .Hq = 4, .Hkv = 2, .S = 19, .T = 35, .D = 16, .Dv = 24,
               .softcap = 5, .scale = 0.25, .window_left = 20, .window_right = 9,
               .alignment = CLATTN_BOTTOM_RIGHT, .stage = CLATTN_SCORES_MODIFIED,
               .flags = CLATTN_CAUSAL | CLATTN_WINDOW | CLATTN_SCALE | CLATTN_MASK | CLATTN_BIAS |
                        CLATTN_KV_LENGTHS | CLATTN_ALIBI | CLATTN_SINKS),
    EACH_DTYPE("bshd", .B = 2, .Hq = 4, .Hkv = 2, .S = 11, .T = 14, .D = 8, .Dv = 5,
               .layout = CLATTN_BSHD, .flags = CLATTN_CAUSAL),
    EACH_DTYPE("padded", .B = 2, .Hq = 2, .S = 11, .T = 14, .strides = STRIDES_PADDED,
               .flags = CLATTN_MASK),
    EACH_DTYPE("transposed", .B = 2, .Hq = 2, .S = 11, .T = 14, .strides = STRIDES_TRANSPOSED,
               .flags = CLATTN_BIAS),
    EACH_DTYPE("given scores", .B = 2, .Hq = 4, .Hkv = 2, .S = 9, .T = 19,
               .score = CLATTN_SCORE_GIVEN, .flags = CLATTN_CAUSAL),
    EACH_DTYPE("without normalizer", .B = 2, .Hq = 2, .S = 9, .T = 19,
               .normalizer = CLATTN_NORMALIZER_NONE, .flags = CLATTN_CAUSAL | CLATTN_BIAS),
    EACH_DTYPE("NaN behind lengths", .B = 3, .Hq = 2, .S = 17, .T = 33, .fill = FILL_NAN_LAST,
               .flags = CLATTN_KV_LENGTHS, .stage = CLATTN_SCORES_MODIFIED),
    {"NaN behind causal, shown to the last query", .Hq = 2, .S = 33, .D = 16, .fill = FILL_NAN_LAST,
     .flags = CLATTN_CAUSAL, .stage = CLATTN_SCORES_MODIFIED},
    {"NaN behind a window", .Hq = 2, .S = 17, .T = 40, .D = 16, .fill = FILL_NAN_LAST,
     .window_left = -1, .window_right = 2, .flags = CLATTN_WINDOW, .stage = CLATTN_SCORES_MODIFIED},
    {"NaN behind a mask", .B = 2, .Hq = 2, .S = 17, .T = 40, .D = 16, .fill = FILL_NAN_LAST,
     .mask = MASK_KEYS, .flags = CLATTN_MASK, .stage = CLATTN_SCORES_MODIFIED},
    {"NaN behind a float mask", .B = 2, .Hq = 2, .S = 17, .T = 40, .D = 16, .fill = FILL_NAN_LAST,
     .mask = MASK_FLOAT_KEYS, .flags = CLATTN_MASK, .stage = CLATTN_SCORES_MODIFIED},
    {"NaN for all to see", .Hq = 2, .S = 17, .T = 40, .D = 16, .fill = FILL_NAN_LAST},
    {"NaN behind lengths, without normalizer", .B = 2, .S = 9, .T = 17, .fill = FILL_NAN_LAST,
     .normalizer = CLATTN_NORMALIZER_NONE, .flags = CLATTN_KV_LENGTHS,
     .stage = CLATTN_SCORES_MODIFIED},
    {"infinity behind causal", .Hq = 2, .S = 33, .D = 16, .fill = FILL_INF_LAST,
     .flags = CLATTN_CAUSAL},
    {"infinity behind lengths", .B = 2, .Hq = 2, .S = 9, .T = 17, .fill = FILL_INF_LAST,
     .flags = CLATTN_KV_LENGTHS},
    {"all masked by lengths", .B = 2, .Hq = 2, .S = 9, .T = 17, .lengths = LENGTHS_NONE,
     .flags = CLATTN_KV_LENGTHS},
    {"all masked by lengths, with sinks", .B = 2, .Hq = 2, .S = 9, .T = 17, .lengths = LENGTHS_NONE,
     .flags = CLATTN_KV_LENGTHS | CLATTN_SINKS},
    {"rows all masked", .B = 2, .Hq = 2, .S = 18, .T = 17, .mask = MASK_NONE_VISIBLE,
     .flags = CLATTN_MASK},
    {"rows all masked, NaN behind", .B = 2, .S = 18, .T = 17, .mask = MASK_NONE_VISIBLE,
     .fill = FILL_NAN_LAST, .flags = CLATTN_MASK, .stage = CLATTN_SCORES_MODIFIED},
    {"queries before the first key", .S = 40, .T = 9, .alignment = CLATTN_BOTTOM_RIGHT,
     .flags = CLATTN_CAUSAL},
    {"lengths of i64", .B = 4, .S = 5, .T = 17, .lengths = LENGTHS_RAGGED_I64,
     .flags = CLATTN_KV_LENGTHS},
    {"lengths of all keys", .B = 2, .S = 5, .T = 17, .lengths = LENGTHS_ALL,
     .flags = CLATTN_KV_LENGTHS},
    {"no key heads of its own, bottom-right lengths", .B = 4, .Hq = 4, .Hkv = 1, .S = 5, .T = 17,
     .alignment = CLATTN_BOTTOM_RIGHT, .flags = CLATTN_KV_LENGTHS | CLATTN_CAUSAL},
    {"a window without bounds", .S = 17, .window_left = -1, .window_right = -1,
     .flags = CLATTN_WINDOW},
    {"a window of one", .S = 17, .flags = CLATTN_WINDOW},
    {"the widest window", .S = 17, .window_left = INT64_MAX, .window_right = INT64_MAX,
     .flags = CLATTN_WINDOW},
    {"lowest float as mask", .B = 2, .Hq = 2, .S = 9, .T = 33, .mask = MASK_FLOAT_LOWEST,
     .flags = CLATTN_MASK},
    {"lowest half as mask", .dtype = CLATTN_F16, .B = 2, .Hq = 2, .S = 9, .T = 33,
     .mask = MASK_FLOAT_LOWEST, .flags = CLATTN_MASK,
     .outputs = CLATTN_OUTPUT | CLATTN_WEIGHTS | CLATTN_LSE},
    {"huge logits", .Hq = 2, .S = 33, .T = 47, .D = 32, .fill = FILL_HUGE},
    {"huge logits and sinks", .Hq = 4, .S = 33, .T = 47, .D = 32, .fill = FILL_HUGE,
     .flags = CLATTN_SINKS},
    {"huge logits, capped", .Hq = 2, .S = 33, .T = 47, .D = 32, .softcap = 30, .fill = FILL_HUGE,
     .stage = CLATTN_SCORES_CAPPED},
    {"extreme scores", .Hq = 2, .S = 9, .T = 33, .score = CLATTN_SCORE_GIVEN, .fill = FILL_EXTREME},
    {"extreme scores, causal", .Hq = 2, .S = 33, .T = 33, .score = CLATTN_SCORE_GIVEN,
     .fill = FILL_EXTREME, .flags = CLATTN_CAUSAL},
    {"scores of infinity, in a window", .Hq = 2, .S = 9, .T = 33, .score = CLATTN_SCORE_GIVEN,
     .fill = FILL_INF_LAST, .window_left = 5, .window_right = 7, .alignment = CLATTN_BOTTOM_RIGHT,
     .flags = CLATTN_WINDOW},
    {"scores of infinity behind lengths", .B = 2, .Hq = 2, .S = 9, .T = 17,
     .score = CLATTN_SCORE_GIVEN, .fill = FILL_INF_LAST, .flags = CLATTN_KV_LENGTHS},
    {"scores of -infinity", .Hq = 2, .S = 9, .T = 33, .score = CLATTN_SCORE_GIVEN,
     .fill = FILL_MINUS_INF_SCORES},
    {"scores of -infinity, without normalizer", .Hq = 2, .S = 9, .T = 33,
     .score = CLATTN_SCORE_GIVEN, .normalizer = CLATTN_NORMALIZER_NONE,
     .fill = FILL_MINUS_INF_SCORES},
    {"scores of -infinity, NaN for all to see", .Hq = 2, .S = 9, .T = 33,
     .score = CLATTN_SCORE_GIVEN, .fill = FILL_MINUS_INF_SCORES_NAN_LAST},
    {"scores of -infinity, NaN shown to the last query", .Hq = 2, .S = 33, .T = 33,
     .score = CLATTN_SCORE_GIVEN, .fill = FILL_MINUS_INF_SCORES_NAN_LAST, .flags = CLATTN_CAUSAL},
    {"huge values", .Hq = 2, .S = 33, .T = 47, .D = 32, .fill = FILL_HUGE_VALUES},
    {"huge values, a power of two of keys", .Hq = 2, .S = 9, .T = 64, .D = 32,
     .fill = FILL_HUGE_VALUES, .flags = CLATTN_SINKS},
    {"huge values, many keys", .S = 5, .T = 1031, .fill = FILL_HUGE_VALUES},
    {"tiny values, many keys", .S = 3, .T = 20011, .D = 16, .scale = 9, .flags = CLATTN_SCALE,
     .fill = FILL_TINY_VALUES},
    {"constant", .Hq = 2, .S = 33, .T = 129, .D = 16, .fill = FILL_CONSTANT},
    {"denormals", .Hq = 2, .S = 17, .T = 33, .D = 16, .fill = FILL_DENORMAL},
    {"denormal halves", .dtype = CLATTN_F16, .Hq = 2, .S = 17, .T = 33, .D = 16,
     .fill = FILL_DENORMAL},
    {"strict halves", .dtype = CLATTN_F16, .Hq = 2, .S = 33, .D = 32,
     .precision = CLATTN_PRECISION_STRICT},
    {"fast", .Hq = 2, .S = 33, .D = 32, .precision = CLATTN_PRECISION_FAST},
    {"scale 0", .S = 9, .flags = CLATTN_SCALE},
    {"negative scale", .S = 9, .scale = -0.5, .flags = CLATTN_SCALE},
    {"output alone", .Hq = 2, .S = 33, .D = 32, .outputs = CLATTN_OUTPUT, .flags = CLATTN_CAUSAL},
    {"weights alone", .Hq = 2, .S = 33, .D = 32, .outputs = CLATTN_WEIGHTS},
    {"scores alone", .Hq = 2, .S = 33, .D = 32, .outputs = CLATTN_SCORES},
    {"lse alone", .Hq = 2, .S = 33, .D = 32, .outputs = CLATTN_LSE},
};
/* clang-format on */

const clattn_case *cases_that_hurt(size_t *count)
{
    *count = sizeof that_hurt / sizeof *that_hurt;
    return that_hurt;
}

#define RAGGED                                                                                     \
    PACKED({7, 9}, {1, 1}, {33, 40}, {16, 128}, {17, 5}, {64, 31}, {3, 0}, {0, 12}, {5, 150})
#define ALL_OF_PACKED                                                                              \
    .softcap = 5, .scale = 0.25, .window_left = 20, .window_right = 9,                             \
    .flags = CLATTN_CAUSAL | CLATTN_WINDOW | CLATTN_SCALE | CLATTN_ALIBI | CLATTN_SINKS

/* clang-format off: one row, one case */
static const clattn_case packed[] = {
    EACH_DTYPE("packed", .Hq = 2, .D = 32, .Dv = 24, .packed = RAGGED),
    EACH_DTYPE("packed, all modifications", .Hq = 4, .Hkv = 2, .D = 16, .Dv = 24, .packed = RAGGED,
               .alignment = CLATTN_BOTTOM_RIGHT, ALL_OF_PACKED),
    EACH_DTYPE("packed, transposed", .Hq = 2, .packed = RAGGED, .strides = STRIDES_TRANSPOSED,
               .flags = CLATTN_CAUSAL),
    {"one packed sequence", .Hq = 2, .packed = PACKED({5, 7})},
    {"packed sequences of length 1", .Hq = 3, .packed = PACKED({1, 1}, {1, 1}, {1, 1})},
    {"packed queries of length 1", .Hq = 4, .Hkv = 2, .packed = PACKED({1, 40}, {1, 1}, {1, 299})},
    {"packed, causal", .Hq = 2, .packed = RAGGED, .flags = CLATTN_CAUSAL},
    {"packed, causal from the bottom right", .Hq = 2, .packed = RAGGED, .flags = CLATTN_CAUSAL,
     .alignment = CLATTN_BOTTOM_RIGHT},
    {"packed, a window from the bottom right", .Hq = 2, .packed = RAGGED, .window_left = 3,
     .window_right = 1, .alignment = CLATTN_BOTTOM_RIGHT, .flags = CLATTN_WINDOW},
    {"packed, ALiBi from the bottom right", .Hq = 4, .Hkv = 2, .packed = RAGGED,
     .alignment = CLATTN_BOTTOM_RIGHT, .flags = CLATTN_ALIBI},
    {"packed, sinks", .Hq = 4, .Hkv = 2, .packed = RAGGED, .flags = CLATTN_SINKS},
    {"packed, softcap", .Hq = 2, .packed = RAGGED, .softcap = 1.5},
    {"packed, without normalizer", .Hq = 2, .packed = RAGGED, .normalizer = CLATTN_NORMALIZER_NONE,
     .flags = CLATTN_CAUSAL},
    {"packed, all modifications", .Hq = 6, .Hkv = 2, .D = 19, .packed = RAGGED, ALL_OF_PACKED},
    {"packed, padded", .Hq = 2, .packed = RAGGED, .strides = STRIDES_PADDED},
    {"packed lengths of i64", .Hq = 2, .packed = RAGGED, .lengths = LENGTHS_RAGGED_I64},
    {"packed, one past each tile", .Hq = 2, .D = 65, .Dv = 33,
     .packed = PACKED({17, 129}, {33, 65}, {129, 257}, {65, 17})},
    {"packed, one key head", .Hq = 8, .Hkv = 1, .packed = RAGGED},
    {"packed, no keys at all", .Hq = 2, .packed = PACKED({3, 0}, {5, 0}), .flags = CLATTN_SINKS},
    {"packed, no queries at all", .Hq = 2, .packed = PACKED({0, 3}, {0, 5})},
    {"packed, empty ones first and last", .Hq = 2,
     .packed = PACKED({0, 0}, {0, 7}, {20, 9}, {0, 0})},
    {"no packed sequence", .Hq = 2, .packed = (const case_sequence[]){NO_SEQUENCE}},
    {"packed, NaN in the neighbours", .Hq = 2, .packed = RAGGED, .fill = FILL_NAN_SEQUENCES},
    {"packed, NaN in the neighbours, causal", .Hq = 4, .Hkv = 2, .packed = RAGGED,
     .fill = FILL_NAN_SEQUENCES, .flags = CLATTN_CAUSAL, .alignment = CLATTN_BOTTOM_RIGHT},
    {"packed, infinity in the neighbours", .Hq = 2, .packed = RAGGED, .fill = FILL_INF_SEQUENCES},
    {"packed, NaN in the last key, causal", .Hq = 2, .packed = RAGGED, .fill = FILL_NAN_LAST,
     .flags = CLATTN_CAUSAL},
    {"packed, sums beyond f32", .Hq = 2, .packed = RAGGED, .fill = FILL_HUGE_VALUES},
    {"packed, huge logits", .Hq = 2, .packed = RAGGED, .fill = FILL_HUGE, .flags = CLATTN_SINKS},
    {"packed, output alone", .Hq = 2, .packed = RAGGED, .outputs = CLATTN_OUTPUT},
    {"packed, lse alone", .Hq = 2, .packed = RAGGED, .outputs = CLATTN_LSE},
};
/* clang-format on */

const clattn_case *cases_packed(size_t *count)
{
    *count = sizeof packed / sizeof *packed;
    return packed;
}

/* The modifications that cases_of_pairs() combines. */
typedef struct modification {
    const char *name;
    uint32_t flag;
    case_mask mask;
    double softcap;
    clattn_alignment alignment;
} modification;

static const modification modifications[] = {
    {"scale", .flag = CLATTN_SCALE},
    {"softcap", .softcap = 1.5},
    {"bias", .flag = CLATTN_BIAS},
    {"float mask", .flag = CLATTN_MASK, .mask = MASK_FLOAT_FULL},
    {"bool mask", .flag = CLATTN_MASK, .mask = MASK_FULL},
    {"alibi", .flag = CLATTN_ALIBI},
    {"causal", .flag = CLATTN_CAUSAL},
    {"window", .flag = CLATTN_WINDOW},
    {"lengths", .flag = CLATTN_KV_LENGTHS},
    {"sinks", .flag = CLATTN_SINKS},
    {"bottom-right", .alignment = CLATTN_BOTTOM_RIGHT},
};

enum { MODIFICATIONS = sizeof modifications / sizeof *modifications };

const clattn_case *cases_of_pairs(size_t *count)
{
    static clattn_case pairs[MODIFICATIONS * (MODIFICATIONS - 1) / 2];
    static char names[MODIFICATIONS * (MODIFICATIONS - 1) / 2][48];
    *count = 0;
    for (int i = 0; i < MODIFICATIONS; i++) {
        for (int j = i + 1; j < MODIFICATIONS; j++) {
            const modification *a = &modifications[i], *b = &modifications[j];
            if (a->flag && a->flag == b->flag)
                continue; /* a call has one mask */
            (void)snprintf(names[*count], sizeof names[*count], "%s with %s", a->name, b->name);
            pairs[*count] = (clattn_case){.name = names[*count],
                                          .B = 3,
                                          .Hq = 4,
                                          .Hkv = 2,
                                          .S = 6,
                                          .T = 19,
                                          .flags = a->flag | b->flag,
                                          .scale = 0.75,
                                          .softcap = a->softcap + b->softcap,
                                          .window_left = 4,
                                          .window_right = 2,
                                          .mask = a->mask + b->mask,
                                          .alignment = a->alignment + b->alignment,
                                          .stage = CLATTN_SCORES_MODIFIED};
            ++*count;
        }
    }
    return pairs;
}

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
    int64_t B, Hq, Hkv, S, T, D, Dv;
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
        args->key = make(out, from, t, true, n->Hkv, n->B, n->T, n->D);
        fill(&args->query, from, spread, seed);
        fill(&args->key, from, spread, seed);
        if (from->fill == FILL_NAN_LAST)
            spoil_last_keys(&args->key, from, 1, nan_with_payload());
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

static void make_outputs(host_call *out, const clattn_case *from, const sizes *n)
{
    clattn_attention_args *args = &out->args;
    const clattn_dtype t = from->dtype;
    const uint32_t rank = from->rank ? from->rank : 4;
    const int64_t rows[] = {n->B, n->Hq, n->S}, fewer[] = {n->B, n->S};
    const clattn_dtype sums = t == CLATTN_F64 ? CLATTN_F64 : CLATTN_F32;
    const char *name;
    if (out->desc.outputs & CLATTN_OUTPUT)
        args->output = make(out, from, t, true, n->Hq, n->B, n->S, n->Dv);
    if (out->desc.outputs & CLATTN_WEIGHTS)
        args->weights = make(out, from, t, false, n->Hq, n->B, n->S, n->T);
    if (out->desc.outputs & CLATTN_SCORES)
        args->scores = make(out, from, t, false, n->Hq, n->B, n->S, n->T);
    if (out->desc.outputs & CLATTN_LSE && from->packed)
        args->lse = host_call_tensor(out, sums, 2, rows + 1, STRIDES_DENSE);
    else if (out->desc.outputs & CLATTN_LSE)
        args->lse = host_call_tensor(out, sums, rank - 1, rank == 4 ? rows : fewer + (3 - rank),
                                     STRIDES_DENSE);
    for (size_t o = 0; host_call_output(out, o, &name); o++) {
        const clattn_tensor *tensor = host_call_output(out, o, &name);
        for (size_t i = 0; i < clattn_tensor_count(tensor); i++)
            host_tensor_set(tensor, i, nan_with_payload());
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
                                .window_left = from->window_left,
                                .window_right = from->window_right},
                       .args.struct_size = sizeof out->args};
    out->desc.outputs = from->outputs ? from->outputs
                        : from->packed
                            ? CLATTN_OUTPUT | CLATTN_LSE
                            : CLATTN_OUTPUT | CLATTN_WEIGHTS | CLATTN_SCORES | CLATTN_LSE;
    make_inputs(out, from, &n, &seed);
    make_modifiers(out, from, &n, &seed);
    make_outputs(out, from, &n);
}
