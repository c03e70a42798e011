/* op.c: shared by the host sides of all kernels. */
#include "op.h"

#include "try.h"

#include <assert.h>
#include <stdarg.h>

int clattn__vector_width(const clattn_device *device, clattn_dtype dtype)
{
    int width = device->tuning->vector;
    return dtype == CLATTN_F64 && width > 1 ? width / 2 : width;
}

clattn_dtype clattn__sum_dtype(clattn_dtype dtype)
{
    return dtype == CLATTN_F64 ? CLATTN_F64 : CLATTN_F32;
}

size_t clattn__sum_size(clattn_dtype dtype)
{
    return dtype == CLATTN_F64 ? sizeof(cl_double) : sizeof(cl_float);
}

static void write_options(char options[CLATTN__OPTIONS_MAX], const clattn_device *device,
                          clattn_dtype dtype, int width, const char *format, va_list more)
{
    int length = snprintf(options, CLATTN__OPTIONS_MAX, "-cl-std=CL1.2 -DACC=%s -DVW=%d%s",
                          dtype == CLATTN_F64 ? "double" : "float", width,
                          device->info.fp64 ? " -DDEVICE_FP64=1" : "");
    if (length > 0 && length < CLATTN__OPTIONS_MAX)
        length += vsnprintf(options + length, CLATTN__OPTIONS_MAX - (size_t)length, format, more);
    assert(length > 0 && length < CLATTN__OPTIONS_MAX);
    (void)length;
}

void clattn__options(char options[CLATTN__OPTIONS_MAX], const clattn_device *device,
                     clattn_dtype dtype, const char *format, ...)
{
    va_list more;
    va_start(more, format);
    write_options(options, device, dtype, clattn__vector_width(device, dtype), format, more);
    va_end(more);
}

void clattn__options_of_width(char options[CLATTN__OPTIONS_MAX], const clattn_device *device,
                              clattn_dtype dtype, int width, const char *format, ...)
{
    va_list more;
    va_start(more, format);
    write_options(options, device, dtype, width, format, more);
    va_end(more);
}

clattn__arg clattn__number_arg(clattn__number *number, clattn_dtype dtype, double value)
{
    if (dtype == CLATTN_F64)
        number->wide = value;
    else
        number->single = (cl_float)value;
    return (clattn__arg){clattn__sum_size(dtype), number};
}

clattn_tensor clattn__dense(clattn_dtype dtype, cl_mem memory, int64_t B, int64_t H, int64_t rows,
                            int64_t columns)
{
    return clattn_tensor_cl(dtype, memory, 0, 4, (int64_t[]){B, H, rows, columns});
}

clattn_view clattn__view(const clattn_tensor *tensor)
{
    if (!clattn__has(tensor))
        return (clattn_view){.kind = KIND_ABSENT};
    return (clattn_view){.offset = tensor->offset,
                         .batch = tensor->strides[0],
                         .head = tensor->strides[1],
                         .row = tensor->strides[2],
                         .column = tensor->strides[3],
                         .kind = (clattn_int)tensor->dtype};
}

clattn_modifications clattn__modifications(const clattn__problem *problem, const clattn__call *call)
{
    const clattn_attention_desc *desc = &problem->desc;
    return (clattn_modifications){
        .S = call->S,
        .T = call->T,
        .first_row = call->first_row,
        .all_rows = call->all_rows,
        .bottom_right = desc->alignment == CLATTN_BOTTOM_RIGHT,
        .causal = (desc->flags & CLATTN_CAUSAL) != 0,
        .window_left = desc->window_left,
        .window_right = desc->window_right,
        .mask = clattn__view(&call->mask),
        .bias = clattn__view(&call->bias),
        .kv_lengths = clattn__view(&call->kv_lengths),
        .alibi_slopes = clattn__view(&call->alibi_slopes),
        .sinks = clattn__view(&call->sinks),
        .cu_seqlens_q = clattn__view(&call->cu_seqlens_q),
        .cu_seqlens_k = clattn__view(&call->cu_seqlens_k),
        .sequences = clattn__sequences(call),
    };
}

clattn_status clattn__scratch_reserve(clattn__scratch *scratch, clattn_device *device, size_t bytes)
{
    clattn_status status = CLATTN_OK;
    cl_int error = CL_SUCCESS;
    if (bytes == 0)
        bytes = 1;
    if (bytes <= scratch->bytes)
        goto done;
    clattn__scratch_release(scratch);
    scratch->memory = clCreateBuffer(device->context, CL_MEM_READ_WRITE, bytes, NULL, &error);
    TRY_CL("scratch memory: clCreateBuffer", error);
    scratch->bytes = bytes;
done:
    return status;
}

void clattn__scratch_release(clattn__scratch *scratch)
{
    if (scratch->memory)
        (void)clReleaseMemObject(scratch->memory);
    *scratch = (clattn__scratch){0};
}
