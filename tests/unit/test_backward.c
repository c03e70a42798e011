/* Gradients of the reference against differences of the forward reference, and what must not leak into them. */
#include "support/backward_call.h"
#include "support/cases.h"
#include "support/checks.h"
#include "support/named_tests.h"

#include <math.h>

#define WIDE .dtype = CLATTN_F64
#define SMALL WIDE, .B = 2, .Hq = 2, .S = 3, .T = 4, .D = 3, .Dv = 2, .A = 3
#define GROUPED WIDE, .Hq = 4, .Hkv = 2, .S = 3, .T = 5, .D = 3, .Dv = 2, .A = 3
#define OF_LSE .outputs = CLATTN_LSE
#define OF_ALL .outputs = CLATTN_OUTPUT | CLATTN_WEIGHTS | CLATTN_LSE

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
}

static void is_what_differences_say(void **state)
{
    const clattn_case *c = *state;
    const double step = 1e-4;
    host_call call;
    backward_gradient each;
    make_forward(&call, c);
    for (size_t n = 0; backward_call_gradient(&call, n, &each); n++)
        widen(&call, (clattn_tensor *)(uintptr_t)each.of);
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

int main(void)
{
    named_tests tests = {0};
    for (size_t i = 0; i < sizeof differentiated / sizeof *differentiated; i++)
        named_tests_add(&tests, differentiated[i].name, is_what_differences_say,
                        &differentiated[i]);
    return named_tests_run(&tests, "backward", NULL, NULL);
}
