/* clattn.h: attention on any OpenCL device. Include this; programs with OpenCL objects of their
 * own add clattn_cl.h.
 *
 *   clattn_device *device = NULL;
 *   clattn_plan *plan = NULL;
 *   clattn_attention_desc desc = {.struct_size = sizeof desc, .query_heads = 8, .head_size = 64};
 *   clattn_attention_args args = {.struct_size = sizeof args};
 *   args.query = clattn_tensor_host(CLATTN_F32, q, 4, (int64_t[]){B, 8, S, 64});
 *   args.key = ..., args.value = ..., args.output = ...
 *
 *   if (clattn_device_open(&device, NULL, 0) || clattn_plan_create(&plan, device, &desc) ||
 *       clattn_plan_run(plan, &args) || clattn_device_finish(device))
 *       fprintf(stderr, "%s\n", clattn_last_error());
 *   clattn_plan_destroy(plan);
 *   clattn_device_close(device);
 *
 * A tour: status.h (how calls fail) - device.h (find, open, close) - tensor.h (where numbers lie) -
 * attention.h (what to compute, on what) - plan.h (make ready, run) - decoder.h (one query after the
 * other over the same keys) - reference.h (the same on the CPU; verify). */
#ifndef CLATTN_H
#define CLATTN_H

#include <clattn/attention.h>
#include <clattn/base.h>
#include <clattn/decoder.h>
#include <clattn/device.h>
#include <clattn/plan.h>
#include <clattn/reference.h>
#include <clattn/status.h>
#include <clattn/tensor.h>

#endif
