/* fused.h: what the fused variants share, which never write scores to memory. */
#ifndef CLATTN_FUSED_H
#define CLATTN_FUSED_H

#include "op.h"

/* Why no fused variant takes the problem, in one clause; NULL: it may. */
const char *clattn__why_not_fused(const clattn_device *device, const clattn__problem *problem,
                                  bool forced);

/* One build serves all sizes up to a power of two. */
size_t clattn__fused_capacity(const clattn_attention_desc *desc);

/* The arguments that both fused kernels begin with, and then their own. `list` points into the struct,
 * which stays where it is until the launch. */
typedef struct clattn__fused_args {
    cl_mem query, key, value, output, lse, mask, bias, kv_lengths, alibi_slopes, sinks;
    cl_mem cu_seqlens_q, cu_seqlens_k;
    clattn_view query_view, key_view, value_view, output_view, lse_view;
    clattn_modifications modifications;
    clattn_int heads, M; /* rows of a key head */
    cl_int D, Dv, normalize;
    clattn__number scale, softcap;
    clattn__arg list[32];
    size_t count;
} clattn__fused_args;

/* Keys and values may be copies of the call's. */
void clattn__fused_args_init(clattn__fused_args *args, const clattn__problem *problem,
                             const clattn__call *call, const clattn_tensor *key,
                             const clattn_tensor *value);
/* Those of packed sequences (kernels/packed.clh): where each begins, and the step from a run of blocks
 * to the next. */
void clattn__fused_args_add_packed(clattn__fused_args *args, const clattn__call *call,
                                   const clattn_int *step);

/* Work-items for packed sequences, in blocks of `rows`. They take runs of blocks in an order in which
 * any that follow each other come from everywhere, so that parts of a launch take equally long
 * whatever the lengths: a step that is about the golden ratio of all runs. */
size_t clattn__packed_items(const clattn__call *call, clattn_int rows, clattn_int *step);

void clattn__fused_args_add(clattn__fused_args *args, size_t size, const void *value);

#endif
