/* decode.c: the variant `decode`, for a few queries over many keys; host side of decode.cl and
 * decode_merge.cl. */
#include "chunked.h"
#include "try.h"
#include "variant.h"

/* Rows of a key head, all query heads together: above, lanes.cl has a vector of them. */
#define MOST_ROWS 16
/* lanes.cl makes a vector of rows in the time of one. Measured on 2 cores with AVX-512 (D 64 and 128, 64 to
 * 2048 keys): it is as fast at 9 rows, and at 12 where keys and values come from memory, of which it makes
 * less. */
#define FASTER_ROWS 9
#define FASTER_ROWS_FROM_MEMORY 12
#define CACHES ((int64_t)24 << 20) /* bytes */
static bool accepts(const clattn_device *device, const clattn__problem *problem, bool forced,
                    char *reason, size_t size)
{
    const char *why = clattn__why_not_fused(device, problem, forced, CLATTN__OF_WEIGHTS);
    if (!why)
        why = clattn__why_not_of_one_dtype(problem);
    if (!why && clattn__is_packed(problem))
        why = "sequences are packed, and it takes those of one length";
    if (!why && (problem->desc.head_size > CLATTN__CHUNKED_MOST ||
                 problem->desc.value_size > CLATTN__CHUNKED_MOST))
        why = "keys or values are larger than what a work-item keeps";
    if (why)
        (void)snprintf(reason, size, "%s", why);
    return !why;
}

static bool takes(const clattn__call *call, bool forced)
{
    const int64_t rows = call->Hq / call->Hkv * call->S;
    const int64_t bytes = call->B * call->Hkv * call->T * (call->D + call->Dv) *
                          (int64_t)clattn_dtype_size(call->key.dtype);
    return rows <= (forced ? MOST_ROWS : (bytes > CACHES ? FASTER_ROWS_FROM_MEMORY : FASTER_ROWS));
}

static clattn_status prepare(void **state, clattn_device *device, const clattn__problem *problem)
{
    const clattn_attention_desc *desc = &problem->desc;
    char options[32];
    (void)snprintf(options, sizeof options, " -DROWS=%d", MOST_ROWS);
    return clattn__chunked_prepare(state, device, problem, "decode", options,
                                   clattn__fused_capacity(desc->head_size, desc->value_size));
}

static clattn_status run(void *state, clattn_device *device, const clattn__problem *problem,
                         const clattn__call *call, clattn__timeline *timeline)
{
    clattn_status status = CLATTN_OK;
    clattn__chunked *s = state;
    const clattn_int groups = call->S ? call->B * call->Hkv : 0;
    clattn__split split;
    clattn__fused_args args;
    TRY(clattn__split_init(&split, s, device, call, groups));
    clattn__fused_args_init(&args, problem, call, &call->key, &call->value);
    clattn__split_add(&args.all, &split, call);
    const size_t global[3] = {(size_t)(split.shared.items * groups), 1, 1}, local[3] = {1, 1, 1};
    TRY(clattn__launch(device, timeline, &s->kernel, global, local, args.all.args, args.all.count));
    TRY(clattn__chunked_finish(s, device, timeline, problem, call, &split, args.heads, args.M));
done:
    return status;
}

const clattn__variant clattn__variant_decode = {
    "decode", accepts, takes, prepare, clattn__chunked_release, clattn__chunked_fits, run, NULL};
