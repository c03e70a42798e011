/* bind.c: host tensors into device memory and back. */
#include "bind.h"

#include "launch.h"
#include "try.h"

#include <stdlib.h>
#include <string.h>

size_t clattn__call_tensors(clattn__call *call, clattn_tensor *tensors[CLATTN__CALL_TENSORS],
                            const char *names[CLATTN__CALL_TENSORS])
{
    clattn_tensor *all[] = {&call->query, &call->key,    &call->value,      &call->given_scores,
                            &call->mask,  &call->bias,   &call->kv_lengths, &call->alibi_slopes,
                            &call->sinks, &call->output, &call->weights,    &call->scores,
                            &call->lse};
    static const char *const all_names[] = {
        "query",        "key",   "value",  "given_scores", "mask",   "bias", "kv_lengths",
        "alibi_slopes", "sinks", "output", "weights",      "scores", "lse"};
    _Static_assert(sizeof all / sizeof *all == CLATTN__CALL_TENSORS, "a tensor is missing");
    memcpy(tensors, all, sizeof all);
    if (names)
        memcpy(names, all_names, sizeof all_names);
    return 9;
}

size_t clattn__tensor_span(const clattn_tensor *tensor)
{
    int64_t low, high;
    if (!clattn__has(tensor) || clattn_tensor_count(tensor) == 0)
        return 0;
    clattn__tensor_extent(tensor, &low, &high);
    return (size_t)(high - low + 1) * clattn_dtype_size(tensor->dtype);
}

static clattn_status check_buffer(const clattn_tensor *tensor, const char *name)
{
    clattn_status status = CLATTN_OK;
    int64_t low, high, size = (int64_t)clattn_dtype_size(tensor->dtype);
    size_t bytes = 0;
    TRY_CL("tensor: clGetMemObjectInfo",
           clGetMemObjectInfo(tensor->buffer, CL_MEM_SIZE, sizeof bytes, &bytes, NULL));
    clattn__tensor_extent(tensor, &low, &high);
    FAIL_IF(tensor->offset + low < 0 || (tensor->offset + high + 1) * size > (int64_t)bytes,
            CLATTN_E_ARGUMENT,
            "%s: bytes %lld to %lld, expected a place within its buffer of %zu bytes", name,
            (long long)((tensor->offset + low) * size),
            (long long)((tensor->offset + high + 1) * size), bytes);
done:
    return status;
}

clattn_status clattn__check_buffers(clattn__call *call)
{
    clattn_status status = CLATTN_OK;
    clattn_tensor *tensors[CLATTN__CALL_TENSORS];
    const char *names[CLATTN__CALL_TENSORS];
    (void)clattn__call_tensors(call, tensors, names);
    for (size_t i = 0; i < CLATTN__CALL_TENSORS; i++)
        if (tensors[i]->buffer && clattn_tensor_count(tensors[i]) > 0)
            TRY(check_buffer(tensors[i], names[i]));
done:
    return status;
}

static void make_row_major(clattn_tensor *tensor)
{
    clattn_tensor dense = clattn_tensor_host(tensor->dtype, NULL, tensor->rank, tensor->shape);
    memcpy(tensor->strides, dense.strides, sizeof dense.strides);
    tensor->offset = 0;
}

static clattn_status bind_host(clattn__bound *bound, clattn_device *device)
{
    clattn_status status = CLATTN_OK;
    clattn_tensor *tensor = bound->tensor;
    int64_t low, high;
    size_t size = clattn_dtype_size(tensor->dtype), count = clattn_tensor_count(tensor);
    cl_int error = CL_SUCCESS;
    cl_mem_flags flags = bound->written ? CL_MEM_READ_WRITE : CL_MEM_READ_ONLY;
    clattn__tensor_extent(tensor, &low, &high);
    char *first = (char *)tensor->host + (tensor->offset + low) * (int64_t)size;
    bound->bytes = (size_t)(high - low + 1) * size;
    tensor->host = NULL;
    tensor->offset = -low;
    if (device->info.unified_memory) {
        bound->memory = clCreateBuffer(device->context, flags | CL_MEM_USE_HOST_PTR, bound->bytes,
                                       first, &error);
        TRY_CL("tensor: clCreateBuffer", error);
    } else {
        if (bound->written && bound->bytes != count * size) {
            /* The gaps of an output are not ours to write: it is made without them, and put in
             * place afterwards. */
            make_row_major(tensor);
            bound->dense = true;
            bound->bytes = count * size;
        }
        bound->memory = clCreateBuffer(device->context, flags, bound->bytes, NULL, &error);
        TRY_CL("tensor: clCreateBuffer", error);
        if (!bound->written)
            TRY_CL("tensor: clEnqueueWriteBuffer",
                   clEnqueueWriteBuffer(device->queue, bound->memory, CL_FALSE, 0, bound->bytes,
                                        first, 0, NULL, NULL));
    }
    tensor->buffer = bound->memory;
done:
    return status;
}

