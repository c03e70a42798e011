/* case_tables.c: the cases that many tests share, each a row. */
#include "cases.h"

#include <stdio.h>

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
    {"packed, NaN in the neighbours of long ones", .Hq = 2, .D = 9, .fill = FILL_NAN_SEQUENCES,
     .packed = PACKED({20, 63}, {20, 64}, {33, 65}, {1, 331}, {15, 127}, {17, 2}),
     .flags = CLATTN_CAUSAL},
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

/* clang-format off: one row, one case */
static const clattn_case around_blocks[] = {
    {"one less than a block of queries", .B = 1, .Hq = 3, .S = 31, .T = 64},
    {"a block of queries", .B = 1, .Hq = 3, .S = 32, .T = 64},
    {"one more than a block of queries", .B = 1, .Hq = 3, .S = 33, .T = 64},
    {"one less than a block of keys", .B = 1, .Hq = 2, .S = 40, .T = 63},
    {"one more than a block of keys", .B = 1, .Hq = 2, .S = 40, .T = 65},
    {"several blocks of keys and a rest", .B = 2, .Hq = 2, .S = 40, .T = 331, .D = 24},
    {"values of one element", .B = 1, .Hq = 2, .S = 40, .T = 70, .D = 16, .Dv = 1},
    {"values of 15", .B = 1, .Hq = 2, .S = 40, .T = 70, .D = 1, .Dv = 15},
    {"values of 23, f16", .dtype = CLATTN_F16, .B = 1, .Hq = 2, .S = 40, .T = 70, .D = 17,
     .Dv = 23},
    {"values of 30, bf16", .dtype = CLATTN_BF16, .B = 1, .Hq = 2, .S = 40, .T = 70, .D = 33,
     .Dv = 30},
    {"values of 13, f64", .dtype = CLATTN_F64, .B = 1, .Hq = 2, .S = 40, .T = 70, .D = 9, .Dv = 13},
    {"512 elements", .B = 1, .Hq = 2, .S = 5, .T = 70, .D = 512, .Dv = 512},
    {"1025 elements", .B = 1, .S = 5, .T = 70, .D = 1025, .Dv = 40},
    {"513 and 511 elements", .B = 1, .S = 5, .T = 70, .D = 513, .Dv = 511},
    {"heads share a block", .B = 2, .Hq = 8, .Hkv = 2, .S = 7, .T = 90, .flags = CLATTN_CAUSAL},
    {"heads share a block, all modifications", .B = 2, .Hq = 6, .Hkv = 2, .S = 11, .T = 70,
     ALL_MODIFICATIONS(40, 9)},
    {"all modifications, bottom-right, f16", .dtype = CLATTN_F16, .B = 3, .Hq = 4, .Hkv = 2,
     .S = 37, .T = 153, .D = 19, .alignment = CLATTN_BOTTOM_RIGHT, ALL_MODIFICATIONS(40, 9)},
    {"many blocks of causal", .B = 1, .Hq = 2, .S = 300, .T = 300, .D = 8, .flags = CLATTN_CAUSAL},
    {"a window over many blocks", .B = 1, .Hq = 2, .S = 300, .T = 300, .D = 8, .window_left = 70,
     .window_right = -1, .flags = CLATTN_CAUSAL | CLATTN_WINDOW},
    {"causal, bshd, padded", .B = 2, .Hq = 4, .S = 70, .T = 70, .layout = CLATTN_BSHD,
     .strides = STRIDES_PADDED, .flags = CLATTN_CAUSAL},
    {"NaN behind lengths", .B = 3, .Hq = 2, .S = 37, .T = 153, .fill = FILL_NAN_LAST,
     .flags = CLATTN_KV_LENGTHS},
    {"NaN behind causal", .B = 1, .Hq = 2, .S = 153, .T = 153, .fill = FILL_NAN_LAST,
     .flags = CLATTN_CAUSAL},
    {"NaN for all to see", .B = 1, .Hq = 2, .S = 37, .T = 153, .fill = FILL_NAN_LAST},
    {"infinity for all to see", .B = 1, .Hq = 2, .S = 37, .T = 15, .fill = FILL_INF_LAST},
    {"sums of weights and values beyond f32", .B = 1, .Hq = 2, .S = 37, .T = 300,
     .fill = FILL_HUGE_VALUES},
    {"the same behind causal", .B = 1, .Hq = 2, .S = 300, .T = 300, .fill = FILL_HUGE_LAST,
     .flags = CLATTN_CAUSAL},
    {"long sums of one sign", .B = 1, .S = 12, .T = 300, .D = 1024, .Dv = 16,
     .score = CLATTN_SCORE_DOT, .fill = FILL_POSITIVE},
    {"without normalizer", .B = 1, .Hq = 2, .S = 37, .T = 153, .normalizer = CLATTN_NORMALIZER_NONE,
     .flags = CLATTN_CAUSAL},
};
/* clang-format on */

