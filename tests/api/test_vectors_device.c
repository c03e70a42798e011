/* Every vector of the independent script on the default device: within the budget of the reference,
 * and within the same budget of the script's own numbers. */
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
    for (size_t o = 0; host_call_output(&call, o, &name); o++) {
        const clattn_tensor *got = host_call_output(&call, o, &name);
        const vector_tensor *expected = vector_find(wanted, name);
        if (!(call.desc.outputs & 1u << o)) /* packed sequences have no weights and scores */
            continue;
        const double tolerance = tolerance_of(&report, name);
        assert_non_null(expected);
        assert_int_equal(clattn_tensor_count(got), expected->count);
        for (size_t i = 0; i < expected->count; i++)
            assert_close(host_tensor_get(got, i), expected->values[i], tolerance, name, i);
    }
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

int main(void)
{
    vectors all;
    named_tests in_f64 = {0}, in_f32 = {0};
    int failures;
    if (clattn_device_open(&device, NULL, 0) != CLATTN_OK) {
        (void)fprintf(stderr, "%s\n", clattn_last_error());
        return 1;
    }
    vectors_read(&all);
    for (size_t v = 0; v < all.count; v++) {
        named_tests_add(&in_f64, all.list[v].name, matches_in_f64, &all.list[v]);
        named_tests_add(&in_f32, all.list[v].name, matches_in_f32, &all.list[v]);
    }
    failures = named_tests_run(&in_f64, "vectors, device in f64", NULL, NULL);
    failures += named_tests_run(&in_f32, "vectors, device in f32", NULL, NULL);
    vectors_free(&all);
    clattn_device_close(device);
    return failures;
}
