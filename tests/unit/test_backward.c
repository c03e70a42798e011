/* Gradients of the reference against differences of the forward reference, and what must not leak into them. */
#include "support/backward_call.h"
#include "support/cases.h"
#include "support/checks.h"
#include "support/named_tests.h"

#include <math.h>
#include <stddef.h>

#define WIDE .dtype = CLATTN_F64
#define SMALL WIDE, .B = 2, .Hq = 2, .S = 3, .T = 4, .D = 3, .Dv = 2, .A = 3
#define GROUPED WIDE, .Hq = 4, .Hkv = 2, .S = 3, .T = 5, .D = 3, .Dv = 2, .A = 3
#define SIZED .B = 2, .Hq = 4, .Hkv = 2, .S = 3, .T = 5, .D = 6, .Dv = 6
#define OF_LSE .outputs = CLATTN_LSE
#define OF_ALL .outputs = (CLATTN_OUTPUT | CLATTN_WEIGHTS | CLATTN_LSE)

/* clang-format off: one row, one case */
static const clattn_case differentiated[] = {
    {"scaled dot", SMALL},
    {"grouped heads", GROUPED},
    {"one of all", WIDE, .S = 1, .D = 1},
    {"one key", WIDE, .Hq = 2, .S = 3, .T = 1, .D = 3},
    {"output alone", SMALL, .outputs = CLATTN_OUTPUT},
    {"weights alone", SMALL, .outputs = CLATTN_WEIGHTS},
    {"lse alone", SMALL, OF_LSE},
    {"many rows and keys", WIDE, .S = 70, .T = 40, .D = 2, .Dv = 1},
    {"bshd", SMALL, .layout = CLATTN_BSHD},
    {"rank 2", WIDE, .rank = 2, .S = 3, .T = 4, .D = 3},
    {"rank 3, transposed", WIDE, .rank = 3, .B = 2, .S = 3, .T = 4, .D = 3,
     .strides = STRIDES_TRANSPOSED},
    {"scale", SMALL, .scale = -0.7, .flags = CLATTN_SCALE},
    {"softcap", SMALL, .softcap = 1.5},
    {"causal", SMALL, .flags = CLATTN_CAUSAL},
    {"causal from the bottom right", SMALL, .flags = CLATTN_CAUSAL,
     .alignment = CLATTN_BOTTOM_RIGHT},
    {"queries before the first key", WIDE, .S = 5, .T = 3, .D = 3, .flags = CLATTN_CAUSAL,
     .alignment = CLATTN_BOTTOM_RIGHT},
    {"a window", WIDE, .S = 6, .T = 6, .D = 3, .window_left = 2, .window_right = 1,
     .flags = CLATTN_WINDOW},
    {"lengths", SMALL, .flags = CLATTN_KV_LENGTHS},
    {"a mask", SMALL, .flags = CLATTN_MASK},
    {"a mask of rows that see nothing", SMALL, .flags = CLATTN_MASK, .mask = MASK_NONE_VISIBLE},
    {"a float mask", SMALL, .flags = CLATTN_MASK, .mask = MASK_FLOAT_FULL},
    {"bias", SMALL, .flags = CLATTN_BIAS},
    {"bias of heads", SMALL, .flags = CLATTN_BIAS, .bias = BIAS_HEADS},
    {"ALiBi", SMALL, .flags = CLATTN_ALIBI},
    {"ALiBi from the bottom right", SMALL, .flags = CLATTN_ALIBI, .alignment = CLATTN_BOTTOM_RIGHT},
    {"sinks", SMALL, .flags = CLATTN_SINKS},
    {"sinks of rows that see nothing", SMALL, .flags = CLATTN_SINKS | CLATTN_KV_LENGTHS,
     .lengths = LENGTHS_NONE},
    {"all modifications", GROUPED, ALL_MODIFICATIONS(2, 1), .alignment = CLATTN_BOTTOM_RIGHT},
    {"given scores", SMALL, .score = CLATTN_SCORE_GIVEN},
    {"given scores, modified", GROUPED, .score = CLATTN_SCORE_GIVEN, .softcap = 2,
     .flags = CLATTN_BIAS | CLATTN_CAUSAL},
    {"dot", SMALL, .score = CLATTN_SCORE_DOT},
    {"none", SMALL, .normalizer = CLATTN_NORMALIZER_NONE},
    {"none, modified", GROUPED, .normalizer = CLATTN_NORMALIZER_NONE, .softcap = 2,
     .flags = CLATTN_BIAS | CLATTN_CAUSAL | CLATTN_ALIBI},
    {"sigmoid", SMALL, .normalizer = CLATTN_NORMALIZER_SIGMOID},
    {"sigmoid, modified", GROUPED, .normalizer = CLATTN_NORMALIZER_SIGMOID, .softcap = 2,
     .flags = CLATTN_BIAS | CLATTN_CAUSAL | CLATTN_ALIBI},
    {"sparsemax", SMALL, .normalizer = CLATTN_NORMALIZER_SPARSEMAX},
    {"sparsemax, modified", GROUPED, .normalizer = CLATTN_NORMALIZER_SPARSEMAX, .softcap = 2,
     .flags = CLATTN_BIAS | CLATTN_CAUSAL | CLATTN_ALIBI},
    {"entmax15", SMALL, .normalizer = CLATTN_NORMALIZER_ENTMAX15},
    {"entmax15, modified", GROUPED, .normalizer = CLATTN_NORMALIZER_ENTMAX15, .softcap = 2,
     .flags = CLATTN_BIAS | CLATTN_CAUSAL | CLATTN_ALIBI},
    {"general", SMALL, .Dk = 5, .score = CLATTN_SCORE_GENERAL},
    {"general of heads", GROUPED, .Dk = 2, .score = CLATTN_SCORE_GENERAL, .params = PARAMS_OF_HEADS,
     .flags = CLATTN_CAUSAL},
    {"location", SMALL, .score = CLATTN_SCORE_LOCATION},
    {"location of heads", GROUPED, .score = CLATTN_SCORE_LOCATION, .params = PARAMS_OF_HEADS,
     .flags = CLATTN_CAUSAL},
    {"additive", SMALL, .Dk = 5, .score = CLATTN_SCORE_ADDITIVE},
    {"additive of heads", GROUPED, .Dk = 2, .score = CLATTN_SCORE_ADDITIVE,
     .params = PARAMS_OF_HEADS | PARAM_BIAS | PARAM_G, .flags = CLATTN_CAUSAL},
    {"additive, with bias and gain", SMALL, .score = CLATTN_SCORE_ADDITIVE, .scale = 0.5,
     .params = PARAM_BIAS | PARAM_G, .flags = CLATTN_SCALE},
    {"additive, projected queries", SMALL, .score = CLATTN_SCORE_ADDITIVE, .params = PARAM_BIAS,
     .flags = CLATTN_PROJECTED_QUERY},
    {"additive, many rows and keys", WIDE, .S = 35, .T = 40, .D = 2, .A = 2,
     .score = CLATTN_SCORE_ADDITIVE},
    {"location-sensitive", SMALL, .C = 2, .K = 3, .score = CLATTN_SCORE_LOCATION_SENSITIVE},
    {"location-sensitive of heads", GROUPED, .C = 4, .K = 1,
     .score = CLATTN_SCORE_LOCATION_SENSITIVE, .params = PARAMS_OF_HEADS | PARAM_BIAS | PARAM_G,
     .flags = CLATTN_CAUSAL},
    {"location-sensitive, cumulative", SMALL, .C = 2, .K = 7,
     .score = CLATTN_SCORE_LOCATION_SENSITIVE, .params = PARAM_CUMULATIVE},
    {"location-sensitive of heads, cumulative", GROUPED, .C = 2, .K = 3,
     .score = CLATTN_SCORE_LOCATION_SENSITIVE, .params = PARAMS_OF_HEADS | PARAM_CUMULATIVE},
    {"coverage", SMALL, .score = CLATTN_SCORE_COVERAGE},
    {"coverage of heads", GROUPED, .score = CLATTN_SCORE_COVERAGE,
     .params = PARAMS_OF_HEADS | PARAM_BIAS | PARAM_G},
    {"cosine", SMALL, .score = CLATTN_SCORE_COSINE},
    {"cosine of heads", GROUPED, .score = CLATTN_SCORE_COSINE, .params = PARAMS_OF_HEADS},
    {"cosine of rows", SMALL, .score = CLATTN_SCORE_COSINE, .params = PARAM_OF_ROWS},
    {"cosine of rows of heads", GROUPED, .score = CLATTN_SCORE_COSINE,
     .params = PARAM_OF_ROWS | PARAMS_OF_HEADS},
    {"rbf", SMALL, .score = CLATTN_SCORE_RBF, .scale = 0.5, .flags = CLATTN_SCALE},
    {"rbf of heads", GROUPED, .score = CLATTN_SCORE_RBF, .params = PARAMS_OF_HEADS},
    {"dropout", SMALL, .dropout = 0.25},
    {"dropout of all results and modifications", GROUPED, OF_ALL, ALL_MODIFICATIONS(2, 1),
     .dropout = 0.4},
    {"dropout of sigmoid", GROUPED, OF_ALL, .normalizer = CLATTN_NORMALIZER_SIGMOID,
     .dropout = 0.5},
    {"dropout of entmax15", SMALL, OF_ALL, .normalizer = CLATTN_NORMALIZER_ENTMAX15,
     .dropout = 0.25},
    {"dropout of additive", GROUPED, .score = CLATTN_SCORE_ADDITIVE, .dropout = 0.25},
    {"packed, dropout", WIDE, .Hq = 2, .D = 3, .packed = PACKED({2, 3}, {3, 2}), .dropout = 0.5},
    {"packed", WIDE, .Hq = 4, .Hkv = 2, .D = 3, .Dv = 2,
     .packed = PACKED({2, 3}, {0, 2}, {4, 1}, {2, 0}),
     .flags = CLATTN_CAUSAL | CLATTN_ALIBI | CLATTN_SINKS, .alignment = CLATTN_BOTTOM_RIGHT},
    {"packed, additive", WIDE, .Hq = 2, .D = 3, .Dv = 2, .A = 3,
     .packed = PACKED({2, 3}, {0, 2}, {4, 1}), .score = CLATTN_SCORE_ADDITIVE,
     .params = PARAM_BIAS | PARAM_G},
    {"packed, cosine of rows", WIDE, .Hq = 2, .D = 3, .Dv = 2, .packed = PACKED({2, 3}, {3, 2}),
     .score = CLATTN_SCORE_COSINE},
};
/* clang-format on */

