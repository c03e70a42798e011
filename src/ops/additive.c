/* additive.c: the variant `additive`, additive scores and what follows them in one pass; host side of
 * additive.cl, and what additive_scores.cl takes, too. */
#include "additive.h"

#include "chunked.h"
#include "try.h"
#include "variant.h"

#include <assert.h>
#include <stdlib.h>

typedef struct additive {
    clattn__kernel kernel;
    clattn__chunked chunked;
} additive;

void clattn__additive_options(char options[CLATTN__OPTIONS_MAX], const clattn_device *device,
                              clattn_dtype dtype, const char *more)
{
    const int units = device->tuning->additive_units;
    clattn__options(options, device, dtype, " -DUNITS=%d -DROWS=%d%s",
                    dtype == CLATTN_F64 ? units / 2 : units, device->tuning->additive_rows, more);
}

void clattn__additive_args_add(clattn__additive_args *a, size_t size, const void *value)
{
    assert(a->count < sizeof a->list / sizeof *a->list);
    a->list[a->count++] = (clattn__arg){size, value};
}

void clattn__additive_args_init(clattn__additive_args *a, const clattn__problem *problem,
                                const clattn__call *call, cl_mem other)
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
        CLATTN__ARG(a->query),
        CLATTN__ARG(a->of_query),
        CLATTN__ARG(a->key),
        CLATTN__ARG(a->of_key),
        CLATTN__ARG(a->v),
        CLATTN__ARG(a->of_v),
        CLATTN__ARG(a->bias),
        CLATTN__ARG(a->of_bias),
        CLATTN__ARG(a->rows),
        CLATTN__ARG(a->of_rows),
        CLATTN__ARG(a->features),
        CLATTN__ARG(a->of_features),
        CLATTN__ARG(a->units),
        CLATTN__ARG(a->feature_count),
        CLATTN__ARG(a->key_group),
        clattn__number_arg(&a->scale, problem->desc.dtype, problem->scale),
    };
    a->count = 0;
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++)
        clattn__additive_args_add(a, shared[i].size, shared[i].value);
}

static bool accepts(const clattn_device *device, const clattn__problem *problem, bool forced,
                    char *reason, size_t size)
{
    const char *why = clattn__why_not_passed(device, problem, CLATTN_WEIGHTS);
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

static void release(void *state)
{
    additive *s = state;
    if (!s)
        return;
    clattn__kernel_release(&s->kernel);
    clattn__chunked_release(&s->chunked);
    free(s);
}

static clattn_status prepare(void **state, clattn_device *device, const clattn__problem *problem)
{
    clattn_status status = CLATTN_OK;
    const clattn_attention_desc *desc = &problem->desc;
    const size_t capacity = clattn__fused_capacity(desc->value_size, desc->value_size);
    char options[CLATTN__OPTIONS_MAX], more[64];
    additive *s = calloc(1, sizeof *s);
    FAIL_IF(!s, CLATTN_E_MEMORY, "additive: no host memory for %zu bytes", sizeof *s);
    *state = s;
    (void)snprintf(more, sizeof more, " -DMOST=%zu -DKIND=%d -DCHUNK=%d", capacity,
                   (int)desc->dtype, CLATTN__CHUNK);
    clattn__additive_options(options, device, desc->dtype, more);
    TRY(clattn__kernel_create(&s->kernel, device, "additive", options));
    TRY(clattn__chunked_create(&s->chunked, device, desc, capacity));
done:
    return status;
}

static bool fits(const void *state, const clattn_device *device, const clattn__call *call)
{
    (void)state;
    return clattn__chunked_fit(device, call);
}

static clattn_status run(void *state, clattn_device *device, const clattn__problem *problem,
                         const clattn__call *call, clattn__timeline *timeline)
{
    clattn_status status = CLATTN_OK;
    additive *s = state;
    const clattn_int most = device->tuning->additive_rows, blocks = clattn__ceil_div(call->S, most),
                     block_rows = blocks ? clattn__ceil_div(call->S, blocks) : 1;
    const cl_int group = (cl_int)(call->Hq / call->Hkv), Dv = (cl_int)call->Dv,
                 normalize = problem->desc.normalizer == CLATTN_NORMALIZER_SOFTMAX;
    const cl_mem other = call->query.buffer, value = clattn__memory_of(&call->value, other),
                 output = clattn__memory_of(&call->output, other),
                 lse = clattn__memory_of(&call->lse, other),
                 mask = clattn__memory_of(&call->mask, other),
                 bias = clattn__memory_of(&call->bias, other),
                 lengths = clattn__memory_of(&call->kv_lengths, other),
                 slopes = clattn__memory_of(&call->alibi_slopes, other),
                 sinks = clattn__memory_of(&call->sinks, other);
    const clattn_view of_value = clattn__view(&call->value),
                      of_output = clattn__view(&call->output), of_lse = clattn__view(&call->lse);
    const clattn_modifications modifications = clattn__modifications(problem, call);
    clattn__number softcap;
    clattn__additive_args args;
    clattn__split split;
    TRY(clattn__split_init(&split, &s->chunked, device, call, blocks * call->Hq * call->B));
    clattn__additive_args_init(&args, problem, call, other);
    const clattn__arg own[] = {
        clattn__number_arg(&softcap, problem->desc.dtype, problem->desc.softcap),
        CLATTN__ARG(modifications),
        CLATTN__ARG(group),
        CLATTN__ARG(Dv),
        CLATTN__ARG(normalize),
        CLATTN__ARG(value),
        CLATTN__ARG(of_value),
        CLATTN__ARG(output),
        CLATTN__ARG(of_output),
        CLATTN__ARG(lse),
        CLATTN__ARG(of_lse),
        CLATTN__ARG(mask),
        CLATTN__ARG(bias),
        CLATTN__ARG(lengths),
        CLATTN__ARG(slopes),
        CLATTN__ARG(sinks),
        CLATTN__ARG(split.parts),
        CLATTN__ARG(split.items),
        CLATTN__ARG(split.item_chunks),
        CLATTN__ARG(block_rows),
        CLATTN__ARG(split.weights),
        CLATTN__ARG(split.of_weights),
        CLATTN__ARG(split.kept),
        CLATTN__ARG(split.kept_step),
    };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        clattn__additive_args_add(&args, own[i].size, own[i].value);
    const size_t global[3] = {(size_t)(blocks * split.items), (size_t)call->Hq, (size_t)call->B},
                 local[3] = {1, 1, 1};
    TRY(clattn__launch(device, timeline, &s->kernel, global, local, args.list, args.count));
    TRY(clattn__parts_merge(&s->chunked, device, timeline, problem, call, &split, call->Hq,
                            call->S));
done:
    return status;
}

const clattn__variant clattn__variant_additive = {"additive", accepts, NULL, prepare,
                                                  release,    fits,    run,  NULL};
