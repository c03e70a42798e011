/* on_device.h: the tensors of a case in device memory. */
#ifndef BENCH_ON_DEVICE_H
#define BENCH_ON_DEVICE_H

#include "case.h"

#include <clattn/clattn.h>

/* Query, key and value as the case has them, and room for the output; cumulative lengths stay the case's. */
clattn_status bench_upload(clattn_attention_args *args, clattn_device *device, const bench_case *c);
void bench_unload(clattn_attention_args *args, clattn_device *device);

#endif