/* Differences need inputs of more digits than f32 has. */
static void widen(host_call *call, clattn_tensor *tensor)
{
    if (tensor->rank == 0 || tensor->dtype != CLATTN_F32)
        return;
    const clattn_tensor narrow = *tensor;
    *tensor = host_call_tensor(call, CLATTN_F64, narrow.rank, narrow.shape, STRIDES_DENSE);
    for (size_t i = 0; i < clattn_tensor_count(tensor); i++)
        host_tensor_set(tensor, i, host_tensor_get(&narrow, i));
}

static double dot(const clattn_tensor *gradient, const clattn_tensor *of)
{
    double sum = 0;
    for (size_t i = 0; i < clattn_tensor_count(gradient); i++)
        if (isfinite(host_tensor_get(of, i))) /* an lse of no keys moves with nothing */
            sum += host_tensor_get(gradient, i) * host_tensor_get(of, i);
    return sum;
}

/* What gradients that come in are those of. */
static double loss(const clattn_attention_desc *desc, const clattn_attention_args *args,
                   const clattn_gradients *grad)
{
    assert_status(CLATTN_OK, clattn_reference_run(desc, args));
    return dot(&grad->output, &args->output) + dot(&grad->weights, &args->weights) +
           dot(&grad->lse, &args->lse);
}

