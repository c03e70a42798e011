/* lanes_backward.c: the variant `lanes` of the backward pass, for CPU-like devices: scores are made once more,
 * block by block, and never written; host side of lanes_backward.cl and row_deltas.cl.
 */
#include "fused.h"
#include "sum_up.h"
#include "try.h"
#include "variant.h"

#include <stdlib.h>

typedef struct lanes {
    clattn__kernel kernel, row_deltas, sum_up;
    clattn__scratch deltas, sink_parts; /* of each row */
    clattn__scratch query_sums; /* what each split of the keys makes of queries' gradients */
    clattn__scratch key_parts, value_parts;     /* of a piece of rows, in the type of the sums */
    clattn__scratch of_key, of_value, of_sinks; /* sums over pieces */
    int64_t block;                              /* BK */
    int64_t panel;                              /* elements of a panel of gradients */
} lanes;

#define ITEM_ROWS 64
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
    const uint32_t of_modifications = CLATTN_GRAD_BIAS | CLATTN_GRAD_ALIBI_SLOPES;
    const char *why = clattn__why_not_fused(device, problem, forced, CLATTN_WEIGHTS);
    if (!why && desc->outputs & CLATTN_WEIGHTS)
        why = "gradients of weights come in, and it has none of those";
    if (!why && !(desc->outputs & CLATTN_OUTPUT))
        why = "no gradient of an output comes in";
    if (!why && desc->outputs & CLATTN_LSE && desc->normalizer != CLATTN_NORMALIZER_SOFTMAX)
        why = "a gradient of lse comes in with another normalizer than softmax";
    if (!why && desc->gradients & of_modifications)
        why = "gradients of bias or slopes are asked for, and it makes none";
    if (!why && clattn__is_packed(problem))
        why = "sequences are packed, and it takes those of one length";
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
    clattn__scratch *const scratch[] = {&s->deltas,    &s->sink_parts,  &s->query_sums,
                                        &s->key_parts, &s->value_parts, &s->of_key,
                                        &s->of_value,  &s->of_sinks};
    clattn__kernel_release(&s->kernel);
    clattn__kernel_release(&s->row_deltas);
    clattn__kernel_release(&s->sum_up);
    for (size_t i = 0; i < sizeof scratch / sizeof *scratch; i++)
        clattn__scratch_release(scratch[i]);
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
                    " -DMOST=%zu -DNV=%d -DMR=%d -DBQ=%d -DBK=%d -DGENERAL=%d",
                    clattn__fused_capacity(desc->head_size, desc->value_size), tuning->tile_vectors,
                    tuning->tile_rows, tuning->backward_rows, tuning->backward_keys,
                    clattn__fused_is_general(problem));
    TRY(clattn__kernel_create(&s->kernel, device, "lanes_backward", options));
    clattn__options(options, device, desc->dtype, " -DROWS=%d", ITEM_ROWS);
    TRY(clattn__kernel_create(&s->row_deltas, device, "row_deltas", options));
    TRY(clattn__sum_up_create(&s->sum_up, device, desc->dtype));
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

/* The deltas of rows, and their parts of the gradients of sinks. */
static clattn_status make_deltas(lanes *s, clattn_device *device, clattn__timeline *timeline,
                                 const clattn__call *call)
{
    clattn_status status = CLATTN_OK;
    const clattn__gradients *grad = &call->grad;
    const size_t bytes =
        (size_t)(call->B * call->Hq * call->S) * clattn__sum_size(call->value.dtype);
    const clattn_tensor none = {0}, *sinks = clattn__has(&grad->sinks) ? &call->sinks : &none;
    TRY(clattn__scratch_reserve(&s->deltas, device, bytes));
    TRY(clattn__scratch_reserve(&s->sink_parts, device, clattn__has(sinks) ? bytes : 0));
    const cl_mem other = s->deltas.memory, output = clattn__memory_of(&call->output, other),
                 grad_output = clattn__memory_of(&grad->output, other),
                 lse = clattn__memory_of(&call->lse, other),
                 grad_lse = clattn__memory_of(&grad->lse, other),
                 of_sinks = clattn__memory_of(sinks, other);
    const clattn_view output_view = clattn__view(&call->output),
                      grad_output_view = clattn__view(&grad->output),
                      lse_view = clattn__view(&call->lse), grad_lse_view = clattn__view(&grad->lse),
                      sinks_view = clattn__view(sinks);
    const cl_int Dv = (cl_int)call->Dv;
    const clattn_int M = call->Hq / call->Hkv * call->S;
    const clattn__arg args[] = {
        CLATTN__ARG(output),
        CLATTN__ARG(output_view),
        CLATTN__ARG(grad_output),
        CLATTN__ARG(grad_output_view),
        CLATTN__ARG(lse),
        CLATTN__ARG(lse_view),
        CLATTN__ARG(grad_lse),
        CLATTN__ARG(grad_lse_view),
        CLATTN__ARG(of_sinks),
        CLATTN__ARG(sinks_view),
        CLATTN__ARG(Dv),
        CLATTN__ARG(call->Hkv),
        CLATTN__ARG(call->S),
        CLATTN__ARG(M),
        CLATTN__ARG(s->deltas.memory),
        CLATTN__ARG(s->sink_parts.memory),
    };
    const size_t global[3] = {(size_t)clattn__ceil_div(M, ITEM_ROWS), (size_t)(call->B * call->Hkv),
                              1},
                 local[3] = {1, 1, 1};
    TRY(clattn__launch(device, timeline, &s->row_deltas, global, local, args,
                       sizeof args / sizeof *args));
done:
    return status;
}

