/* additive.h: what kernels with additive.clh take. */
#ifndef CLATTN_ADDITIVE_H
#define CLATTN_ADDITIVE_H

#include "op.h"

/* Units of a chunk, on whose numbers it depends which form a block takes. */
int clattn__additive_units(const clattn_device *device, clattn_dtype dtype);

/* The -D options of additive.clh. */
void clattn__additive_options(char options[CLATTN__OPTIONS_MAX], const clattn_device *device,
                              clattn_dtype dtype);

/* The arguments that say what additive scores are made of beside query and key. What the list points at
 * is in the struct. */
typedef struct clattn__additive_args {
    cl_mem v, bias, rows, features, forms, extents;
    clattn_view of_v, of_bias, of_rows, of_features, of_forms, of_extents;
    cl_int feature_count, key_group;
} clattn__additive_args;

/* Adds them, of a call whose query and key are projected (operands.h). `other` stands in for absent memory. */
void clattn__additive_add(clattn__arg_list *list, clattn__additive_args *args,
                          const clattn__call *call, cl_mem other);

#endif
