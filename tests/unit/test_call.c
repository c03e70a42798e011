/* Every rule about the arguments of a run. Each refusal is one thing wrong with a
 * call that is right otherwise; what looks wrong and is not is accepted. */
#include "problem.h"
#include "support/named_tests.h"
#include "unit/tensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The calls that are right. */
static const clattn_case
    plain = {.name = "plain", SIZES, HEADS, .outputs = CLATTN_OUTPUT},
    whole = {.name = "whole", SIZES, HEADS, .flags = ALL_FLAGS},
    bshd = {.name = "bshd", SIZES, HEADS, .flags = ALL_FLAGS, .layout = CLATTN_BSHD},
    rank3 = {.name = "rank 3", SIZES, .rank = 3, .flags = ALL_FLAGS},
    rank2 = {.name = "rank 2",
             SIZED(1, 3, 5),
             .rank = 2,
             .lengths = LENGTHS_ALL,
             .flags = ALL_FLAGS},
    given = {.name = "given", SIZES, HEADS, .flags = ALL_FLAGS, .score = CLATTN_SCORE_GIVEN},
    half = {.name = "half", SIZES, HEADS, .flags = ALL_FLAGS, .dtype = CLATTN_F16},
    given_half = {.name = "given half",
                  SIZES,
                  HEADS,
                  .flags = ALL_FLAGS,
                  .dtype = CLATTN_F16,
                  .score = CLATTN_SCORE_GIVEN},
    padded = {.name = "padded", SIZES, HEADS, .outputs = CLATTN_OUTPUT, .strides = STRIDES_PADDED},
    wide = {.name = "wide", SIZES, HEADS, .flags = ALL_FLAGS, .dtype = CLATTN_F64},
    square = {.name = "square", HEADS, .outputs = CLATTN_OUTPUT},
    packed = {.name = "packed",
              HEADS,
              .D = 6,
              .Dv = 7,
              .packed = PACKED({3, 2}, {0, 4}, {5, 0}),
              .flags = CLATTN_ALIBI},
    chosen = {.name = "chosen",
              SIZES,
              HEADS,
              .weights_heads = CHOSEN(0, 3),
              .weights_rows = CHOSEN(0, 1, 2)},
    one_head = {.name = "one head", SIZES, .rank = 3, .weights_heads = CHOSEN(0)},
    nothing = {.name = "no batch", SIZED(-1, 3, 5), HEADS, .outputs = CLATTN_OUTPUT},
    long_lengths = {
        .name = "lengths of i64", SIZES, HEADS, .flags = ALL_FLAGS, .lengths = LENGTHS_RAGGED_I64};

/* What is done to one tensor of such a call. */
typedef enum change {
    ABSENT = 0,
    PRESENT,   /* is the value once more */
    RANK,      /* becomes `number` */
    DIMENSION, /* `at` becomes `number`, and likewise */
    STRIDE,
    OFFSET,
    BACKWARDS, /* runs the other way along axis `at`, through the same memory */
    DTYPE,     /* becomes `number`, in memory of its own that is large enough */
    ELEMENT,
    NOWHERE,  /* has no memory */
    TWICE,    /* has host and device memory */
    PLACE_OF, /* lies where tensor `at` does, `number` elements further */
    STRUCT_SIZE
} change;

typedef struct refusal {
    const char *words; /* that the sentence must hold; also the test's name */
    const clattn_case *from;
    which tensor;
    change change;
    int at;
    double number;
} refusal;

/* Memory that no tensor of a made call is near. */
static double spare[2048];

static void place(clattn_tensor *tensor, clattn_tensor *other, int64_t elements)
{
    char *middle = (char *)&spare[1024];
    const size_t size = clattn_dtype_size(other->dtype);
    memcpy(middle, other->host, clattn_tensor_count(other) * size);
    other->host = middle;
    tensor->host = middle + elements * (int64_t)size;
}

static void apply(host_call *call, const refusal *r)
{
    clattn_tensor *tensor = tensor_of(&call->args, r->tensor);
    const int64_t number = fabs(r->number) < 0x1p63 ? (int64_t)r->number : INT64_MIN;
    switch (r->change) {
    case ABSENT:
        *tensor = (clattn_tensor){0};
        break;
    case PRESENT:
        *tensor = call->args.value;
        break;
    case RANK:
        tensor->rank = (uint32_t)number;
        break;
    case DIMENSION:
        tensor->shape[r->at] = number;
        break;
    case STRIDE:
        tensor->strides[r->at] = number;
        break;
    case OFFSET:
        tensor->offset = number;
        break;
    case BACKWARDS:
        tensor->offset += tensor->strides[r->at] * (tensor->shape[r->at] - 1);
        tensor->strides[r->at] *= -1;
        break;
    case DTYPE:
        tensor->dtype = (clattn_dtype)number;
        tensor->host = spare;
        break;
    case ELEMENT:
        host_tensor_set(tensor, (size_t)r->at, r->number);
        break;
    case NOWHERE:
        tensor->host = NULL;
        break;
    case TWICE:
        tensor->buffer = tensor->host;
        break;
    case PLACE_OF:
        place(tensor, tensor_of(&call->args, (which)r->at), number);
        break;
    case STRUCT_SIZE:
        call->args.struct_size = (size_t)number;
        break;
    }
}

