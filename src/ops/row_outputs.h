/* row_outputs.h: what kernels tell of weights; host side of row_outputs.clh. */
#ifndef CLATTN_ROW_OUTPUTS_H
#define CLATTN_ROW_OUTPUTS_H

#include "op.h"

/* The arguments of a kernel that say so. They stay where they are until the launch. */
typedef struct clattn__row_outputs {
    cl_mem weights, heads, rows, argmax, entropy;
    clattn_row_outputs shared;
} clattn__row_outputs;

/* Adds weights, heads, rows, argmax, entropy and the struct; `other` stands for memory that is absent. */
void clattn__row_outputs_add(clattn__arg_list *list, clattn__row_outputs *outputs,
                             const clattn__call *call, cl_mem other);

#endif
