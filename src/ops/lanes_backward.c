/* lanes_backward.c: the variant `lanes` of the backward pass, for CPU-like devices: scores are made once more,
 * block by block, and never written; host side of lanes_backward.cl. */
#include "dot_gradients.h"
#include "fused.h"
#include "sum_up.h"
#include "try.h"
#include "variant.h"

#include <stdlib.h>

typedef struct lanes {
    clattn__kernel kernel;
    clattn__dot_gradients shared;
    clattn__scratch query_sums; /* what each split of the keys makes of queries' gradients */
    int64_t block;              /* BK */
    int64_t panel;              /* elements of a panel of gradients */
} lanes;

/* A work-item keeps 4 BK + 2 BQ rows of such a size; beyond it, it is more than a core's caches hold. */
#define MOST_ELEMENTS 512
/* Keys are split among work-items by their number alone, so that neither other heads nor the device change a
 * bit; each split has sums of its own for all queries. */
#define SPLIT_KEYS 512
#define MOST_SPLITS 8
#define MOST_SUMS ((uint64_t)256 << 20) /* bytes of a piece of several heads */

static bool accepts(const clattn_device *device, const clattn__problem *problem, bool forced,
                    char *reason, size_t size)
{
    const clattn_attention_desc *desc = &problem->desc;
    const char *why = clattn__why_no_dot_gradients(device, problem, forced, CLATTN__DROPOUT);
    if (!why && (desc->head_size > MOST_ELEMENTS || desc->value_size > MOST_ELEMENTS))
        why = "keys and values are larger than what a work-item keeps";
    if (why)
        (void)snprintf(reason, size, "%s", why);
    return !why;
}

static void release(void *state)
{
    lanes *s = state;
    if (!s)
        return;
    clattn__kernel_release(&s->kernel);
    clattn__dot_gradients_release(&s->shared);
    clattn__scratch_release(&s->query_sums);
    free(s);
}

static clattn_status prepare(void **state, clattn_device *device, const clattn__problem *problem)
{
    clattn_status status = CLATTN_OK;
    const clattn_attention_desc *desc = &problem->desc;
    const clattn__tuning *tuning = device->tuning;
    char options[CLATTN__OPTIONS_MAX];
    lanes *s = calloc(1, sizeof *s);
    FAIL_IF(!s, CLATTN_E_MEMORY, "lanes: no host memory for %zu bytes", sizeof *s);
    *state = s;
    s->block = tuning->backward_keys;
    s->panel = (int64_t)clattn__vector_width(device, desc->dtype) * tuning->tile_vectors;
    clattn__options(options, device, desc->dtype,
                    " -DMOST=%zu -DNV=%d -DMR=%d -DBQ=%d -DBK=%d -DGENERAL=%d -DDROPOUT=%d",
                    clattn__fused_capacity(desc->head_size, desc->value_size), tuning->tile_vectors,
                    tuning->tile_rows, tuning->backward_rows, tuning->backward_keys,
                    clattn__fused_is_general(problem), desc->dropout > 0);
    TRY(clattn__kernel_create(&s->kernel, device, "lanes_backward", options));
    TRY(clattn__dot_gradients_create(&s->shared, device, desc->dtype));
done:
    return status;
}

/* Keys of a split: whole blocks. */
static int64_t split_keys(const lanes *s, int64_t T)
{
    int64_t splits = T / SPLIT_KEYS;
    splits = splits < 1 ? 1 : splits > MOST_SPLITS ? MOST_SPLITS : splits;
    const int64_t blocks = clattn__ceil_div(clattn__ceil_div(T, s->block), splits);
    return (blocks ? blocks : 1) * s->block;
}

static int64_t splits_of(const lanes *s, int64_t T)
{
    return T ? clattn__ceil_div(T, split_keys(s, T)) : 1;
}

/* Elements of the sums that one split has. */
static int64_t split_size(const lanes *s, const clattn__call *call)
{
    return call->B * call->Hq * call->S * clattn__round_up(call->D, s->panel);
}

