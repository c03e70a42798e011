/* Every case of the table by the variant with CLBlast's products. A program of its own, because
 * CLBlast compiles its kernels for minutes where the machine is a simulated one. */
#include "support/device_runs.h"

#include <stdio.h>

static clattn_device *device;

static void all_outputs(void **state)
{
    run_case(device, *state, "staged-clblast");
}

static void output_alone(void **state)
{
    clattn_case c = *(const clattn_case *)*state;
    c.outputs = CLATTN_OUTPUT;
    run_case(device, &c, "staged-clblast");
}

int main(void)
{
    named_tests all = {0}, alone = {0};
    int failures;
    if (clattn_device_open(&device, NULL, 0) != CLATTN_OK) {
        (void)fprintf(stderr, "%s\n", clattn_last_error());
        return 1;
    }
    add_all_cases(&all, all_outputs);
    add_all_cases(&alone, output_alone);
    failures = named_tests_run(&all, "staged-clblast", NULL, NULL);
    failures += named_tests_run(&alone, "staged-clblast, output alone", NULL, NULL);
    clattn_device_close(device);
    return failures;
}