static const refusal refusals[] = {
    {"clattn_attention_args.struct_size: 0, expected sizeof(clattn_attention_args)", &plain, QUERY,
     STRUCT_SIZE, 0, 0},
    {"clattn_attention_args.struct_size: 9999", &plain, QUERY, STRUCT_SIZE, 0, 9999},

    {"query: missing, but the description asks for it (score)", &plain, QUERY, ABSENT, 0, 0},
    {"key: missing, but the description asks for it (score)", &plain, KEY, ABSENT, 0, 0},
    {"value: missing, but the description asks for it", &plain, VALUE, ABSENT, 0, 0},
    {"given_scores: missing, but the description asks for it (CLATTN_SCORE_GIVEN)", &given,
     GIVEN_SCORES, ABSENT, 0, 0},
    {"mask: missing, but the description asks for it (CLATTN_MASK)", &whole, MASK, ABSENT, 0, 0},
    {"bias: missing, but the description asks for it (CLATTN_BIAS)", &whole, BIAS, ABSENT, 0, 0},
    {"kv_lengths: missing, but the description asks for it (CLATTN_KV_LENGTHS)", &whole, KV_LENGTHS,
     ABSENT, 0, 0},
    {"alibi_slopes: missing, but the description asks for it (CLATTN_ALIBI)", &whole, ALIBI_SLOPES,
     ABSENT, 0, 0},
    {"sinks: missing, but the description asks for it (CLATTN_SINKS)", &whole, SINKS, ABSENT, 0, 0},
    {"output: missing, but the description asks for it (CLATTN_OUTPUT)", &whole, OUTPUT, ABSENT, 0,
     0},
    {"weights: missing, but the description asks for it (CLATTN_WEIGHTS)", &whole, WEIGHTS, ABSENT,
     0, 0},
    {"scores: missing, but the description asks for it (CLATTN_SCORES)", &whole, SCORES, ABSENT, 0,
     0},
    {"lse: missing, but the description asks for it (CLATTN_LSE)", &whole, LSE, ABSENT, 0, 0},

    {"query: given, but the description does not ask for it (score)", &given, QUERY, PRESENT, 0, 0},
    {"key: given, but the description does not ask for it (score)", &given, KEY, PRESENT, 0, 0},
    {"given_scores: given, but the description does not ask for it (CLATTN_SCORE_GIVEN)", &plain,
     GIVEN_SCORES, PRESENT, 0, 0},
    {"mask: given, but the description does not ask for it (CLATTN_MASK)", &plain, MASK, PRESENT, 0,
     0},
    {"bias: given, but the description does not ask for it (CLATTN_BIAS)", &plain, BIAS, PRESENT, 0,
     0},
    {"kv_lengths: given, but the description does not ask for it (CLATTN_KV_LENGTHS)", &plain,
     KV_LENGTHS, PRESENT, 0, 0},
    {"alibi_slopes: given, but the description does not ask for it (CLATTN_ALIBI)", &plain,
     ALIBI_SLOPES, PRESENT, 0, 0},
    {"sinks: given, but the description does not ask for it (CLATTN_SINKS)", &plain, SINKS, PRESENT,
     0, 0},
    {"weights: given, but the description does not ask for it (CLATTN_WEIGHTS)", &plain, WEIGHTS,
     PRESENT, 0, 0},
    {"scores: given, but the description does not ask for it (CLATTN_SCORES)", &plain, SCORES,
     PRESENT, 0, 0},
    {"lse: given, but the description does not ask for it (CLATTN_LSE)", &plain, LSE, PRESENT, 0,
     0},

    {"value: rank 1, expected 2, 3 or 4", &plain, VALUE, RANK, 0, 1},
    {"value: rank 5, expected 2, 3 or 4", &plain, VALUE, RANK, 0, 5},
    {"value: rank 3 with 4 heads in the description, expected rank 4", &plain, VALUE, RANK, 0, 3},
    {"query: rank 5, expected at most 4", &plain, QUERY, RANK, 0, 5},
    {"query: shape (2, 4, 3), expected (B, Hq=4, S, D=6)", &plain, QUERY, RANK, 0, 3},
    {"query: shape (2, 3), expected (B, S, D=6)", &rank3, QUERY, RANK, 0, 2},
    {"query: shape (3), expected (S, D=6)", &rank2, QUERY, RANK, 0, 1},
    {"key: shape (2, 2, 5), expected (B=2, Hkv=2, T, D=6)", &plain, KEY, RANK, 0, 3},
    {"given_scores: shape (2, 4, 3), expected (B, Hq=4, S, T)", &given, GIVEN_SCORES, RANK, 0, 3},
    {"mask: rank 5, expected at most 4", &whole, MASK, RANK, 0, 5},
    {"bias: shape (3, 5, 0), expected what broadcasts to (S=3, T=5)", &rank2, BIAS, RANK, 0, 3},
    {"kv_lengths: shape (2, 0), expected (B=2)", &whole, KV_LENGTHS, RANK, 0, 2},
    {"alibi_slopes: shape (4, 0), expected (Hq=4)", &whole, ALIBI_SLOPES, RANK, 0, 2},
    {"sinks: shape (4, 0), expected (Hq=4)", &whole, SINKS, RANK, 0, 2},
    {"output: shape (2, 4, 3), expected (B=2, Hq=4, S=3, Dv=7)", &whole, OUTPUT, RANK, 0, 3},
    {"weights: shape (2, 4, 3), expected (B=2, Hq=4, S=3, T=5)", &whole, WEIGHTS, RANK, 0, 3},
    {"scores: shape (2, 4, 3), expected (B=2, Hq=4, S=3, T=5)", &whole, SCORES, RANK, 0, 3},
    {"lse: shape (2, 4, 3, 0), expected (B=2, Hq=4, S=3)", &whole, LSE, RANK, 0, 4},
    {"lse: shape (3, 0), expected (S=3)", &rank2, LSE, RANK, 0, 2},

    {"query: shape (2, 8, 3, 6), expected (B, Hq=4, S, D=6)", &plain, QUERY, DIMENSION, 1, 8},
    {"query: shape (2, 4, 3, 5), expected (B, Hq=4, S, D=6)", &plain, QUERY, DIMENSION, 3, 5},
    {"query: shape (2, 3, 3, 6), expected (B, S, Hq=4, D=6)", &bshd, QUERY, DIMENSION, 2, 3},
    {"key: shape (1, 2, 5, 6), expected (B=2, Hkv=2, T, D=6)", &plain, KEY, DIMENSION, 0, 1},
    {"key: shape (2, 4, 5, 6), expected (B=2, Hkv=2, T, D=6)", &plain, KEY, DIMENSION, 1, 4},
    {"key: shape (2, 2, 5, 7), expected (B=2, Hkv=2, T, D=6)", &plain, KEY, DIMENSION, 3, 7},
    {"key: shape (2, 5, 4, 6), expected (B=2, T, Hkv=2, D=6)", &bshd, KEY, DIMENSION, 2, 4},
    {"value: shape (3, 2, 5, 7), expected (B=2, Hkv=2, T=5, Dv=7)", &plain, VALUE, DIMENSION, 0, 3},
    {"value: shape (2, 1, 5, 7), expected (B=2, Hkv=2, T=5, Dv=7)", &plain, VALUE, DIMENSION, 1, 1},
    {"value: shape (2, 2, 4, 7), expected (B=2, Hkv=2, T=5, Dv=7)", &plain, VALUE, DIMENSION, 2, 4},
    {"value: shape (2, 2, 5, 6), expected (B=2, Hkv=2, T=5, Dv=7)", &plain, VALUE, DIMENSION, 3, 6},
    {"value: shape (1, 5, 7), expected (B=2, T=5, Dv=7)", &rank3, VALUE, DIMENSION, 0, 1},
    {"value: shape (2, 2, 6, 7), expected (B=2, Hkv=2, T=5, Dv=7)", &given, VALUE, DIMENSION, 2, 6},
    {"given_scores: shape (2, 2, 3, 5), expected (B, Hq=4, S, T)", &given, GIVEN_SCORES, DIMENSION,
     1, 2},
    {"mask: shape (3, 4, 3, 5), expected what broadcasts to (B=2, Hq=4, S=3, T=5)", &whole, MASK,
     DIMENSION, 0, 3},
    {"mask: shape (2, 2, 3, 5), expected what broadcasts to (B=2, Hq=4, S=3, T=5)", &whole, MASK,
     DIMENSION, 1, 2},
    {"mask: shape (2, 4, 2, 5), expected what broadcasts to (B=2, Hq=4, S=3, T=5)", &whole, MASK,
     DIMENSION, 2, 2},
    {"mask: shape (2, 4, 3, 6), expected what broadcasts to (B=2, Hq=4, S=3, T=5)", &whole, MASK,
     DIMENSION, 3, 6},
    {"mask: shape (2, 4, 0, 5), expected what broadcasts to", &whole, MASK, DIMENSION, 2, 0},
    {"mask: shape (2, 3, 3, 5), expected what broadcasts to (B=2, Hq=4, S=3, T=5)", &bshd, MASK,
     DIMENSION, 1, 3},
    {"mask: shape (2, 4, 5), expected what broadcasts to (B=2, S=3, T=5)", &rank3, MASK, DIMENSION,
     1, 4},
    {"bias: shape (2, 3, 3, 5), expected what broadcasts to (B=2, Hq=4, S=3, T=5)", &whole, BIAS,
     DIMENSION, 1, 3},
    {"bias: shape (2, 4, 3, 4), expected what broadcasts to (B=2, Hq=4, S=3, T=5)", &whole, BIAS,
     DIMENSION, 3, 4},
    {"kv_lengths: shape (3), expected (B=2)", &whole, KV_LENGTHS, DIMENSION, 0, 3},
    {"kv_lengths: shape (1), expected (B=2)", &whole, KV_LENGTHS, DIMENSION, 0, 1},
    {"alibi_slopes: shape (2), expected (Hq=4)", &whole, ALIBI_SLOPES, DIMENSION, 0, 2},
    {"sinks: shape (5), expected (Hq=4)", &whole, SINKS, DIMENSION, 0, 5},
    {"output: shape (1, 4, 3, 7), expected (B=2, Hq=4, S=3, Dv=7)", &whole, OUTPUT, DIMENSION, 0,
     1},
    {"output: shape (2, 2, 3, 7), expected (B=2, Hq=4, S=3, Dv=7)", &whole, OUTPUT, DIMENSION, 1,
     2},
    {"output: shape (2, 4, 5, 7), expected (B=2, Hq=4, S=3, Dv=7)", &whole, OUTPUT, DIMENSION, 2,
     5},
    {"output: shape (2, 4, 3, 6), expected (B=2, Hq=4, S=3, Dv=7)", &whole, OUTPUT, DIMENSION, 3,
     6},
    {"output: shape (2, 4, 4, 7), expected (B=2, S=3, Hq=4, Dv=7)", &bshd, OUTPUT, DIMENSION, 1, 4},
    {"weights: shape (3, 4, 3, 5), expected (B=2, Hq=4, S=3, T=5)", &whole, WEIGHTS, DIMENSION, 0,
     3},
    {"weights: shape (2, 2, 3, 5), expected (B=2, Hq=4, S=3, T=5)", &whole, WEIGHTS, DIMENSION, 1,
     2},
    {"weights: shape (2, 4, 1, 5), expected (B=2, Hq=4, S=3, T=5)", &whole, WEIGHTS, DIMENSION, 2,
     1},
    {"weights: shape (2, 4, 3, 7), expected (B=2, Hq=4, S=3, T=5)", &whole, WEIGHTS, DIMENSION, 3,
     7},
    {"weights: shape (2, 3, 3, 5), expected (B=2, Hq=4, S=3, T=5)", &bshd, WEIGHTS, DIMENSION, 1,
     3},
    {"scores: shape (1, 4, 3, 5), expected (B=2, Hq=4, S=3, T=5)", &whole, SCORES, DIMENSION, 0, 1},
    {"scores: shape (2, 1, 3, 5), expected (B=2, Hq=4, S=3, T=5)", &whole, SCORES, DIMENSION, 1, 1},
    {"scores: shape (2, 4, 5, 5), expected (B=2, Hq=4, S=3, T=5)", &whole, SCORES, DIMENSION, 2, 5},
    {"scores: shape (2, 4, 3, 1), expected (B=2, Hq=4, S=3, T=5)", &whole, SCORES, DIMENSION, 3, 1},
    {"lse: shape (1, 4, 3), expected (B=2, Hq=4, S=3)", &whole, LSE, DIMENSION, 0, 1},
    {"lse: shape (2, 2, 3), expected (B=2, Hq=4, S=3)", &whole, LSE, DIMENSION, 1, 2},
    {"lse: shape (2, 4, 4), expected (B=2, Hq=4, S=3)", &whole, LSE, DIMENSION, 2, 4},
    {"lse: shape (2, 3, 3), expected (B=2, Hq=4, S=3)", &bshd, LSE, DIMENSION, 1, 3},
    {"lse: shape (5), expected (S=3)", &rank2, LSE, DIMENSION, 0, 5},

    {"query: dtype f64, expected f32", &plain, QUERY, DTYPE, 0, CLATTN_F64},
    {"key: dtype bf16, expected f16", &half, KEY, DTYPE, 0, CLATTN_BF16},
    {"value: dtype f32, expected f64", &wide, VALUE, DTYPE, 0, CLATTN_F32},
    {"value: dtype i32, expected f32", &plain, VALUE, DTYPE, 0, CLATTN_I32},
    {"query: dtype ?, expected f32", &plain, QUERY, DTYPE, 0, 99},
    {"given_scores: dtype bf16, expected f16 or f32", &given_half, GIVEN_SCORES, DTYPE, 0,
     CLATTN_BF16},
    {"mask: dtype i32, expected bool or f32", &whole, MASK, DTYPE, 0, CLATTN_I32},
    {"mask: dtype f64, expected bool or f32 or f16", &half, MASK, DTYPE, 0, CLATTN_F64},
    {"bias: dtype bool, expected f32", &whole, BIAS, DTYPE, 0, CLATTN_BOOL},
    {"bias: dtype bf16, expected f32 or f16", &half, BIAS, DTYPE, 0, CLATTN_BF16},
    {"kv_lengths: dtype f32, expected i32 or i64", &whole, KV_LENGTHS, DTYPE, 0, CLATTN_F32},
    {"kv_lengths: dtype bool, expected i32 or i64", &whole, KV_LENGTHS, DTYPE, 0, CLATTN_BOOL},
    {"alibi_slopes: dtype i64, expected f32", &whole, ALIBI_SLOPES, DTYPE, 0, CLATTN_I64},
    {"sinks: dtype bool, expected f32", &whole, SINKS, DTYPE, 0, CLATTN_BOOL},
    {"output: dtype f32, expected f16", &half, OUTPUT, DTYPE, 0, CLATTN_F32},
    {"weights: dtype f32, expected f16", &half, WEIGHTS, DTYPE, 0, CLATTN_F32},
    {"scores: dtype f16, expected f32", &whole, SCORES, DTYPE, 0, CLATTN_F16},
    {"lse: dtype f16, expected f32", &half, LSE, DTYPE, 0, CLATTN_F16},
    {"lse: dtype f32, expected f64", &wide, LSE, DTYPE, 0, CLATTN_F32},

    {"query: dimension 2 is -3, expected a number from 0", &plain, QUERY, DIMENSION, 2, -3},
    {"lse: dimension 0 is -1, expected a number from 0", &whole, LSE, DIMENSION, 0, -1},
    {"key: dimension 2 is 4611686018427387904, expected a shape of fewer elements", &plain, KEY,
     DIMENSION, 2, 0x1p62},
    /* No single one is too large, and what is behind a 0 counts too. */
    {"query: dimension 3 is 6, expected a shape of fewer elements", &plain, QUERY, DIMENSION, 2,
     0x1p56},
    {"value: dimension 3 is 2305843009213693952, expected a shape of fewer elements", &nothing,
     VALUE, DIMENSION, 3, 0x1p61},
    {"value: offset 4611686018427387904, expected one that memory", &plain, VALUE, OFFSET, 0,
     0x1p62},
    {"value: offset -9223372036854775808, expected one that memory", &plain, VALUE, OFFSET, 0,
     -0x1p63},
    {"key: stride 2 is 4611686018427387904, expected strides", &plain, KEY, STRIDE, 2, 0x1p62},
    /* Four of these wrap to 0, as which they would pass for a step within the tensor. */
    {"key: stride 0 is 4611686018427387904, expected strides", &rank2, KEY, STRIDE, 0, 0x1p62},
    {"output: stride 1 is -9223372036854775808, expected strides", &plain, OUTPUT, STRIDE, 1,
     -0x1p63},

    {"query: neither host nor buffer is set, expected one of them", &plain, QUERY, NOWHERE, 0, 0},
    {"mask: neither host nor buffer is set, expected one of them", &whole, MASK, NOWHERE, 0, 0},
    {"kv_lengths: neither host nor buffer is set, expected one of them", &whole, KV_LENGTHS,
     NOWHERE, 0, 0},
    {"output: neither host nor buffer is set, expected one of them", &plain, OUTPUT, NOWHERE, 0, 0},
    {"key: host and buffer are both set, expected one of them", &plain, KEY, TWICE, 0, 0},
    {"sinks: host and buffer are both set, expected one of them", &whole, SINKS, TWICE, 0, 0},
    {"lse: host and buffer are both set, expected one of them", &whole, LSE, TWICE, 0, 0},

    {"output: its strides let elements overlap, expected an own place for each", &plain, OUTPUT,
     STRIDE, 1, 0},
    {"output: its strides let elements overlap", &plain, OUTPUT, STRIDE, 2, 6},
    {"output: its strides let elements overlap", &plain, OUTPUT, STRIDE, 2, -6},
    {"weights: its strides let elements overlap", &whole, WEIGHTS, STRIDE, 3, 5},
    {"scores: its strides let elements overlap", &whole, SCORES, STRIDE, 0, 15},
    {"lse: its strides let elements overlap", &whole, LSE, STRIDE, 1, 1},

    {"output: shares memory with query, expected memory of its own", &plain, OUTPUT, PLACE_OF,
     QUERY, 0},
    {"output: shares memory with value, expected memory of its own", &plain, OUTPUT, PLACE_OF,
     VALUE, 0},
    {"output: shares memory with key, expected memory of its own", &padded, OUTPUT, PLACE_OF, KEY,
     0},
    {"output: shares memory with given_scores", &given, OUTPUT, PLACE_OF, GIVEN_SCORES, 0},
    /* Its last element alone, its first one alone. */
    {"output: shares memory with value", &plain, OUTPUT, PLACE_OF, VALUE, 139},
    {"output: shares memory with value", &plain, OUTPUT, PLACE_OF, VALUE, -167},
    {"output: shares memory with weights", &whole, WEIGHTS, PLACE_OF, OUTPUT, 0},
    {"weights: shares memory with scores", &whole, WEIGHTS, PLACE_OF, SCORES, 0},
    {"weights: shares memory with bias", &whole, WEIGHTS, PLACE_OF, BIAS, 0},
    {"scores: shares memory with mask", &whole, SCORES, PLACE_OF, MASK, 0},
    {"lse: shares memory with key", &whole, LSE, PLACE_OF, KEY, 0},
    {"lse: shares memory with kv_lengths", &whole, LSE, PLACE_OF, KV_LENGTHS, 1},
    {"lse: shares memory with alibi_slopes", &whole, LSE, PLACE_OF, ALIBI_SLOPES, 0},
    {"lse: shares memory with sinks", &whole, LSE, PLACE_OF, SINKS, 0},

    {"kv_lengths: element 0 is -1, expected 0 to 5 (T)", &whole, KV_LENGTHS, ELEMENT, 0, -1},
    {"kv_lengths: element 1 is 6, expected 0 to 5 (T)", &whole, KV_LENGTHS, ELEMENT, 1, 6},
    {"kv_lengths: element 1 is -4294967296, expected 0 to 5 (T)", &long_lengths, KV_LENGTHS,
     ELEMENT, 1, -0x1p32},
    /* Its lower half would do. */
    {"kv_lengths: element 0 is 4294967297, expected 0 to 5 (T)", &long_lengths, KV_LENGTHS, ELEMENT,
     0, 0x1.00000001p32},
    {"alibi_slopes: element 3 is nan, expected a finite number", &whole, ALIBI_SLOPES, ELEMENT, 3,
     (double)NAN},
    {"alibi_slopes: element 0 is inf, expected a finite number", &whole, ALIBI_SLOPES, ELEMENT, 0,
     (double)INFINITY},
    {"sinks: element 1 is -inf, expected a finite number", &whole, SINKS, ELEMENT, 1,
     -(double)INFINITY},
    {"sinks: element 0 is nan, expected a finite number", &rank2, SINKS, ELEMENT, 0, (double)NAN},
};