/* Backward reads lse, whatever forward was asked for. */
static void make_forward(host_call *out, const clattn_case *from)
{
    clattn_case with_lse = *from;
    if (from->outputs)
        with_lse.outputs |= CLATTN_LSE;
    case_make(out, &with_lse);
    if (from->flags & CLATTN_PROJECTED_QUERY)
        out->args.params.w_query = (clattn_tensor){0};
}

static void is_what_differences_say(void **state)
{
    const clattn_case *c = *state;
    const double step = 1e-4;
    host_call call;
    backward_gradient each;
    make_forward(&call, c);
    for (size_t n = 0; backward_call_gradient(&call, n, &each); n++)
        widen(&call, (clattn_tensor *)each.of);
    assert_status(CLATTN_OK, clattn_reference_run(&call.desc, &call.args));
    const clattn_attention_desc forward = call.desc;
    const clattn_attention_args args = call.args;
    backward_call_turn(&call, c->outputs, c->strides);
    assert_status(CLATTN_OK, clattn_reference_run(&call.desc, &call.args));
    for (size_t n = 0; backward_call_gradient(&call, n, &each); n++)
        for (size_t i = 0; i < clattn_tensor_count(each.gradient); i++) {
            const double here = host_tensor_get(each.of, i);
            double losses[4];
            for (int at = 0; at < 4; at++) {
                host_tensor_set(each.of, i, here + step * (at < 2 ? at - 2 : at - 1));
                losses[at] = loss(&forward, &args, &call.args.grad);
            }
            host_tensor_set(each.of, i, here);
            const double slope =
                (8 * (losses[2] - losses[1]) - (losses[3] - losses[0])) / (12 * step);
            assert_close(host_tensor_get(each.gradient, i), slope, 1e-8 * (1 + fabs(slope)),
                         each.name, i);
        }
    host_call_free(&call);
}

