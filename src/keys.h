/* keys.h: keys that have met the parameters of a score. */
#ifndef CLATTN_KEYS_H
#define CLATTN_KEYS_H

#include "device.h"
#include "ops/key_forms.h"

struct clattn_keys {
    const clattn_device *device;
    clattn_attention_desc desc; /* of the plan that made them */
    int64_t B, T;
    int64_t heads, size; /* H and N of what is made of keys, (B, H, T, N), and of its gradient */
    clattn__scratch memory;
    clattn_tensor key; /* that, in device memory; on the reference as it came */
    clattn__key_forms made;
    /* What the reference meets keys with: it projects them each time, in its own precision. */
    clattn_tensor matrix;
    clattn__param param; /* which one that is */
    void *copies[2];
};

/* Refuses keys that were not made for such a problem and batch. */
clattn_status clattn__keys_check(const clattn_keys *keys, const clattn_attention_desc *desc,
                                 int64_t B);

#endif