/* Of packed sequences: 8 queries and 6 keys. */
static const refusal packed_refusals[] = {
    {"cu_seqlens_q: missing, but the description asks for it (CLATTN_PACKED)", &packed,
     CU_SEQLENS_Q, ABSENT, 0, 0},
    {"cu_seqlens_k: missing, but the description asks for it (CLATTN_PACKED)", &packed,
     CU_SEQLENS_K, ABSENT, 0, 0},
    {"cu_seqlens_q: given, but the description does not ask for it (CLATTN_PACKED)", &plain,
     CU_SEQLENS_Q, PRESENT, 0, 0},
    {"cu_seqlens_k: given, but the description does not ask for it (CLATTN_PACKED)", &plain,
     CU_SEQLENS_K, PRESENT, 0, 0},
    {"mask: given, but the description does not ask for it (CLATTN_MASK)", &packed, MASK, PRESENT,
     0, 0},
    {"kv_lengths: given, but the description does not ask for it", &packed, KV_LENGTHS, PRESENT, 0,
     0},
    {"value: rank 4, expected 3 for packed sequences: (total_k, Hkv, Dv)", &packed, VALUE, RANK, 0,
     4},
    {"value: rank 2, expected 3 for packed sequences", &packed, VALUE, RANK, 0, 2},
    {"query: shape (8, 4), expected (total_q, Hq=4, D=6)", &packed, QUERY, RANK, 0, 2},
    {"query: shape (8, 5, 6), expected (total_q, Hq=4, D=6)", &packed, QUERY, DIMENSION, 1, 5},
    {"key: shape (6, 4, 6), expected (total_k, Hkv=2, D=6)", &packed, KEY, DIMENSION, 1, 4},
    {"value: shape (5, 2, 7), expected (total_k=6, Hkv=2, Dv=7)", &packed, VALUE, DIMENSION, 0, 5},
    {"output: shape (7, 4, 7), expected (total_q=8, Hq=4, Dv=7)", &packed, OUTPUT, DIMENSION, 0, 7},
    {"lse: shape (4, 9), expected (Hq=4, total_q=8)", &packed, LSE, DIMENSION, 1, 9},
    {"cu_seqlens_q: shape (4, 0), expected (B + 1)", &packed, CU_SEQLENS_Q, RANK, 0, 2},
    {"cu_seqlens_q: shape (0), expected (B + 1), from 0 to 8", &packed, CU_SEQLENS_Q, DIMENSION, 0,
     0},
    {"cu_seqlens_k: shape (3), expected (B + 1=4)", &packed, CU_SEQLENS_K, DIMENSION, 0, 3},
    {"cu_seqlens_q: dtype f32, expected i32 or i64", &packed, CU_SEQLENS_Q, DTYPE, 0, CLATTN_F32},
    {"cu_seqlens_k: neither host nor buffer is set, expected one of them", &packed, CU_SEQLENS_K,
     NOWHERE, 0, 0},
    {"cu_seqlens_q: element 0 is 1, expected 0", &packed, CU_SEQLENS_Q, ELEMENT, 0, 1},
    {"cu_seqlens_k: element 0 is -1, expected 0", &packed, CU_SEQLENS_K, ELEMENT, 0, -1},
    {"cu_seqlens_q: element 2 is 2 after 3, expected numbers that never fall", &packed,
     CU_SEQLENS_Q, ELEMENT, 2, 2},
    {"cu_seqlens_k: element 3 is 6 after 7, expected numbers that never fall", &packed,
     CU_SEQLENS_K, ELEMENT, 2, 7},
    {"cu_seqlens_q: element 3, the last one, is 9, expected 8, the rows of query", &packed,
     CU_SEQLENS_Q, ELEMENT, 3, 9},
    {"cu_seqlens_k: element 3, the last one, is 7, expected 6, the rows of key", &packed,
     CU_SEQLENS_K, ELEMENT, 3, 7},
    {"lse: shares memory with cu_seqlens_q", &packed, LSE, PLACE_OF, CU_SEQLENS_Q, 0},
    {"output: its strides let elements overlap", &packed, OUTPUT, STRIDE, 0, 7},

    {"column_sums: missing, but the description asks for it (CLATTN_COLUMN_SUMS)", &whole,
     COLUMN_SUMS, ABSENT, 0, 0},
    {"argmax: given, but the description does not ask for it (CLATTN_ARGMAX)", &plain, ARGMAX,
     PRESENT, 0, 0},
    {"weights_heads: given, but the description does not ask for it (CLATTN_WEIGHTS_HEADS)", &plain,
     WEIGHTS_HEADS, PRESENT, 0, 0},
    {"weights_rows: missing, but the description asks for it (CLATTN_WEIGHTS_ROWS)", &chosen,
     WEIGHTS_ROWS, ABSENT, 0, 0},
    {"column_sums: shape (2, 4, 3), expected (B=2, Hq=4, T=5)", &whole, COLUMN_SUMS, DIMENSION, 2,
     3},
    {"column_sums: dtype f16, expected f32", &half, COLUMN_SUMS, DTYPE, 0, CLATTN_F16},
    {"argmax: shape (2, 4, 5), expected (B=2, Hq=4, S=3)", &whole, ARGMAX, DIMENSION, 2, 5},
    {"argmax: dtype f32, expected i32 or i64", &whole, ARGMAX, DTYPE, 0, CLATTN_F32},
    {"entropy: dtype f32, expected f64", &wide, ENTROPY, DTYPE, 0, CLATTN_F32},
    {"entropy: rank 7, expected at most", &whole, ENTROPY, RANK, 0, 7},
    {"weights: shape (2, 2, 4, 5), expected (B=2, Hq=2, S=3, T=5)", &chosen, WEIGHTS, DIMENSION, 2,
     4},
    {"weights_heads: element 1 is 4, expected rising numbers from 0 to 3", &chosen, WEIGHTS_HEADS,
     ELEMENT, 1, 4},
    {"weights_heads: element 0 is -1, expected rising numbers from 0 to 3", &chosen, WEIGHTS_HEADS,
     ELEMENT, 0, -1},
    {"weights_heads: shape (0), expected (1), as weights of rank 3 have one head", &one_head,
     WEIGHTS_HEADS, DIMENSION, 0, 0},
    {"weights_rows: element 1 is 0, expected rising numbers from 0 to 2", &chosen, WEIGHTS_ROWS,
     ELEMENT, 1, 0},
    {"weights_rows: dtype f32, expected i32 or i64", &chosen, WEIGHTS_ROWS, DTYPE, 0, CLATTN_F32},
    {"argmax: shares memory with entropy", &whole, ARGMAX, PLACE_OF, ENTROPY, 0},
    {"argmax: shares memory with weights_rows", &chosen, ARGMAX, PLACE_OF, WEIGHTS_ROWS, 0},
};

