/* reference.h: one checked call on the CPU, below the public clattn_reference_run(). */
#ifndef CLATTN_REFERENCE_REFERENCE_H
#define CLATTN_REFERENCE_REFERENCE_H

#include "../problem.h"

/* Refuses a call that has a tensor in device memory. */
clattn_status clattn__reference_check_host(const clattn__call *call);

/* Computes a call whose tensors all lie in host memory; the
 * plan of a reference device runs this. */
clattn_status clattn__reference_call(const clattn__problem *problem, const clattn__call *call);

#endif
