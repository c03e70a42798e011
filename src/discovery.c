/* discovery.c: lists the devices of all platforms. A
 * platform or device that fails is skipped with a reason. */
#include "discovery.h"

#include "try.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static _Thread_local char skipped[2048];

__attribute__((format(printf, 1, 2))) static void skip(const char *format, ...)
{
    size_t used = strlen(skipped);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(skipped + used, sizeof skipped - used, format, arguments);
    va_end(arguments);
}

const char *clattn_device_skipped(void)
{
    return skipped;
}

const char *clattn_device_kind_name(clattn_device_kind kind)
{
    switch (kind) {
    case CLATTN_DEVICE_GPU_DISCRETE:
        return "discrete GPU";
    case CLATTN_DEVICE_GPU_INTEGRATED:
        return "integrated GPU";
    case CLATTN_DEVICE_ACCELERATOR:
        return "accelerator";
    case CLATTN_DEVICE_CPU:
        return "CPU";
    case CLATTN_DEVICE_REFERENCE:
        return "reference";
    }
    return "?";
}

/* A string property of a device, or of a platform where `id` is NULL, in new memory: a driver may
 * refuse a buffer that is too small. */
static cl_int whole_text(char **text, cl_device_id id, cl_platform_id platform, cl_uint what)
{
    size_t length = 0;
    cl_int error = id ? clGetDeviceInfo(id, what, 0, NULL, &length)
                      : clGetPlatformInfo(platform, what, 0, NULL, &length);
    *text = NULL;
    if (error != CL_SUCCESS)
        return error;
    *text = calloc(1, length + 1);
    if (!*text)
        return CL_OUT_OF_HOST_MEMORY;
    return id ? clGetDeviceInfo(id, what, length, *text, NULL)
              : clGetPlatformInfo(platform, what, length, *text, NULL);
}

/* The same, cut to fit. */
static cl_int cut_text(char *text, size_t size, cl_device_id id, cl_platform_id platform,
                       cl_uint what)
{
    char *whole = NULL;
    const cl_int error = whole_text(&whole, id, platform, what);
    if (error == CL_SUCCESS)
        (void)snprintf(text, size, "%s", whole);
    free(whole);
    return error;
}

/* Names may be parts of one another, so each hit is looked at. */
static cl_int has_extension(cl_device_id id, const char *name, uint32_t *has)
{
    const size_t length = strlen(name);
    char *all = NULL;
    const cl_int error = whole_text(&all, id, NULL, CL_DEVICE_EXTENSIONS);
    *has = 0;
    for (const char *at = all; error == CL_SUCCESS && (at = strstr(at, name)) != NULL; at += length)
        if ((at == all || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            *has = 1;
    free(all);
    return error;
}

clattn_status clattn__describe(clattn_device_info *info, cl_device_id id)
{
    clattn_status status = CLATTN_OK;
    cl_device_type type = 0;
    cl_bool unified = CL_FALSE;
    cl_uint width = 0;
    cl_platform_id platform = NULL;
    memset(info, 0, sizeof *info);
#define GET(what, place)                                                                           \
    TRY_CL("device: clGetDeviceInfo", clGetDeviceInfo(id, what, sizeof(place), &(place), NULL))
    GET(CL_DEVICE_TYPE, type);
    GET(CL_DEVICE_HOST_UNIFIED_MEMORY, unified);
    GET(CL_DEVICE_MAX_COMPUTE_UNITS, info->compute_units);
    GET(CL_DEVICE_MAX_CLOCK_FREQUENCY, info->clock_mhz);
    GET(CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, width);
    GET(CL_DEVICE_GLOBAL_MEM_SIZE, info->global_memory);
    GET(CL_DEVICE_MAX_MEM_ALLOC_SIZE, info->max_allocation);
    GET(CL_DEVICE_LOCAL_MEM_SIZE, info->local_memory);
    GET(CL_DEVICE_GLOBAL_MEM_CACHE_SIZE, info->cache);
    GET(CL_DEVICE_MAX_WORK_GROUP_SIZE, info->max_work_group);
    GET(CL_DEVICE_PLATFORM, platform);
#undef GET
    TRY_CL("device: clGetDeviceInfo",
           cut_text(info->name, sizeof info->name, id, NULL, CL_DEVICE_NAME));
    TRY_CL("device: clGetDeviceInfo",
           cut_text(info->vendor, sizeof info->vendor, id, NULL, CL_DEVICE_VENDOR));
    TRY_CL("device: clGetDeviceInfo", cut_text(info->device_version, sizeof info->device_version,
                                               id, NULL, CL_DEVICE_VERSION));
    TRY_CL("device: clGetDeviceInfo", cut_text(info->driver_version, sizeof info->driver_version,
                                               id, NULL, CL_DRIVER_VERSION));
    TRY_CL("device: clGetDeviceInfo", has_extension(id, "cl_khr_fp64", &info->fp64));
    TRY_CL("device: clGetDeviceInfo", has_extension(id, "cl_khr_fp16", &info->fp16));
    TRY_CL("platform: clGetPlatformInfo",
           cut_text(info->platform, sizeof info->platform, NULL, platform, CL_PLATFORM_NAME));
    info->float_width = width ? width : 1;
    info->unified_memory = unified == CL_TRUE;
    if (type & CL_DEVICE_TYPE_GPU)
        info->kind = unified ? CLATTN_DEVICE_GPU_INTEGRATED : CLATTN_DEVICE_GPU_DISCRETE;
    else
        info->kind = type & CL_DEVICE_TYPE_CPU ? CLATTN_DEVICE_CPU : CLATTN_DEVICE_ACCELERATOR;
done:
    return status;
}

/* A growing list of what was found. */
typedef struct list {
    clattn__found *items;
    size_t count;
} list;

static clattn_status append(list *all, cl_platform_id platform, cl_device_id id)
{
    cl_bool available = CL_FALSE;
    cl_int error = clGetDeviceInfo(id, CL_DEVICE_AVAILABLE, sizeof available, &available, NULL);
    clattn_device_info info;
    if (error != CL_SUCCESS || !available) {
        skip("a device: %s\n",
             error ? clattn__cl_error_name(error) : "it says that it is not available");
        return CLATTN_OK;
    }
    if (clattn__describe(&info, id) != CLATTN_OK) {
        skip("a device: %s\n", clattn_last_error());
        return CLATTN_OK;
    }
    clattn__found *more = realloc(all->items, (all->count + 1) * sizeof *more);
    if (!more)
        return FAIL(CLATTN_E_MEMORY, 0, "devices: no host memory for the list");
    all->items = more;
    info.index = all->count;
    more[all->count++] = (clattn__found){info, platform, id};
    return CLATTN_OK;
}

static clattn_status list_platform(list *all, cl_platform_id platform)
{
    clattn_status status = CLATTN_OK;
    cl_uint count = 0;
    cl_device_id *ids = NULL;
    char name[128] = "a platform";
    cl_int error = clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 0, NULL, &count);
    if (error == CL_SUCCESS && count > 0) {
        ids = calloc(count, sizeof(cl_device_id));
        FAIL_IF(!ids, CLATTN_E_MEMORY, "devices: no host memory for %u devices", count);
        error = clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, count, ids, NULL);
    }
    if (error != CL_SUCCESS || count == 0) {
        (void)clGetPlatformInfo(platform, CL_PLATFORM_NAME, sizeof name - 1, name, NULL);
        skip("%s: %s\n", name, error == CL_SUCCESS ? "no device" : clattn__cl_error_name(error));
        goto done;
    }
    for (cl_uint i = 0; i < count; i++)
        TRY(append(all, platform, ids[i]));
done:
    free(ids);
    return status;
}

