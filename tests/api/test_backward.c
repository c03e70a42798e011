/* Gradients on devices against the reference, by every variant. */
#include "support/backward_call.h"
#include "support/device_runs.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static clattn_device *device;

static void make_backward(host_call *call, const clattn_case *c, uint32_t results,
                          uint32_t gradients, bool saves_weights)
{
    clattn_case forward = *c;
    forward.outputs = CLATTN_OUTPUT | CLATTN_LSE | (c->packed ? 0 : CLATTN_WEIGHTS);
    forward.weights_heads = forward.weights_rows = NULL;
    case_make(call, &forward);
    assert_status(CLATTN_OK, clattn_reference_run(&call->desc, &call->args));
    const clattn_tensor weights = call->args.weights;
    backward_call_turn(call, results, c->strides);
    backward_call_keep(call, gradients);
    if (saves_weights) {
        call->desc.flags |= CLATTN_SAVED_WEIGHTS;
        call->args.weights = weights;
    }
}

/* A gradient of weights is a product with values, and those of 3e38 have none in f32: nothing is left that could be
 * compared. */
static bool can_run(const clattn_case *c)
{
    return device_takes_case(device, c) && c->fill != FILL_HUGE_VALUES;
}

static void run_backward(const clattn_case *c, uint32_t results, uint32_t gradients,
                         const char *variant)
{
    host_call call;
    if (!can_run(c))
        skip();
    make_backward(&call, c, results, gradients, false);
    run_and_verify(device, &call, variant, c->name);
    host_call_free(&call);
}

/* What comes in through the output alone is what training mostly has. */
static void of_output(void **state)
{
    run_backward(*state, CLATTN_OUTPUT, UINT32_MAX, "staged");
}

static void of_all_results(void **state)
{
    run_backward(*state, 0, UINT32_MAX, "staged");
}

/* A NaN that comes in reaches what its query sees, and nothing else. Where weights underflow, `lanes` and `tiles` see
 * less: what a score's gradient of 0 has met adds nothing. */
static void of_a_nan(void **state)
{
    const clattn_case *c = *state;
    host_call call;
    if (!can_run(c))
        skip();
    make_backward(&call, c, CLATTN_OUTPUT, UINT32_MAX, false);
    const size_t count = clattn_tensor_count(&call.args.grad.output);
    for (size_t i = 0; i < count; i += count / 2 + 1)
        host_tensor_set(&call.args.grad.output, i, (double)NAN);
    if (c->fill != FILL_HUGE && c->mask != MASK_FLOAT_LOWEST)
        run_and_verify(device, &call, NULL, c->name);
    if (!c->packed)
        run_and_verify(device, &call, "staged", c->name);
    host_call_free(&call);
}

/* Weights of packed sequences nobody has. */
static void of_saved_weights(void **state)
{
    const clattn_case *c = *state;
    host_call call;
    if (!can_run(c) || c->packed)
        skip();
    make_backward(&call, c, CLATTN_OUTPUT | CLATTN_WEIGHTS, UINT32_MAX, true);
    run_and_verify(device, &call, "staged", c->name);
    host_call_free(&call);
}

/* Where they tell all, they are what counts: of weights of 0 values have no gradient. */
static void saved_weights_are_read(void **state)
{
    static const clattn_case
        plain = {.B = 2, .Hq = 2, .S = 5, .T = 9, .D = 6, .score = CLATTN_SCORE_ADDITIVE},
        capped = {
            .B = 2, .Hq = 2, .S = 5, .T = 9, .D = 6, .softcap = 2, .score = CLATTN_SCORE_ADDITIVE};
    (void)state;
    for (int n = 0; n < 2; n++) {
        host_call call;
        make_backward(&call, n ? &capped : &plain, CLATTN_OUTPUT, UINT32_MAX, true);
        for (size_t i = 0; i < clattn_tensor_count(&call.args.weights); i++)
            host_tensor_set(&call.args.weights, i, 0);
        if (n) {
            run_and_verify(device, &call, "staged", "capped scores");
        } else {
            clattn_plan *plan = plan_of(device, &call, "staged");
            run_to_end(device, plan, &call.args);
            for (size_t i = 0; i < clattn_tensor_count(&call.args.grad.value); i++)
                assert_true(host_tensor_get(&call.args.grad.value, i) == 0);
            clattn_plan_destroy(plan);
        }
        host_call_free(&call);
    }
}

/* And what the default variant is asked for. */
static void of_tensors(void **state)
{
    run_backward(*state, CLATTN_OUTPUT | CLATTN_LSE,
                 CLATTN_GRAD_QUERY | CLATTN_GRAD_KEY | CLATTN_GRAD_VALUE | CLATTN_GRAD_SINKS |
                     CLATTN_GRAD_GIVEN_SCORES,
                 NULL);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *group;
        CMUnitTestFunction test;
        device_played as;
        bool all_cases;
    } groups[] = {
        {"staged, of the output", of_output, {false, false}, false},
        {"staged, of all results", of_all_results, {false, false}, true},
        {"staged, copied memory", of_all_results, {.copies = true}, false},
        {"staged, in pieces", of_all_results, {.little_scratch = true}, false},
        {"of a NaN", of_a_nan, {false, false}, true},
        {"of saved weights", of_saved_weights, {false, false}, true},
        {"of saved weights, copied memory", of_saved_weights, {.copies = true}, false},
        {"of saved weights, in pieces", of_saved_weights, {.little_scratch = true}, false},
        {"by default", of_tensors, {false, false}, true},
        {"by default, copied memory", of_tensors, {.copies = true}, false}};
    static const case_table tables[] = {cases_of_pairs, cases_of_scores, cases_of_dropout,
                                        cases_packed, cases_that_hurt};
    int failures = 0;
    if (clattn_device_open(&device, NULL, 0) != CLATTN_OK) {
        (void)fprintf(stderr, "%s\n", clattn_last_error());
        return 1;
    }
    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
        named_tests tests = {0};
        if (argc > 1 && strcmp(argv[1], groups[g].group) != 0)
            continue;
        if (groups[g].test == of_saved_weights)
            named_tests_add(&tests, "they are read", saved_weights_are_read, NULL);
        /* The last table is for kernels. */
        for (size_t t = 0; t + !groups[g].all_cases < sizeof tables / sizeof *tables; t++)
            add_cases(&tests, groups[g].test, tables[t]);
        failures += run_on_played(device, groups[g].as, &tests, groups[g].group);
    }
    clattn_device_close(device);
    return failures;
}
