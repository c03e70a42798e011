/* Weights that are dropped, against the reference, which drops the same ones; and how many these are. */
#include "support/device_runs.h"
#include "support/whole_calls.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static clattn_device *device;

static size_t count_dropped(const host_call *call)
{
    size_t dropped = 0;
    for (size_t i = 0; i < clattn_tensor_count(&call->args.weights); i++)
        dropped += host_tensor_get(&call->args.weights, i) == 0;
    return dropped;
}

static void run(host_call *call)
{
    clattn_plan *plan = plan_of(device, call, NULL);
    run_to_end(device, plan, &call->args);
    clattn_plan_destroy(plan);
}

/* Of n weights about p n are dropped, within six standard deviations; each step drops others, as many as two
 * independent draws; and the others keep their sum on the average. */
static void drops_as_often_as_asked(void **state)
{
    static const clattn_case c = {"often",
                                  .B = 2,
                                  .Hq = 4,
                                  .S = 64,
                                  .T = 100,
                                  .D = 1,
                                  .fill = FILL_CONSTANT,
                                  .outputs = CLATTN_WEIGHTS,
                                  .dropout = 0.3};
    host_call first, second;
    (void)state;
    case_make(&first, &c);
    case_make(&second, &c);
    second.args.dropout_offset++;
    run(&first);
    run(&second);
    const double n = (double)clattn_tensor_count(&first.args.weights), p = c.dropout;
    double both = 0, sum = 0;
    for (size_t i = 0; i < clattn_tensor_count(&first.args.weights); i++) {
        both += host_tensor_get(&first.args.weights, i) == 0 &&
                host_tensor_get(&second.args.weights, i) == 0;
        sum += host_tensor_get(&first.args.weights, i);
    }
    assert_close((double)count_dropped(&first), p * n, 6 * sqrt(n * p * (1 - p)), "dropped", 0);
    assert_close((double)count_dropped(&second), p * n, 6 * sqrt(n * p * (1 - p)), "dropped", 1);
    assert_close(both, p * p * n, 6 * sqrt(n * p * p * (1 - p * p)), "both", 0);
    assert_close(sum, n / 100, 6 * sqrt(n * p / (1 - p)) / 100, "sum", 0);
    host_call_free(&first);
    host_call_free(&second);
}

/* Those that drop none say so. */
static void some_variants_refuse(void **state)
{
    static const clattn_case cases[] = {
        {"decode", .S = 4, .outputs = CLATTN_OUTPUT, .dropout = 0.3},
        {"additive", .S = 4, .score = CLATTN_SCORE_ADDITIVE, .outputs = CLATTN_OUTPUT,
         .dropout = 0.3}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        host_call call;
        clattn_plan *plan = NULL;
        case_make(&call, &cases[i]);
        call.desc.variant = cases[i].name;
        assert_status(CLATTN_E_UNSUPPORTED, clattn_plan_create(&plan, device, &call.desc));
        if (!strstr(clattn_last_error(), "dropped"))
            fail_msg("%s: %s", cases[i].name, clattn_last_error());
        host_call_free(&call);
    }
}

static void takes_probabilities(void **state)
{
    static const clattn_case c = {"probabilities", .S = 3};
    static const double bad[] = {-0.1, 1, 2, (double)NAN, (double)INFINITY};
    host_call call;
    clattn_plan *plan = NULL;
    (void)state;
    case_make(&call, &c);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        call.desc.dropout = bad[i];
        assert_status(CLATTN_E_ARGUMENT, clattn_plan_create(&plan, device, &call.desc));
        assert_non_null(strstr(clattn_last_error(), "desc.dropout: "));
    }
    host_call_free(&call);
}

int main(int argc, char **argv)
{
    const case_table tables[] = {cases_of_dropout};
    int failures = whole_calls_main(argc, argv, tables, sizeof tables / sizeof *tables);
    named_tests more = {0};
    if (argc > 1)
        return failures;
    if (clattn_device_open(&device, NULL, 0) != CLATTN_OK) {
        (void)fprintf(stderr, "%s\n", clattn_last_error());
        return 1;
    }
    named_tests_add(&more, "drops as often as asked", drops_as_often_as_asked, NULL);
    named_tests_add(&more, "some variants refuse", some_variants_refuse, NULL);
    named_tests_add(&more, "takes probabilities", takes_probabilities, NULL);
    failures += named_tests_run(&more, "dropout", NULL, NULL);
    clattn_device_close(device);
    return failures;
}
