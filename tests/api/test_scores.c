/* Scores with parameters, and normalizers. */
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
    clattn_device_close(device);
    return failures;
}