/* Every score meets what hides keys, and every normalizer. */
#define HIDING WIDE, .B = 2, .Hq = 4, .Hkv = 2, .S = 6, .T = 7, .D = 3, .Dv = 2, .A = 3
#define EACH_HIDING(words, ...)                                                                    \
    {words ", lengths and causal", HIDING, .flags = CLATTN_KV_LENGTHS | CLATTN_CAUSAL,             \
     __VA_ARGS__},                                                                                 \
        {words ", a mask of keys", HIDING, .flags = CLATTN_MASK, .mask = MASK_KEYS, __VA_ARGS__},  \
        {words ", a float mask of keys", HIDING, .flags = CLATTN_MASK, .mask = MASK_FLOAT_KEYS,    \
         __VA_ARGS__},                                                                             \
    {                                                                                              \
        words ", rows that see nothing", HIDING, .flags = CLATTN_MASK, .mask = MASK_NONE_VISIBLE,  \
                                                 __VA_ARGS__                                       \
    }

/* clang-format off: one row, one case */
static const clattn_case hiding[] = {
    EACH_HIDING("dot", .score = CLATTN_SCORE_DOT),
    EACH_HIDING("none", .normalizer = CLATTN_NORMALIZER_NONE),
    EACH_HIDING("sigmoid", .normalizer = CLATTN_NORMALIZER_SIGMOID, .softcap = 3),
    EACH_HIDING("sparsemax", .normalizer = CLATTN_NORMALIZER_SPARSEMAX),
    EACH_HIDING("entmax15", .normalizer = CLATTN_NORMALIZER_ENTMAX15),
    EACH_HIDING("given scores", .score = CLATTN_SCORE_GIVEN, .softcap = 2),
    EACH_HIDING("general", .score = CLATTN_SCORE_GENERAL),
    EACH_HIDING("location", .score = CLATTN_SCORE_LOCATION),
    EACH_HIDING("additive", .score = CLATTN_SCORE_ADDITIVE, .params = PARAMS_OF_HEADS | PARAM_G),
    EACH_HIDING("location-sensitive", .score = CLATTN_SCORE_LOCATION_SENSITIVE,
                .params = PARAM_CUMULATIVE),
    EACH_HIDING("coverage", .score = CLATTN_SCORE_COVERAGE, .params = PARAM_BIAS),
    EACH_HIDING("cosine", .score = CLATTN_SCORE_COSINE),
    EACH_HIDING("rbf", .score = CLATTN_SCORE_RBF),
};
/* clang-format on */

