/* kernel_runs.c: lends memory to a device. */
#include "kernel_runs.h"

#include "bind.h"
#include "checks.h"
#include "program.h"

#include <stdio.h>
#include <stdlib.h>

clattn_device *kernel_device_open(void)
{
    clattn_device *device = NULL;
    if (clattn_device_open(&device, NULL, 0) == CLATTN_OK)
        return device;
    (void)fprintf(stderr, "%s\n", clattn_last_error());
    exit(1);
}

void kernel_device_close(clattn_device *device)
{
    (void)clFinish(device->queue);
    clattn__programs_release(device);
    clattn_device_close(device);
}

void lend(lent_memory *lent, clattn_device *device, const host_call *call)
{
    *lent = (lent_memory){.device = device, .call = call};
    for (size_t i = 0; i < call->owned_count; i++) {
        cl_int error = CL_SUCCESS;
        lent->buffers[i] = clCreateBuffer(device->context, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR,
                                          call->owned[i].bytes, call->owned[i].data, &error);
        assert_int_equal(error, CL_SUCCESS);
    }
}

clattn_tensor lent_tensor(const lent_memory *lent, const clattn_tensor *tensor)
{
    clattn_tensor on_device = *tensor;
    size_t i = 0;
    if (!clattn__has(tensor) || clattn_tensor_count(tensor) == 0)
        return on_device;
    while (lent->call->owned[i].data != tensor->host)
        i++;
    on_device.host = NULL;
    on_device.buffer = lent->buffers[i];
    return on_device;
}

void lend_call(const lent_memory *lent, clattn__call *call)
{
    clattn_tensor *tensors[CLATTN__CALL_TENSORS];
    (void)clattn__call_tensors(call, tensors, NULL);
    for (size_t t = 0; t < CLATTN__CALL_TENSORS; t++)
        *tensors[t] = lent_tensor(lent, tensors[t]);
}

void take_back(lent_memory *lent)
{
    for (size_t i = 0; i < lent->call->owned_count; i++) {
        cl_int error = CL_SUCCESS;
        cl_command_queue queue = lent->device->queue;
        void *mapped = clEnqueueMapBuffer(queue, lent->buffers[i], CL_TRUE, CL_MAP_READ, 0,
                                          lent->call->owned[i].bytes, 0, NULL, NULL, &error);
        assert_int_equal(error, CL_SUCCESS);
        assert_int_equal(clEnqueueUnmapMemObject(queue, lent->buffers[i], mapped, 0, NULL, NULL),
                         CL_SUCCESS);
    }
    assert_int_equal(clFinish(lent->device->queue), CL_SUCCESS);
    for (size_t i = 0; i < lent->call->owned_count; i++)
        (void)clReleaseMemObject(lent->buffers[i]);
    *lent = (lent_memory){0};
}
