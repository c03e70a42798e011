/* softmax_rows.h: host side of softmax_rows.cl. */
#ifndef CLATTN_SOFTMAX_ROWS_H
#define CLATTN_SOFTMAX_ROWS_H

#include "op.h"

/* Work-items that make a row together: as the device's family wants it, never more than the device allows. */
size_t clattn__row_group_size(const clattn_device *device);

/* Rows of a group: as many as leave each compute unit several groups. */
clattn_int clattn__rows_of_group(const clattn_device *device, clattn_int rows);

/* `outputs`: those of the desc that calls will ask for. */
clattn_status clattn__softmax_rows_create(clattn__kernel *kernel, clattn_device *device,
                                          clattn_dtype dtype, uint32_t outputs);

/* Turns the scores in `scores`, [B*Hkv][group*S][stride], into weights, and writes what else the
 * call asks for but column sums. With `factors` not NULL, [B*Hkv][group*S], the weights of a row are still to be
 * multiplied by its factor there; the call must not ask for weights then. */
clattn_status clattn__softmax_rows_run(clattn__kernel *kernel, clattn_device *device,
                                       clattn__timeline *timeline, const clattn__problem *problem,
                                       const clattn__call *call, cl_mem scores, int64_t stride,
                                       cl_mem factors);

#endif
