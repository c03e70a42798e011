/* device_runs.h: runs a call on a device and judges it. */
#ifndef TESTS_SUPPORT_DEVICE_RUNS_H
#define TESTS_SUPPORT_DEVICE_RUNS_H

#include "host_call.h"

#include <stdbool.h>

/* Runs `call` by `variant` (NULL: the default one) and asserts that clattn_verify() finds it right.
 */
void run_and_verify(clattn_device *device, host_call *call, const char *variant, const char *about);

/* False for doubles on a device that has none. */
bool device_takes(clattn_device *device, const host_call *call);

#endif
