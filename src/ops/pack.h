/* pack.h: host side of pack.cl and unpack.cl. */
#ifndef CLATTN_PACK_H
#define CLATTN_PACK_H

#include "op.h"

/* Depths of one work-item, which is also what one flag covers. */
#define CLATTN__PACK_DEPTHS 64

/* Which axis of (B, H, rows, columns) becomes the lanes of a panel; the other one is its depth. */
typedef enum clattn__pack_lanes {
    CLATTN__LANES_ARE_ROWS,
    CLATTN__LANES_ARE_COLUMNS
} clattn__pack_lanes;

/* How a tensor is packed: [B*H][panels][depth_padded][width]. */
typedef struct clattn__packing {
    clattn__pack_lanes lanes;
    int64_t width;        /* lanes of a panel; 1: row-major */
    int64_t depth_padded; /* depths, or more: the rest is zero */
    int64_t lanes_padded; /* lanes, or more: a multiple of width; the rest is zero */
} clattn__packing;

/* True when the rows of all heads lie one behind the other in the type of the sums, as products read
 * them. */
bool clattn__rows_are_ready(const clattn_tensor *tensor, clattn_dtype sums);

clattn_status clattn__pack_create(clattn__kernel *kernel, clattn_device *device,
                                  clattn_dtype dtype);

/* Elements of the packed tensor, and of its flags. */
size_t clattn__packed_count(const clattn_tensor *tensor, const clattn__packing *packing);
size_t clattn__packed_flags(const clattn_tensor *tensor, const clattn__packing *packing);

/* Packs `tensor`; with `flags` not NULL, what is not finite becomes 0 and is flagged. */
clattn_status clattn__pack_run(clattn__kernel *kernel, clattn_device *device,
                               clattn__timeline *timeline, const clattn_tensor *tensor,
                               const clattn__packing *packing, cl_mem packed, cl_mem flags);

/* The rows of all heads one behind the other, in the type of the sums, (1, 1, B * H * rows, columns): with `in_place`
 * as they lie, where they do so; else a copy in `to`. `dtype`: the problem's. */
clattn_status clattn__join_rows(clattn__kernel *kernel, clattn_device *device,
                                clattn__timeline *timeline, clattn_dtype dtype,
                                const clattn_tensor *rows, bool in_place, clattn__scratch *to,
                                clattn_tensor *out);

clattn_status clattn__unpack_create(clattn__kernel *kernel, clattn_device *device,
                                    clattn_dtype dtype);

/* Brings [B*Hkv][group*S][columns] to a tensor of (B, Hq, S, columns). */
clattn_status clattn__unpack_run(clattn__kernel *kernel, clattn_device *device,
                                 clattn__timeline *timeline, cl_mem packed,
                                 const clattn__call *call, int64_t columns, cl_mem tensor,
                                 const clattn_view *view);

#endif
