/* Every vector of the independent script on the default device: within the budget of the reference,
 * and within the same budget of the script's own numbers. */
#include "support/backward_call.h"
#include "support/device_runs.h"
#include "support/named_tests.h"
#include "support/vectors.h"

#include <stdio.h>
#include <string.h>

static clattn_device *device;

/* The verdict on one output, as a tolerance for comparing with numbers from elsewhere. */
static double tolerance_of(const clattn_report *report, const char *name)
{
    for (size_t i = 0; i < report->count; i++)
        if (strcmp(report->verdicts[i].name, name) == 0)
            return report->verdicts[i].bound;
    fail_msg("the report has no verdict on %s", name);
    return 0;
}

static void compare(const clattn_tensor *got, const vector *wanted, const char *name,
                    const clattn_report *report)
{
    const vector_tensor *expected = vector_find(wanted, name);
    const double tolerance = tolerance_of(report, name);
    assert_non_null(expected);
    assert_int_equal(clattn_tensor_count(got), expected->count);
    for (size_t i = 0; i < expected->count; i++)
        assert_close(host_tensor_get(got, i), expected->values[i], tolerance, name, i);
}

static void check(const vector *wanted, clattn_dtype dtype)
{
    host_call call;
    clattn_report report;
    const char *name;
    if (!device_takes(device, dtype))
        skip();
    vector_make_call(&call, wanted, dtype);
    run_and_verify(device, &call, NULL, wanted->name);
    assert_status(CLATTN_OK, clattn_verify(&report, &call.desc, &call.args, 0));
    for (size_t o = 0; host_call_output(&call, o, &name); o++)
        if (call.desc.outputs & 1u << o) /* packed sequences have no weights and scores */
            compare(host_call_output(&call, o, &name), wanted, name, &report);
    host_call_free(&call);
}

static void check_gradients(const vector *wanted, clattn_dtype dtype, uint32_t gradients,
                            const char *variant)
{
    host_call call;
    clattn_report report;
    backward_gradient each;
    if (!device_takes(device, dtype))
        skip();
    vector_make_backward(&call, wanted, dtype);
    backward_call_keep(&call, gradients);
    run_and_verify(device, &call, variant, wanted->name);
    assert_status(CLATTN_OK, clattn_verify(&report, &call.desc, &call.args, 0));
    for (size_t n = 0; backward_call_gradient(&call, n, &each); n++)
        if (each.gradient->rank)
            compare(each.gradient, wanted, each.name, &report);
    host_call_free(&call);
}

static void matches_in_f64(void **state)
{
    check(*state, CLATTN_F64);
}

static void matches_in_f32(void **state)
{
    check(*state, CLATTN_F32);
}

static void staged_gradients_match_in_f64(void **state)
{
    check_gradients(*state, CLATTN_F64, UINT32_MAX, "staged");
}

static void staged_gradients_match_in_f32(void **state)
{
    check_gradients(*state, CLATTN_F32, UINT32_MAX, "staged");
}

/* What fused variants make, which stand before staged. */
static void default_gradients_match(void **state)
{
    check_gradients(*state, CLATTN_F32,
                    CLATTN_GRAD_QUERY | CLATTN_GRAD_KEY | CLATTN_GRAD_VALUE | CLATTN_GRAD_SINKS,
                    NULL);
}

int main(void)
{
    static const vector_group groups[] = {
        {"vectors, device in f64", matches_in_f64, false},
        {"vectors, device in f32", matches_in_f32, false},
        {"gradients, staged in f64", staged_gradients_match_in_f64, true},
        {"gradients, staged in f32", staged_gradients_match_in_f32, true},
        {"gradients, by default in f32", default_gradients_match, true}};
    if (clattn_device_open(&device, NULL, 0) != CLATTN_OK) {
        (void)fprintf(stderr, "%s\n", clattn_last_error());
        return 1;
    }
    const int failures = vectors_run(groups, sizeof groups / sizeof *groups);
    clattn_device_close(device);
    return failures;
}
