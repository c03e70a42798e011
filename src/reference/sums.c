/* sums.c: see sums.h. */
#include "sums.h"

#include "../try.h"

#include <stdlib.h>

/* Pointers to them, in the order of clattn__call_tensors(). */
static size_t list_gradients(clattn__call *call, clattn_tensor *gradients[CLATTN__CALL_GRADIENTS],
                             const char *names[CLATTN__CALL_GRADIENTS])
{
    clattn_tensor *tensors[CLATTN__CALL_TENSORS];
    const char *all_names[CLATTN__CALL_TENSORS];
    size_t count = 0;
    for (size_t t = clattn__call_tensors(call, tensors, all_names); t < CLATTN__CALL_TENSORS; t++) {
        gradients[count] = tensors[t];
        names[count++] = all_names[t];
    }
    return count;
}

void clattn__sums_shape(const clattn_tensor *gradient, int64_t shape[4])
{
    for (int axis = 0; axis < 4; axis++)
        shape[axis] = gradient->strides[axis] == 0 ? 1 : gradient->shape[axis];
}

int64_t clattn__sums_at(const clattn_tensor *gradient, const int64_t shape[4], int64_t index)
{
    return clattn__at(gradient, index / shape[3] / shape[2] / shape[1],
                      index / shape[3] / shape[2] % shape[1], index / shape[3] % shape[2],
                      index % shape[3]);
}

clattn_status clattn__sums_init(clattn__call *sums, const clattn__call *call, clattn__real real)
{
    clattn_status status = CLATTN_OK;
    clattn_tensor *gradients[CLATTN__CALL_GRADIENTS] = {NULL};
    const char *names[CLATTN__CALL_GRADIENTS] = {NULL};
    *sums = *call;
    const size_t count = list_gradients(sums, gradients, names);
    for (size_t n = 0; n < count; n++)
        gradients[n]->host = NULL;
    for (size_t n = 0; n < count; n++) {
        int64_t shape[4], stride = 1;
        if (!clattn__has(gradients[n]))
            continue;
        clattn__sums_shape(gradients[n], shape);
        for (int axis = 3; axis >= 0; axis--) {
            if (gradients[n]->strides[axis] != 0)
                gradients[n]->strides[axis] = stride;
            stride *= shape[axis];
        }
        gradients[n]->offset = 0;
        gradients[n]->host = clattn__make_array(stride, 1, clattn__real_size(real));
        FAIL_IF(!gradients[n]->host, CLATTN_E_MEMORY,
                "reference: no host memory for the sums of %s, %lld numbers", names[n],
                (long long)stride);
    }
done:
    return status;
}

void clattn__sums_free(clattn__call *sums)
{
    clattn_tensor *gradients[CLATTN__CALL_GRADIENTS] = {NULL};
    const char *names[CLATTN__CALL_GRADIENTS] = {NULL};
    const size_t count = sums->backward ? list_gradients(sums, gradients, names) : 0;
    for (size_t n = 0; n < count; n++)
        free(gradients[n]->host);
    *sums = (clattn__call){0};
}

size_t clattn__sums_gradients(const clattn__call *call,
                              clattn_tensor gradients[CLATTN__CALL_GRADIENTS],
                              const char *names[CLATTN__CALL_GRADIENTS])
{
    clattn_tensor *tensors[CLATTN__CALL_GRADIENTS] = {NULL};
    clattn__call copy = *call;
    const size_t count = list_gradients(&copy, tensors, names);
    for (size_t n = 0; n < count; n++)
        gradients[n] = *tensors[n];
    return count;
}

void clattn__sums_store(const clattn__call *sums, const clattn__call *call, clattn__real real)
{
    clattn_tensor from[CLATTN__CALL_GRADIENTS] = {0}, to[CLATTN__CALL_GRADIENTS] = {0};
    const char *names[CLATTN__CALL_GRADIENTS] = {NULL};
    const size_t count = clattn__sums_gradients(sums, from, names);
    (void)clattn__sums_gradients(call, to, names);
    for (size_t n = 0; n < count; n++) {
        int64_t shape[4];
        clattn__sums_shape(&to[n], shape);
        for (int64_t e = 0; clattn__has(&to[n]) && e < shape[0] * shape[1] * shape[2] * shape[3];
             e++)
            clattn_element_store(to[n].dtype, to[n].host, (size_t)clattn__sums_at(&to[n], shape, e),
                                 (double)clattn__real_value(real, from[n].host,
                                                            clattn__sums_at(&from[n], shape, e)));
    }
}
