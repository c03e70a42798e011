/* kernel_runs.h: what tests of single kernels share: the device, and memory that the host and the
 * device use in turn. */
#ifndef TESTS_SUPPORT_KERNEL_RUNS_H
#define TESTS_SUPPORT_KERNEL_RUNS_H

#include "device.h"
#include "host_call.h"
#include "problem.h"

/* The default device. Ends the program with a sentence when there is none. */
clattn_device *kernel_device_open(void);

/* Saves no binaries: PoCL would compile every kernel once more for them, and has a cache itself. */
void kernel_device_close(clattn_device *device);

/* Runs of the same launch differ in this: many compute units make the host sides cut the work into
 * more and smaller pieces, which must not change a bit. */
#define FEW_UNITS 1
#define MANY_UNITS 4096

/* The memory of a host_call while it is the device's. */
typedef struct lent_memory {
    clattn_device *device;
    const host_call *call;
    cl_mem buffers[HOST_CALL_TENSORS];
} lent_memory;

/* From here on the device may use all tensors of `call`, and the host none until take_back(). */
void lend(lent_memory *lent, clattn_device *device, const host_call *call);

/* The same tensor in device memory; one that is absent or empty has none, as in a plan's calls. */
clattn_tensor lent_tensor(const lent_memory *lent, const clattn_tensor *tensor);

/* Every tensor of `call` as lent_tensor() gives it. */
void lend_call(const lent_memory *lent, clattn__call *call);

/* Waits for the device and makes what it wrote visible to the host. */
void take_back(lent_memory *lent);

#endif
