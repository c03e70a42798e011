/* device_limits.h: what a device cannot do is no failure of ours. Each is false then, with the reason
 * among what the test prints; the test frees what it has and calls skip(). */
#ifndef TESTS_SUPPORT_DEVICE_LIMITS_H
#define TESTS_SUPPORT_DEVICE_LIMITS_H

#include <clattn/clattn.h>

#include <stdbool.h>

/* Doubles are not for every device. */
bool device_takes(const clattn_device *device, clattn_dtype dtype);

/* The same of the device that the program clattn takes. */
bool default_device_takes(clattn_dtype dtype);

/* Only PoCL can be told to show several devices. */
bool default_device_is_pocl(void);

/* llvmpipe ends a loop after 65535 rounds, counted over all loops of a work-item, says nothing and goes
 * on with what it has. */
bool device_loops(const clattn_device *device, int64_t rounds);

#endif
