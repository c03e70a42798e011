#include "device_limits.h"

#include "checks.h"

#include <string.h>

bool device_takes(const clattn_device *device, clattn_dtype dtype)
{
    const clattn_device_info *info = clattn_device_get_info(device);
    if (dtype != CLATTN_F64 || info->fp64)
        return true;
    print_message("left out: no doubles on %s\n", info->name);
    return false;
}

static clattn_device *open_default_device(void)
{
    clattn_device *device = NULL;
    assert_status(CLATTN_OK, clattn_device_open(&device, NULL, 0));
    return device;
}

bool default_device_takes(clattn_dtype dtype)
{
    clattn_device *device = open_default_device();
    const bool takes = device_takes(device, dtype);
    clattn_device_close(device);
    return takes;
}

bool default_device_is_pocl(void)
{
    clattn_device *device = open_default_device();
    const char *platform = clattn_device_get_info(device)->platform;
    const bool is_pocl = strcmp(platform, "Portable Computing Language") == 0;
    if (!is_pocl)
        print_message("left out: it needs PoCL, found %s\n", platform);
    clattn_device_close(device);
    return is_pocl;
}

bool device_loops(const clattn_device *device, int64_t rounds)
{
    const clattn_device_info *info = clattn_device_get_info(device);
    if (rounds <= 65535 || strncmp(info->name, "llvmpipe", strlen("llvmpipe")) != 0)
        return true;
    print_message("left out: too many rounds of loops for %s\n", info->name);
    return false;
}
