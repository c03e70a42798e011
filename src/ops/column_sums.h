/* column_sums.h: host side of column_sums.cl. */
#ifndef CLATTN_COLUMN_SUMS_H
#define CLATTN_COLUMN_SUMS_H

#include "op.h"

clattn_status clattn__column_sums_create(clattn__kernel *kernel, clattn_device *device,
                                         clattn_dtype dtype);

/* Writes the column sums of a call, or, of a piece that begins with a later row, adds to them. `weights` is
 * [B][Hq][S][stride] as softmax_rows leaves them; with `factors`, [B][Hq][S], a row is multiplied by its own. */
clattn_status clattn__column_sums_run(clattn__kernel *kernel, clattn_device *device,
                                      clattn__timeline *timeline, const clattn__call *call,
                                      cl_mem weights, int64_t stride, cl_mem factors);

#endif
