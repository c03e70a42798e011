/* additive.h: what kernels with additive.clh take. */
#ifndef CLATTN_ADDITIVE_H
#define CLATTN_ADDITIVE_H

#include "op.h"

/* `more`: what a kernel has beyond them. */
void clattn__additive_options(char options[CLATTN__OPTIONS_MAX], const clattn_device *device,
                              clattn_dtype dtype, const char *more);

/* The arguments that say what additive scores are made of; a kernel adds its own. `list` points into
 * the struct, which stays where it is until the launch. */
typedef struct clattn__additive_args {
    cl_mem query, key, v, bias, rows, features;
    clattn_view of_query, of_key, of_v, of_bias, of_rows, of_features;
    cl_int units, feature_count, key_group;
    clattn__number scale;
    clattn__arg list[40];
    size_t count;
} clattn__additive_args;

/* Of a call whose query and key are projected (operands.h). `other` stands in for absent memory. */
void clattn__additive_args_init(clattn__additive_args *args, const clattn__problem *problem,
                                const clattn__call *call, cl_mem other);

void clattn__additive_args_add(clattn__additive_args *args, size_t size, const void *value);

#endif
