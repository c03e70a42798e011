/* tiles.c: the variant `tiles`, one fused pass for GPU-like devices; host side of tiles.cl and
 * merge_parts.cl. */
#include "fused.h"
#include "tile.h"
#include "try.h"
#include "variant.h"

#include <stdlib.h>

/* Keys of one group; not a matter of tuning, as a result's bits depend on it. More would leave most
 * of a large device idle where queries are few, fewer would cost long rows the writing of parts. */
#define SPLIT 1024
/* Sums that a work-item keeps: a bit for each, in tiles.cl. */
#define MOST_SUMS 64

typedef struct tiles {
    clattn__kernel kernel, merge;
    clattn__scratch parts;
    const clattn__tile *tile;
    int values;
    char remark[CLATTN__TILE_REMARK_MAX];
} tiles;

static int values_of_group(const clattn__tile *tile, const clattn__tiled *of)
{
    return clattn__tile_values(tile, of->dtype, of->problem->desc.value_size, MOST_SUMS);
}

static size_t local_memory(const clattn__tile *tile, const clattn__tiled *of)
{
    const size_t size = clattn__sum_size(of->dtype), rows = (size_t)clattn__tile_rows(tile),
                 place = clattn__fused_is_general(of->problem) ? 5 * sizeof(cl_long) + 2 * size : 0,
                 block = of->problem->desc.dropout > 0 ? sizeof(cl_long) : 0;
    return clattn__tile_slices(tile, of->dtype) + rows * (sizeof(cl_long) + place + block) +
           sizeof(cl_int) + size;
}

static void options(char *out, size_t size, const clattn__tile *tile, const clattn__tiled *of)
{
    const clattn_attention_desc *desc = &of->problem->desc;
    (void)snprintf(
        out, size, " -DKIND=%d -DVALUES=%d -DSPLIT=%d -DLONG=%d -DGENERAL=%d -DDROPOUT=%d",
        (int)desc->dtype, values_of_group(tile, of), SPLIT, desc->head_size > CLATTN__TILE_DEPTH,
        clattn__fused_is_general(of->problem), desc->dropout > 0);
}

static clattn__tiled tiled_by(const clattn__problem *problem)
{
    return (clattn__tiled){"tiles", problem->desc.dtype, local_memory, options, problem};
}

static bool accepts(const clattn_device *device, const clattn__problem *problem, bool forced,
                    char *reason, size_t size)
{
    const char *why = clattn__why_not_fused(device, problem, true, CLATTN__DROPOUT);
    if (!why)
        why = clattn__why_not_of_one_dtype(problem);
    if (!why && !forced && clattn__is_cpu_like(device))
        why = "it is made for GPU-like devices; ask for it by name";
    if (why) {
        (void)snprintf(reason, size, "%s", why);
        return false;
    }
    const clattn__tiled tiled = tiled_by(problem);
    return clattn__tile_is_held(device, &tiled, reason, size);
}

static void release(void *state)
{
    tiles *s = state;
    if (!s)
        return;
    clattn__kernel_release(&s->kernel);
    clattn__kernel_release(&s->merge);
    clattn__scratch_release(&s->parts);
    free(s);
}

static clattn_status prepare(void **state, clattn_device *device, const clattn__problem *problem)
{
    clattn_status status = CLATTN_OK;
    const clattn_attention_desc *desc = &problem->desc;
    const clattn__tiled tiled = tiled_by(problem);
    char of_merge[CLATTN__OPTIONS_MAX];
    tiles *s = calloc(1, sizeof *s);
    FAIL_IF(!s, CLATTN_E_MEMORY, "tiles: no host memory for %zu bytes", sizeof *s);
    *state = s;
    TRY(clattn__tile_kernel_create(&s->kernel, &s->tile, device, &tiled, s->remark));
    s->values = values_of_group(s->tile, &tiled);
    clattn__options(of_merge, device, desc->dtype, " -DKIND=%d", (int)desc->dtype);
    TRY(clattn__kernel_create(&s->merge, device, "merge_parts", of_merge));
done:
    return status;
}

static int64_t at_least_one(int64_t n)
{
    return n > 0 ? n : 1;
}

/* A group does not know how many splits the packed sequences before its own have. */
static int64_t splits_of(const clattn__call *call)
{
    return clattn__has(&call->cu_seqlens_k) ? 1 : at_least_one(clattn__ceil_div(call->T, SPLIT));
}

