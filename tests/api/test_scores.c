/* Scores with parameters, and normalizers. */
#include "ops/fused.h"
#include "problem.h"
#include "support/device_runs.h"
#include "support/whole_calls.h"

#include <stdio.h>

static clattn_device *device;

/* One query for all sequences, by a stride of 0. */
static void a_query_is_broadcast(void **state)
{
    static const clattn_case additive = {"additive",
                                         .B = 3,
                                         .S = 1,
                                         .T = 7,
                                         .D = 6,
                                         .A = 9,
                                         .score = CLATTN_SCORE_ADDITIVE},
                             general = {"general", .B = 3, .Hq = 2, .S = 1,
                                        .T = 7,    .D = 6, .Dk = 5, .score = CLATTN_SCORE_GENERAL};
    const clattn_case *const cases[] = {&additive, &general};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        host_call call;
        case_make(&call, cases[i]);
        call.args.query.strides[0] = 0;
        run_and_verify(device, &call, NULL, cases[i]->name);
        call.args.query.strides[1] = 0;
        run_and_verify(device, &call, NULL, cases[i]->name);
        host_call_free(&call);
    }
}

/* Additive scores in one pass: by several work-items, and by one, which writes the weights, too. */
static void additive_with_own_weights(void **state)
{
    clattn_case c = *(const clattn_case *)*state;
    c.outputs = CLATTN_OUTPUT | CLATTN_LSE;
    if (!clattn__is_additive(c.score))
        skip();
    run_case_with_own_weights(device, &c, "additive");
    if (c.packed)
        return;
    c.outputs |= CLATTN__OF_WEIGHTS;
    run_case_with_own_weights(device, &c, "additive");
}

int main(int argc, char **argv)
{
    const case_table tables[] = {cases_of_scores};
    int failures = whole_calls_main(argc, argv, tables, sizeof tables / sizeof *tables);
    named_tests more = {0};
    if (argc > 1)
        return failures;
    if (clattn_device_open(&device, NULL, 0) != CLATTN_OK) {
        (void)fprintf(stderr, "%s\n", clattn_last_error());
        return 1;
    }
    named_tests_add(&more, "a query is broadcast", a_query_is_broadcast, NULL);
    failures += named_tests_run(&more, "strides of 0", NULL, NULL);
    add_cases(&more, additive_with_own_weights, cases_of_scores);
    failures += named_tests_run(&more, "additive, own weights", NULL, NULL);
    clattn_device_close(device);
    return failures;
}