/* What the outputs held before; nothing of it may change. */
enum { OUTPUTS = 7 };
typedef struct snapshot {
    void *bytes[OUTPUTS];
    size_t sizes[OUTPUTS];
} snapshot;

static void take(snapshot *s, const host_call *call)
{
    const char *name;
    for (size_t o = 0; o < OUTPUTS; o++) {
        const clattn_tensor *output = host_call_output(call, o, &name);
        s->sizes[o] = clattn_tensor_count(output) * clattn_dtype_size(output->dtype);
        s->bytes[o] = test_malloc(s->sizes[o] + 1);
        if (output->host)
            memcpy(s->bytes[o], output->host, s->sizes[o]);
    }
}

static void assert_untouched(snapshot *s, const host_call *call)
{
    const char *name;
    for (size_t o = 0; o < OUTPUTS; o++) {
        const clattn_tensor *output = host_call_output(call, o, &name);
        if (output->host)
            assert_memory_equal(s->bytes[o], output->host, s->sizes[o]);
        test_free(s->bytes[o]);
    }
}

static void is_refused(void **state)
{
    const refusal *r = *state;
    host_call call;
    clattn_attention_args right;
    clattn__problem problem;
    clattn__call view;
    snapshot before;
    case_make(&call, r->from);
    right = call.args;
    take(&before, &call);
    apply(&call, r);
    assert_status(CLATTN_OK, clattn__problem_init(&problem, &call.desc));
    assert_status(CLATTN_E_ARGUMENT, clattn__call_init(&view, &problem, &call.args));
    if (!strstr(clattn_last_error(), r->words))
        fail_msg("\"%s\" does not say \"%s\"", clattn_last_error(), r->words);
    assert_status(CLATTN_E_ARGUMENT, clattn_reference_run(&call.desc, &call.args));
    call.args = right;
    assert_untouched(&before, &call);
    host_call_free(&call);
}

