/* key_forms.h: host side of key_forms.cl. */
#ifndef CLATTN_KEY_FORMS_H
#define CLATTN_KEY_FORMS_H

#include "op.h"

/* What is made, and its memory. */
typedef struct clattn__key_forms {
    clattn_tensor forms, extents;
    clattn__scratch memory, extents_memory;
} clattn__key_forms;

/* True where it is of use: to scores whose keys have no features, on devices that are slow at exponentials. */
bool clattn__wants_key_forms(const clattn_device *device, const clattn_attention_desc *desc);

/* Makes them of projected keys in device memory. Keys whose forms are larger than an allocation may be stay
 * without, as do those of which there are none. */
clattn_status clattn__key_forms_make(clattn__key_forms *made, clattn_device *device,
                                     clattn__timeline *timeline, const clattn_tensor *key,
                                     clattn_dtype dtype);
void clattn__key_forms_release(clattn__key_forms *made);

#endif
