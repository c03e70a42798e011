/* tensor.c: views of memory, and memory of a device. */
#include "device.h"
#include "try.h"

#include <stdlib.h>
#include <string.h>

clattn_tensor clattn_tensor_host(clattn_dtype dtype, const void *data, uint32_t rank,
                                 const int64_t *shape)
{
    clattn_tensor tensor = {.dtype = dtype, .rank = rank, .host = (void *)data};
    int64_t stride = 1;
    for (uint32_t i = rank > CLATTN_MAX_RANK ? CLATTN_MAX_RANK : rank; i-- > 0;) {
        tensor.shape[i] = shape[i];
        tensor.strides[i] = stride;
        stride *= shape[i];
    }
    return tensor;
}

clattn_tensor clattn_tensor_cl(clattn_dtype dtype, cl_mem buffer, size_t offset, uint32_t rank,
                               const int64_t *shape)
{
    clattn_tensor tensor = clattn_tensor_host(dtype, NULL, rank, shape);
    tensor.buffer = buffer;
    tensor.offset = (int64_t)offset;
    return tensor;
}

size_t clattn_tensor_count(const clattn_tensor *tensor)
{
    size_t count = tensor->rank > 0;
    for (uint32_t i = 0; i < tensor->rank && i < CLATTN_MAX_RANK; i++)
        count *= (size_t)tensor->shape[i];
    return count;
}

static size_t bytes_of(const clattn_tensor *tensor)
{
    return clattn_tensor_count(tensor) * clattn_dtype_size(tensor->dtype);
}

clattn_status clattn_tensor_alloc(clattn_tensor *out, clattn_device *device, clattn_dtype dtype,
                                  uint32_t rank, const int64_t *shape)
{
    clattn_status status = CLATTN_OK;
    int64_t bytes = (int64_t)clattn_dtype_size(dtype);
    if (out)
        memset(out, 0, sizeof *out);
    FAIL_IF(!out || !device || !shape, CLATTN_E_ARGUMENT,
            "clattn_tensor_alloc: out, device and shape are required, found NULL");
    FAIL_IF(bytes == 0, CLATTN_E_ARGUMENT, "clattn_tensor_alloc: dtype %d, expected a clattn_dtype",
            (int)dtype);
    FAIL_IF(rank < 1 || rank > CLATTN_MAX_RANK, CLATTN_E_ARGUMENT,
            "clattn_tensor_alloc: rank %u, expected 1 to %d", rank, CLATTN_MAX_RANK);
    for (uint32_t i = 0; i < rank; i++)
        FAIL_IF(shape[i] < 0 || __builtin_mul_overflow(bytes, shape[i], &bytes), CLATTN_E_ARGUMENT,
                "clattn_tensor_alloc: dimension %u is %lld, expected a shape that fits in memory",
                i, (long long)shape[i]);
    if (bytes == 0)
        bytes = 1; /* an empty tensor still needs a place */
    if (clattn__is_reference(device)) {
        void *memory = malloc((size_t)bytes);
        FAIL_IF(!memory, CLATTN_E_MEMORY, "clattn_tensor_alloc: no host memory for %lld bytes",
                (long long)bytes);
        *out = clattn_tensor_host(dtype, memory, rank, shape);
    } else {
        cl_int error = CL_SUCCESS;
        cl_mem memory =
            clCreateBuffer(device->context, CL_MEM_READ_WRITE, (size_t)bytes, NULL, &error);
        TRY_CL("clattn_tensor_alloc: clCreateBuffer", error);
        *out = clattn_tensor_cl(dtype, memory, 0, rank, shape);
    }
done:
    return status;
}

void clattn_tensor_free(clattn_tensor *tensor, clattn_device *device)
{
    if (!tensor)
        return;
    if (tensor->buffer)
        (void)clReleaseMemObject(tensor->buffer);
    else if (device && clattn__is_reference(device))
        free(tensor->host);
    memset(tensor, 0, sizeof *tensor);
}

clattn_status clattn_tensor_write(const clattn_tensor *tensor, clattn_device *device,
                                  const void *source)
{
    clattn_status status = CLATTN_OK;
    FAIL_IF(!tensor || !device || !source, CLATTN_E_ARGUMENT,
            "clattn_tensor_write: tensor, device and source are required, found NULL");
    size_t bytes = bytes_of(tensor);
    if (bytes == 0)
        goto done;
    if (tensor->host)
        memcpy(tensor->host, source, bytes);
    else
        TRY_CL("clattn_tensor_write: clEnqueueWriteBuffer",
               clEnqueueWriteBuffer(device->queue, tensor->buffer, CL_TRUE, 0, bytes, source, 0,
                                    NULL, NULL));
done:
    return status;
}

clattn_status clattn_tensor_read(const clattn_tensor *tensor, clattn_device *device, void *target)
{
    clattn_status status = CLATTN_OK;
    FAIL_IF(!tensor || !device || !target, CLATTN_E_ARGUMENT,
            "clattn_tensor_read: tensor, device and target are required, found NULL");
    size_t bytes = bytes_of(tensor);
    if (bytes == 0)
        goto done;
    if (tensor->host)
        memcpy(target, tensor->host, bytes);
    else
        TRY_CL("clattn_tensor_read: clEnqueueReadBuffer",
               clEnqueueReadBuffer(device->queue, tensor->buffer, CL_TRUE, 0, bytes, target, 0,
                                   NULL, NULL));
done:
    return status;
}
