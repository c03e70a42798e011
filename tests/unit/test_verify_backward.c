/* The judge of gradients: what plain code makes of them is right, and an error above the bound is found. */
#include "reference/backward.h"
#include "reference/sums.h"
#include "support/backward_call.h"
#include "support/cases.h"
#include "support/checks.h"
#include "support/named_tests.h"

#include <math.h>
#include <string.h>

#define SMALL .B = 2, .Hq = 4, .Hkv = 2, .S = 9, .T = 11, .D = 6, .Dv = 5
#define EACH_DTYPE(words, ...)                                                                     \
    {"f32 " words, .dtype = CLATTN_F32, __VA_ARGS__},                                              \
        {"f16 " words, .dtype = CLATTN_F16, __VA_ARGS__},                                          \
        {"bf16 " words, .dtype = CLATTN_BF16, __VA_ARGS__},                                        \
        {"f64 " words, .dtype = CLATTN_F64, __VA_ARGS__},                                          \
    {                                                                                              \
        "fast " words, .precision = CLATTN_PRECISION_FAST, __VA_ARGS__                             \
    }

/* clang-format off: one row, one case */
static const clattn_case judged[] = {
    EACH_DTYPE("plain", .S = 70, .T = 40, .D = 8),
    EACH_DTYPE("all modifications", SMALL, ALL_MODIFICATIONS(5, 4),
               .alignment = CLATTN_BOTTOM_RIGHT, .layout = CLATTN_BSHD),
    EACH_DTYPE("given scores", SMALL, .score = CLATTN_SCORE_GIVEN,
               .normalizer = CLATTN_NORMALIZER_NONE, .flags = CLATTN_BIAS, .bias = BIAS_HEADS),
    EACH_DTYPE("general", SMALL, .Dk = 7, .score = CLATTN_SCORE_GENERAL, .params = PARAMS_OF_HEADS,
               .normalizer = CLATTN_NORMALIZER_SIGMOID),
    EACH_DTYPE("location", SMALL, .score = CLATTN_SCORE_LOCATION,
               .normalizer = CLATTN_NORMALIZER_ENTMAX15),
    EACH_DTYPE("location-sensitive", SMALL, .score = CLATTN_SCORE_LOCATION_SENSITIVE,
               .params = PARAM_CUMULATIVE | PARAM_BIAS | PARAM_G | PARAMS_OF_HEADS),
    EACH_DTYPE("coverage", SMALL, .score = CLATTN_SCORE_COVERAGE, .params = PARAM_BIAS | PARAM_G),
    EACH_DTYPE("cosine", SMALL, .score = CLATTN_SCORE_COSINE, .params = PARAM_OF_ROWS,
               .normalizer = CLATTN_NORMALIZER_SPARSEMAX),
    EACH_DTYPE("rbf", SMALL, .score = CLATTN_SCORE_RBF, .flags = CLATTN_CAUSAL),
    EACH_DTYPE("packed", .Hq = 4, .Hkv = 2, .D = 6, .Dv = 5,
               .packed = PACKED({4, 5}, {0, 3}, {16, 9}, {1, 0}),
               .flags = CLATTN_CAUSAL | CLATTN_SINKS | CLATTN_ALIBI),
    {"two dimensions", .rank = 2, .S = 9, .T = 11, .flags = CLATTN_BIAS},
    {"NaN behind causal, shown to the last query", .Hq = 2, .S = 33, .D = 16, .fill = FILL_NAN_LAST,
     .flags = CLATTN_CAUSAL},
    {"huge logits", .Hq = 2, .S = 33, .T = 47, .D = 32, .fill = FILL_HUGE, .flags = CLATTN_SINKS},
};
/* clang-format on */

static void make(host_call *call, const clattn_case *from)
{
    case_make(call, from);
    assert_status(CLATTN_OK, clattn_reference_run(&call->desc, &call->args));
    backward_call_turn(call, from->outputs, STRIDES_DENSE);
    assert_status(CLATTN_OK, clattn_reference_run(&call->desc, &call->args));
}

typedef struct plain {
    clattn__pass pass;
    clattn__backward backward;
} plain;

static void enter_head(void *state, int64_t b, int64_t g)
{
    plain *p = state;
    clattn__pass_load_head(&p->pass, b, g);
}

static void visit_row(void *state, size_t thread, int64_t b, int64_t h, int64_t i)
{
    plain *p = state;
    (void)clattn__pass_row(&p->pass, thread, b, h, i);
    clattn__backward_row(&p->backward, thread, b, h, i);
    clattn__backward_settle(&p->backward, thread, b, h, i);
}

/* Adds up gradients, or their magnitudes, in one real type. */
static void make_sums(clattn__call *sums, const clattn__problem *problem, const clattn__call *call,
                      clattn__real real, bool magnitudes)
{
    assert_status(CLATTN_OK, clattn__sums_init(sums, call, real));
    for (int64_t b = 0; b < clattn__sequences(call); b++) {
        const clattn__call sequence = clattn__call_sequence(sums, b);
        plain p;
        assert_status(CLATTN_OK, clattn__pass_init(&p.pass, real, problem, &sequence, 1));
        assert_status(CLATTN_OK, clattn__backward_init(&p.backward, &p.pass, &sequence));
        p.backward.magnitudes = magnitudes;
        clattn__walk_rows(&(clattn__walk){.call = &sequence,
                                          .rows = sequence.B * sequence.Hq * sequence.S,
                                          .threads = 1,
                                          .state = &p,
                                          .enter_head = enter_head,
                                          .visit_row = visit_row});
        clattn__backward_free(&p.backward);
        clattn__pass_free(&p.pass);
    }
}

