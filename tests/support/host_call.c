#include "host_call.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t whole_pages(size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (bytes + page - 1) / page * page;
}

/* Zeros that end where a page begins which nobody may touch: whoever reads past them is caught, not
 * only who writes. NULL without memory. */
static void *fenced_alloc(size_t bytes)
{
    const size_t whole = whole_pages(bytes), page = whole_pages(1);
    void *first = NULL;
    if (posix_memalign(&first, page, whole + page) != 0)
        return NULL;
    memset(first, 0, whole);
    if (mprotect((char *)first + whole, page, PROT_NONE) == 0)
        return (char *)first + whole - bytes;
    free(first);
    return NULL;
}

static void fenced_free(void *data, size_t bytes)
{
    char *end = (char *)data + bytes;
    (void)mprotect(end, whole_pages(1), PROT_READ | PROT_WRITE);
    free(end - whole_pages(bytes));
}

/* Elements that no index reaches hold NaN, where their type has one. */
static bool has_nan(clattn_dtype dtype)
{
    return dtype != CLATTN_BOOL && dtype != CLATTN_I32 && dtype != CLATTN_I64;
}

clattn_tensor host_call_tensor(host_call *call, clattn_dtype dtype, uint32_t rank,
                               const int64_t *shape, host_strides strides)
{
    clattn_tensor tensor = {.dtype = dtype, .rank = rank};
    const int64_t padding = strides == STRIDES_PADDED ? 3 : 0;
    size_t room = 1;
    int64_t step = 1;
    for (uint32_t axis = 0; axis < rank; axis++)
        tensor.shape[axis] = shape[axis];
    for (uint32_t n = 0; n < rank; n++) {
        uint32_t axis = rank - 1 - n;
        if (strides == STRIDES_TRANSPOSED && n < 2 && rank > 1)
            axis = rank - 2 + n;
        tensor.strides[axis] = step;
        step *= shape[axis];
        if (n == 0)
            step += padding;
    }
    tensor.offset = strides == STRIDES_PADDED ? 7 : 0;
    room += (size_t)(step + tensor.offset);
    tensor.host = fenced_alloc(room * clattn_dtype_size(dtype));
    if (!tensor.host || call->owned_count == sizeof call->owned / sizeof *call->owned) {
        fprintf(stderr, "host_call: no memory for a tensor of %zu elements\n", room);
        exit(1);
    }
    call->owned[call->owned_count++] =
        (struct host_memory){tensor.host, room * clattn_dtype_size(dtype)};
    /* The elements of a dense tensor are zero already, and all gaps lie behind them. */
    const size_t count = clattn_tensor_count(&tensor), zeros = strides == STRIDES_DENSE ? count : 0;
    for (size_t i = zeros; i < room && has_nan(dtype); i++)
        clattn_element_store(dtype, tensor.host, i, (double)NAN);
    for (size_t i = zeros; i < count; i++)
        host_tensor_set(&tensor, i, 0.0);
    return tensor;
}

void host_call_free(host_call *call)
{
    while (call->owned_count) {
        const struct host_memory *last = &call->owned[--call->owned_count];
        fenced_free(last->data, last->bytes);
    }
}

bool host_call_equal(const host_call *a, const host_call *b)
{
    bool equal = a->owned_count == b->owned_count;
    for (size_t i = 0; equal && i < a->owned_count; i++)
        equal = a->owned[i].bytes == b->owned[i].bytes &&
                memcmp(a->owned[i].data, b->owned[i].data, a->owned[i].bytes) == 0;
    return equal;
}

size_t host_tensor_at(const clattn_tensor *tensor, size_t index)
{
    int64_t at = tensor->offset, rest = (int64_t)index;
    for (uint32_t n = 0; n < tensor->rank; n++) {
        const uint32_t axis = tensor->rank - 1 - n;
        at += rest % tensor->shape[axis] * tensor->strides[axis];
        rest /= tensor->shape[axis];
    }
    return (size_t)at;
}

double host_tensor_get(const clattn_tensor *tensor, size_t index)
{
    return clattn_element_load(tensor->dtype, tensor->host, host_tensor_at(tensor, index));
}

void host_tensor_set(const clattn_tensor *tensor, size_t index, double value)
{
    clattn_element_store(tensor->dtype, tensor->host, host_tensor_at(tensor, index), value);
}

bool host_tensor_gaps_untouched(const host_call *call, const clattn_tensor *tensor)
{
    const struct host_memory *memory = call->owned;
    while (memory->data != tensor->host)
        memory++;
    const size_t room = memory->bytes / clattn_dtype_size(tensor->dtype);
    bool *reached = calloc(room, sizeof *reached), untouched = reached != NULL;
    for (size_t i = 0; reached && i < clattn_tensor_count(tensor); i++)
        reached[host_tensor_at(tensor, i)] = true;
    for (size_t at = 0; untouched && at < room; at++) {
        const double value = clattn_element_load(tensor->dtype, tensor->host, at);
        untouched = reached[at] || (has_nan(tensor->dtype) ? isnan(value) : value == 0.0);
    }
    free(reached);
    return untouched;
}

const clattn_tensor *host_call_output(const host_call *call, size_t index, const char **name)
{
    static const char *const names[] = {"output",      "weights", "scores", "lse",
                                        "column_sums", "argmax",  "entropy"};
    const clattn_attention_args *args = &call->args;
    const clattn_tensor *const tensors[] = {&args->output, &args->weights,     &args->scores,
                                            &args->lse,    &args->column_sums, &args->argmax,
                                            &args->entropy};
    if (index >= sizeof names / sizeof *names)
        return NULL;
    *name = names[index];
    return tensors[index];
}
