/* bind.c: host tensors into device memory and back. */
#include "bind.h"

#include "launch.h"
#include "try.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

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

clattn_status clattn__check_tensors(const clattn_device *device, clattn__call *call)
{
    clattn_status status = CLATTN_OK;
    clattn_tensor *tensors[CLATTN__CALL_TENSORS];
    const char *names[CLATTN__CALL_TENSORS];
    (void)clattn__call_tensors(call, tensors, names);
    for (size_t i = 0; i < CLATTN__CALL_TENSORS; i++) {
        if (!clattn__has(tensors[i]) || clattn_tensor_count(tensors[i]) == 0)
            continue;
        FAIL_IF(tensors[i]->dtype == CLATTN_F64 && !device->info.fp64, CLATTN_E_UNSUPPORTED,
                "%s: dtype f64, expected another one: %s has no doubles", names[i],
                device->info.name);
        if (tensors[i]->buffer)
            TRY(check_buffer(tensors[i], names[i]));
    }
done:
    return status;
}

/* A tensor without the axes along which it broadcasts: each element once. */
static clattn_tensor distinct(const clattn_tensor *tensor)
{
    clattn_tensor out = *tensor;
    for (uint32_t i = 0; i < tensor->rank; i++)
        if (tensor->strides[i] == 0 && tensor->shape[i] > 1)
            out.shape[i] = 1;
    return out;
}

static size_t dense_bytes(const clattn_tensor *tensor)
{
    const clattn_tensor each = distinct(tensor);
    return clattn_tensor_count(&each) * clattn_dtype_size(tensor->dtype);
}

/* True for a tensor with gaps that is better, or has to be, brought
 * into row-major order by the host: the gaps of an output are not
 * ours to write, and those of an input cost memory and transfer. */
static bool goes_densely(const clattn_tensor *tensor, bool written, const clattn_device *device)
{
    const size_t span = clattn__tensor_span(tensor), dense = dense_bytes(tensor);
    if (span <= dense)
        return false;
    return written || span > device->info.max_allocation ||
           (!device->info.unified_memory && span / 2 > dense);
}

size_t clattn__bound_bytes(const clattn_tensor *tensor, bool written, const clattn_device *device)
{
    return goes_densely(tensor, written, device) ? dense_bytes(tensor)
                                                 : clattn__tensor_span(tensor);
}

static bool meet(const clattn__bound *a, const clattn__bound *b)
{
    return a->first < b->first + b->bytes && b->first < a->first + a->bytes;
}

/* Makes one range of two. False when one buffer cannot serve both: it would be larger than an
 * allocation may be, or an element of one would not lie on the grid of the other's. */
static bool join(clattn__bound *a, clattn__bound *b, const clattn_device *device)
{
    const size_t size = clattn_dtype_size(a->host.dtype);
    char *first = a->first < b->first ? a->first : b->first;
    char *a_end = a->first + a->bytes, *b_end = b->first + b->bytes;
    const size_t bytes = (size_t)((a_end > b_end ? a_end : b_end) - first);
    if (bytes > device->info.max_allocation || size != clattn_dtype_size(b->host.dtype) ||
        (a->first - b->first) % (ptrdiff_t)size != 0)
        return false;
    a->first = b->first = first;
    a->bytes = b->bytes = bytes;
    return true;
}

/* What several buffers over the same host memory hold, OpenCL leaves open. So inputs that meet, as
 * packed queries, keys and values do, share one range where they can. An output that meets another
 * tensor, and an input that cannot share, are made apart. */
static void separate(clattn__binding *binding, const clattn_device *device)
{
    clattn__bound *items = binding->items;
    bool changed = true;
    for (size_t i = 0; i < binding->count; i++)
        for (size_t j = 0; j < binding->count; j++)
            if (i != j && items[i].written && !items[j].dense && meet(&items[i], &items[j]))
                items[i].dense = true;
    while (changed) {
        changed = false;
        for (size_t i = 0; i < binding->count; i++)
            for (size_t j = 0; j < i; j++) {
                clattn__bound *a = &items[i], *b = &items[j];
                if (a->dense || b->dense || !meet(a, b) ||
                    (a->first == b->first && a->bytes == b->bytes))
                    continue;
                a->dense = !join(a, b, device);
                changed = true;
            }
    }
}