/* Where the gradients of keys or values are made: what they are in the end, or a part of it that rows which come
 * in another piece add to. */
static clattn_status take_target(clattn_tensor *out, clattn__scratch *parts, clattn_device *device,
                                 const clattn__call *call, const clattn_tensor *gradient)
{
    clattn_status status = CLATTN_OK;
    const clattn_dtype sums = clattn__sum_dtype(call->value.dtype);
    *out = *gradient;
    if (!clattn__has(gradient) || call->S == call->all_rows)
        goto done;
    TRY(clattn__scratch_reserve(parts, device,
                                clattn_tensor_count(gradient) * clattn__sum_size(sums)));
    *out = clattn__dense(sums, parts->memory, call->B, call->Hkv, call->T, gradient->shape[3]);
done:
    return status;
}

static clattn_status add_up(lanes *s, clattn_device *device, clattn__timeline *timeline,
                            const clattn__call *call, const clattn_tensor *from, int64_t folds,
                            int64_t fold_step, const clattn_tensor *to, clattn__sum_over over,
                            clattn__scratch *partial)
{
    const clattn__sum sum = {from, folds, fold_step, to, over, partial};
    return clattn__has(to) ? clattn__sum_up_run(&s->sum_up, device, timeline, call, &sum)
                           : CLATTN_OK;
}

/* The gradients of queries, of keys and of values. */
static clattn_status run_blocks(lanes *s, clattn_device *device, clattn__timeline *timeline,
                                const clattn__problem *problem, const clattn__call *call)
{
    clattn_status status = CLATTN_OK;
    const clattn__gradients *grad = &call->grad;
    const clattn_dtype sums = clattn__sum_dtype(problem->desc.dtype);
    const clattn_int keys = split_keys(s, call->T), splits = splits_of(s, call->T);
    const int64_t step = split_size(s, call);
    const cl_int query_wanted = clattn__has(&grad->query);
    clattn__fused_args args;
    clattn_tensor key, value;
    if (query_wanted)
        TRY(clattn__scratch_reserve(&s->query_sums, device,
                                    (size_t)(splits * step) * clattn__sum_size(sums)));
    TRY(take_target(&key, &s->key_parts, device, call, &grad->key));
    TRY(take_target(&value, &s->value_parts, device, call, &grad->value));
    clattn__fused_args_init(&args, problem, call, &call->key, &call->value);
    const cl_mem other = call->query.buffer, key_memory = clattn__memory_of(&key, other),
                 value_memory = clattn__memory_of(&value, other),
                 output = clattn__memory_of(&grad->output, other),
                 deltas = s->deltas.memory ? s->deltas.memory : other,
                 query_sums = query_wanted ? s->query_sums.memory : other;
    const clattn_view key_view = clattn__view(&key), value_view = clattn__view(&value),
                      output_view = clattn__view(&grad->output);
    const clattn__arg own[] = {
        CLATTN__ARG(output),       CLATTN__ARG(output_view),  CLATTN__ARG(deltas),
        CLATTN__ARG(query_sums),   CLATTN__ARG(query_wanted), CLATTN__ARG(splits),
        CLATTN__ARG(keys),         CLATTN__ARG(key_memory),   CLATTN__ARG(key_view),
        CLATTN__ARG(value_memory), CLATTN__ARG(value_view),
    };
    clattn__args_add(&args.all, own, sizeof own / sizeof *own);
    const size_t global[3] = {(size_t)(call->B * call->Hkv * splits), 1, 1}, local[3] = {1, 1, 1};
    TRY(clattn__launch(device, timeline, &s->kernel, global, local, args.all.args, args.all.count));
    if (key.buffer != grad->key.buffer)
        TRY(add_up(s, device, timeline, call, &key, 1, 0, &grad->key, CLATTN__SUM_OVER_ROWS,
                   &s->of_key));
    if (value.buffer != grad->value.buffer)
        TRY(add_up(s, device, timeline, call, &value, 1, 0, &grad->value, CLATTN__SUM_OVER_ROWS,
                   &s->of_value));
    if (query_wanted) {
        clattn_tensor query = clattn__dense(sums, query_sums, call->B, call->Hq, call->S,
                                            clattn__round_up(call->D, s->panel));
        query.shape[3] = call->D;
        TRY(add_up(s, device, timeline, call, &query, splits, step, &grad->query,
                   CLATTN__SUM_OVER_NOTHING, NULL));
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
    if (problem->desc.normalizer == CLATTN_NORMALIZER_SOFTMAX)
        TRY(make_deltas(s, device, timeline, call));
    if (clattn__has(&grad->query) || clattn__has(&grad->key) || clattn__has(&grad->value))
        TRY(run_blocks(s, device, timeline, problem, call));
    if (clattn__has(&grad->sinks)) {
        const clattn_tensor parts =
            clattn__dense(clattn__sum_dtype(problem->desc.dtype), s->sink_parts.memory, call->B,
                          call->Hq, call->S, 1);
        TRY(add_up(s, device, timeline, call, &parts, 1, 0, &grad->sinks, CLATTN__SUM_OVER_ALL,
                   &s->of_sinks));
    }
done:
    return status;
}

const clattn__variant clattn__variant_lanes_backward = {"lanes", accepts, NULL, prepare,
                                                        release, fits,    run,  NULL};
