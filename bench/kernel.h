/* kernel.h: kernels of the benchmark's own. */
#ifndef BENCH_KERNEL_H
#define BENCH_KERNEL_H

#include <clattn/clattn_cl.h>

#include <stdbool.h>
#include <stddef.h>

/* The kernel `name` of a source; NULL after a failure. The caller releases it. */
cl_kernel bench_kernel_make(clattn_device *device, const char *source, const char *name,
                            const char *options);
/* So many work-items, each a group; waits for them. */
bool bench_kernel_run(clattn_device *device, cl_kernel kernel, size_t items);

#endif
