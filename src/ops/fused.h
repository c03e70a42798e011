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
void clattn__fused_args_add(clattn__fused_args *args, size_t size, const void *value);

#endif
