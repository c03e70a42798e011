/* decode.c: the variant `decode`, for a few queries over many keys; host side of decode.cl and
 * decode_merge.cl. */
#include "fused.h"
#include "try.h"
#include "variant.h"

#include <stdlib.h>

/* Rows of a key head, all query heads together: above, lanes.cl has a vector of them. */
#define MOST_ROWS 16
/* Keys that are merged as one; not a matter of tuning, as a result's bits depend on it. */
#define CHUNK 256
/* lanes.cl makes a vector of rows in the time of one. Measured on 2 cores with AVX-512 (D 64 and 128, 64 to
 * 2048 keys): it is as fast at 9 rows, and at 12 where keys and values come from memory, of which it makes
 * less. */
#define FASTER_ROWS 9
#define FASTER_ROWS_FROM_MEMORY 12
#define CACHES ((int64_t)24 << 20) /* bytes */
/* Beyond this a work-item keeps more than a core's caches hold. */
#define MOST_ELEMENTS 1024
/* Work-items for each compute unit, so that one that is late does not matter. */
#define ITEMS_PER_UNIT 4

typedef struct decode {
    clattn__kernel chunks, merge;
    clattn__scratch parts;
} decode;

static bool accepts(const clattn_device *device, const clattn__problem *problem, bool forced,
                    char *reason, size_t size)
{
    const char *why = clattn__why_not_fused(device, problem, forced);
    if (!why)
        why = clattn__why_not_of_one_dtype(problem);
    if (!why && clattn__is_packed(problem))
        why = "sequences are packed, and it takes those of one length";
    if (!why &&
        (problem->desc.head_size > MOST_ELEMENTS || problem->desc.value_size > MOST_ELEMENTS))
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

static void release(void *state)
{
    decode *s = state;
    if (!s)
        return;
    clattn__kernel_release(&s->chunks);
    clattn__kernel_release(&s->merge);
    clattn__scratch_release(&s->parts);
    free(s);
}

static clattn_status prepare(void **state, clattn_device *device, const clattn__problem *problem)
{
    clattn_status status = CLATTN_OK;
    const clattn_attention_desc *desc = &problem->desc;
    char options[CLATTN__OPTIONS_MAX];
    decode *s = calloc(1, sizeof *s);
    FAIL_IF(!s, CLATTN_E_MEMORY, "decode: no host memory for %zu bytes", sizeof *s);
    *state = s;
    clattn__options(options, device, desc->dtype, " -DMOST=%zu -DKIND=%d -DCHUNK=%d -DROWS=%d",
                    clattn__fused_capacity(desc), (int)desc->dtype, CHUNK, MOST_ROWS);
    TRY(clattn__kernel_create(&s->chunks, device, "decode", options));
    clattn__options(options, device, desc->dtype, " -DMOST=%zu -DKIND=%d",
                    clattn__fused_capacity(desc), (int)desc->dtype);
    TRY(clattn__kernel_create(&s->merge, device, "decode_merge", options));
done:
    return status;
}

/* Sizes of `parts`: the largest one that splitting may need. */
static uint64_t parts_bytes(const clattn__call *call, clattn_dtype dtype)
{
    const int64_t rows = call->B * call->Hq * call->S, chunks = clattn__ceil_div(call->T, CHUNK);
    return (uint64_t)(rows * chunks * (call->Dv + 2)) * clattn__sum_size(dtype);
}

static bool fits(const void *state, const clattn_device *device, const clattn__call *call)
{
    (void)state;
    return parts_bytes(call, call->value.dtype) <= device->info.max_allocation;
}

static clattn_status merge(decode *s, clattn_device *device, clattn__timeline *timeline,
                           const clattn__fused_args *a, const clattn__call *call, clattn_int chunks)
{
    const clattn__arg args[] = {
        CLATTN__ARG(s->parts.memory),
        CLATTN__ARG(chunks),
        CLATTN__ARG(a->heads),
        CLATTN__ARG(a->M),
        CLATTN__ARG(a->modifications.S),
        CLATTN__ARG(a->Dv),
        CLATTN__ARG(a->normalize),
        CLATTN__ARG(a->sinks),
        CLATTN__ARG(a->modifications.sinks),
        CLATTN__ARG(a->output),
        CLATTN__ARG(a->output_view),
        CLATTN__ARG(a->lse),
        CLATTN__ARG(a->lse_view),
    };
    const size_t global[3] = {(size_t)(call->B * call->Hkv), 1, 1}, local[3] = {1, 1, 1};
    return clattn__launch(device, timeline, &s->merge, global, local, args,
                          sizeof args / sizeof *args);
}

static clattn_status run(void *state, clattn_device *device, const clattn__problem *problem,
                         const clattn__call *call, clattn__timeline *timeline)
{
    clattn_status status = CLATTN_OK;
    decode *s = state;
    const clattn_int groups = call->B * call->Hkv, chunks = clattn__ceil_div(call->T, CHUNK),
                     wanted =
                         clattn__ceil_div(ITEMS_PER_UNIT * (clattn_int)device->info.compute_units,
                                          groups > 0 ? groups : 1);
    clattn_int item_chunks = chunks > wanted ? clattn__ceil_div(chunks, wanted) : 1;
    clattn_int items = clattn__ceil_div(chunks, item_chunks);
    cl_mem parts = call->query.buffer;
    clattn__fused_args args;
    if (items < 2)
        items = 1, item_chunks = chunks;
    if (items > 1) {
        TRY(clattn__scratch_reserve(&s->parts, device,
                                    (size_t)parts_bytes(call, problem->desc.dtype)));
        parts = s->parts.memory;
    }
    clattn__fused_args_init(&args, problem, call, &call->key, &call->value);
    clattn__fused_args_add(&args, sizeof parts, &parts);
    clattn__fused_args_add(&args, sizeof items, &items);
    clattn__fused_args_add(&args, sizeof item_chunks, &item_chunks);
    const size_t global[3] = {(size_t)(items * groups), 1, 1}, local[3] = {1, 1, 1};
    TRY(clattn__launch(device, timeline, &s->chunks, global, local, args.list, args.count));
    if (items > 1)
        TRY(merge(s, device, timeline, &args, call, chunks));
done:
    return status;
}

const clattn__variant clattn__variant_decode = {"decode", accepts, takes, prepare,
                                                release,  fits,    run,   NULL};
