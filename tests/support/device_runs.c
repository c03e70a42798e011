/* device_runs.c: runs a call on a device and judges it. */
#include "device_runs.h"

#include "checks.h"
#include "device.h"

#include <stdio.h>
#include <string.h>

clattn_plan *plan_of(clattn_device *device, const host_call *call, const char *variant)
{
    clattn_plan *plan = NULL;
    clattn_attention_desc desc = call->desc;
    desc.variant = variant;
    assert_status(CLATTN_OK, clattn_plan_create(&plan, device, &desc));
    return plan;
}

void run_to_end(clattn_device *device, clattn_plan *plan, const clattn_attention_args *args)
{
    assert_status(CLATTN_OK, clattn_plan_run(plan, args));
    assert_status(CLATTN_OK, clattn_device_finish(device));
}

void case_pair_make(case_pair *pair, clattn_device *device, const clattn_case *from,
                    const char *variant)
{
    case_make(&pair->first, from);
    case_make(&pair->second, from);
    pair->plan = plan_of(device, &pair->first, variant);
    run_to_end(device, pair->plan, &pair->first.args);
}

void case_pair_free(case_pair *pair)
{
    clattn_plan_destroy(pair->plan);
    host_call_free(&pair->first);
    host_call_free(&pair->second);
}

void wipe_outputs(host_call *call)
{
    const char *name;
    for (size_t o = 0; host_call_output(call, o, &name); o++) {
        const clattn_tensor *output = host_call_output(call, o, &name);
        for (size_t i = 0; i < clattn_tensor_count(output); i++)
            host_tensor_set(output, i, 12345);
    }
}

void run_and_verify(clattn_device *device, host_call *call, const char *variant, const char *about)
{
    clattn_report report;
    clattn_plan *plan = plan_of(device, call, variant);
    if (variant)
        assert_string_equal(clattn_plan_variant(plan), variant);
    /* Twice: what the first run leaves in scratch memory must not matter. */
    for (int n = 0; n < 2; n++)
        run_to_end(device, plan, &call->args);
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

void run_case_with_own_weights(clattn_device *device, const clattn_case *c, const char *variant)
{
    static const struct {
        const char *name;
        clattn_normalizer normalizer;
    } kinds[] = {{"none", CLATTN_NORMALIZER_NONE}, {"sigmoid", CLATTN_NORMALIZER_SIGMOID}};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        char name[96];
        clattn_case by = *c;
        /* Sums of both signs that plain code cannot make, either: nothing could be compared. */
        if (c->fill == FILL_HUGE_VALUES && kinds[k].normalizer == CLATTN_NORMALIZER_NONE)
            continue;
        (void)snprintf(name, sizeof name, "%s, %s", c->name, kinds[k].name);
        by.name = name;
        by.normalizer = kinds[k].normalizer;
        by.flags &= ~(uint32_t)CLATTN_SINKS;
        if (by.normalizer == CLATTN_NORMALIZER_NONE)
            by.outputs &= ~(uint32_t)CLATTN_ENTROPY;
        run_case(device, &by, variant);
    }
}

void add_cases(named_tests *tests, CMUnitTestFunction test, case_table table)
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

/* A work-item of lanes.cl, and those of others for fewer rows, goes over all keys. Where no loop is
 * unrolled, each element of a key or value costs it about seven rounds; sums of huge values are made in
 * three more ways. */
static int64_t rounds_of(const clattn_case *c)
{
    const int64_t S = c->S ? c->S : 5, D = c->D ? c->D : 8, Dv = c->Dv ? c->Dv : D;
    int64_t T = c->T ? c->T : S;
    for (const case_sequence *s = c->packed; s && s->S >= 0; s++)
        T = s->T > T ? s->T : T;
    return 7 * T * (D + Dv) * (c->fill == FILL_HUGE_VALUES || c->fill == FILL_HUGE_LAST ? 4 : 1);
}

bool device_takes_case(const clattn_device *device, const clattn_case *c)
{
    return device_takes(device, c->dtype) && device_loops(device, rounds_of(c));
}

const clattn__tile tile_beside_the_table = {.item_rows = 8,
                                            .item_columns = 2,
                                            .group_rows = 2,
                                            .group_columns = 16,
                                            .depth = 8,
                                            .vector = 2};

int run_on_played(clattn_device *device, device_played as, named_tests *tests, const char *group)
{
    const clattn_device_info info = device->info;
    const clattn__tuning *tuning = device->tuning;
    clattn__tuning little = *tuning;
    little.scratch = 1;
    if (as.copies)
        device->info.unified_memory = 0;
    if (as.little_scratch)
        device->tuning = &little;
    const int failures = named_tests_run(tests, group, NULL, NULL);
    device->info = info;
    device->tuning = tuning;
    return failures;
}