static void lets_plain_results_pass(void **state)
{
    const clattn_case *c = *state;
    const clattn__real real = c->dtype == CLATTN_F64 ? CLATTN__DOUBLE : CLATTN__FLOAT;
    host_call made;
    clattn__problem problem;
    clattn__call call, sums;
    clattn_report report;
    make(&made, c);
    assert_status(CLATTN_OK, clattn_verify(&report, &made.desc, &made.args, 1));
    assert_verified(&report, "the reference's own gradients");
    assert_status(CLATTN_OK, clattn__problem_init(&problem, &made.desc));
    assert_status(CLATTN_OK, clattn__call_init(&call, &problem, &made.args));
    assert_int_equal(report.rows, call.B * call.Hq * call.S);
    make_sums(&sums, &problem, &call, real, false);
    clattn__sums_store(&sums, &call, real);
    clattn__sums_free(&sums);
    assert_status(CLATTN_OK, clattn_verify(&report, &made.desc, &made.args, 0));
    assert_verified(&report, "plain gradients");
    host_call_free(&made);
}

/* No gradient is larger than the sum of what it is made of. */
static void magnitudes_hold_gradients(void **state)
{
    const clattn_case *c = *state;
    host_call made;
    clattn__problem problem;
    clattn__call call, sums, magnitudes;
    clattn_tensor each[CLATTN__CALL_GRADIENTS], most[CLATTN__CALL_GRADIENTS];
    const char *names[CLATTN__CALL_GRADIENTS];
    make(&made, c);
    assert_status(CLATTN_OK, clattn__problem_init(&problem, &made.desc));
    assert_status(CLATTN_OK, clattn__call_init(&call, &problem, &made.args));
    make_sums(&sums, &problem, &call, CLATTN__DOUBLE, false);
    make_sums(&magnitudes, &problem, &call, CLATTN__DOUBLE, true);
    (void)clattn__sums_gradients(&sums, each, names);
    const size_t count = clattn__sums_gradients(&magnitudes, most, names);
    for (size_t n = 0; n < count; n++) {
        int64_t shape[4];
        clattn__sums_shape(&each[n], shape);
        for (int64_t e = 0; each[n].rank && e < shape[0] * shape[1] * shape[2] * shape[3]; e++) {
            const double sum = ((double *)each[n].host)[e], bound = ((double *)most[n].host)[e];
            if (isfinite(sum) && !(fabs(sum) <= bound * (1 + 1e-12)))
                fail_msg("%s[%lld] is %g, beyond %g", names[n], (long long)e, sum, bound);
        }
    }
    clattn__sums_free(&magnitudes);
    clattn__sums_free(&sums);
    host_call_free(&made);
}

static const clattn_verdict *verdict_of(const clattn_report *report, const char *name)
{
    for (size_t v = 0; v < report->count; v++)
        if (strcmp(report->verdicts[v].name, name) == 0)
            return &report->verdicts[v];
    fail_msg("no verdict on %s", name);
    return NULL;
}

/* At the first element and the last one. */
static void finds_an_error_above_the_bound_only(void **state)
{
    const clattn_case *c = *state;
    host_call call;
    clattn_report report, spoilt;
    backward_gradient each;
    size_t tensors = 0;
    make(&call, c);
    assert_status(CLATTN_OK, clattn_verify(&report, &call.desc, &call.args, 0));
    assert_verified(&report, "the reference's own gradients");
    for (size_t n = 0; backward_call_gradient(&call, n, &each); n++) {
        const size_t count = clattn_tensor_count(each.gradient);
        tensors += each.gradient->rank > 0;
        for (size_t nth = 0; count && nth < 2; nth++) {
            const size_t at = nth ? count - 1 : 0;
            const double right = host_tensor_get(each.gradient, at),
                         bound = verdict_of(&report, each.name)->bound;
            host_tensor_set(each.gradient, at, right + 0.5 * bound);
            assert_status(CLATTN_OK, clattn_verify(&spoilt, &call.desc, &call.args, 0));
            assert_verified(&spoilt, "half the bound");
            host_tensor_set(each.gradient, at, right + 2 * bound);
            assert_status(CLATTN_OK, clattn_verify(&spoilt, &call.desc, &call.args, 0));
            assert_false(spoilt.ok || verdict_of(&spoilt, each.name)->ok);
            assert_int_equal(verdict_of(&spoilt, each.name)->worst, at);
            assert_int_equal(verdict_of(&spoilt, each.name)->checked, count);
            host_tensor_set(each.gradient, at, (double)NAN);
            assert_status(CLATTN_OK, clattn_verify(&spoilt, &call.desc, &call.args, 0));
            assert_false(spoilt.ok);
            host_tensor_set(each.gradient, at, right);
        }
    }
    assert_int_equal(tensors, report.count);
    host_call_free(&call);
}

int main(void)
{
    named_tests tests = {0};
    for (size_t i = 0; i < sizeof judged / sizeof *judged; i++) {
        named_tests_add(&tests, judged[i].name, lets_plain_results_pass, &judged[i]);
        named_tests_add(&tests, judged[i].name, magnitudes_hold_gradients, &judged[i]);
        if (judged[i].dtype == CLATTN_F32 && judged[i].fill == FILL_NORMAL)
            named_tests_add(&tests, judged[i].name, finds_an_error_above_the_bound_only,
                            &judged[i]);
    }
    return named_tests_run(&tests, "verify, backward", NULL, NULL);
}