static void spoil(const clattn_tensor *tensor, int64_t b, int64_t h, int64_t i, int64_t j)
{
    const size_t at = (size_t)(((b * tensor->shape[1] + h) * tensor->shape[2] + i));
    if (tensor->rank == 4)
        host_tensor_set(tensor, at * (size_t)tensor->shape[3] + (size_t)j, (double)NAN);
    else if (tensor->rank == 3)
        host_tensor_set(tensor, at, (double)NAN);
}

static void spoil_vector(const clattn_tensor *tensor, int64_t b, int64_t h, int64_t i)
{
    for (int64_t c = 0; tensor->rank && c < tensor->shape[3]; c++)
        spoil(tensor, b, h, i, c);
}

/* Writes NaN wherever no visible pair of a query and a key looks; `modified` says which are. */
static void spoil_hidden(clattn_attention_args *args, const clattn_tensor *modified)
{
    const int64_t *n = modified->shape;
    const int64_t group = n[1] / args->value.shape[1];
    for (int64_t head = 0; head < n[0] * args->value.shape[1]; head++) {
        const int64_t b = head / args->value.shape[1], g = head % args->value.shape[1];
        bool key_seen[16] = {false};
        for (int64_t row = 0; row < group * n[2]; row++) {
            const int64_t h = g * group + row / n[2], i = row % n[2];
            bool sees = false;
            for (int64_t j = 0; j < n[3]; j++) {
                const size_t at = (size_t)(((b * n[1] + h) * n[2] + i) * n[3] + j);
                const bool seen = isfinite(host_tensor_get(modified, at));
                sees = sees || seen, key_seen[j] = key_seen[j] || seen;
                if (seen)
                    continue;
                spoil(&args->given_scores, b, h, i, j);
                spoil(&args->grad.weights, b, h, i, j);
            }
            if (sees)
                continue;
            spoil_vector(&args->query, b, h, i);
            spoil_vector(&args->grad.output, b, h, i);
            spoil(&args->grad.lse, b, h, i, 0);
        }
        for (int64_t j = 0; j < n[3]; j++) {
            if (key_seen[j])
                continue;
            spoil_vector(&args->key, b, g, j);
            spoil_vector(&args->value, b, g, j);
        }
    }
}

static void hides_what_is_hidden(void **state)
{
    clattn_case c = *(const clattn_case *)*state;
    host_call call, spoilt;
    backward_gradient each, other;
    c.stage = CLATTN_SCORES_MODIFIED;
    case_make(&call, &c);
    case_make(&spoilt, &c);
    assert_status(CLATTN_OK, clattn_reference_run(&call.desc, &call.args));
    const clattn_tensor modified = call.args.scores;
    backward_call_turn(&call, 0, STRIDES_PADDED);
    backward_call_turn(&spoilt, 0, STRIDES_PADDED);
    spoil_hidden(&spoilt.args, &modified);
    assert_status(CLATTN_OK, clattn_reference_run(&call.desc, &call.args));
    assert_status(CLATTN_OK, clattn_reference_run(&spoilt.desc, &spoilt.args));
    for (size_t n = 0; backward_call_gradient(&call, n, &each); n++) {
        assert_true(backward_call_gradient(&spoilt, n, &other));
        for (size_t i = 0; i < clattn_tensor_count(each.gradient); i++) {
            assert_true(isfinite(host_tensor_get(each.gradient, i)));
            assert_close(host_tensor_get(other.gradient, i), host_tensor_get(each.gradient, i), 0,
                         each.name, i);
        }
        if (each.gradient->rank)
            assert_true(host_tensor_gaps_untouched(&call, each.gradient));
    }
    host_call_free(&spoilt);
    host_call_free(&call);
}

