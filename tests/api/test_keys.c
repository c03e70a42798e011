/* Keys that are projected once: plans that take them give what plans that take keys do, on the device and
 * on the reference, and refuse what does not fit. */
#include "support/device_runs.h"

#include <stdio.h>
#include <string.h>

/* clang-format off: one row, one case */
static const clattn_case cases[] = {
    {"general", .B = 2, .Hq = 2, .S = 3, .T = 19, .D = 12, .Dk = 20, .score = CLATTN_SCORE_GENERAL},
    {"general of heads", .B = 2, .Hq = 2, .S = 3, .T = 19, .D = 12, .Dk = 20,
     .score = CLATTN_SCORE_GENERAL, .params = PARAMS_OF_HEADS},
    {"general, halves", .dtype = CLATTN_F16, .B = 2, .Hq = 2, .S = 3, .T = 19, .D = 12, .Dk = 20,
     .score = CLATTN_SCORE_GENERAL, .outputs = CLATTN_OUTPUT},
    {"cosine", .B = 2, .Hq = 4, .Hkv = 2, .S = 3, .T = 19, .D = 12, .score = CLATTN_SCORE_COSINE,
     .params = PARAM_OF_ROWS},
    {"additive", .B = 2, .Hq = 4, .Hkv = 2, .S = 3, .T = 19, .D = 12, .Dk = 20, .A = 33,
     .score = CLATTN_SCORE_ADDITIVE, .params = PARAM_BIAS},
    {"additive, doubles", .dtype = CLATTN_F64, .B = 2, .Hq = 2, .S = 3, .T = 19, .D = 12, .A = 33,
     .score = CLATTN_SCORE_ADDITIVE},
    {"additive of heads", .B = 2, .Hq = 4, .Hkv = 2, .S = 3, .T = 19, .D = 12, .A = 33,
     .score = CLATTN_SCORE_ADDITIVE, .params = PARAMS_OF_HEADS, .strides = STRIDES_PADDED},
    {"one step", .B = 3, .S = 1, .T = 65, .D = 32, .A = 64, .score = CLATTN_SCORE_ADDITIVE,
     .outputs = CLATTN_OUTPUT | CLATTN_WEIGHTS, .flags = CLATTN_KV_LENGTHS},
    {"one step, one unit past a chunk", .B = 2, .Hq = 2, .S = 1, .T = 17, .D = 8, .A = 513,
     .score = CLATTN_SCORE_ADDITIVE, .flags = CLATTN_SINKS},
    {"small sums", .B = 2, .S = 2, .T = 33, .D = 8, .A = 70, .score = CLATTN_SCORE_ADDITIVE,
     .param_spread = 0.01},
    {"wide sums", .B = 2, .S = 2, .T = 33, .D = 8, .A = 70, .score = CLATTN_SCORE_ADDITIVE,
     .param_spread = 4},
    {"sums beyond exponentials", .B = 2, .S = 2, .T = 33, .D = 8, .A = 70,
     .score = CLATTN_SCORE_ADDITIVE, .param_spread = 40},
    {"a long v", .B = 2, .S = 17, .T = 33, .D = 8, .A = 70, .score = CLATTN_SCORE_ADDITIVE,
     .v_spread = 30, .param_spread = 0.1},
    {"chunks of keys", .S = 1, .T = 700, .D = 8, .A = 20, .score = CLATTN_SCORE_ADDITIVE},
    {"NaN behind lengths", .B = 3, .Hq = 2, .S = 2, .T = 37, .fill = FILL_NAN_LAST,
     .score = CLATTN_SCORE_ADDITIVE, .flags = CLATTN_KV_LENGTHS},
    {"halves", .dtype = CLATTN_F16, .B = 2, .Hq = 2, .S = 2, .T = 37, .A = 40,
     .score = CLATTN_SCORE_ADDITIVE, .outputs = CLATTN_OUTPUT | CLATTN_COLUMN_SUMS},
    {"no keys", .B = 2, .S = 2, .T = -1, .score = CLATTN_SCORE_ADDITIVE},
    {"location-sensitive", .B = 2, .Hq = 2, .S = 1, .T = 37, .D = 12, .A = 20,
     .score = CLATTN_SCORE_LOCATION_SENSITIVE, .params = PARAM_CUMULATIVE},
    {"coverage", .B = 2, .S = 1, .T = 37, .D = 12, .A = 20, .score = CLATTN_SCORE_COVERAGE},
};
/* clang-format on */

static clattn_device *device, *reference;

/* Moves what keys meet out of the way of a plan that takes them projected. */
static void hide_keys(host_call *call, const clattn_keys *keys)
{
    const clattn_tensor none = {0};
    call->desc.flags |= CLATTN_PROJECTED_KEYS;
    call->args.key = call->args.params.w_key = none;
    if (call->desc.score == CLATTN_SCORE_GENERAL)
        call->args.params.weight = none;
    call->args.projected_keys = keys;
}

