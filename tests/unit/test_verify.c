/* The judge itself: it must find an error just above its bound, and let one below pass. */
#include "support/cases.h"
#include "support/checks.h"

#include <math.h>
#include <string.h>

static const clattn_case problem = {
    .name = "verify", .Hq = 2, .S = 17, .T = 23, .D = 16, .flags = CLATTN_CAUSAL};

static const clattn_verdict *verdict_of(const clattn_report *report, const char *name)
{
    for (size_t i = 0; i < report->count; i++)
        if (strcmp(report->verdicts[i].name, name) == 0)
            return &report->verdicts[i];
    fail_msg("no verdict on %s", name);
    return NULL;
}

/* A call whose outputs are the reference's own. */
static void make_right(host_call *call, clattn_report *report)
{
    case_make(call, &problem);
    assert_status(CLATTN_OK, clattn_reference_run(&call->desc, &call->args));
    assert_status(CLATTN_OK, clattn_verify(report, &call->desc, &call->args, 0));
    assert_verified(report, "the reference's own outputs");
}

static void finds_an_error_above_the_bound_only(void **state)
{
    static const char *const names[] = {"output", "weights", "scores", "lse"};
    host_call call;
    clattn_report report;
    (void)state;
    make_right(&call, &report);
    for (size_t o = 0; o < 4; o++) {
        const clattn_tensor *const outputs[] = {&call.args.output, &call.args.weights,
                                                &call.args.scores, &call.args.lse};
        const size_t at = clattn_tensor_count(outputs[o]) - 1;
        const double right = host_tensor_get(outputs[o], at),
                     bound = verdict_of(&report, names[o])->bound;
        clattn_report spoilt;
        host_tensor_set(outputs[o], at, right + 0.5 * bound);
        assert_status(CLATTN_OK, clattn_verify(&spoilt, &call.desc, &call.args, 0));
        assert_verified(&spoilt, "half the bound");
        host_tensor_set(outputs[o], at, right + 2 * bound);
        assert_status(CLATTN_OK, clattn_verify(&spoilt, &call.desc, &call.args, 0));
        assert_false(spoilt.ok);
        assert_int_equal(verdict_of(&spoilt, names[o])->worst, at);
        host_tensor_set(outputs[o], at, (double)NAN);
        assert_status(CLATTN_OK, clattn_verify(&spoilt, &call.desc, &call.args, 0));
        assert_false(spoilt.ok);
        host_tensor_set(outputs[o], at, right);
    }
    host_call_free(&call);
}

static void looks_at_as_many_rows_as_asked_for(void **state)
{
    host_call call;
    clattn_report report;
    (void)state;
    make_right(&call, &report);
    assert_int_equal(report.rows, 34);
    assert_status(CLATTN_OK, clattn_verify(&report, &call.desc, &call.args, 5));
    assert_int_equal(report.rows, 5);
    assert_int_equal(verdict_of(&report, "lse")->checked, 5);
    assert_int_equal(verdict_of(&report, "output")->checked, 5 * 16);
    host_call_free(&call);
}

static const clattn_case packed = {.Hq = 2,
                                   .D = 6,
                                   .Dv = 7,
                                   .packed = PACKED({4, 5}, {0, 3}, {16, 9}, {1, 0}),
                                   .flags = CLATTN_CAUSAL};

/* Of packed sequences: each gets its share of rows, and an error is found where the caller has it. */
static void judges_packed_sequences(void **state)
{
    host_call call;
    clattn_report report;
    (void)state;
    case_make(&call, &packed);
    assert_status(CLATTN_OK, clattn_reference_run(&call.desc, &call.args));
    assert_status(CLATTN_OK, clattn_verify(&report, &call.desc, &call.args, 0));
    assert_verified(&report, "the reference's own outputs");
    assert_int_equal(report.rows, 2 * 21);
    assert_int_equal(verdict_of(&report, "output")->checked, 2 * 21 * 7);
    assert_status(CLATTN_OK, clattn_verify(&report, &call.desc, &call.args, 21));
    assert_int_equal(report.rows, 4 + 16 + 1);
    assert_status(CLATTN_OK, clattn_verify(&report, &call.desc, &call.args, 1));
    assert_int_equal(report.rows, 3);
    const clattn_tensor *const outputs[] = {&call.args.output, &call.args.lse};
    static const char *const names[] = {"output", "lse"};
    for (size_t o = 0; o < 2; o++)
        for (size_t at = 0; at < clattn_tensor_count(outputs[o]); at++) {
            const double right = host_tensor_get(outputs[o], at);
            host_tensor_set(outputs[o], at, right + 1);
            assert_status(CLATTN_OK, clattn_verify(&report, &call.desc, &call.args, 0));
            const bool says_nothing = right == -(double)INFINITY; /* and one more is that, too */
            assert_int_equal(report.ok, says_nothing);
            if (!says_nothing)
                assert_int_equal(verdict_of(&report, names[o])->worst, at);
            host_tensor_set(outputs[o], at, right);
        }
    host_call_free(&call);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_an_error_above_the_bound_only),
        cmocka_unit_test(looks_at_as_many_rows_as_asked_for),
        cmocka_unit_test(judges_packed_sequences),
    };
    return cmocka_run_group_tests_name("verify", tests, NULL, NULL);
}