/* What looks wrong and is not: each changes one tensor of a call, which stays right. */
static const refusal allowances[] = {
    {"query whose rows run backwards", &plain, QUERY, BACKWARDS, 2, 0},
    {"key that is the same for all heads", &plain, KEY, STRIDE, 1, 0},
    {"output whose batches run backwards", &plain, OUTPUT, BACKWARDS, 0, 0},
    {"output whose batches lie far apart", &plain, OUTPUT, STRIDE, 0, 1000},
    {"mask of f32 beside f16", &half, MASK, DTYPE, 0, CLATTN_F32},
    {"mask of f16 beside f16", &half, MASK, DTYPE, 0, CLATTN_F16},
    {"bias of f32 beside f16", &half, BIAS, DTYPE, 0, CLATTN_F32},
    {"scores of f32 beside f16", &given_half, GIVEN_SCORES, DTYPE, 0, CLATTN_F32},
    {"key that is also value", &square, KEY, PLACE_OF, VALUE, 0},
    {"bias for all heads", &whole, BIAS, DIMENSION, 1, 1},
    {"output just behind value", &plain, OUTPUT, PLACE_OF, VALUE, 140},
    {"output just before value", &plain, OUTPUT, PLACE_OF, VALUE, -168},
    {"empty output without memory", &nothing, OUTPUT, NOWHERE, 0, 0},
    {"packed queries that run backwards", &packed, QUERY, BACKWARDS, 0, 0},
    {"a packed sequence that is shorter by one", &packed, CU_SEQLENS_Q, ELEMENT, 1, 2},
    {"lengths of all keys", &whole, KV_LENGTHS, ELEMENT, 1, 5},
    {"the lowest finite sink", &whole, SINKS, ELEMENT, 0, -0x1.fffffep127},
};