static clattn_status make_buffer(clattn__bound *bound, const clattn_device *device, void *host)
{
    clattn_status status = CLATTN_OK;
    cl_int error = CL_SUCCESS;
    const cl_mem_flags access = bound->written ? CL_MEM_READ_WRITE : CL_MEM_READ_ONLY;
    bound->memory = clCreateBuffer(device->context, access | (host ? CL_MEM_USE_HOST_PTR : 0),
                                   bound->bytes, host, &error);
    TRY_CL("tensor: clCreateBuffer", error);
done:
    return status;
}

void clattn__copy_elements(const clattn_tensor *tensor, void *dense, bool back)
{
    const int64_t size = (int64_t)clattn_dtype_size(tensor->dtype);
    int64_t n[CLATTN_MAX_RANK] = {1, 1, 1, 1}, steps[CLATTN_MAX_RANK] = {0};
    char *at = dense, *const first = (char *)tensor->host + tensor->offset * size;
    for (uint32_t i = 0, axis = CLATTN_MAX_RANK - tensor->rank; i < tensor->rank; i++, axis++)
        n[axis] = tensor->shape[i], steps[axis] = tensor->strides[i] * size;
    for (int64_t a = 0; a < n[0]; a++)
        for (int64_t b = 0; b < n[1]; b++)
            for (int64_t c = 0; c < n[2]; c++)
                for (int64_t d = 0; d < n[3]; d++, at += size) {
                    char *element =
                        first + a * steps[0] + b * steps[1] + c * steps[2] + d * steps[3];
                    memcpy(back ? element : at, back ? at : element, (size_t)size);
                }
}

static clattn_status bind_dense(clattn__bound *bound, clattn_device *device)
{
    clattn_status status = CLATTN_OK;
    const clattn_tensor *host = &bound->host, each = distinct(host),
                        dense = clattn_tensor_host(host->dtype, NULL, host->rank, each.shape);
    char *staged = NULL;
    bound->bytes = dense_bytes(host);
    for (uint32_t i = 0; i < host->rank; i++)
        bound->tensor->strides[i] = host->strides[i] == 0 ? 0 : dense.strides[i];
    bound->tensor->offset = 0;
    TRY(make_buffer(bound, device, NULL));
    if (bound->written && !bound->shared)
        goto done;
    staged = malloc(bound->bytes);
    FAIL_IF(!staged, CLATTN_E_MEMORY, "tensor: no host memory for %zu bytes", bound->bytes);
    /* What is in the queue may still write it. */
    TRY_CL("tensor: clFinish", clFinish(device->queue));
    clattn__copy_elements(&each, staged, false);
    TRY_CL("tensor: clEnqueueWriteBuffer",
           clEnqueueWriteBuffer(device->queue, bound->memory, CL_TRUE, 0, bound->bytes, staged, 0,
                                NULL, NULL));
done:
    free(staged);
    return status;
}

/* Its range as it is: in place, or copied. */
static clattn_status bind_range(clattn__binding *binding, clattn__bound *bound,
                                clattn_device *device)
{
    clattn_status status = CLATTN_OK;
    const bool in_place = device->info.unified_memory;
    bound->tensor->offset +=
        ((char *)bound->host.host - bound->first) / (int64_t)clattn_dtype_size(bound->host.dtype);
    for (const clattn__bound *other = binding->items; in_place && other < bound; other++)
        if (!other->dense && other->first == bound->first) {
            TRY_CL("tensor: clRetainMemObject", clRetainMemObject(other->memory));
            bound->memory = other->memory;
            goto done;
        }
    /* What another piece wrote is in the host's memory when it has been mapped. */
    if (in_place && bound->shared)
        TRY_CL("tensor: clFinish", clFinish(device->queue));
    TRY(make_buffer(bound, device, in_place ? bound->first : NULL));
    if (!in_place && (!bound->written || bound->shared))
        TRY_CL("tensor: clEnqueueWriteBuffer",
               clEnqueueWriteBuffer(device->queue, bound->memory, CL_FALSE, 0, bound->bytes,
                                    bound->first, 0, NULL, NULL));
done:
    return status;
}

