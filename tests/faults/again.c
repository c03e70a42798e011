/* again.c lanes|staged: makes a plan backward and runs it, and does again what failed. Below a layer that makes one
 * OpenCL call fail all has to go well the second time, with the same device and the same plan. */
#include "support/backward_call.h"
#include "support/cases.h"
#include "support/checks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALL .B = 2, .Hq = 2, .S = 5, .T = 7, .outputs = CLATTN_OUTPUT | CLATTN_LSE

static const clattn_case cases[] = {
    {"lanes", SMALL},
    {"staged", SMALL, .A = 8, .score = CLATTN_SCORE_ADDITIVE, .params = PARAM_BIAS | PARAM_G},
};

static void give_up(const char *why)
{
    (void)fprintf(stderr, "again: %s\n", why);
    exit(1);
}

/* True of the first failure, which has to say why. */
static bool failed(clattn_status status)
{
    static bool before;
    if (status == CLATTN_OK)
        return false;
    if (before || !*clattn_last_error())
        give_up(before ? clattn_last_error() : "a failure without a sentence");
    before = true;
    return true;
}

int main(int argc, char **argv)
{
    const clattn_case *from = cases;
    clattn_device *device = NULL;
    clattn_plan *plan = NULL;
    clattn_report report;
    host_call call;
    if (argc > 1 && strcmp(argv[1], "staged") == 0)
        from++;
    case_make(&call, from);
    if (clattn_reference_run(&call.desc, &call.args) != CLATTN_OK)
        give_up(clattn_last_error());
    backward_call_turn(&call, CLATTN_OUTPUT, STRIDES_DENSE);
    call.desc.variant = from->name;
    while (failed(clattn_device_open(&device, NULL, 0)))
        continue;
    while (failed(clattn_plan_create(&plan, device, &call.desc)))
        continue;
    while (failed(clattn_plan_run(plan, &call.args)) || failed(clattn_device_finish(device)))
        continue;
    if (clattn_verify(&report, &call.desc, &call.args, 0) != CLATTN_OK)
        give_up(clattn_last_error());
    if (!report.ok)
        print_verdicts(&report, from->name);
    clattn_plan_destroy(plan);
    clattn_device_close(device);
    host_call_free(&call);
    return !report.ok;
}
