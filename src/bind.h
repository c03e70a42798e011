/* bind.h: gives every tensor of a call a place in device memory for one run. */
#ifndef CLATTN_BIND_H
#define CLATTN_BIND_H

#include "device.h"
#include "problem.h"

/* What was done for one host tensor, to be undone after the run. */
typedef struct clattn__bound {
    clattn_tensor *tensor; /* of the bound call */
    clattn_tensor host;    /* what it was before */
    cl_mem memory;         /* made for this run, or shared with an item before */
    char *first;           /* of the host's memory that `memory` stands for */
    size_t bytes;          /* of `memory` */
    bool written;          /* it is an output */
    bool shared;           /* of which other pieces write a part */
    bool dense;            /* `memory` is a row-major copy, not an image of the host's memory */
} clattn__bound;

typedef struct clattn__binding {
    clattn__bound items[CLATTN__CALL_TENSORS];
    size_t count;
} clattn__binding;

/* Refuses what a kernel would not notice: a tensor that reaches beyond its cl_mem, doubles on a
 * device without. It looks at the whole call, before anything is enqueued. */
clattn_status clattn__check_tensors(const clattn_device *device, clattn__call *call);

/* Bytes of the buffer that a host tensor takes, which may be no more than one allocation. */
size_t clattn__bound_bytes(const clattn_tensor *tensor, bool written, const clattn_device *device);

/**
 * Makes all tensors of `call` ones with a buffer. Host memory is used in place where host and
 * device share memory, and copied otherwise. Empty tensors stay as they are. Call clattn__unbind()
 * after a failure too.
 */
clattn_status clattn__bind(clattn__binding *binding, clattn_device *device, clattn__call *call);

/* Enqueues what brings the outputs back to host memory; see
 * clattn_plan_run() for when that is done. */
clattn_status clattn__fetch(clattn__binding *binding, clattn_device *device);

/* Releases what clattn__bind() made; OpenCL keeps it until the enqueued commands are done. */
void clattn__unbind(clattn__binding *binding);

/* Bytes from a tensor's first element to its last,
 * whichever way its strides point; 0 for an empty one. */
size_t clattn__tensor_span(const clattn_tensor *tensor);

/* Copies elements of host memory from where a tensor's strides put them to row-major order, or back. */
void clattn__copy_elements(const clattn_tensor *tensor, void *dense, bool back);

#endif