static void shows_a_visible_nan(void **state)
{
    const clattn_case c = {
        WIDE, .S = 4, .T = 4, .D = 2, .flags = CLATTN_CAUSAL, .fill = FILL_NAN_LAST};
    const size_t size = 2;
    host_call call;
    (void)state;
    case_make(&call, &c);
    assert_status(CLATTN_OK, clattn_reference_run(&call.desc, &call.args));
    backward_call_turn(&call, 0, STRIDES_DENSE);
    assert_status(CLATTN_OK, clattn_reference_run(&call.desc, &call.args));
    for (size_t i = 0; i < 4 * size; i++)
        assert_int_equal(isnan(host_tensor_get(&call.args.grad.query, i)), i >= 3 * size);
    host_call_free(&call);
}

static const clattn_case empty[] = {
    {"no batch", WIDE, .B = -1, .Hq = 2, .S = 3, .T = 4, .flags = CLATTN_BIAS, .bias = BIAS_HEADS},
    {"no queries", WIDE, .B = 2, .S = -1, .T = 4, .flags = CLATTN_BIAS, .bias = BIAS_HEADS},
    {"no keys", WIDE, .B = 2, .S = 3, .T = -1, .flags = CLATTN_ALIBI},
    {"no batch, additive", WIDE, .B = -1, .S = 3, .score = CLATTN_SCORE_ADDITIVE},
    {"no queries, coverage", WIDE, .S = -1, .T = 4, .score = CLATTN_SCORE_COVERAGE},
    {"no keys, general", WIDE, .S = 3, .T = -1, .score = CLATTN_SCORE_GENERAL},
    {"no keys, location", WIDE, .S = 3, .T = -1, .score = CLATTN_SCORE_LOCATION},
    {"no keys, cosine", WIDE, .S = 3, .T = -1, .score = CLATTN_SCORE_COSINE},
    {"nothing packed", WIDE, .packed = PACKED({0, 3}, {2, 0}), .flags = CLATTN_ALIBI},
};

static void gives_zeros(void **state)
{
    const clattn_case *c = *state;
    host_call call;
    backward_gradient each;
    size_t zeros = 0;
    case_make(&call, c);
    assert_status(CLATTN_OK, clattn_reference_run(&call.desc, &call.args));
    backward_call_turn(&call, 0, STRIDES_DENSE);
    assert_status(CLATTN_OK, clattn_reference_run(&call.desc, &call.args));
    for (size_t n = 0; backward_call_gradient(&call, n, &each); n++)
        for (size_t i = 0; i < clattn_tensor_count(each.gradient); i++, zeros++)
            assert_close(host_tensor_get(each.gradient, i), 0, 0, each.name, i);
    assert_true(zeros > 0);
    host_call_free(&call);
}

/* What is wrong with a call backward that is right otherwise. */
typedef enum change { ABSENT, PRESENT, RANK, DIMENSION, STRIDE, DTYPE, NOT_ASKED_FOR } change;

typedef struct refusal {
    const char *words; /* that the sentence must hold; also the test's name */
    const clattn_case *from;
    size_t tensor; /* its offset in clattn_attention_args */
    change change; /* of its last dimension; NOT_ASKED_FOR: by desc.gradients */
    uint32_t number;
} refusal;

#define OF(name) offsetof(clattn_attention_args, name)

