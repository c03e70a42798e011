/* clattn_cl.h: for programs with OpenCL objects of their own. Nothing is copied: a cl_mem is a
 * tensor's memory, the caller's queue is the device's queue, events go in and out. */
#ifndef CLATTN_CL_H
#define CLATTN_CL_H

#ifndef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 120
#endif
#ifdef __APPLE__
#include <OpenCL/cl.h>
#else
#include <CL/cl.h>
#endif
#include <clattn/plan.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Opens the caller's device: its context and queue are used and retained, in order or out of order.
 * Profiling is on when the queue was made with it.
 */
CLATTN_API clattn_status clattn_device_open_cl(clattn_device **out, cl_context context,
                                               cl_command_queue queue);

/** The OpenCL objects of a device, not retained for the caller; NULL on the reference. */
CLATTN_API cl_context clattn_device_cl_context(const clattn_device *device);
CLATTN_API cl_command_queue clattn_device_cl_queue(const clattn_device *device);

/** A row-major tensor in a cl_mem of the device's context;
 * `offset` in elements. The cl_mem is not retained. */
CLATTN_API clattn_tensor clattn_tensor_cl(clattn_dtype dtype, cl_mem buffer, size_t offset,
                                          uint32_t rank, const int64_t *shape);

/**
 * clattn_plan_run() that starts after `wait_count` events of `wait_list` and, where `event` is not
 * NULL, leaves an event there that is done when the outputs are; it is the caller's to release.
 * Where a run has to wait for the queue (see clattn_plan_run()) it waits for the wait list, too.
 */
CLATTN_API clattn_status clattn_plan_run_cl(clattn_plan *plan, const clattn_attention_args *args,
                                            cl_uint wait_count, const cl_event *wait_list,
                                            cl_event *event);

#ifdef __cplusplus
}
#endif
#endif