clattn_status clattn__bind(clattn__binding *binding, clattn_device *device, clattn__call *call)
{
    clattn_status status = CLATTN_OK;
    clattn_tensor *tensors[CLATTN__CALL_TENSORS];
    const size_t inputs = clattn__call_tensors(call, tensors, NULL);
    binding->count = 0;
    for (size_t i = 0; i < CLATTN__CALL_TENSORS; i++) {
        clattn_tensor *tensor = tensors[i];
        int64_t low, high;
        if (!tensor->host || clattn_tensor_count(tensor) == 0)
            continue;
        clattn__tensor_extent(tensor, &low, &high);
        binding->items[binding->count++] = (clattn__bound){
            .tensor = tensor,
            .host = *tensor,
            .first = (char *)tensor->host +
                     (tensor->offset + low) * (int64_t)clattn_dtype_size(tensor->dtype),
            .bytes = clattn__tensor_span(tensor),
            .written = i >= inputs,
            .shared = clattn__is_shared_by_pieces(call, tensor),
            .dense = goes_densely(tensor, i >= inputs, device)};
    }
    if (device->info.unified_memory)
        separate(binding, device);
    for (size_t i = 0; i < binding->count; i++) {
        clattn__bound *bound = &binding->items[i];
        bound->tensor->host = NULL;
        if (bound->dense)
            TRY(bind_dense(bound, device));
        else
            TRY(bind_range(binding, bound, device));
        bound->tensor->buffer = bound->memory;
    }
    TRY(clattn__order(device));
done:
    return status;
}

/* On rusticl (Mesa 22.3) clFinish() does not wait for reads, which then come too late: each is waited for
 * when it is made. */
static cl_bool reads_wait(const clattn_device *device)
{
    return strcmp(device->info.platform, "rusticl") == 0;
}

static clattn_status fetch_one(const clattn__bound *bound, clattn_device *device)
{
    clattn_status status = CLATTN_OK;
    cl_int error = CL_SUCCESS;
    char *staged = NULL;
    if (bound->dense) {
        staged = malloc(bound->bytes);
        FAIL_IF(!staged, CLATTN_E_MEMORY, "tensor: no host memory for %zu bytes", bound->bytes);
        TRY_CL("tensor: clEnqueueReadBuffer",
               clEnqueueReadBuffer(device->queue, bound->memory, CL_TRUE, 0, bound->bytes, staged,
                                   0, NULL, NULL));
        const clattn_tensor each = distinct(&bound->host);
        clattn__copy_elements(&each, staged, true);
    } else if (device->info.unified_memory) {
        /* Mapping is what makes the result visible in the host's memory; it copies nothing. */
        void *mapped = clEnqueueMapBuffer(device->queue, bound->memory, CL_FALSE, CL_MAP_READ, 0,
                                          bound->bytes, 0, NULL, NULL, &error);
        TRY_CL("tensor: clEnqueueMapBuffer", error);
        TRY(clattn__order(device));
        error = clEnqueueUnmapMemObject(device->queue, bound->memory, mapped, 0, NULL, NULL);
        /* rusticl 22.3 does not know a mapping before it is done. */
        if (error == CL_INVALID_VALUE) {
            TRY_CL("tensor: clFinish", clFinish(device->queue));
            error = clEnqueueUnmapMemObject(device->queue, bound->memory, mapped, 0, NULL, NULL);
        }
        TRY_CL("tensor: clEnqueueUnmapMemObject", error);
    } else {
        TRY_CL("tensor: clEnqueueReadBuffer",
               clEnqueueReadBuffer(device->queue, bound->memory, reads_wait(device), 0,
                                   bound->bytes, bound->first, 0, NULL, NULL));
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
