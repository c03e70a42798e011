/* discovery.h: which devices there are, and which one a caller means. */
#ifndef CLATTN_DISCOVERY_H
#define CLATTN_DISCOVERY_H

#include <clattn/clattn_cl.h>
#include <clattn/device.h>

typedef struct clattn__found {
    clattn_device_info info;
    cl_platform_id platform;
    cl_device_id id;
} clattn__found;

/* Reads what a device says of itself, but for its index. */
clattn_status clattn__describe(clattn_device_info *info, cl_device_id id);

/* The device that `spec` names (see clattn_device_open), or the default one for NULL. */
clattn_status clattn__discover(clattn__found *found, const char *spec);

#endif
