/* Every kernel builds without a warning, with every value that its header's table allows: one
 * option at a time leaves its middle value, and all of them go to their ends together. */
#include "ops/op.h"
#include "support/kernel_runs.h"
#include "support/named_tests.h"

#include <stdio.h>
#include <string.h>

typedef struct build {
    const char *kernel, *options;
} build;

#define PRODUCT(vw, mr, nv, rows, depth)                                                           \
    {                                                                                              \
        "product_lanes", "-DVW=" #vw " -DMR=" #mr " -DNV=" #nv " -DROWS=" #rows " -DDEPTH=" #depth \
    }

static const build builds[] = {
    {"pack", "-DVW=1 -DDEPTHS=64"},
    {"pack", "-DVW=2 -DDEPTHS=64"},
    {"pack", "-DVW=16 -DDEPTHS=64"},
    {"unpack", "-DVW=1"},
    {"unpack", "-DVW=4"},
    {"unpack", "-DVW=16"},
    {"hidden_values", "-DVW=1 -DROWS=64 -DDEPTHS=64"},
    {"hidden_values", "-DVW=8 -DROWS=64 -DDEPTHS=64"},
    {"softmax_rows", "-DVW=1 -DWG=1"},
    {"softmax_rows", "-DVW=2 -DWG=2"},
    {"softmax_rows", "-DVW=4 -DWG=64"},
    {"softmax_rows", "-DVW=8 -DWG=1"},
    {"softmax_rows", "-DVW=16 -DWG=256"},
    PRODUCT(1, 1, 1, 1, 64),
    PRODUCT(2, 8, 4, 8, 64),
    PRODUCT(4, 6, 2, 96, 256),
    PRODUCT(8, 6, 2, 96, 256),
    PRODUCT(16, 8, 2, 64, 256),
    PRODUCT(16, 1, 4, 256, 512),
};

static clattn_device *device;

static void builds_in(const build *b, const char *sums)
{
    clattn__kernel kernel = {0};
    char options[CLATTN__OPTIONS_MAX];
    (void)snprintf(options, sizeof options, "-cl-std=CL1.2 -Werror -DACC=%s %s%s", sums, b->options,
                   device->info.fp64 ? " -DDEVICE_FP64=1" : "");
    if (clattn__kernel_create(&kernel, device, b->kernel, options) != CLATTN_OK)
        fail_msg("%s\n%s", clattn_last_error(), clattn_last_build_log());
    clattn__kernel_release(&kernel);
}

static void in_float(void **state)
{
    builds_in(*state, "float");
}

static void in_double(void **state)
{
    if (!device->info.fp64)
        skip();
    builds_in(*state, "double");
}

/* What the other tests rely on: a warning, here of a macro defined twice, is an error that is told
 * with its file. */
static void warnings_fail(void **state)
{
    clattn__kernel kernel = {0};
    (void)state;
    assert_status(CLATTN_E_BUILD, clattn__kernel_create(
                                      &kernel, device, "unpack",
                                      "-cl-std=CL1.2 -Werror -DACC=float -DVW=1 -DKIND_OF_SUMS=1"));
    assert_non_null(strstr(clattn_last_build_log(), "common.clh:"));
}

int main(void)
{
    named_tests floats = {0}, doubles = {0};
    int failures;
    device = kernel_device_open();
    for (size_t i = 0; i < sizeof builds / sizeof *builds; i++) {
        named_tests_add(&floats, builds[i].options, in_float, &builds[i]);
        named_tests_add(&doubles, builds[i].options, in_double, &builds[i]);
    }
    named_tests_add(&floats, "a warning is an error", warnings_fail, NULL);
    failures = named_tests_run(&floats, "builds in float", NULL, NULL);
    failures += named_tests_run(&doubles, "builds in double", NULL, NULL);
    kernel_device_close(device);
    return failures;
}