static bool fits(const void *state, const clattn_device *device, const clattn__call *call)
{
    const lanes *s = state;
    const uint64_t size = clattn__sum_size(call->value.dtype), most = device->info.max_allocation,
                   keys = (uint64_t)(call->B * call->Hkv * call->T) * size,
                   sums = (uint64_t)(splits_of(s, call->T) * split_size(s, call)) * size;
    return sums <= most && keys * (uint64_t)call->D <= most && keys * (uint64_t)call->Dv <= most &&
           (call->B * call->Hkv <= 1 || sums <= MOST_SUMS);
}

/* The gradients of queries, of keys and of values. */
static clattn_status run_blocks(lanes *s, clattn_device *device, clattn__timeline *timeline,
                                const clattn__problem *problem, const clattn__call *call,
                                const clattn_tensor *key, const clattn_tensor *value)
{
    clattn_status status = CLATTN_OK;
    const clattn__gradients *grad = &call->grad;
    const clattn_dtype sums = clattn__sum_dtype(problem->desc.dtype);
    const clattn_int keys = split_keys(s, call->T), splits = splits_of(s, call->T);
    const int64_t step = split_size(s, call);
    const cl_int query_wanted = clattn__has(&grad->query);
    clattn__fused_args args;
    if (query_wanted)
        TRY(clattn__scratch_reserve(&s->query_sums, device,
                                    (size_t)(splits * step) * clattn__sum_size(sums)));
    clattn__fused_args_init(&args, problem, call, &call->key, &call->value);
    const cl_mem other = call->query.buffer, key_memory = clattn__memory_of(key, other),
                 value_memory = clattn__memory_of(value, other),
                 output = clattn__memory_of(&grad->output, other),
                 deltas = s->shared.deltas.memory ? s->shared.deltas.memory : other,
                 query_sums = query_wanted ? s->query_sums.memory : other;
    const clattn_view key_view = clattn__view(key), value_view = clattn__view(value),
                      output_view = clattn__view(&grad->output);
    const clattn__arg own[] = {
        CLATTN__ARG(output),       CLATTN__ARG(output_view),  CLATTN__ARG(deltas),
        CLATTN__ARG(query_sums),   CLATTN__ARG(query_wanted), CLATTN__ARG(splits),
        CLATTN__ARG(keys),         CLATTN__ARG(key_memory),   CLATTN__ARG(key_view),
        CLATTN__ARG(value_memory), CLATTN__ARG(value_view),   CLATTN__ARG(call->dropout),
    };
    clattn__args_add(&args.all, own, sizeof own / sizeof *own);
    const size_t global[3] = {(size_t)(call->B * call->Hkv * splits), 1, 1}, local[3] = {1, 1, 1};
    TRY(clattn__launch(device, timeline, &s->kernel, global, local, args.all.args, args.all.count));
    if (query_wanted) {
        clattn_tensor query = clattn__dense(sums, query_sums, call->B, call->Hq, call->S,
                                            clattn__round_up(call->D, s->panel));
        query.shape[3] = call->D;
        const clattn__sum sum = {&query, splits, step, &grad->query, CLATTN__SUM_OVER_NOTHING,
                                 NULL};
        TRY(clattn__sum_up_run(&s->shared.sum_up, device, timeline, call, &sum));
    }
done:
    return status;
}

static clattn_status run(void *state, clattn_device *device, const clattn__problem *problem,
                         const clattn__call *call, clattn__timeline *timeline)
{
    clattn_status status = CLATTN_OK;
    const clattn__gradients *grad = &call->grad;
    lanes *s = state;
    clattn_tensor key, value;
    TRY(clattn__dot_gradients_begin(&s->shared, device, timeline, problem, call, &key, &value));
    if (clattn__has(&grad->query) || clattn__has(&grad->key) || clattn__has(&grad->value))
        TRY(run_blocks(s, device, timeline, problem, call, &key, &value));
    TRY(clattn__dot_gradients_end(&s->shared, device, timeline, call, &key, &value));
done:
    return status;
}

const clattn__variant clattn__variant_lanes_backward = {"lanes", accepts, NULL, prepare,
                                                        release, fits,    run,  NULL};