static clattn_status list_all(list *all)
{
    clattn_status status = CLATTN_OK;
    cl_platform_id platforms[64];
    cl_uint count = 0;
    *all = (list){0};
    skipped[0] = '\0';
    cl_int error = clGetPlatformIDs(sizeof platforms / sizeof *platforms, platforms, &count);
    if (error == -1001)
        return CLATTN_OK; /* CL_PLATFORM_NOT_FOUND_KHR: the loader knows no driver */
    TRY_CL("devices: clGetPlatformIDs", error);
    if (count > sizeof platforms / sizeof *platforms)
        count = sizeof platforms / sizeof *platforms;
    for (cl_uint i = 0; i < count; i++)
        TRY(list_platform(all, platforms[i]));
done:
    if (status != CLATTN_OK) {
        free(all->items);
        *all = (list){0};
    }
    return status;
}

clattn_status clattn_device_list(clattn_device_info *infos, size_t capacity, size_t *count)
{
    clattn_status status = CLATTN_OK;
    list all = {0};
    FAIL_IF(!count || (!infos && capacity), CLATTN_E_ARGUMENT,
            "clattn_device_list: infos or count is NULL, expected places for %zu entries and their "
            "number",
            capacity);
    *count = 0;
    TRY(list_all(&all));
    for (size_t i = 0; i < all.count && i < capacity; i++)
        infos[i] = all.items[i].info;
    *count = all.count;
done:
    free(all.items);
    return status;
}

static bool contains(const char *text, const char *part)
{
    size_t length = strlen(part);
    for (; *text; text++) {
        size_t i = 0;
        while (i < length && text[i] &&
               tolower((unsigned char)text[i]) == tolower((unsigned char)part[i]))
            i++;
        if (i == length)
            return true;
    }
    return false;
}

/* Whether a device's name or platform has `spec` in it; an index fits exactly one. */
static bool fits(const clattn__found *found, const char *spec)
{
    if (spec[strspn(spec, "0123456789")] == '\0') {
        unsigned long long index = strtoull(spec, NULL, 10);
        return found->info.index == index;
    }
    return contains(found->info.name, spec) || contains(found->info.platform, spec);
}

clattn_status clattn__discover(clattn__found *found, const char *spec)
{
    clattn_status status = CLATTN_OK;
    list all = {0};
    const clattn__found *best = NULL;
    size_t fitting = 0;
    bool whole = false;
    TRY(list_all(&all));
    FAIL_IF(all.count == 0, CLATTN_E_NO_DEVICE,
            "device: found no OpenCL device%s%.*s, expected one (PoCL makes a device of the CPU; "
            "\"reference\" needs none)",
            skipped[0] ? ", skipped " : "", (int)strcspn(skipped, "\n"), skipped);
    /* A whole name wins over the longer ones that it is a part of. */
    for (size_t i = 0; i < all.count; i++)
        whole = whole || (spec && strcasecmp(all.items[i].info.name, spec) == 0);
    for (size_t i = 0; i < all.count; i++) {
        if (spec &&
            (whole ? strcasecmp(all.items[i].info.name, spec) != 0 : !fits(&all.items[i], spec)))
            continue;
        fitting++;
        if (!best || all.items[i].info.kind < best->info.kind)
            best = &all.items[i];
    }
    FAIL_IF(!best, CLATTN_E_ARGUMENT,
            "device: \"%s\" fits none of %zu, expected an index or a part of a name such as \"%s\"",
            spec, all.count, all.items[0].info.name);
    FAIL_IF(spec && fitting > 1, CLATTN_E_ARGUMENT,
            "device: \"%s\" fits %zu devices, expected an index or a part of one name only", spec,
            fitting);
    *found = *best;
done:
    free(all.items);
    return status;
}
