/* starts.c: see starts.h. */
#include "starts.h"

#include "bind.h"
#include "dtype.h"
#include "launch.h"
#include "try.h"

#include <stdlib.h>

/* What a tensor in device memory holds: `*copy` is the caller's to free, and `*host` a view of it. */
static clattn_status read_tensor(clattn_tensor *host, void **copy, clattn_device *device,
                                 const clattn_tensor *tensor)
{
    clattn_status status = CLATTN_OK;
    const size_t bytes = clattn__tensor_span(tensor), size = clattn_dtype_size(tensor->dtype);
    int64_t low, high;
    clattn__tensor_extent(tensor, &low, &high);
    *host = *tensor;
    *copy = host->host = malloc(bytes);
    FAIL_IF(!*copy, CLATTN_E_MEMORY, "cu_seqlens: no host memory for %zu bytes", bytes);
    host->buffer = NULL;
    host->offset = -low;
    TRY(clattn__order(device));
    TRY_CL("cu_seqlens: clEnqueueReadBuffer",
           clEnqueueReadBuffer(device->queue, tensor->buffer, CL_TRUE,
                               (size_t)(tensor->offset + low) * size, bytes, *copy, 0, NULL, NULL));
done:
    return status;
}

/* Writes from 0 to the total, never falling. */
static clattn_status bring(clattn_tensor *tensor, int64_t *numbers, clattn_device *device,
                           int64_t total)
{
    clattn_status status = CLATTN_OK;
    clattn_tensor from = *tensor;
    void *copy = NULL;
    int64_t before = 0;
    if (tensor->buffer)
        TRY(read_tensor(&from, &copy, device, tensor));
    for (int64_t b = 0; b < tensor->shape[0]; b++) {
        int64_t start =
            clattn__integer_load(from.dtype, from.host, (size_t)clattn__at(&from, b, 0, 0, 0));
        if (start > total)
            start = total;
        numbers[b] = before = start > before ? start : before;
    }
    *tensor = clattn_tensor_host(CLATTN_I64, numbers, 4, (int64_t[]){tensor->shape[0], 1, 1, 1});
done:
    free(copy);
    return status;
}

clattn_status clattn__starts_bring(clattn__starts *starts, clattn_device *device,
                                   clattn__call *call)
{
    clattn_status status = CLATTN_OK;
    const size_t count = (size_t)call->cu_seqlens_q.shape[0];
    starts->numbers = calloc(2 * count, sizeof *starts->numbers);
    FAIL_IF(!starts->numbers, CLATTN_E_MEMORY, "cu_seqlens: no host memory for %zu numbers",
            2 * count);
    TRY(bring(&call->cu_seqlens_q, starts->numbers, device, call->S));
    TRY(bring(&call->cu_seqlens_k, starts->numbers + count, device, call->T));
done:
    return status;
}

void clattn__starts_free(clattn__starts *starts)
{
    free(starts->numbers);
    starts->numbers = NULL;
}
