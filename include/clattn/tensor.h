/* tensor.h: where numbers lie. A tensor is a view: a small struct that owns nothing, and that is
 * made and copied freely.
 *
 * Memory is the host's (`host`) or a device's (`buffer`, a cl_mem). Element (i, j, ...) is found at
 * base + offset + i*strides[0] + j*strides[1] + ..., all counted in elements. */
#ifndef CLATTN_TENSOR_H
#define CLATTN_TENSOR_H

#include <clattn/device.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CLATTN_MAX_RANK 4

typedef struct clattn_tensor {
    clattn_dtype dtype;
    uint32_t rank; /* number of dimensions; a tensor of rank 0 is absent */
    int64_t shape[CLATTN_MAX_RANK];
    int64_t strides[CLATTN_MAX_RANK]; /* in elements; may be 0 (broadcast) or negative where it is
                                         only read */
    int64_t offset;                   /* in elements, of the element with all indices 0 */
    void *host;                       /* host memory, or NULL */
    void *buffer; /* the cl_mem of device memory, or NULL; one of the two is set */
} clattn_tensor;

/** A row-major tensor in host memory. `data` is only
 * written to when the tensor is an output of a call. */
CLATTN_API clattn_tensor clattn_tensor_host(clattn_dtype dtype, const void *data, uint32_t rank,
                                            const int64_t *shape);

/** Elements of a tensor: the product of its shape. */
CLATTN_API size_t clattn_tensor_count(const clattn_tensor *tensor);

/**
 * Allocates a row-major tensor in the memory of `device`, contents undefined. The memory is the
 * caller's to free with clattn_tensor_free(). On the reference it is host memory. A failure leaves
 * `*out` absent (all zero).
 */
CLATTN_API clattn_status clattn_tensor_alloc(clattn_tensor *out, clattn_device *device,
                                             clattn_dtype dtype, uint32_t rank,
                                             const int64_t *shape);

/** Frees what clattn_tensor_alloc() made and sets `*tensor`
 * to all zero. NULL and an absent tensor are fine. */
CLATTN_API void clattn_tensor_free(clattn_tensor *tensor, clattn_device *device);

/** Copies row-major elements from `source` in host memory into a tensor of clattn_tensor_alloc();
 * waits for it. */
CLATTN_API clattn_status clattn_tensor_write(const clattn_tensor *tensor, clattn_device *device,
                                             const void *source);

/** Copies a tensor of clattn_tensor_alloc() to row-major
 * elements at `target` in host memory; waits for it. */
CLATTN_API clattn_status clattn_tensor_read(const clattn_tensor *tensor, clattn_device *device,
                                            void *target);

#ifdef __cplusplus
}
#endif
#endif