clattn_status clattn__bind(clattn__binding *binding, clattn_device *device, clattn__call *call)
{
    clattn_status status = CLATTN_OK;
    clattn_tensor *tensors[CLATTN__CALL_TENSORS];
    const char *names[CLATTN__CALL_TENSORS];
    size_t inputs = clattn__call_tensors(call, tensors, names);
    binding->count = 0;
    for (size_t i = 0; i < CLATTN__CALL_TENSORS; i++) {
        clattn_tensor *tensor = tensors[i];
        if (!clattn__has(tensor) || clattn_tensor_count(tensor) == 0)
            continue;
        FAIL_IF(tensor->dtype == CLATTN_F64 && !device->info.fp64, CLATTN_E_UNSUPPORTED,
                "%s: dtype f64, expected another one: %s has no doubles", names[i],
                device->info.name);
        if (tensor->buffer)
            continue;
        clattn__bound *bound = &binding->items[binding->count++];
        *bound = (clattn__bound){.tensor = tensor, .host = *tensor, .written = i >= inputs};
        TRY(bind_host(bound, device));
    }
    TRY(clattn__order(device));
done:
    return status;
}

/* Copies row-major elements to where a tensor's strides put them. */
static void scatter(const clattn_tensor *to, const char *from)
{
    size_t size = clattn_dtype_size(to->dtype);
    for (int64_t a = 0; a < to->shape[0]; a++)
        for (int64_t b = 0; b < to->shape[1]; b++)
            for (int64_t c = 0; c < to->shape[2]; c++)
                for (int64_t d = 0; d < to->shape[3]; d++, from += size)
                    memcpy((char *)to->host + clattn__at(to, a, b, c, d) * (int64_t)size, from,
                           size);
}

static clattn_status fetch_one(const clattn__bound *bound, clattn_device *device)
{
    clattn_status status = CLATTN_OK;
    cl_int error = CL_SUCCESS;
    char *staged = NULL;
    if (device->info.unified_memory) {
        /* Mapping is what makes the result visible in the host's memory; it copies nothing there.
         */
        void *mapped = clEnqueueMapBuffer(device->queue, bound->memory, CL_FALSE, CL_MAP_READ, 0,
                                          bound->bytes, 0, NULL, NULL, &error);
        TRY_CL("tensor: clEnqueueMapBuffer", error);
        TRY(clattn__order(device));
        TRY_CL("tensor: clEnqueueUnmapMemObject",
               clEnqueueUnmapMemObject(device->queue, bound->memory, mapped, 0, NULL, NULL));
    } else if (!bound->dense) {
        int64_t low, high;
        clattn__tensor_extent(&bound->host, &low, &high);
        char *first = (char *)bound->host.host +
                      (bound->host.offset + low) * (int64_t)clattn_dtype_size(bound->host.dtype);
        TRY_CL("tensor: clEnqueueReadBuffer",
               clEnqueueReadBuffer(device->queue, bound->memory, CL_FALSE, 0, bound->bytes, first,
                                   0, NULL, NULL));
    } else {
        staged = malloc(bound->bytes);
        FAIL_IF(!staged, CLATTN_E_MEMORY, "tensor: no host memory for %zu bytes", bound->bytes);
        TRY_CL("tensor: clEnqueueReadBuffer",
               clEnqueueReadBuffer(device->queue, bound->memory, CL_TRUE, 0, bound->bytes, staged,
                                   0, NULL, NULL));
        scatter(&bound->host, staged);
    }
done:
    free(staged);
    return status;
}

clattn_status clattn__fetch(clattn__binding *binding, clattn_device *device)
{
    clattn_status status = CLATTN_OK;
    for (size_t i = 0; i < binding->count; i++) {
        if (binding->items[i].written)
            TRY(fetch_one(&binding->items[i], device));
    }
    TRY(clattn__order(device));
done:
    return status;
}

void clattn__unbind(clattn__binding *binding)
{
    for (size_t i = 0; i < binding->count; i++)
        if (binding->items[i].memory)
            (void)clReleaseMemObject(binding->items[i].memory);
    binding->count = 0;
}