static const clattn_case right = {SIZED, .flags = CLATTN_BIAS | CLATTN_ALIBI | CLATTN_SINKS},
                         of_output = {SIZED, .outputs = CLATTN_OUTPUT},
                         without = {SIZED, .normalizer = CLATTN_NORMALIZER_NONE},
                         additive = {SIZED, .score = CLATTN_SCORE_ADDITIVE},
                         of_projected = {SIZED, .A = 6, .score = CLATTN_SCORE_ADDITIVE,
                                         .flags = CLATTN_PROJECTED_QUERY},
                         given = {SIZED, .score = CLATTN_SCORE_GIVEN};

static const refusal refusals[] = {
    {"output: missing, but the description asks for it (backward of softmax)", &right, OF(output),
     ABSENT, 0},
    {"lse: missing, but the description asks for it (backward of softmax)", &right, OF(lse), ABSENT,
     0},
    {"output: given, but the description does not ask for it (backward of softmax)", &without,
     OF(output), PRESENT, 0},
    {"lse: given, but the description does not ask for it (backward of softmax)", &without, OF(lse),
     PRESENT, 0},
    {"grad.output: missing, but the description asks for it (CLATTN_OUTPUT)", &right,
     OF(grad.output), ABSENT, 0},
    {"grad.weights: given, but the description does not ask for it (CLATTN_WEIGHTS)", &of_output,
     OF(grad.weights), PRESENT, 0},
    {"grad.lse: given, but the description does not ask for it (CLATTN_LSE)", &of_output,
     OF(grad.lse), PRESENT, 0},
    {"grad.output: dtype i32", &right, OF(grad.output), DTYPE, CLATTN_I32},
    {"grad.weights: shape (2, 4, 3, 9), expected (B=2, Hq=4, S=3, T=5)", &right, OF(grad.weights),
     DIMENSION, 9},
    {"grad.lse: shape (2, 4, 9), expected (B=2, Hq=4, S=3)", &right, OF(grad.lse), DIMENSION, 9},
    {"grad.query: missing, but the description asks for it (CLATTN_GRAD_QUERY)", &right,
     OF(grad.query), ABSENT, 0},
    {"grad.key: given, but the description does not ask for it (CLATTN_GRAD_KEY)", &right,
     OF(grad.key), NOT_ASKED_FOR, CLATTN_GRAD_KEY},
    {"grad.value: dtype f16, expected f32", &right, OF(grad.value), DTYPE, CLATTN_F16},
    {"grad.given_scores: shape (2, 4, 3, 1), expected (2, 4, 3, 5) as what it is the gradient of",
     &given, OF(grad.given_scores), DIMENSION, 1},
    {"grad.bias: shape (2, 4, 3, 1), expected (2, 4, 3, 5) as what it is the gradient of", &right,
     OF(grad.bias), DIMENSION, 1},
    {"grad.bias: its strides let elements overlap", &right, OF(grad.bias), STRIDE, 0},
    {"grad.alibi_slopes: dtype i64", &right, OF(grad.alibi_slopes), DTYPE, CLATTN_I64},
    {"grad.sinks: shape (3), expected (4) as what it is the gradient of", &right, OF(grad.sinks),
     DIMENSION, 3},
    {"grad.value: shares memory with value", &right, OF(grad.value), PRESENT, 0},
    {"grad.params.weight: given, but params.weight is not, expected both", &right,
     OF(grad.params.weight), PRESENT, 0},
    {"grad.params.w_query: given, but the description does not ask for it (CLATTN_GRAD_PARAMS)",
     &additive, OF(grad.params.w_query), NOT_ASKED_FOR, CLATTN_GRAD_PARAMS},
    {"grad.params.v: rank 2, expected 1 as what it is the gradient of", &additive,
     OF(grad.params.v), RANK, 2},
    {"grad.params.w_key: shape (8, 5), expected (8, 6) as what it is the gradient of", &additive,
     OF(grad.params.w_key), DIMENSION, 5},
    {"grad.params.w_key: its strides let elements overlap", &additive, OF(grad.params.w_key),
     STRIDE, 0},
    {"grad.params.w_query: given, but queries come projected; expected none", &of_projected,
     OF(grad.params.w_query), PRESENT, 0},
    {"grad.params.v: dtype bool", &additive, OF(grad.params.v), DTYPE, CLATTN_BOOL},
};

