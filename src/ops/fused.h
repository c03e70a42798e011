/* fused.h: what the fused variants share, which never write scores to memory. */
#ifndef CLATTN_FUSED_H
#define CLATTN_FUSED_H

#include "op.h"

/* Outputs that tell of weights. */
#define CLATTN__OF_WEIGHTS (CLATTN_WEIGHTS | CLATTN_COLUMN_SUMS | CLATTN_ARGMAX | CLATTN_ENTROPY)

/* No output, but said beside them of a variant that drops weights. */
#define CLATTN__DROPOUT ((uint32_t)1 << 31)

/* Why no variant that makes outputs in one pass takes the problem, in one clause; NULL: it may. Output and
 * lse any of them writes, `also` says which more. */
const char *clattn__why_not_passed(const clattn_device *device, const clattn__problem *problem,
                                   uint32_t also);

/* The same of one whose scores are products. */
const char *clattn__why_not_fused(const clattn_device *device, const clattn__problem *problem,
                                  bool forced, uint32_t also);

/* The same for a variant whose kernel reads queries, keys and values as one type. */
const char *clattn__why_not_of_one_dtype(const clattn__problem *problem);

/* Whether anything happens to scores on their way. */
bool clattn__fused_is_general(const clattn__problem *problem);

/* One build serves all sizes up to a power of two: this one serves both. */
size_t clattn__fused_capacity(size_t size, size_t other);

/* The arguments that the fused kernels begin with, and then their own. `all` points into the struct, which
 * stays where it is until the launch. */
typedef struct clattn__fused_args {
    cl_mem query, key, value, output, lse, mask, bias, kv_lengths, alibi_slopes, sinks;
    cl_mem cu_seqlens_q, cu_seqlens_k;
    clattn_view query_view, key_view, value_view, output_view, lse_view;
    clattn_modifications modifications;
    clattn_int heads, M; /* rows of a key head */
    cl_int D, Dv, normalizer;
    clattn__number scale, softcap;
    clattn__arg_list all;
} clattn__fused_args;

/* Keys and values may be copies of the call's. */
void clattn__fused_args_init(clattn__fused_args *args, const clattn__problem *problem,
                             const clattn__call *call, const clattn_tensor *key,
                             const clattn_tensor *value);

/* Blocks of so many rows of a key head, by the numbers that kernels/packed.clh gives them. */
clattn_int clattn__packed_blocks(const clattn__call *call, clattn_int rows);

/* How work-items take the blocks of packed sequences (kernels/packed.clh): in runs, since blocks side
 * by side mostly read the same keys, and from run to run by a step of about the golden ratio of all,
 * so that any that follow each other come from everywhere: then parts of a launch take equally long,
 * whatever the lengths. */
typedef struct clattn__packed_order {
    clattn_int run, step;
    size_t items;
} clattn__packed_order;
clattn__packed_order clattn__packed_order_of(const clattn__call *call, clattn_int rows);

/* Where each of packed sequences begins. */
void clattn__fused_args_add_packed(clattn__fused_args *args, const clattn__call *call);

#endif
