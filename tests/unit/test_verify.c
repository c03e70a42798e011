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
    host_call call;
    clattn_report report;
    const clattn_tensor *output;
    const char *name;
    (void)state;
    make_right(&call, &report);
    for (size_t o = 0; (output = host_call_output(&call, o, &name)); o++) {
        const size_t at = clattn_tensor_count(output) - 1;
        const double right = host_tensor_get(output, at), bound = verdict_of(&report, name)->bound;
        clattn_report spoilt;
        if (output == &call.args.argmax)
            continue;
        host_tensor_set(output, at, right + 0.5 * bound);
        assert_status(CLATTN_OK, clattn_verify(&spoilt, &call.desc, &call.args, 0));
        assert_verified(&spoilt, "half the bound");
        host_tensor_set(output, at, right + 2 * bound);
        assert_status(CLATTN_OK, clattn_verify(&spoilt, &call.desc, &call.args, 0));
        assert_false(spoilt.ok);
        assert_int_equal(verdict_of(&spoilt, name)->worst, at);
        host_tensor_set(output, at, (double)NAN);
        assert_status(CLATTN_OK, clattn_verify(&spoilt, &call.desc, &call.args, 0));
        assert_false(spoilt.ok);
        host_tensor_set(output, at, right);
    }
    host_call_free(&call);
}

/* A key whose score is the largest, as far as the precision tells; else by how much it is not. */
static void judges_argmax_by_its_score(void **state)
{
    static const float scores[] = {1, 3, 3.0000002f, -INFINITY, 2};
    static const struct {
        int32_t key;
        double error;
        int ok;
    } answers[] = {{2, 0, 1},
                   {1, 2.4e-7, 1},
                   {4, 1, 0},
                   {0, 2, 0},
                   {3, (double)INFINITY, 0},
                   {-1, (double)INFINITY, 0},
                   {5, (double)INFINITY, 0},
                   {-7, (double)INFINITY, 0}};
    float values[5] = {0};
    int32_t key = 0;
    clattn_report report;
    clattn_attention_desc desc = {.struct_size = sizeof desc,
                                  .score = CLATTN_SCORE_GIVEN,
                                  .value_size = 1,
                                  .outputs = CLATTN_ARGMAX};
    clattn_attention_args args = {.struct_size = sizeof args};
    (void)state;
    args.given_scores = clattn_tensor_host(CLATTN_F32, (void *)scores, 2, (int64_t[]){1, 5});
    args.value = clattn_tensor_host(CLATTN_F32, values, 2, (int64_t[]){5, 1});
    args.argmax = clattn_tensor_host(CLATTN_I32, &key, 1, (int64_t[]){1});
    for (size_t a = 0; a < sizeof answers / sizeof *answers; a++) {
        key = answers[a].key;
        assert_status(CLATTN_OK, clattn_verify(&report, &desc, &args, 0));
        assert_int_equal(report.ok, answers[a].ok);
        assert_close(report.verdicts[0].error, answers[a].error, 1e-6, "answer", a);
    }
    assert_status(CLATTN_OK, clattn_reference_run(&desc, &args));
    assert_int_equal(key, 2);
}

static void looks_at_as_many_rows_as_asked_for(void **state)
{
    host_call call;
    clattn_report report;
    (void)state;
    make_right(&call, &report);
    assert_int_equal(report.rows, 34);
    /* Column sums are of all rows. */
    assert_status(CLATTN_OK, clattn_verify(&report, &call.desc, &call.args, 5));
    assert_int_equal(report.rows, 34);
    assert_int_equal(verdict_of(&report, "column_sums")->checked, 2 * 23);
    call.desc.outputs &= ~(uint32_t)CLATTN_COLUMN_SUMS;
    call.args.column_sums.rank = 0;
    assert_status(CLATTN_OK, clattn_verify(&report, &call.desc, &call.args, 5));
    assert_int_equal(report.rows, 5);
    assert_int_equal(verdict_of(&report, "argmax")->checked, 5);
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
        cmocka_unit_test(judges_argmax_by_its_score),
        cmocka_unit_test(looks_at_as_many_rows_as_asked_for),
        cmocka_unit_test(judges_packed_sequences),
    };
    return cmocka_run_group_tests_name("verify", tests, NULL, NULL);
}
