/* fused.h: what the fused variants share, which never write scores to memory. */
#ifndef CLATTN_FUSED_H
#define CLATTN_FUSED_H

#include "op.h"

/* Why no fused variant takes the problem, in one clause; NULL: it may. */
const char *clattn__why_not_fused(const clattn_device *device, const clattn__problem *problem,
                                  bool forced);

/* One build serves all sizes up to a power of two. */
size_t clattn__fused_capacity(const clattn_attention_desc *desc);

#endif