static void is_refused(void **state)
{
    const refusal *r = *state;
    host_call call;
    make_forward(&call, r->from);
    assert_status(CLATTN_OK, clattn_reference_run(&call.desc, &call.args));
    backward_call_turn(&call, r->from->outputs, STRIDES_DENSE);
    clattn_tensor *tensor = (clattn_tensor *)(void *)((char *)&call.args + r->tensor);
    const uint32_t last = tensor->rank ? tensor->rank - 1 : 0;
    switch (r->change) {
    case ABSENT:
        *tensor = (clattn_tensor){0};
        break;
    case PRESENT:
        *tensor = call.args.value;
        break;
    case RANK:
        tensor->rank = r->number;
        break;
    case DIMENSION:
        tensor->shape[last] = r->number;
        break;
    case STRIDE:
        tensor->strides[last] = r->number;
        break;
    case DTYPE:
        tensor->dtype = (clattn_dtype)r->number;
        break;
    case NOT_ASKED_FOR:
        call.desc.gradients &= ~r->number;
        break;
    }
    assert_argument_refused(clattn_reference_run(&call.desc, &call.args), r->words);
    host_call_free(&call);
}

static void saved_weights_are_checked(void **state)
{
    host_call call;
    (void)state;
    make_forward(&call, &right);
    assert_status(CLATTN_OK, clattn_reference_run(&call.desc, &call.args));
    const clattn_tensor weights = call.args.weights;
    backward_call_turn(&call, 0, STRIDES_DENSE);
    call.desc.flags |= CLATTN_SAVED_WEIGHTS;
    assert_argument_refused(
        clattn_reference_run(&call.desc, &call.args),
        "weights: missing, but the description asks for it (CLATTN_SAVED_WEIGHTS)");
    call.args.weights = call.args.value;
    assert_argument_refused(clattn_reference_run(&call.desc, &call.args),
                            "weights: shape (2, 2, 5, 6), expected (B=2, Hq=4, S=3, T=5)");
    call.args.weights = weights;
    call.args.weights.dtype = CLATTN_F16;
    assert_argument_refused(clattn_reference_run(&call.desc, &call.args),
                            "weights: dtype f16, expected f32");
    call.args.weights = call.args.grad.query;
    call.args.weights.shape[3] = 5;
    assert_argument_refused(clattn_reference_run(&call.desc, &call.args),
                            "grad.query: shares memory with weights");
    call.args.weights = weights;
    assert_status(CLATTN_OK, clattn_reference_run(&call.desc, &call.args));
    host_call_free(&call);
}

int main(void)
{
    named_tests tests = {0};
    named_tests_add(&tests, "shows a visible NaN", shows_a_visible_nan, NULL);
    for (size_t i = 0; i < sizeof differentiated / sizeof *differentiated; i++)
        named_tests_add(&tests, differentiated[i].name, is_what_differences_say,
                        &differentiated[i]);
    for (size_t i = 0; i < sizeof hiding / sizeof *hiding; i++)
        named_tests_add(&tests, hiding[i].name, hides_what_is_hidden, &hiding[i]);
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++)
        named_tests_add(&tests, empty[i].name, gives_zeros, &empty[i]);
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        named_tests_add(&tests, refusals[i].words, is_refused, &refusals[i]);
    named_tests_add(&tests, "saved weights are checked", saved_weights_are_checked, NULL);
    return named_tests_run(&tests, "backward", NULL, NULL);
}
