/* key_forms.c: see key_forms.h. */
#include "key_forms.h"

#include "additive.h"
#include "try.h"

bool clattn__wants_key_forms(const clattn_device *device, const clattn_attention_desc *desc)
{
    return desc->score == CLATTN_SCORE_ADDITIVE && clattn__is_cpu_like(device);
}

clattn_status clattn__key_forms_make(clattn__key_forms *made, clattn_device *device,
                                     clattn__timeline *timeline, const clattn_tensor *key,
                                     clattn_dtype dtype)
{
    clattn_status status = CLATTN_OK;
    const clattn_dtype sums = clattn__sum_dtype(dtype);
    const int64_t B = key->shape[0], H = key->shape[1], T = key->shape[2],
                  width = clattn__vector_width(device, dtype), vectors = clattn__ceil_div(T, width),
                  padded = clattn__round_up(key->shape[3], 4 * width),
                  chunks = clattn__ceil_div(key->shape[3], clattn__additive_units(device, dtype));
    const size_t bytes = (size_t)(B * H * T * padded) * clattn__sum_size(dtype),
                 extents_bytes = (size_t)(B * H * vectors * chunks * 2) * clattn__sum_size(dtype);
    clattn__kernel kernel = {0};
    char own[CLATTN__OPTIONS_MAX], options[CLATTN__OPTIONS_MAX];
    if (bytes == 0 || bytes > device->info.max_allocation)
        return CLATTN_OK;
    TRY(clattn__scratch_reserve(&made->memory, device, bytes));
    TRY(clattn__scratch_reserve(&made->extents_memory, device, extents_bytes));
    clattn__additive_options(own, device, dtype);
    clattn__options(options, device, dtype, "%s", own);
    TRY(clattn__kernel_create(&kernel, device, "key_forms", options));
    const clattn_view view = clattn__view(key);
    const cl_int units = (cl_int)key->shape[3], row = (cl_int)padded;
    const clattn__arg args[] = {
        CLATTN__ARG(key->buffer),
        CLATTN__ARG(view),
        CLATTN__ARG(units),
        CLATTN__ARG(T),
        CLATTN__ARG(made->memory.memory),
        CLATTN__ARG(row),
        CLATTN__ARG(made->extents_memory.memory),
    };
    const size_t global[3] = {(size_t)vectors, (size_t)H, (size_t)B}, local[3] = {1, 1, 1};
    TRY(clattn__launch(device, timeline, &kernel, global, local, args, sizeof args / sizeof *args));
    made->forms = clattn__dense(sums, made->memory.memory, B, H, T, padded);
    made->extents = clattn__dense(sums, made->extents_memory.memory, B, H, vectors, chunks * 2);
done:
    clattn__kernel_release(&kernel);
    return status;
}

void clattn__key_forms_release(clattn__key_forms *made)
{
    clattn__scratch_release(&made->memory);
    clattn__scratch_release(&made->extents_memory);
}
