/* device_runs.c: runs a call on a device and judges it. */
#include "device_runs.h"

#include "checks.h"

#include <string.h>

void run_and_verify(clattn_device *device, host_call *call, const char *variant, const char *about)
{
    clattn_plan *plan = NULL;
    clattn_report report;
    clattn_attention_desc desc = call->desc;
    desc.variant = variant;
    assert_status(CLATTN_OK, clattn_plan_create(&plan, device, &desc));
    if (variant)
        assert_string_equal(clattn_plan_variant(plan), variant);
    /* Twice: what the first run leaves in scratch memory must not matter. */
    for (int n = 0; n < 2; n++) {
        assert_status(CLATTN_OK, clattn_plan_run(plan, &call->args));
        assert_status(CLATTN_OK, clattn_device_finish(device));
    }
    clattn_plan_destroy(plan);
    assert_status(CLATTN_OK, clattn_verify(&report, &call->desc, &call->args, 0));
    assert_verified(&report, about);
}

void run_case(clattn_device *device, const clattn_case *c, const char *variant)
{
    host_call call;
    if (!device_takes_case(device, c))
        skip();
    case_make(&call, c);
    run_and_verify(device, &call, variant, c->name);
    host_call_free(&call);
}

static void add_cases(named_tests *tests, CMUnitTestFunction test,
                      const clattn_case *(*table)(size_t *))
{
    size_t count;
    const clattn_case *cases = table(&count);
    for (size_t i = 0; i < count; i++)
        named_tests_add(tests, cases[i].name, test, &cases[i]);
}

void add_all_cases(named_tests *tests, CMUnitTestFunction test)
{
    add_cases(tests, test, cases_that_hurt);
    add_cases(tests, test, cases_of_pairs);
}

void add_packed_cases(named_tests *tests, CMUnitTestFunction test)
{
    add_cases(tests, test, cases_packed);
}

/* A work-item of lanes.cl, and those of others for fewer rows, goes over all keys. Where no loop is
 * unrolled, each element of a key or value costs it about seven rounds; sums of huge values are made in
 * three more ways. */
static int64_t rounds_of(const clattn_case *c)
{
    const int64_t S = c->S ? c->S : 5, T = c->T ? c->T : S, D = c->D ? c->D : 8,
                  Dv = c->Dv ? c->Dv : D;
    return 7 * T * (D + Dv) * (c->fill == FILL_HUGE_VALUES || c->fill == FILL_HUGE_LAST ? 4 : 1);
}

bool device_takes_case(const clattn_device *device, const clattn_case *c)
{
    return device_takes(device, c->dtype) && device_loops(device, rounds_of(c));
}
