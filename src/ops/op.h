/* op.h: what the host side of every kernel needs: options, views, modifications, scratch memory. */
#ifndef CLATTN_OP_H
#define CLATTN_OP_H

#include "../../kernels/arguments.h"
#include "launch.h"
#include "problem.h"
#include "tuning/tuning.h"

#include <stdio.h>

/* Options that do not fit are a bug of ours, so the length is checked by an assertion. */
#define CLATTN__OPTIONS_MAX 256

/* The -D options that common.clh asks for, and more by `format`. */
void clattn__options(char options[CLATTN__OPTIONS_MAX], const clattn_device *device,
                     clattn_dtype dtype, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The same for vectors of `width` elements. */
void clattn__options_of_width(char options[CLATTN__OPTIONS_MAX], const clattn_device *device,
                              clattn_dtype dtype, int width, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Elements of a kernel's vector for a problem of this type: half as many where sums are doubles. */
int clattn__vector_width(const clattn_device *device, clattn_dtype dtype);

/* The type in which sums are kept, and its bytes. */
clattn_dtype clattn__sum_dtype(clattn_dtype dtype);
size_t clattn__sum_size(clattn_dtype dtype);

/* A number in the type in which sums are kept, as a kernel argument. */
typedef union clattn__number {
    cl_float single;
    cl_double wide;
} clattn__number;
clattn__arg clattn__number_arg(clattn__number *number, clattn_dtype dtype, double value);

clattn_view clattn__view(const clattn_tensor *tensor);
clattn_modifications clattn__modifications(const clattn__problem *problem,
                                           const clattn__call *call);

/* The memory of a tensor, or some other memory where there is none: kernels look at the view's kind
 * first. */
static inline cl_mem clattn__memory_of(const clattn_tensor *tensor, cl_mem other)
{
    return tensor->buffer ? tensor->buffer : other;
}

/* A dense tensor of rank 4 in device memory. */
clattn_tensor clattn__dense(clattn_dtype dtype, cl_mem memory, int64_t B, int64_t H, int64_t rows,
                            int64_t columns);

/* Device memory that grows and is kept from run to run. */
typedef struct clattn__scratch {
    cl_mem memory;
    size_t bytes;
} clattn__scratch;
clattn_status clattn__scratch_reserve(clattn__scratch *scratch, clattn_device *device,
                                      size_t bytes);
void clattn__scratch_release(clattn__scratch *scratch);

static inline int64_t clattn__ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static inline int64_t clattn__round_up(int64_t a, int64_t b)
{
    return clattn__ceil_div(a, b) * b;
}

#endif
