/* again.c lanes|staged: makes a plan backward and runs it, and does again what failed; that of `staged` takes keys that
 * are projected before. Below a layer that makes one OpenCL call fail all has to go well the second time, with the same
 * device and the same plan. */
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

/* The keys of a call, in place of those that it has. */
static clattn_keys *project(host_call *call, clattn_plan *plan, const clattn_attention_args *plain)
{
    clattn_keys *keys = NULL;
    while (failed(clattn_keys_create(&keys, plan, plain)))
        continue;
    call->args.projected_keys = keys;
    return keys;
}

/* What the reference says of a call; keys it projects for itself. */
static void judge(clattn_report *report, host_call *call, const clattn_attention_args *plain)
{
    clattn_device *reference = NULL;
    clattn_plan *plan = NULL;
    clattn_keys *keys = NULL;
    call->desc.variant = NULL;
    if (call->args.projected_keys) {
        if (clattn_device_open(&reference, "reference", 0) != CLATTN_OK ||
            clattn_plan_create(&plan, reference, &call->desc) != CLATTN_OK)
            give_up(clattn_last_error());
        keys = project(call, plan, plain);
    }
    if (clattn_verify(report, &call->desc, &call->args, 0) != CLATTN_OK)
        give_up(clattn_last_error());
    clattn_keys_destroy(keys);
    clattn_plan_destroy(plan);
    clattn_device_close(reference);
}

int main(int argc, char **argv)
{
    const clattn_case *from = cases;
    clattn_device *device = NULL;
    clattn_plan *plan = NULL;
    clattn_keys *keys = NULL;
    clattn_report report;
    host_call call;
    const bool projected = argc > 1 && strcmp(argv[1], "staged") == 0;
    if (projected)
        from++;
    case_make(&call, from);
    if (clattn_reference_run(&call.desc, &call.args) != CLATTN_OK)
        give_up(clattn_last_error());
    backward_call_turn(&call, CLATTN_OUTPUT, STRIDES_DENSE);
    const clattn_attention_args plain = call.args;
    if (projected)
        backward_call_project(&call, NULL, STRIDES_DENSE);
    call.desc.variant = from->name;
    while (failed(clattn_device_open(&device, NULL, 0)))
        continue;
    while (failed(clattn_plan_create(&plan, device, &call.desc)))
        continue;
    if (projected)
        keys = project(&call, plan, &plain);
    while (failed(clattn_plan_run(plan, &call.args)) || failed(clattn_device_finish(device)))
        continue;
    judge(&report, &call, &plain);
    if (!report.ok)
        print_verdicts(&report, from->name);
    clattn_keys_destroy(keys);
    clattn_plan_destroy(plan);
    clattn_device_close(device);
    host_call_free(&call);
    return !report.ok;
}