const clattn_case *cases_around_blocks(size_t *count)
{
    *count = sizeof around_blocks / sizeof *around_blocks;
    return around_blocks;
}

#define LOCATION_SENSITIVE .score = CLATTN_SCORE_LOCATION_SENSITIVE
#define ADDITIVE .score = CLATTN_SCORE_ADDITIVE
#define COVERAGE .score = CLATTN_SCORE_COVERAGE

/* clang-format off: one row, one case */
static const clattn_case of_scores[] = {
    EACH_DTYPE("general", .B = 2, .Hq = 2, .S = 9, .T = 19, .D = 12, .Dk = 20, .Dv = 5,
               .score = CLATTN_SCORE_GENERAL),
    EACH_DTYPE("general of heads", .B = 2, .Hq = 4, .Hkv = 2, .S = 9, .T = 19, .D = 12, .Dk = 20,
               .score = CLATTN_SCORE_GENERAL, .params = PARAMS_OF_HEADS, .flags = CLATTN_CAUSAL),
    EACH_DTYPE("location", .B = 2, .Hq = 2, .S = 9, .T = 19, .D = 12,
               .score = CLATTN_SCORE_LOCATION),
    EACH_DTYPE("cosine", .B = 2, .Hq = 4, .Hkv = 2, .S = 9, .T = 19, .D = 12,
               .score = CLATTN_SCORE_COSINE, .params = PARAMS_OF_HEADS),
    EACH_DTYPE("rbf", .B = 2, .Hq = 4, .Hkv = 2, .S = 9, .T = 19, .D = 12,
               .score = CLATTN_SCORE_RBF, .params = PARAMS_OF_HEADS),
    EACH_DTYPE("additive", .B = 2, .Hq = 4, .Hkv = 2, .S = 9, .T = 19, .D = 12, .Dk = 20, .A = 33,
               ADDITIVE),
    EACH_DTYPE("additive of heads", .B = 2, .Hq = 4, .Hkv = 2, .S = 9, .T = 19, .D = 12, .Dk = 20,
               .A = 21, ADDITIVE, .params = PARAMS_OF_HEADS | PARAM_BIAS | PARAM_G,
               .flags = CLATTN_CAUSAL | CLATTN_KV_LENGTHS),
    EACH_DTYPE("location-sensitive", .B = 2, .Hq = 2, .S = 3, .T = 37, .D = 12, .A = 20,
               LOCATION_SENSITIVE, .params = PARAM_BIAS),
    EACH_DTYPE("location-sensitive of heads", .B = 2, .Hq = 4, .Hkv = 2, .S = 3, .T = 37, .D = 12,
               .A = 20, .C = 9, .K = 31, LOCATION_SENSITIVE,
               .params = PARAMS_OF_HEADS | PARAM_CUMULATIVE, .flags = CLATTN_KV_LENGTHS),
    EACH_DTYPE("coverage", .B = 2, .Hq = 2, .S = 3, .T = 37, .D = 12, .A = 20, COVERAGE),
    EACH_DTYPE("coverage, padded", .B = 2, .Hq = 2, .S = 3, .T = 37, .D = 12, .A = 20, COVERAGE,
               .strides = STRIDES_PADDED, .params = PARAM_BIAS | PARAMS_OF_HEADS),
    EACH_DTYPE("sigmoid", .B = 2, .Hq = 2, .S = 9, .T = 35, .normalizer = CLATTN_NORMALIZER_SIGMOID,
               .flags = CLATTN_KV_LENGTHS),
    EACH_DTYPE("sparsemax", .B = 2, .Hq = 2, .S = 9, .T = 35,
               .normalizer = CLATTN_NORMALIZER_SPARSEMAX, .flags = CLATTN_KV_LENGTHS),
    EACH_DTYPE("entmax15", .B = 2, .Hq = 2, .S = 9, .T = 35,
               .normalizer = CLATTN_NORMALIZER_ENTMAX15, .flags = CLATTN_KV_LENGTHS),
    {"general, one of all", .S = 1, .D = 1, .score = CLATTN_SCORE_GENERAL},
    {"general, strided", .B = 2, .Hq = 2, .S = 9, .T = 19, .D = 12, .Dk = 20,
     .score = CLATTN_SCORE_GENERAL, .strides = STRIDES_TRANSPOSED, .params = PARAMS_OF_HEADS},
    {"general, bshd", .B = 2, .Hq = 4, .Hkv = 2, .S = 9, .T = 19, .D = 12, .Dk = 20,
     .score = CLATTN_SCORE_GENERAL, .layout = CLATTN_BSHD, .outputs = CLATTN_OUTPUT},
    {"general, one query", .B = 3, .Hq = 4, .Hkv = 2, .S = 1, .T = 131, .D = 64, .Dk = 48,
     .score = CLATTN_SCORE_GENERAL, .outputs = CLATTN_OUTPUT | CLATTN_LSE},
    {"general, halves, output alone", .dtype = CLATTN_F16, .B = 2, .Hq = 2, .S = 40, .T = 70,
     .D = 24, .score = CLATTN_SCORE_GENERAL, .outputs = CLATTN_OUTPUT},
    {"general, packed", .Hq = 2, .D = 12, .Dk = 20, .score = CLATTN_SCORE_GENERAL,
     .packed = PACKED({7, 9}, {1, 1}, {0, 3}, {33, 40}), .flags = CLATTN_CAUSAL},
    {"cosine, packed", .Hq = 2, .D = 12, .score = CLATTN_SCORE_COSINE,
     .packed = PACKED({7, 9}, {1, 1}, {0, 3}, {33, 40})},
    {"location, rank 3", .rank = 3, .B = 2, .S = 9, .T = 19, .score = CLATTN_SCORE_LOCATION,
     .scale = 0.5, .softcap = 1.5, .flags = CLATTN_CAUSAL | CLATTN_SCALE},
    {"location of heads, NaN behind lengths", .B = 2, .Hq = 2, .S = 9, .T = 19,
     .fill = FILL_NAN_LAST, .score = CLATTN_SCORE_LOCATION, .params = PARAMS_OF_HEADS,
     .flags = CLATTN_KV_LENGTHS},
    {"cosine of rows", .B = 2, .Hq = 4, .S = 9, .T = 19, .D = 33, .score = CLATTN_SCORE_COSINE,
     .params = PARAM_OF_ROWS},
    {"cosine of rows and heads", .B = 2, .Hq = 4, .S = 33, .T = 47, .D = 7, .softcap = 0.5,
     .score = CLATTN_SCORE_COSINE, .params = PARAM_OF_ROWS | PARAMS_OF_HEADS},
    {"cosine, huge", .Hq = 2, .S = 9, .T = 33, .D = 16, .score = CLATTN_SCORE_COSINE,
     .fill = FILL_HUGE},
    {"cosine, denormals", .Hq = 2, .S = 9, .T = 33, .D = 16, .score = CLATTN_SCORE_COSINE,
     .fill = FILL_DENORMAL},
    {"cosine, NaN behind a mask", .B = 2, .Hq = 2, .S = 17, .T = 40, .D = 16, .fill = FILL_NAN_LAST,
     .mask = MASK_KEYS, .flags = CLATTN_MASK, .stage = CLATTN_SCORES_MODIFIED,
     .score = CLATTN_SCORE_COSINE},
    {"cosine, output alone", .Hq = 2, .S = 40, .T = 70, .score = CLATTN_SCORE_COSINE,
     .outputs = CLATTN_OUTPUT},
    {"rbf, one of all", .S = 1, .D = 1, .score = CLATTN_SCORE_RBF},
    {"rbf, primes", .B = 3, .Hq = 5, .S = 31, .T = 37, .D = 19, .Dv = 23, .score = CLATTN_SCORE_RBF,
     ALL_MODIFICATIONS(20, 9)},
    {"rbf of near vectors", .Hq = 2, .S = 9, .T = 33, .D = 64, .score = CLATTN_SCORE_RBF,
     .fill = FILL_POSITIVE},
    {"rbf of equal vectors", .S = 9, .T = 33, .D = 64, .score = CLATTN_SCORE_RBF,
     .fill = FILL_CONSTANT},
    {"rbf, strided", .B = 2, .Hq = 2, .S = 9, .T = 19, .D = 12, .score = CLATTN_SCORE_RBF,
     .strides = STRIDES_TRANSPOSED},
    {"additive, one of all", .S = 1, .D = 1, .A = 1, ADDITIVE},
    {"additive, no keys", .B = 2, .S = 3, .T = -1, .A = 5, ADDITIVE},
    {"additive, no queries", .B = 2, .S = -1, .T = 3, .A = 5, ADDITIVE},
    {"additive, one query", .B = 3, .Hq = 2, .S = 1, .T = 65, .D = 31, .A = 129, .Dv = 9, ADDITIVE},
    {"additive, one key", .B = 3, .S = 37, .T = 1, .D = 31, .A = 65, ADDITIVE},
    {"additive, a chunk of units", .S = 17, .T = 33, .D = 16, .A = 256, ADDITIVE},
    {"additive, one past a chunk", .S = 16, .T = 16, .D = 16, .A = 257, ADDITIVE},
    {"additive, many units", .S = 5, .T = 18, .D = 16, .A = 1031, ADDITIVE, .v_spread = 0.03},
    {"additive, all modifications", .B = 2, .Hq = 4, .Hkv = 2, .S = 19, .T = 35, .D = 16, .A = 40,
     .Dv = 24, ADDITIVE, .params = PARAM_BIAS, .alignment = CLATTN_BOTTOM_RIGHT,
     .stage = CLATTN_SCORES_MODIFIED, ALL_MODIFICATIONS(20, 9)},
    {"additive, strided", .B = 2, .Hq = 2, .S = 9, .T = 19, .D = 12, .A = 20, ADDITIVE,
     .strides = STRIDES_TRANSPOSED, .params = PARAMS_OF_HEADS | PARAM_BIAS},
    {"additive, bshd", .B = 2, .Hq = 4, .Hkv = 2, .S = 9, .T = 19, .D = 12, .A = 20, ADDITIVE,
     .layout = CLATTN_BSHD},
    {"additive, rank 2", .rank = 2, .S = 9, .T = 19, .D = 12, .A = 20, ADDITIVE, .params = PARAM_G},
    {"additive, small sums", .Hq = 2, .S = 17, .T = 33, .D = 16, .A = 512, ADDITIVE,
     .param_spread = 1e-3},
    {"additive, sums around 0.3", .Hq = 2, .S = 17, .T = 33, .D = 16, .A = 512, ADDITIVE,
     .param_spread = 0.05},
    {"additive, sums around 4", .Hq = 2, .S = 17, .T = 33, .D = 16, .A = 130, ADDITIVE,
     .param_spread = 1},
    {"additive, sums around 30", .Hq = 2, .S = 17, .T = 33, .D = 16, .A = 130, ADDITIVE,
     .param_spread = 5},
    {"additive, sums around 43", .Hq = 2, .S = 17, .T = 33, .D = 16, .A = 130, ADDITIVE,
     .param_spread = 10},
    {"additive, sums around 60", .Hq = 2, .S = 17, .T = 33, .D = 16, .A = 130, ADDITIVE,
     .param_spread = 15},
    {"additive, sums around 1e4", .Hq = 2, .S = 17, .T = 33, .D = 16, .A = 130, ADDITIVE,
     .param_spread = 2500},
    {"additive, huge inputs", .Hq = 2, .S = 17, .T = 33, .D = 16, .A = 130, ADDITIVE,
     .fill = FILL_HUGE},
    {"additive, doubles around 300", .dtype = CLATTN_F64, .S = 17, .T = 33, .D = 16, .A = 130,
     ADDITIVE, .param_spread = 60},
    {"additive, doubles around 1000", .dtype = CLATTN_F64, .S = 17, .T = 33, .D = 16, .A = 130,
     ADDITIVE, .param_spread = 250},
    {"additive, NaN behind lengths", .B = 3, .Hq = 2, .S = 17, .T = 33, .fill = FILL_NAN_LAST,
     ADDITIVE, .flags = CLATTN_KV_LENGTHS, .stage = CLATTN_SCORES_MODIFIED},
    {"additive, NaN for all to see", .Hq = 2, .S = 17, .T = 40, .D = 16, .fill = FILL_NAN_LAST,
     ADDITIVE},
    {"additive, all masked", .B = 2, .Hq = 2, .S = 9, .T = 17, .lengths = LENGTHS_NONE, ADDITIVE,
     .flags = CLATTN_KV_LENGTHS},
    {"additive, output alone", .B = 2, .Hq = 2, .S = 33, .T = 47, .D = 32, .A = 48, .Dv = 65,
     ADDITIVE, .outputs = CLATTN_OUTPUT, .flags = CLATTN_CAUSAL},
    {"additive, entmax15", .B = 2, .S = 9, .T = 47, .A = 48, ADDITIVE,
     .normalizer = CLATTN_NORMALIZER_ENTMAX15, .flags = CLATTN_KV_LENGTHS},
    {"location-sensitive, one key", .B = 2, .T = 1, .S = 1, LOCATION_SENSITIVE, .K = 1, .C = 1},
    {"location-sensitive, wider than all keys", .B = 2, .T = 17, .S = 1, LOCATION_SENSITIVE,
     .K = 63},
    {"location-sensitive, Tacotron 2", .B = 2, .T = 64, .S = 1, .D = 40, .Dk = 24, .A = 128,
     .C = 32, .K = 31, .Dv = 24, LOCATION_SENSITIVE, .params = PARAM_CUMULATIVE | PARAM_BIAS,
     .flags = CLATTN_KV_LENGTHS},
    {"location-sensitive, strided", .B = 2, .Hq = 2, .T = 33, .S = 2, .A = 20, LOCATION_SENSITIVE,
     .strides = STRIDES_TRANSPOSED, .params = PARAMS_OF_HEADS},
    {"coverage of heads, grouped", .B = 2, .Hq = 6, .Hkv = 2, .T = 33, .S = 2, .A = 20, COVERAGE,
     .params = PARAMS_OF_HEADS | PARAM_G},
    {"sigmoid, huge logits", .Hq = 2, .S = 9, .T = 33, .fill = FILL_HUGE,
     .normalizer = CLATTN_NORMALIZER_SIGMOID},
    {"sigmoid, scores of infinity behind lengths", .B = 2, .Hq = 2, .S = 9, .T = 17,
     .score = CLATTN_SCORE_GIVEN, .fill = FILL_INF_LAST, .normalizer = CLATTN_NORMALIZER_SIGMOID,
     .flags = CLATTN_KV_LENGTHS},
    {"sparsemax, one key", .S = 9, .T = 1, .normalizer = CLATTN_NORMALIZER_SPARSEMAX},
    {"sparsemax, many keys", .S = 5, .T = 1031, .D = 64, .normalizer = CLATTN_NORMALIZER_SPARSEMAX},
    {"sparsemax, constant", .Hq = 2, .S = 9, .T = 129, .fill = FILL_CONSTANT,
     .normalizer = CLATTN_NORMALIZER_SPARSEMAX},
    {"sparsemax, huge logits", .Hq = 2, .S = 9, .T = 33, .fill = FILL_HUGE,
     .normalizer = CLATTN_NORMALIZER_SPARSEMAX},
    {"sparsemax, rows all masked, NaN behind", .B = 2, .S = 18, .T = 17, .mask = MASK_NONE_VISIBLE,
     .fill = FILL_NAN_LAST, .flags = CLATTN_MASK, .stage = CLATTN_SCORES_MODIFIED,
     .normalizer = CLATTN_NORMALIZER_SPARSEMAX},
    {"sparsemax, scores of infinity", .Hq = 2, .S = 9, .T = 33, .score = CLATTN_SCORE_GIVEN,
     .fill = FILL_INF_LAST, .normalizer = CLATTN_NORMALIZER_SPARSEMAX},
    {"sparsemax, scores of -infinity", .Hq = 2, .S = 9, .T = 33, .score = CLATTN_SCORE_GIVEN,
     .fill = FILL_MINUS_INF_SCORES, .normalizer = CLATTN_NORMALIZER_SPARSEMAX},
    {"entmax15, one key", .S = 9, .T = 1, .normalizer = CLATTN_NORMALIZER_ENTMAX15},
    {"entmax15, many keys", .S = 5, .T = 1031, .D = 64, .normalizer = CLATTN_NORMALIZER_ENTMAX15},
    {"entmax15, constant", .Hq = 2, .S = 9, .T = 129, .fill = FILL_CONSTANT,
     .normalizer = CLATTN_NORMALIZER_ENTMAX15},
    {"entmax15, huge logits", .Hq = 2, .S = 9, .T = 33, .fill = FILL_HUGE,
     .normalizer = CLATTN_NORMALIZER_ENTMAX15},
    {"entmax15, NaN behind causal", .Hq = 2, .S = 33, .D = 16, .fill = FILL_NAN_LAST,
     .flags = CLATTN_CAUSAL, .stage = CLATTN_SCORES_MODIFIED,
     .normalizer = CLATTN_NORMALIZER_ENTMAX15},
    {"entmax15, extreme scores", .Hq = 2, .S = 9, .T = 33, .score = CLATTN_SCORE_GIVEN,
     .fill = FILL_EXTREME, .normalizer = CLATTN_NORMALIZER_ENTMAX15},
};
/* clang-format on */

const clattn_case *cases_of_scores(size_t *count)
{
    *count = sizeof of_scores / sizeof *of_scores;
    return of_scores;
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
