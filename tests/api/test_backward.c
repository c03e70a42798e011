/* Gradients on devices against the reference, by every variant. */
#include "support/backward_call.h"
#include "support/device_runs.h"

#include <stdio.h>

static clattn_device *device;

static void run_backward(const clattn_case *c, uint32_t results, const char *variant)
{
    clattn_case forward = *c;
    host_call call;
    if (!device_takes_case(device, c))
        skip();
    forward.outputs = CLATTN_OUTPUT | CLATTN_LSE | (c->packed ? 0 : CLATTN_WEIGHTS);
    forward.weights_heads = forward.weights_rows = NULL;
    case_make(&call, &forward);
    assert_status(CLATTN_OK, clattn_reference_run(&call.desc, &call.args));
    backward_call_turn(&call, results, c->strides);
    run_and_verify(device, &call, variant, c->name);
    host_call_free(&call);
}

/* What comes in through the output alone is what training mostly has. */
static void of_output(void **state)
{
    run_backward(*state, CLATTN_OUTPUT, "staged");
}

static void of_all_results(void **state)
{
    run_backward(*state, 0, "staged");
}

int main(void)
{
    static const case_table tables[] = {cases_that_hurt, cases_of_pairs, cases_of_scores,
                                        cases_packed};
    int failures = 0;
    if (clattn_device_open(&device, NULL, 0) != CLATTN_OK) {
        (void)fprintf(stderr, "%s\n", clattn_last_error());
        return 1;
    }
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
        named_tests tests = {0};
        add_cases(&tests, of_output, tables[t]);
        failures += named_tests_run(&tests, "staged, of the output", NULL, NULL);
        add_cases(&tests, of_all_results, tables[t]);
        failures += named_tests_run(&tests, "staged, of all results", NULL, NULL);
    }
    clattn_device_close(device);
    return failures;
}
