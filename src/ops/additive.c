/* additive.c: the variant `additive`, additive scores and what follows them in one pass; host side of
 * additive.cl, and what additive_scores.cl takes, too. */
#include "additive.h"

#include "chunked.h"
#include "try.h"
#include "variant.h"

int clattn__additive_units(const clattn_device *device, clattn_dtype dtype)
{
    const int units = device->tuning->additive_units;
    return dtype == CLATTN_F64 ? units / 2 : units;
}

void clattn__additive_options(char options[CLATTN__OPTIONS_MAX], const clattn_device *device,
                              clattn_dtype dtype)
{
    (void)snprintf(options, CLATTN__OPTIONS_MAX, " -DUNITS=%d -DROWS=%d",
                   clattn__additive_units(device, dtype), device->tuning->additive_rows);
}

void clattn__additive_add(clattn__arg_list *list, clattn__additive_args *a,
                          const clattn__call *call, cl_mem other)
{
    const clattn_tensor *params = call->params, *rows = &params[CLATTN__W_LOCATION],
                        *features = &params[CLATTN__COVERAGE];
    a->v = clattn__memory_of(&params[CLATTN__V], other);
    a->of_v = clattn__view(&params[CLATTN__V]);
    a->bias = clattn__memory_of(&params[CLATTN__BIAS], other);
    a->of_bias = clattn__view(&params[CLATTN__BIAS]);
    a->rows = clattn__memory_of(rows, other), a->of_rows = clattn__view(rows);
    a->features = clattn__memory_of(features, other), a->of_features = clattn__view(features);
    a->forms = clattn__memory_of(&call->key_forms, other);
    a->of_forms = clattn__view(&call->key_forms);
    a->extents = clattn__memory_of(&call->key_extents, other);
    a->of_extents = clattn__view(&call->key_extents);
    a->feature_count = clattn__has(features) ? (cl_int)features->shape[2] : 0;
    a->key_group = (cl_int)(call->Hq / call->key.shape[1]);
    const clattn__arg args[] = {
        CLATTN__ARG(a->v),
        CLATTN__ARG(a->of_v),
        CLATTN__ARG(a->bias),
        CLATTN__ARG(a->of_bias),
        CLATTN__ARG(a->rows),
        CLATTN__ARG(a->of_rows),
        CLATTN__ARG(a->features),
        CLATTN__ARG(a->of_features),
        CLATTN__ARG(a->forms),
        CLATTN__ARG(a->of_forms),
        CLATTN__ARG(a->extents),
        CLATTN__ARG(a->of_extents),
        CLATTN__ARG(a->feature_count),
        CLATTN__ARG(a->key_group),
    };
    clattn__args_add(list, args, sizeof args / sizeof *args);
}

static bool accepts(const clattn_device *device, const clattn__problem *problem, bool forced,
                    char *reason, size_t size)
{
    const char *why = clattn__why_not_passed(device, problem, CLATTN__OF_WEIGHTS);
    if (!why && !clattn__is_additive(problem->desc.score))
        why = "scores are not additive";
    if (!why && clattn__is_packed(problem))
        why = "sequences are packed, and it takes those of one length";
    if (!why && problem->desc.value_size > CLATTN__CHUNKED_MOST)
        why = "values are larger than what a work-item keeps";
    if (!why && !forced && !clattn__is_cpu_like(device))
        why = "it is made for CPU-like devices; ask for it by name";
    if (why)
        (void)snprintf(reason, size, "%s", why);
    return !why;
}

static clattn_status prepare(void **state, clattn_device *device, const clattn__problem *problem)
{
    const clattn_attention_desc *desc = &problem->desc;
    char options[CLATTN__OPTIONS_MAX];
    clattn__additive_options(options, device, desc->dtype);
    return clattn__chunked_prepare(state, device, problem, "additive", options,
                                   clattn__fused_capacity(desc->value_size, desc->value_size));
}

static clattn_status run(void *state, clattn_device *device, const clattn__problem *problem,
                         const clattn__call *call, clattn__timeline *timeline)
{
    clattn_status status = CLATTN_OK;
    clattn__chunked *s = state;
    const clattn_int most = device->tuning->additive_rows, blocks = clattn__ceil_div(call->S, most),
                     block_rows = blocks ? clattn__ceil_div(call->S, blocks) : 1;
    clattn__fused_args args;
    clattn__additive_args of_scores;
    clattn__split split;
    TRY(clattn__split_init(&split, s, device, call, blocks * call->Hq * call->B));
    clattn__fused_args_init(&args, problem, call, &call->key, &call->value);
    clattn__split_add(&args.all, &split, call);
    clattn__additive_add(&args.all, &of_scores, call, args.query);
    clattn__arg_add(&args.all, sizeof block_rows, &block_rows);
    const size_t global[3] = {(size_t)(blocks * split.shared.items), (size_t)call->Hq,
                              (size_t)call->B},
                 local[3] = {1, 1, 1};
    TRY(clattn__launch(device, timeline, &s->kernel, global, local, args.all.args, args.all.count));
    TRY(clattn__chunked_finish(s, device, timeline, problem, call, &split, call->Hq, call->S));
done:
    return status;
}

const clattn__variant clattn__variant_additive = {
    "additive", accepts, NULL, prepare, clattn__chunked_release, clattn__chunked_fits, run, NULL};
