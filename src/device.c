/* device.c: opening, finishing and closing devices. discovery.c lists and chooses them. */
#include "device.h"

#include "discovery.h"
#include "program.h"
#include "try.h"
#include "tuning/tuning.h"

#include <stdlib.h>
#include <string.h>

static clattn_status device_alloc(clattn_device **out)
{
    clattn_device *device = calloc(1, sizeof *device);
    if (!device)
        return FAIL(CLATTN_E_MEMORY, 0, "device: no host memory for %zu bytes", sizeof *device);
    if (pthread_mutex_init(&device->lock, NULL) != 0) {
        free(device);
        return FAIL(CLATTN_E_MEMORY, 0, "device: no mutex can be made");
    }
    device->in_order = true;
    *out = device;
    return CLATTN_OK;
}

static clattn_status open_reference(clattn_device **out)
{
    clattn_status status = device_alloc(out);
    if (status != CLATTN_OK)
        return status;
    clattn_device_info *info = &(*out)->info;
    info->index = SIZE_MAX;
    info->kind = CLATTN_DEVICE_REFERENCE;
    info->fp64 = info->unified_memory = 1;
    (*out)->tuning = clattn__tuning_for(info);
    strcpy(info->name, "reference");
    strcpy(info->vendor, "clattn");
    strcpy(info->platform, "plain C on the host");
    strcpy(info->driver_version, CLATTN_VERSION);
    return CLATTN_OK;
}

clattn_status clattn_device_open(clattn_device **out, const char *spec, uint32_t flags)
{
    clattn_status status = CLATTN_OK;
    clattn_device *device = NULL;
    clattn__found found;
    cl_int error = CL_SUCCESS;
    FAIL_IF(!out, CLATTN_E_ARGUMENT,
            "clattn_device_open: out is NULL, expected a place for the device");
    *out = NULL;
    FAIL_IF(flags & ~CLATTN_DEVICE_PROFILE, CLATTN_E_ARGUMENT,
            "clattn_device_open: flags 0x%x, expected 0 or CLATTN_DEVICE_PROFILE", (unsigned)flags);
    if (!spec)
        spec = getenv("CLATTN_DEVICE");
    if (spec && !*spec)
        spec = NULL;
    if (spec && strcmp(spec, "reference") == 0)
        return open_reference(out);
    TRY(clattn__discover(&found, spec));
    TRY(device_alloc(&device));
    device->info = found.info;
    device->tuning = clattn__tuning_for(&device->info);
    device->profiling = flags & CLATTN_DEVICE_PROFILE;
    const cl_context_properties properties[] = {CL_CONTEXT_PLATFORM,
                                                (cl_context_properties)found.platform, 0};
    device->context = clCreateContext(properties, 1, &found.id, NULL, NULL, &error);
    TRY_CL("device: clCreateContext", error);
    device->queue = clCreateCommandQueue(device->context, found.id,
                                         device->profiling ? CL_QUEUE_PROFILING_ENABLE : 0, &error);
    TRY_CL("device: clCreateCommandQueue", error);
    device->id = found.id;
    *out = device;
    device = NULL;
done:
    clattn_device_close(device);
    return status;
}

clattn_status clattn_device_open_cl(clattn_device **out, cl_context context, cl_command_queue queue)
{
    clattn_status status = CLATTN_OK;
    clattn_device *device = NULL;
    cl_device_id id = NULL;
    cl_context own = NULL;
    cl_command_queue_properties properties = 0;
    if (out)
        *out = NULL;
    FAIL_IF(!out || !context || !queue, CLATTN_E_ARGUMENT,
            "clattn_device_open_cl: out, context and queue are required, found NULL");
    TRY_CL("queue: clGetCommandQueueInfo",
           clGetCommandQueueInfo(queue, CL_QUEUE_DEVICE, sizeof id, &id, NULL));
    TRY_CL("queue: clGetCommandQueueInfo",
           clGetCommandQueueInfo(queue, CL_QUEUE_CONTEXT, sizeof own, &own, NULL));
    TRY_CL("queue: clGetCommandQueueInfo",
           clGetCommandQueueInfo(queue, CL_QUEUE_PROPERTIES, sizeof properties, &properties, NULL));
    FAIL_IF(own != context, CLATTN_E_ARGUMENT,
            "clattn_device_open_cl: queue belongs to another context, expected one of the given "
            "context");
    TRY(device_alloc(&device));
    TRY(clattn__describe(&device->info, id));
    device->info.index = SIZE_MAX;
    device->tuning = clattn__tuning_for(&device->info);
    device->in_order = !(properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
    device->profiling = properties & CL_QUEUE_PROFILING_ENABLE;
    TRY_CL("device: clRetainContext", clRetainContext(context));
    device->context = context;
    TRY_CL("device: clRetainCommandQueue", clRetainCommandQueue(queue));
    device->queue = queue;
    device->id = id;
    *out = device;
    device = NULL;
done:
    clattn_device_close(device);
    return status;
}

clattn_status clattn_device_finish(clattn_device *device)
{
    clattn_status status = CLATTN_OK;
    FAIL_IF(!device, CLATTN_E_ARGUMENT,
            "clattn_device_finish: device is NULL, expected an open device");
    if (clattn__is_reference(device))
        goto done;
    TRY_CL("device: clFinish", clattn__programs_finish(device));
done:
    return status;
}

const clattn_device_info *clattn_device_get_info(const clattn_device *device)
{
    return device ? &device->info : NULL;
}

cl_context clattn_device_cl_context(const clattn_device *device)
{
    return device ? device->context : NULL;
}

cl_command_queue clattn_device_cl_queue(const clattn_device *device)
{
    return device ? device->queue : NULL;
}

void clattn_device_close(clattn_device *device)
{
    if (!device)
        return;
    /* A failure here has nobody to tell: the objects are released all the same. */
    if (device->queue)
        (void)clattn__programs_finish(device);
    clattn__programs_release(device);
    if (device->queue)
        (void)clReleaseCommandQueue(device->queue);
    if (device->context)
        (void)clReleaseContext(device->context);
    (void)pthread_mutex_destroy(&device->lock);
    free(device);
}