static void give_the_same(clattn_device *on, const clattn_case *c)
{
    host_call call, shown, plain;
    clattn_keys *keys = NULL;
    clattn_report report;
    if (!device_takes_case(on, c))
        skip();
    case_make(&call, c);
    shown = call; /* with its keys, as the judge wants them; memory is shared */
    call.desc.flags |= CLATTN_PROJECTED_KEYS;
    clattn_plan *plan = plan_of(on, &call, NULL);
    assert_status(CLATTN_OK, clattn_keys_create(&keys, plan, &call.args));
    hide_keys(&call, keys);
    for (int n = 0; n < 2; n++)
        run_to_end(on, plan, &call.args);
    clattn_keys_destroy(keys);
    clattn_plan_destroy(plan);
    assert_status(CLATTN_OK, clattn_verify(&report, &shown.desc, &shown.args, 0));
    assert_verified(&report, c->name);
    /* And to the bit, where no sum is made in another order. */
    if (c->score != CLATTN_SCORE_GENERAL) {
        case_make(&plain, c);
        plan = plan_of(on, &plain, NULL);
        run_to_end(on, plan, &plain.args);
        clattn_plan_destroy(plan);
        assert_true(host_call_equal(&plain, &shown));
        host_call_free(&plain);
    }
    host_call_free(&shown);
}

static void on_the_device(void **state)
{
    give_the_same(device, *state);
}

static void on_the_reference(void **state)
{
    give_the_same(reference, *state);
}

static void queries_are_projected_too(void **state)
{
    (void)state;
    clattn_case c = cases[4];
    host_call call, plain;
    clattn_report report;
    /* With the unit matrix as w_query, a query is its own projection. */
    c.A = c.D, c.params = 0;
    case_make(&call, &c);
    clattn_tensor *w = &call.args.params.w_query;
    for (size_t i = 0; i < clattn_tensor_count(w); i++)
        host_tensor_set(w, i, i % (size_t)c.D == i / (size_t)c.D);
    plain = call;
    memset(w, 0, sizeof *w);
    call.desc.flags |= CLATTN_PROJECTED_QUERY;
    clattn_plan *plan = plan_of(device, &call, NULL);
    run_to_end(device, plan, &call.args);
    clattn_plan_destroy(plan);
    assert_status(CLATTN_OK, clattn_verify(&report, &plain.desc, &plain.args, 0));
    assert_verified(&report, "projected queries");
    host_call_free(&plain);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    host_call call, other;
    clattn_keys *keys = NULL, *none = NULL;
    clattn_case c = cases[4];
    case_make(&call, &c);
    c.B = 3;
    case_make(&other, &c);
    clattn_plan *without = plan_of(device, &call, NULL);
    assert_argument_refused(clattn_keys_create(&none, without, &call.args),
                            "CLATTN_PROJECTED_KEYS");
    assert_null(none);
    call.desc.flags |= CLATTN_PROJECTED_KEYS;
    clattn_plan *plan = plan_of(device, &call, NULL),
                *on_reference = plan_of(reference, &call, NULL), *refused = NULL;
    assert_argument_refused(clattn_plan_run(plan, &call.args), "key: given");
    assert_argument_refused(clattn_keys_create(NULL, plan, &call.args), "out");
    assert_status(CLATTN_OK, clattn_keys_create(&keys, plan, &call.args));
    hide_keys(&call, NULL);
    assert_argument_refused(clattn_plan_run(plan, &call.args), "projected_keys: missing");
    hide_keys(&call, keys);
    assert_argument_refused(clattn_plan_run(on_reference, &call.args), "another device");
    assert_argument_refused(clattn_plan_run(without, &call.args), "key: missing");
    hide_keys(&other, keys);
    assert_argument_refused(clattn_plan_run(plan, &other.args), "B=2");
    clattn_attention_desc of_dot = {
        .struct_size = sizeof of_dot, .head_size = 4, .flags = CLATTN_PROJECTED_KEYS};
    assert_argument_refused(clattn_plan_create(&refused, device, &of_dot), "projected_keys");
    clattn_keys_destroy(keys);
    clattn_keys_destroy(NULL);
    clattn_plan_destroy(plan);
    clattn_plan_destroy(without);
    clattn_plan_destroy(on_reference);
    host_call_free(&call);
    host_call_free(&other);
}

int main(void)
{
    int failures = 0;
    named_tests on_device = {0}, on_reference = {0}, more = {0};
    if (clattn_device_open(&device, NULL, 0) != CLATTN_OK ||
        clattn_device_open(&reference, "reference", 0) != CLATTN_OK) {
        (void)fprintf(stderr, "%s\n", clattn_last_error());
        return 1;
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        named_tests_add(&on_device, cases[i].name, on_the_device, &cases[i]);
        named_tests_add(&on_reference, cases[i].name, on_the_reference, &cases[i]);
    }
    named_tests_add(&more, "queries are projected, too", queries_are_projected_too, NULL);
    named_tests_add(&more, "what does not fit is refused", what_does_not_fit_is_refused, NULL);
    failures += named_tests_run(&on_device, "projected keys, device", NULL, NULL);
    failures += named_tests_run(&on_reference, "projected keys, reference", NULL, NULL);
    failures += named_tests_run(&more, "projected, more", NULL, NULL);
    clattn_device_close(device);
    clattn_device_close(reference);
    return failures;
}
