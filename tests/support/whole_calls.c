/* whole_calls.c: see whole_calls.h. */
#include "whole_calls.h"

#include "device.h"
#include "device_runs.h"
#include "ops/fused.h"

#include <stdio.h>
#include <string.h>

static clattn_device *device;
static clattn_device_info real_info;

static void by_default(void **state)
{
    run_case(device, *state, NULL);
}

static void by_staged(void **state)
{
    run_case(device, *state, "staged");
}

/* Nobody looks at the weights, so that they need not be finished. */
static void output_alone(void **state)
{
    clattn_case c = *(const clattn_case *)*state;
    c.outputs = CLATTN_OUTPUT;
    run_case(device, &c, NULL);
}

/* Scores are what no variant of one pass writes, weights and what is told of them some do. */
static void without_scores(void **state)
{
    clattn_case c = *(const clattn_case *)*state;
    if (c.packed || c.outputs)
        skip(); /* as in the first group */
    c.outputs = CLATTN_OUTPUT | CLATTN_LSE | CLATTN__OF_WEIGHTS;
    if (c.normalizer == CLATTN_NORMALIZER_NONE)
        c.outputs &= ~(uint32_t)CLATTN_ENTROPY;
    run_case(device, &c, NULL);
}

/* As a device does that has memory of its own: every host tensor is copied. */
static void in_copied_memory(void **state)
{
    device->info.unified_memory = 0;
    run_case(device, *state, NULL);
    device->info = real_info;
}

/* As a device does that allocates little at a time: calls are cut along batch, heads and rows. */
static void in_pieces(void **state)
{
    const clattn_case *c = *state;
    host_call call;
    if (!device_takes_case(device, c))
        skip();
    case_make(&call, c);
    /* Small enough to cut most cases, large enough for one head's keys and values. */
    const size_t heads = call.desc.kv_heads, size = call.desc.value_size,
                 units = call.desc.hidden_size > size ? call.desc.hidden_size : size,
                 keys = clattn_tensor_count(&call.args.value) / size * units,
                 params = units * (call.desc.head_size + call.desc.key_size),
                 head = keys * 16 / heads + params + 4096;
    device->info.max_allocation = head * 8;
    run_and_verify(device, &call, NULL, c->name);
    device->info.unified_memory = 0;
    run_and_verify(device, &call, NULL, c->name);
    device->info = real_info;
    host_call_free(&call);
}

int whole_calls_main(int argc, char **argv, const case_table *tables, size_t count)
{
    int failures = 0;
    const struct {
        const char *group;
        CMUnitTestFunction test;
    } groups[] = {
        {"default variant", by_default},
        {"output alone", output_alone},
        {"without scores", without_scores},
        {"copied memory", in_copied_memory},
        {"pieces", in_pieces},
        {"staged", by_staged},
    };
    if (clattn_device_open(&device, NULL, 0) != CLATTN_OK) {
        (void)fprintf(stderr, "%s\n", clattn_last_error());
        return 1;
    }
    real_info = device->info;
    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
        named_tests tests = {0};
        if (argc > 1 && strcmp(argv[1], groups[g].group) != 0)
            continue;
        for (size_t t = 0; t < count; t++)
            add_cases(&tests, groups[g].test, tables[t]);
        failures += named_tests_run(&tests, groups[g].group, NULL, NULL);
    }
    clattn_device_close(device);
    return failures;
}