static int64_t slices_of(const tiles *s, const clattn__call *call)
{
    return clattn__has(&call->output) ? at_least_one(clattn__ceil_div(call->Dv, s->values)) : 1;
}

static int64_t blocks_of(const tiles *s, const clattn__call *call)
{
    const clattn_int rows = clattn__tile_rows(s->tile);
    return clattn__has(&call->cu_seqlens_q)
               ? clattn__packed_blocks(call, rows)
               : clattn__ceil_div(call->Hq / call->Hkv * call->S, rows);
}

static uint64_t parts_bytes(const clattn__call *call)
{
    return (uint64_t)(call->B * call->Hq * call->S * splits_of(call) * (call->Dv + 2)) *
           clattn__sum_size(call->value.dtype);
}

/* Rows, groups and keys of a split are 32-bit numbers in the kernel. */
static bool fits(const void *state, const clattn_device *device, const clattn__call *call)
{
    const tiles *s = state;
    const uint64_t parts = splits_of(call) > 1 ? parts_bytes(call) : 0;
    const bool one_row = call->B * call->Hkv * call->S == 1;
    return call->Hq * call->S <= INT32_MAX && (splits_of(call) > 1 || call->T <= INT32_MAX) &&
           call->B * call->Hkv * blocks_of(s, call) * splits_of(call) * slices_of(s, call) <=
               INT32_MAX &&
           parts <= device->info.max_allocation && (one_row || parts <= device->tuning->scratch);
}

static clattn_status merge(tiles *s, clattn_device *device, const clattn__call *call,
                           clattn__timeline *timeline, clattn__fused_args *of_pass)
{
    const clattn_int splits = splits_of(call), Dv = call->Dv,
                     width = clattn__vector_width(device, call->value.dtype);
    const clattn__arg args[] = {
        CLATTN__ARG(s->parts.memory),
        CLATTN__ARG(splits),
        CLATTN__ARG(call->S),
        CLATTN__ARG(call->Hkv),
        CLATTN__ARG(Dv),
        CLATTN__ARG(of_pass->normalizer),
        CLATTN__ARG(of_pass->sinks),
        CLATTN__ARG(of_pass->modifications.sinks),
        CLATTN__ARG(of_pass->output),
        CLATTN__ARG(of_pass->output_view),
        CLATTN__ARG(of_pass->lse),
        CLATTN__ARG(of_pass->lse_view),
    };
    const size_t global[3] = {clattn__has(&call->output) ? (size_t)clattn__ceil_div(Dv, width) : 1,
                              (size_t)of_pass->M, (size_t)(call->B * call->Hkv)};
    return clattn__launch(device, timeline, &s->merge, global, NULL, args,
                          sizeof args / sizeof *args);
}

static clattn_status run(void *state, clattn_device *device, const clattn__problem *problem,
                         const clattn__call *call, clattn__timeline *timeline)
{
    clattn_status status = CLATTN_OK;
    tiles *s = state;
    const cl_uint blocks = (cl_uint)blocks_of(s, call), slices = (cl_uint)slices_of(s, call),
                  splits = (cl_uint)splits_of(call);
    const size_t items = (size_t)clattn__tile_items(s->tile),
                 groups = (size_t)(call->B * call->Hkv) * blocks * slices * splits;
    const size_t global[3] = {groups * items, 1, 1}, local[3] = {items, 1, 1};
    cl_mem parts = call->query.buffer;
    clattn__fused_args args;
    if (splits > 1) {
        TRY(clattn__scratch_reserve(&s->parts, device, (size_t)parts_bytes(call)));
        parts = s->parts.memory;
    }
    clattn__fused_args_init(&args, problem, call, &call->key, &call->value);
    clattn__fused_args_add_packed(&args, call);
    clattn__arg_add(&args.all, sizeof parts, &parts);
    clattn__arg_add(&args.all, sizeof blocks, &blocks);
    clattn__arg_add(&args.all, sizeof slices, &slices);
    clattn__arg_add(&args.all, sizeof splits, &splits);
    clattn__arg_add(&args.all, sizeof call->dropout, &call->dropout);
    TRY(clattn__launch(device, timeline, &s->kernel, global, local, args.all.args, args.all.count));
    if (splits > 1)
        TRY(merge(s, device, call, timeline, &args));
done:
    return status;
}

static const char *remark(const void *state)
{
    return ((const tiles *)state)->remark;
}

const clattn__variant clattn__variant_tiles = {"tiles", accepts, NULL, prepare,
                                               release, fits,    run,  remark};
