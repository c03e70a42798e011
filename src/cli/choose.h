/* choose.h: which device a command takes. */
#ifndef CLI_CHOOSE_H
#define CLI_CHOOSE_H

#include <clattn/device.h>

/* Opens --device, or the default. Where there is no OpenCL device at all, none was named, and
 * CLATTN_REQUIRE_DEVICE is not set, the reference takes over and `*warning` says so; else
 * `*warning` is NULL. */
int cli_open_device(clattn_device **out, const char **warning, const char *spec);

/* The same for verify, which has nothing to prove on the reference and fails without a device. */
int cli_open_device_to_verify(clattn_device **out, const char *spec);

#endif