static void is_accepted(void **state)
{
    const refusal *r = *state;
    host_call made;
    clattn__problem problem;
    clattn__call call;
    case_make(&made, r->from);
    apply(&made, r);
    assert_status(CLATTN_OK, clattn__problem_init(&problem, &made.desc));
    assert_status(CLATTN_OK, clattn__call_init(&call, &problem, &made.args));
    host_call_free(&made);
}

/* Query, key, value and output as the four columns of one array: their memory is shared, no element
 * of it is. */
static void woven_tensors_are_accepted(void **state)
{
    float memory[3][4][8] = {{{0}}};
    const int64_t shape[] = {3, 8};
    clattn_tensor columns[4];
    clattn__problem problem;
    clattn__call call;
    (void)state;
    for (int i = 0; i < 4; i++) {
        columns[i] = clattn_tensor_host(CLATTN_F32, memory[0][i], 2, shape);
        columns[i].strides[0] = sizeof memory[0] / sizeof(float);
    }
    const clattn_attention_desc desc = {.struct_size = sizeof desc, .head_size = 8};
    const clattn_attention_args args = {.struct_size = sizeof args,
                                        .query = columns[0],
                                        .key = columns[1],
                                        .value = columns[2],
                                        .output = columns[3]};
    assert_status(CLATTN_OK, clattn__problem_init(&problem, &desc));
    assert_status(CLATTN_OK, clattn__call_init(&call, &problem, &args));
}

int main(void)
{
    named_tests bad = {0}, good = {0};
    int failures;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        named_tests_add(&bad, refusals[i].words, is_refused, &refusals[i]);
    for (size_t i = 0; i < sizeof allowances / sizeof *allowances; i++)
        named_tests_add(&good, allowances[i].words, is_accepted, &allowances[i]);
    for (size_t i = 0; i < sizeof packed_refusals / sizeof *packed_refusals; i++)
        named_tests_add(&bad, packed_refusals[i].words, is_refused, &packed_refusals[i]);
    named_tests_add(&good, "woven tensors are accepted", woven_tensors_are_accepted, NULL);
    failures = named_tests_run(&bad, "arguments, refused", NULL, NULL);
    failures += named_tests_run(&good, "arguments, accepted", NULL, NULL);
    return failures;
}
