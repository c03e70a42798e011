/* The reference against every vector of the independent script. */
#include "support/backward_call.h"
#include "support/named_tests.h"
#include "support/vectors.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Both sides round inside their sums; the script also
 * rounds in double what we keep in long double. For f32
 * a last place of its own comes on top. */
#define F64_TOLERANCE 2e-14

static void compare(const clattn_tensor *got, const vector *wanted, const char *name,
                    clattn_dtype dtype)
{
    const vector_tensor *expected = vector_find(wanted, name);
    assert_non_null(expected);
    assert_int_equal(clattn_tensor_count(got), expected->count);
    for (size_t i = 0; i < expected->count; i++) {
        const double value = expected->values[i];
        const float nearest = (float)value;
        double tolerance = F64_TOLERANCE * fmax(1.0, fabs(value));
        if (dtype == CLATTN_F32)
            tolerance += (double)(nextafterf(fabsf(nearest), INFINITY) - fabsf(nearest));
        assert_close(host_tensor_get(got, i), dtype == CLATTN_F64 ? value : (double)nearest,
                     tolerance, name, i);
    }
}

static void check(const vector *wanted, clattn_dtype dtype)
{
    host_call call;
    const char *name;
    vector_make_call(&call, wanted, dtype);
    assert_status(CLATTN_OK, clattn_reference_run(&call.desc, &call.args));
    for (size_t o = 0; host_call_output(&call, o, &name); o++)
        if (call.desc.outputs & 1u << o) /* packed sequences have no weights and scores */
            compare(host_call_output(&call, o, &name), wanted, name, dtype);
    host_call_free(&call);
}

static void check_gradients(const vector *wanted, clattn_dtype dtype)
{
    host_call call;
    backward_gradient each;
    vector_make_backward(&call, wanted, dtype);
    assert_status(CLATTN_OK, clattn_reference_run(&call.desc, &call.args));
    for (size_t n = 0; backward_call_gradient(&call, n, &each); n++)
        if (each.gradient->rank)
            compare(each.gradient, wanted, each.name, dtype);
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

static void gradients_match_in_f64(void **state)
{
    check_gradients(*state, CLATTN_F64);
}

static void gradients_match_in_f32(void **state)
{
    check_gradients(*state, CLATTN_F32);
}

int main(void)
{
    static const vector_group groups[] = {
        {"vectors, reference in f64", matches_in_f64, false},
        {"vectors, reference in f32", matches_in_f32, false},
        {"gradients, reference in f64", gradients_match_in_f64, true},
        {"gradients, reference in f32", gradients_match_in_f32, true}};
    return vectors_run(groups, sizeof groups / sizeof *groups);
}
