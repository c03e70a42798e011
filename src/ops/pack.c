/* pack.c: host side of pack.cl and unpack.cl. */
#include "pack.h"

#include "try.h"

/* Lanes of a work-item of a CPU: it takes a while to hand out work-items. */
#define LANES_OF_ITEM 16

bool clattn__rows_are_ready(const clattn_tensor *tensor, clattn_dtype sums)
{
    int64_t row = tensor->strides[2];
    return tensor->dtype == sums && (tensor->shape[3] == 1 || tensor->strides[3] == 1) &&
           (tensor->shape[2] == 1 || row >= tensor->shape[3]) &&
           (tensor->shape[1] == 1 || tensor->strides[1] == row * tensor->shape[2]) &&
           (tensor->shape[0] == 1 ||
            tensor->strides[0] == row * tensor->shape[2] * tensor->shape[1]);
}

clattn_status clattn__pack_create(clattn__kernel *kernel, clattn_device *device, clattn_dtype dtype)
{
    char options[CLATTN__OPTIONS_MAX];
    clattn__options(options, device, dtype, " -DDEPTHS=%d", CLATTN__PACK_DEPTHS);
    return clattn__kernel_create(kernel, device, "pack", options);
}

size_t clattn__packed_count(const clattn_tensor *tensor, const clattn__packing *packing)
{
    return (size_t)(tensor->shape[0] * tensor->shape[1] * packing->lanes_padded *
                    packing->depth_padded);
}

size_t clattn__packed_flags(const clattn_tensor *tensor, const clattn__packing *packing)
{
    return (size_t)(tensor->shape[0] * tensor->shape[1] * (packing->lanes_padded / packing->width) *
                    clattn__ceil_div(packing->depth_padded, CLATTN__PACK_DEPTHS));
}

clattn_status clattn__pack_run(clattn__kernel *kernel, clattn_device *device,
                               clattn__timeline *timeline, const clattn_tensor *tensor,
                               const clattn__packing *packing, cl_mem packed, cl_mem flags)
{
    const int lane_axis = packing->lanes == CLATTN__LANES_ARE_ROWS ? 2 : 3,
              depth_axis = 5 - lane_axis;
    const clattn_view view = clattn__view(tensor);
    const clattn_int heads = tensor->shape[1], lanes = tensor->shape[lane_axis],
                     depths = tensor->shape[depth_axis], depth_padded = packing->depth_padded,
                     lane_stride = tensor->strides[lane_axis],
                     depth_stride = tensor->strides[depth_axis];
    const clattn_int panels = packing->lanes_padded / packing->width;
    const cl_int width = (cl_int)packing->width, clean = flags != NULL,
                 share = clattn__is_cpu_like(device) && width < LANES_OF_ITEM
                             ? LANES_OF_ITEM / width
                             : 1;
    /* An empty tensor has no memory, and none of it is read. */
    const cl_mem memory = tensor->buffer ? tensor->buffer : packed, marks = flags ? flags : packed;
    const clattn__arg args[] = {
        CLATTN__ARG(memory),       CLATTN__ARG(view),         CLATTN__ARG(packed),
        CLATTN__ARG(marks),        CLATTN__ARG(heads),        CLATTN__ARG(lanes),
        CLATTN__ARG(depths),       CLATTN__ARG(depth_padded), CLATTN__ARG(lane_stride),
        CLATTN__ARG(depth_stride), CLATTN__ARG(width),        CLATTN__ARG(clean),
        CLATTN__ARG(panels),       CLATTN__ARG(share),
    };
    const size_t global[3] = {(size_t)clattn__ceil_div(panels, share),
                              (size_t)clattn__ceil_div(depth_padded, CLATTN__PACK_DEPTHS),
                              (size_t)(tensor->shape[0] * heads)};
    const size_t local[3] = {1, 1, 1};
    return clattn__launch(device, timeline, kernel, global, local, args,
                          sizeof args / sizeof *args);
}

clattn_status clattn__join_rows(clattn__kernel *kernel, clattn_device *device,
                                clattn__timeline *timeline, clattn_dtype dtype,
                                const clattn_tensor *rows, bool in_place, clattn__scratch *to,
                                clattn_tensor *out)
{
    clattn_status status = CLATTN_OK;
    const clattn_dtype sums = clattn__sum_dtype(dtype);
    const clattn__packing dense = {CLATTN__LANES_ARE_ROWS, 1, rows->shape[3], rows->shape[2]};
    const int64_t count = rows->shape[0] * rows->shape[1] * rows->shape[2];
    if (in_place && clattn__rows_are_ready(rows, sums)) {
        *out = *rows;
        out->shape[0] = out->shape[1] = 1;
        out->shape[2] = count;
        return CLATTN_OK;
    }
    TRY(clattn__scratch_reserve(to, device,
                                clattn__packed_count(rows, &dense) * clattn__sum_size(dtype)));
    TRY(clattn__pack_run(kernel, device, timeline, rows, &dense, to->memory, NULL));
    *out = clattn__dense(sums, to->memory, 1, 1, count, rows->shape[3]);
done:
    return status;
}

clattn_status clattn__unpack_create(clattn__kernel *kernel, clattn_device *device,
                                    clattn_dtype dtype)
{
    char options[CLATTN__OPTIONS_MAX];
    clattn__options(options, device, dtype, "%s", "");
    return clattn__kernel_create(kernel, device, "unpack", options);
}

clattn_status clattn__unpack_run(clattn__kernel *kernel, clattn_device *device,
                                 clattn__timeline *timeline, cl_mem packed,
                                 const clattn__call *call, int64_t columns, cl_mem tensor,
                                 const clattn_view *view)
{
    const clattn__arg args[] = {
        CLATTN__ARG(packed), CLATTN__ARG(call->S), CLATTN__ARG(call->Hkv),
        CLATTN__ARG(tensor), CLATTN__ARG(*view),
    };
    const size_t global[3] = {(size_t)columns, (size_t)(call->Hq / call->Hkv * call->S),
                              (size_t)(call->B * call->Hkv)};
    return clattn__launch(device, timeline, kernel, global, NULL, args, sizeof args / sizeof *args);
}
