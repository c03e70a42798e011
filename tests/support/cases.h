/* cases.h: the one table of problems that tests run and the benchmark
 * times. A case names what differs from the smallest plain one;
 * case_make() turns it into a call on host tensors, from a fixed seed. */
#ifndef TESTS_SUPPORT_CASES_H
#define TESTS_SUPPORT_CASES_H

#include "host_call.h"

typedef enum case_mask {
    MASK_FULL = 0,     /* bool (B, Hq, S, T), three of four visible */
    MASK_KEYS,         /* bool (B, 1, 1, T) */
    MASK_ROWS,         /* bool (S, T) */
    MASK_NONE_VISIBLE, /* bool (B, 1, S, 1), every second row of queries sees nothing */
    MASK_FLOAT_FULL,   /* of the case's dtype, one of four -infinity */
    MASK_FLOAT_KEYS,
    MASK_FLOAT_LOWEST, /* f32 (B, 1, 1, T), hidden keys hold the lowest finite float of the case's
                          dtype */
} case_mask;

typedef enum case_bias { BIAS_FULL = 0, BIAS_HEADS /* (1, Hq, 1, T) */ } case_bias;

typedef enum case_lengths {
    LENGTHS_RAGGED = 0, /* from 0 keys, for the first sequence of several, to all but one */
    LENGTHS_ALL,
    LENGTHS_NONE, /* every sequence is empty */
    LENGTHS_RAGGED_I64
} case_lengths;

typedef enum case_fill {
    FILL_NORMAL = 0,
    FILL_HUGE,        /* scores and sinks around 1e4 */
    FILL_EXTREME,     /* given scores of +-3e38 */
    FILL_CONSTANT,    /* all elements equal */
    FILL_DENORMAL,    /* every second element is below the smallest normal number of its type */
    FILL_NAN_LAST,    /* last key and value of each head are NaN, or the given score and value */
    FILL_INF_LAST,    /* last value is +infinity, or its given score too */
    FILL_HUGE_VALUES, /* values of 3e38, whose plain sum is no float any more */
    FILL_HUGE_LAST,   /* the last 8 values are 3e38 */
    FILL_POSITIVE,    /* all of one sign: sums without cancellation, which grow with their length */
    FILL_TINY_VALUES, /* values around 1e-37, near the end of the normal numbers */
    FILL_INF_KEY,     /* the last key is infinite: with one element its scores are, of both signs */
    FILL_NAN_SEQUENCES,    /* all of every second packed sequence is NaN, the second one first */
    FILL_INF_SEQUENCES,    /* likewise, its values are +infinity */
    FILL_MINUS_INF_SCORES, /* given scores, one of three -infinity, all of every fourth row */
    FILL_MINUS_INF_SCORES_NAN_LAST /* the same, and the last value is NaN */
} case_fill;

/* How the parameters of a score are given. */
enum {
    PARAMS_OF_HEADS = 1 << 0, /* each head has its own, and its own weights of earlier steps */
    PARAM_BIAS = 1 << 1,
    PARAM_G = 1 << 2,
    PARAM_CUMULATIVE = 1 << 3,
    PARAM_OF_ROWS = 1 << 4 /* beta (B, Hq, S), without PARAMS_OF_HEADS (B, S) */
};

/* Of queries and keys. */
typedef struct case_sequence {
    int64_t S, T;
} case_sequence;

/* The end of a list of them. */
#define NO_SEQUENCE                                                                                \
    {                                                                                              \
        -1, -1                                                                                     \
    }
#define PACKED(...) ((const case_sequence[]){__VA_ARGS__, NO_SEQUENCE})

#define NONE_CHOSEN (-1)
#define CHOSEN(...) ((const int64_t[]){__VA_ARGS__, NONE_CHOSEN})

/* In a row of a table: every modification, in a window. */
#define ALL_MODIFICATIONS(left, right)                                                             \
    .softcap = 5, .scale = 0.25, .window_left = (left), .window_right = (right),                   \
    .flags = CLATTN_CAUSAL | CLATTN_WINDOW | CLATTN_SCALE | CLATTN_MASK | CLATTN_BIAS |            \
             CLATTN_KV_LENGTHS | CLATTN_ALIBI | CLATTN_SINKS

typedef struct clattn_case {
    const char *name;
    clattn_dtype dtype;
    int64_t B, Hq, Hkv, S, T, D, Dv; /* 0: B 1, Hq 1, Hkv Hq, S 5, T S, D 8, Dv D */
    uint32_t rank;                   /* 0: 4 */
    clattn_layout layout;
    clattn_score score;
    clattn_normalizer normalizer;
    clattn_alignment alignment;
    clattn_precision precision;
    clattn_scores_stage stage;
    uint32_t flags,
        outputs; /* outputs 0: all, or those that packed sequences or the normalizer have */
    double scale, softcap;
    int64_t Dk, A, C, K; /* 0: Dk D, A 8, C 3, K 5 */
    uint32_t params;
    double param_spread; /* 0: 1/sqrt(D), which keeps projections around 1 */
    double v_spread;     /* 0: 1 */
    int64_t window_left, window_right;
    case_mask mask;
    case_bias bias;
    case_lengths lengths;
    case_fill fill;
    host_strides strides;
    double dropout;
    const int64_t *weights_heads, *weights_rows; /* CHOSEN(number, ...), where they are chosen */
    const case_sequence *packed; /* PACKED({S, T}, ...), in place of B, S, T, rank and layout;
                                    `lengths` is LENGTHS_RAGGED_I64 or i32 is meant */
} clattn_case;

/* Rows of a table, and their number. */
typedef const clattn_case *(*case_table)(size_t *count);

/* The cases that hurt: odd sizes, odd memory, odd numbers. */
const clattn_case *cases_that_hurt(size_t *count);

/* Packed sequences, which only fused variants and the reference take. */
const clattn_case *cases_packed(size_t *count);

/* Around the blocks of queries and keys, the walks with care and the grouped heads of what is fused. */
const clattn_case *cases_around_blocks(size_t *count);

/* Scores with parameters, and normalizers, over shapes that hurt. */
const clattn_case *cases_of_scores(size_t *count);

/* Weights that are dropped. */
const clattn_case *cases_of_dropout(size_t *count);

/* Every pair of modifications that can meet, one small case for each. */
const clattn_case *cases_of_pairs(size_t *count);

/* `out` is freed with host_call_free(); its outputs are still NaN. */
void case_make(host_call *out, const clattn_case *from);

#endif
