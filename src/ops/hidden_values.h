/* hidden_values.h: host side of hidden_values.cl. */
#ifndef CLATTN_HIDDEN_VALUES_H
#define CLATTN_HIDDEN_VALUES_H

#include "op.h"

clattn_status clattn__hidden_values_create(clattn__kernel *kernel, clattn_device *device,
                                           clattn_dtype dtype);

/* Adds to call->output what the product left out: values that are not finite and may be seen.
 * `weights` are the product's, [B*Hkv][group*S][stride]; `flags` are those of packing the values by
 * columns in panels of `width`. With skips_zero, a weight of 0 has met no value. */
clattn_status clattn__hidden_values_run(clattn__kernel *kernel, clattn_device *device,
                                        clattn__timeline *timeline, const clattn__problem *problem,
                                        const clattn__call *call, cl_mem weights, int64_t stride,
                                        cl_mem flags, int64_t width, bool skips_zero);

/* The same turned: adds to `to`, (B, Hkv, T, N), what keys have of `rows`, (B, Hkv, group * S, N), that are not finite
 * and see them. */
clattn_status clattn__hidden_rows_run(clattn__kernel *kernel, clattn_device *device,
                                      clattn__timeline *timeline, const clattn__problem *problem,
                                      const clattn__call *call, cl_mem weights, int64_t stride,
                                      cl_mem flags, int64_t width, const clattn_tensor *rows,
                                      const clattn_tensor *to);

#endif
