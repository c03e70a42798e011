/* additive.c: what kernels with additive.clh take. */
#include "additive.h"

void clattn__additive_options(char options[CLATTN__OPTIONS_MAX], const clattn_device *device,
                              clattn_dtype dtype)
{
    const int units = device->tuning->additive_units;
    clattn__options(options, device, dtype, " -DUNITS=%d -DROWS=%d",
                    dtype == CLATTN_F64 ? units / 2 : units, device->tuning->additive_rows);
}

void clattn__additive_args_init(clattn__additive_args *a, const clattn__call *call, cl_mem other)
{
    const clattn_tensor *params = call->params, *rows = &params[CLATTN__W_LOCATION],
                        *features = &params[CLATTN__COVERAGE];
    a->query = clattn__memory_of(&call->query, other), a->of_query = clattn__view(&call->query);
    a->key = clattn__memory_of(&call->key, other), a->of_key = clattn__view(&call->key);
    a->v = clattn__memory_of(&params[CLATTN__V], other);
    a->of_v = clattn__view(&params[CLATTN__V]);
    a->bias = clattn__memory_of(&params[CLATTN__BIAS], other);
    a->of_bias = clattn__view(&params[CLATTN__BIAS]);
    a->rows = clattn__memory_of(rows, other), a->of_rows = clattn__view(rows);
    a->features = clattn__memory_of(features, other), a->of_features = clattn__view(features);
    a->units = (cl_int)call->D;
    a->feature_count = clattn__has(features) ? (cl_int)features->shape[2] : 0;
    a->key_group = (cl_int)(call->Hq / call->key.shape[1]);
    const clattn__arg shared[] = {
        CLATTN__ARG(a->query),     CLATTN__ARG(a->of_query),
        CLATTN__ARG(a->key),       CLATTN__ARG(a->of_key),
        CLATTN__ARG(a->v),         CLATTN__ARG(a->of_v),
        CLATTN__ARG(a->bias),      CLATTN__ARG(a->of_bias),
        CLATTN__ARG(a->rows),      CLATTN__ARG(a->of_rows),
        CLATTN__ARG(a->features),  CLATTN__ARG(a->of_features),
        CLATTN__ARG(a->units),     CLATTN__ARG(a->feature_count),
        CLATTN__ARG(a->key_group),
    };
    a->count = 0;
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++)
        a->list[a->count++] = shared[i];
}
