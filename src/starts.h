/* starts.h: where packed sequences begin, in host memory. */
#ifndef CLATTN_STARTS_H
#define CLATTN_STARTS_H

#include "device.h"
#include "problem.h"

/* Numbers of both tensors that kernels would clamp, clamped. */
typedef struct clattn__starts {
    int64_t *numbers;
} clattn__starts;

/* Makes `call` one whose cumulative lengths lie in host memory; those of a device are read, behind all that
 * was enqueued before. Call clattn__starts_free() after the last use of the call, after a failure too. */
clattn_status clattn__starts_bring(clattn__starts *starts, clattn_device *device,
                                   clattn__call *call);
void clattn__starts_free(clattn__starts *starts);

#endif
