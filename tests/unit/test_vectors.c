/* The reference against every vector of the independent script. */
#include "support/named_tests.h"
#include "support/vectors.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Both sides round inside their sums; the script also
 * rounds in double what we keep in long double. */
#define F64_TOLERANCE 2e-14

static void check(const vector *wanted, clattn_dtype dtype)
{
    host_call call;
    const char *name;
    vector_make_call(&call, wanted, dtype);
    assert_status(CLATTN_OK, clattn_reference_run(&call.desc, &call.args));
    for (size_t o = 0; host_call_output(&call, o, &name); o++) {
        const clattn_tensor *got = host_call_output(&call, o, &name);
        const vector_tensor *expected = vector_find(wanted, name);
        if (!(call.desc.outputs & 1u << o)) /* packed sequences have no weights and scores */
            continue;
        assert_non_null(expected);
        assert_int_equal(clattn_tensor_count(got), expected->count);
        for (size_t i = 0; i < expected->count; i++) {
            const double value = expected->values[i];
            const float nearest = (float)value;
            const double tolerance =
                dtype == CLATTN_F64
                    ? F64_TOLERANCE * fmax(1.0, fabs(value))
                    : (double)(nextafterf(fabsf(nearest), INFINITY) - fabsf(nearest));
            assert_close(host_tensor_get(got, i), dtype == CLATTN_F64 ? value : (double)nearest,
                         tolerance, name, i);
        }
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
    vectors_read(&all);
    for (size_t v = 0; v < all.count; v++) {
        named_tests_add(&in_f64, all.list[v].name, matches_in_f64, &all.list[v]);
        named_tests_add(&in_f32, all.list[v].name, matches_in_f32, &all.list[v]);
    }
    failures = named_tests_run(&in_f64, "vectors, reference in f64", NULL, NULL);
    failures += named_tests_run(&in_f32, "vectors, reference in f32", NULL, NULL);
    vectors_free(&all);
    return failures;
}
