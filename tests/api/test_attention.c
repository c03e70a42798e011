/* Every case of the table on the default device, against the reference: by the default variant, in
 * copied memory, in pieces, and by our own products by name, which take no packed sequences. */
#include "device.h"
#include "support/device_runs.h"

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
    size_t keys = clattn_tensor_count(&call.args.value),
           heads = call.desc.kv_heads ? call.desc.kv_heads : 1;
    size_t head = keys * 16 / (heads ? heads : 1) + 4096;
    device->info.max_allocation = head * 8;
    run_and_verify(device, &call, NULL, c->name);
    device->info.unified_memory = 0;
    run_and_verify(device, &call, NULL, c->name);
    device->info = real_info;
    host_call_free(&call);
}

/* All groups, or the one that is named. */
int main(int argc, char **argv)
{
    int failures = 0;
    const struct {
        const char *group;
        CMUnitTestFunction test;
    } groups[] = {
        {"default variant", by_default},
        {"output alone", output_alone},
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
        add_all_cases(&tests, groups[g].test);
        if (groups[g].test != by_staged)
            add_packed_cases(&tests, groups[g].test);
        failures += named_tests_run(&tests, groups[g].group, NULL, NULL);
    }
    clattn_device_close(device);
    return failures;
}
