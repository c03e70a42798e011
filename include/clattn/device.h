/* device.h: finding, opening and closing devices.
 *
 * A device is an opened OpenCL device with its cl_context, its queue and its programs. The CPU
 * reference can be opened as a device too: it runs the same plans in plain C, needs no OpenCL, and
 * takes over where there is none. */
#ifndef CLATTN_DEVICE_H
#define CLATTN_DEVICE_H

#include <clattn/base.h>
#include <clattn/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Kinds in the order in which a default device is chosen. */
typedef enum clattn_device_kind {
    CLATTN_DEVICE_GPU_DISCRETE = 0,
    CLATTN_DEVICE_GPU_INTEGRATED, /* shares the host's memory */
    CLATTN_DEVICE_ACCELERATOR,
    CLATTN_DEVICE_CPU,
    CLATTN_DEVICE_REFERENCE /* plain C on the host, without OpenCL */
} clattn_device_kind;

/** "discrete GPU", "integrated GPU", "accelerator", "CPU", "reference". */
CLATTN_API const char *clattn_device_kind_name(clattn_device_kind kind);

/** What a device says of itself. Strings are cut to fit. */
typedef struct clattn_device_info {
    size_t index; /* in the list of all devices; SIZE_MAX for the reference and the caller's own */
    clattn_device_kind kind;
    char name[256];           /* CL_DEVICE_NAME */
    char vendor[128];         /* CL_DEVICE_VENDOR */
    char platform[128];       /* CL_PLATFORM_NAME */
    char device_version[128]; /* CL_DEVICE_VERSION, begins with "OpenCL 3.0" or alike */
    char driver_version[128]; /* CL_DRIVER_VERSION */
    uint32_t compute_units;
    uint32_t clock_mhz;
    uint32_t float_width;    /* native vector width, in floats */
    uint32_t fp64;           /* 1 where doubles can be computed with */
    uint32_t fp16;           /* 1 where halves can; storing f16 works everywhere */
    uint32_t unified_memory; /* 1 where host memory is the device's: tensors are used in place */
    uint64_t global_memory, max_allocation, local_memory, cache; /* bytes */
    size_t max_work_group;                                       /* work-items */
} clattn_device_info;

typedef struct clattn_device clattn_device;

/** A device keeps the time of each kernel: see clattn_plan_timing(). */
#define CLATTN_DEVICE_PROFILE 1u

/**
 * Lists the OpenCL devices. Writes at most `capacity` entries to `infos` (may be NULL when it is 0)
 * and the number there are to `*count`. No device is no failure: `*count` is 0. A platform or
 * device that fails is skipped.
 */
CLATTN_API clattn_status clattn_device_list(clattn_device_info *infos, size_t capacity,
                                            size_t *count);

/** Why platforms or devices were skipped by the calling thread's last list or open, one per line;
 * "" for none. */
CLATTN_API const char *clattn_device_skipped(void);

/**
 * Opens a device; `*out` is the caller's to close, NULL after a failure.
 *
 * @param spec   an index of the list, a part of a name in any case ("pocl" also matches platform
 * names), "reference", or NULL: what the environment variable CLATTN_DEVICE says, else the best
 * kind with the lowest index.
 * @param flags  0 or CLATTN_DEVICE_PROFILE.
 * @return CLATTN_E_NO_DEVICE when there is no device at all, CLATTN_E_ARGUMENT when `spec` fits
 * none or several.
 */
CLATTN_API clattn_status clattn_device_open(clattn_device **out, const char *spec, uint32_t flags);

/** Waits until all that was enqueued on the device's queue is done. */
CLATTN_API clattn_status clattn_device_finish(clattn_device *device);

/** What was read when the device was opened; lives as long as the device. */
CLATTN_API const clattn_device_info *clattn_device_get_info(const clattn_device *device);

/** Closes a device after its last plan and device tensor are gone. NULL is fine. */
CLATTN_API void clattn_device_close(clattn_device *device);

#ifdef __cplusplus
}
#endif
#endif
