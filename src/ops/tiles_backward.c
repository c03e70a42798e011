/* tiles_backward.c: the variant `tiles` of the backward pass, for GPU-like devices: work-groups that own keys make
 * their gradients, others that own queries make those; host side of tiles_backward.cl. */
#include "dot_gradients.h"
#include "fused.h"
#include "tile.h"
#include "try.h"
#include "variant.h"

#include <stdlib.h>
#include <string.h>

/* One of the two kernels, and the tile that it takes. */
typedef struct owner {
    clattn__kernel kernel;
    const clattn__tile *tile;
    int values;
} owner;

typedef struct tiles {
    owner of_keys, of_queries;
    clattn__dot_gradients shared;
    char remark[2 * CLATTN__TILE_REMARK_MAX];
} tiles;

/* Sums that a work-item keeps in registers, of both gradients. Not measured: with so many, compilers for sm_80,
 * gfx90a and gfx1030 need no memory in place of registers for heads of 128 floats with all modifications. */
#define MOST_SUMS 64

static size_t largest_row(const clattn__problem *problem)
{
    const clattn_attention_desc *desc = &problem->desc;
    return desc->head_size > desc->value_size ? desc->head_size : desc->value_size;
}

static int values_of_group(const clattn__tile *tile, const clattn__tiled *of, bool keys)
{
    return clattn__tile_values(tile, of->dtype, largest_row(of->problem),
                               keys ? MOST_SUMS / 2 : MOST_SUMS);
}

static size_t local_memory(const clattn__tile *tile, const clattn__tiled *of)
{
    const size_t size = clattn__sum_size(of->dtype), rows = (size_t)clattn__tile_rows(tile),
                 columns = (size_t)clattn__tile_columns(tile),
                 queries = rows > columns ? rows : columns,
                 place = clattn__fused_is_general(of->problem) ? 6 * sizeof(cl_long) : 0,
                 block = of->problem->desc.dropout > 0 ? sizeof(cl_long) : 0;
    return clattn__tile_slices(tile, of->dtype) + 2 * rows * sizeof(cl_long) +
           queries * (2 * size + place + block) + sizeof(cl_long);
}

static void options(char *out, size_t size, const clattn__tile *tile, const clattn__tiled *of,
                    int keys)
{
    const clattn_attention_desc *desc = &of->problem->desc;
    (void)snprintf(out, size,
                   " -DKIND=%d -DVALUES=%d -DLONG=%d -DGENERAL=%d -DKEYS=%d -DDROPOUT=%d",
                   (int)desc->dtype, values_of_group(tile, of, keys),
                   largest_row(of->problem) > CLATTN__TILE_DEPTH,
                   clattn__fused_is_general(of->problem), keys, desc->dropout > 0);
}

static void options_of_keys(char *out, size_t size, const clattn__tile *tile,
                            const clattn__tiled *of)
{
    options(out, size, tile, of, true);
}

static void options_of_queries(char *out, size_t size, const clattn__tile *tile,
                               const clattn__tiled *of)
{
    options(out, size, tile, of, false);
}

static bool accepts(const clattn_device *device, const clattn__problem *problem, bool forced,
                    char *reason, size_t size)
{
    const clattn__tiled tiled = {"tiles_backward", problem->desc.dtype, local_memory,
                                 options_of_keys, problem};
    const char *why = clattn__why_no_dot_gradients(device, problem, true, CLATTN__DROPOUT);
    if (!why)
        why = clattn__why_not_of_one_dtype(problem);
    if (!why && !forced && clattn__is_cpu_like(device))
        why = "it is made for GPU-like devices; ask for it by name";
    if (!why)
        return clattn__tile_is_held(device, &tiled, reason, size);
    (void)snprintf(reason, size, "%s", why);
    return false;
}

static void release(void *state)
{
    tiles *s = state;
    if (!s)
        return;
    clattn__kernel_release(&s->of_keys.kernel);
    clattn__kernel_release(&s->of_queries.kernel);
    clattn__dot_gradients_release(&s->shared);
    free(s);
}

/* Adds what it says of the tile to the remark. */
static clattn_status create(owner *out, tiles *s, clattn_device *device,
                            const clattn__problem *problem, bool keys)
{
    clattn_status status = CLATTN_OK;
    const clattn__tiled tiled = {"tiles_backward", problem->desc.dtype, local_memory,
                                 keys ? options_of_keys : options_of_queries, problem};
    char remark[CLATTN__TILE_REMARK_MAX];
    const size_t used = strlen(s->remark);
    TRY(clattn__tile_kernel_create(&out->kernel, &out->tile, device, &tiled, remark));
    out->values = values_of_group(out->tile, &tiled, keys);
    (void)snprintf(s->remark + used, sizeof s->remark - used, "%s%s: %s", used ? "; " : "",
                   keys ? "keys" : "queries", remark);
done:
    return status;
}

static clattn_status prepare(void **state, clattn_device *device, const clattn__problem *problem)
{
    clattn_status status = CLATTN_OK;
    tiles *s = calloc(1, sizeof *s);
    FAIL_IF(!s, CLATTN_E_MEMORY, "tiles: no host memory for %zu bytes", sizeof *s);
    *state = s;
    if (problem->desc.gradients & (CLATTN_GRAD_KEY | CLATTN_GRAD_VALUE))
        TRY(create(&s->of_keys, s, device, problem, true));
    if (problem->desc.gradients & CLATTN_GRAD_QUERY)
        TRY(create(&s->of_queries, s, device, problem, false));
    TRY(clattn__dot_gradients_create(&s->shared, device, problem->desc.dtype));
done:
    return status;
}

/* Groups of a kernel that owns so many rows of a key head; 0 where its gradients are not wanted. */
static int64_t groups_of(const owner *o, const clattn__call *call, int64_t rows, cl_uint *blocks,
                         cl_uint *slices)
{
    const int64_t most = call->D > call->Dv ? call->D : call->Dv;
    *blocks = *slices = 0;
    if (!o->tile || most == 0)
        return 0;
    *blocks = (cl_uint)clattn__ceil_div(rows, clattn__tile_rows(o->tile));
    *slices = (cl_uint)clattn__ceil_div(most, o->values);
    return call->B * call->Hkv * *blocks * *slices;
}

/* Rows, keys and groups are 32-bit numbers in the kernel, and so is what lies a block behind the last one. */
static bool fits(const void *state, const clattn_device *device, const clattn__call *call)
{
    const tiles *s = state;
    const int64_t M = call->Hq / call->Hkv * call->S;
    const uint64_t size = clattn__sum_size(call->value.dtype), most = device->info.max_allocation,
                   rows = (uint64_t)(call->B * call->Hq * call->S) * size,
                   keys = (uint64_t)(call->B * call->Hkv * call->T) * size;
    cl_uint blocks, slices;
    return call->Hq * call->S <= INT32_MAX / 4 && call->T <= INT32_MAX / 4 &&
           groups_of(&s->of_keys, call, call->T, &blocks, &slices) <= INT32_MAX &&
           groups_of(&s->of_queries, call, M, &blocks, &slices) <= INT32_MAX && rows <= most &&
           keys * (uint64_t)call->D <= most && keys * (uint64_t)call->Dv <= most;
}

/* The gradients that an owner makes of its rows, `rows` for each key head: `second` that of values. */
static clattn_status run_owner(tiles *s, owner *o, clattn_device *device,
                               clattn__timeline *timeline, const clattn__problem *problem,
                               const clattn__call *call, int64_t rows, const clattn_tensor *first,
                               const clattn_tensor *second)
{
    clattn__fused_args args;
    cl_uint blocks, slices;
    const int64_t groups = groups_of(o, call, rows, &blocks, &slices);
    if (groups == 0 || (!clattn__has(first) && !clattn__has(second)))
        return CLATTN_OK;
    clattn__fused_args_init(&args, problem, call, &call->key, &call->value);
    const cl_mem other = call->query.buffer, output = clattn__memory_of(&call->grad.output, other),
                 deltas = s->shared.deltas.memory ? s->shared.deltas.memory : other,
                 first_memory = clattn__memory_of(first, other),
                 second_memory = clattn__memory_of(second, other);
    const clattn_view output_view = clattn__view(&call->grad.output),
                      first_view = clattn__view(first), second_view = clattn__view(second);
    const clattn__arg own[] = {
        CLATTN__ARG(output),        CLATTN__ARG(output_view), CLATTN__ARG(deltas),
        CLATTN__ARG(first_memory),  CLATTN__ARG(first_view),  CLATTN__ARG(second_memory),
        CLATTN__ARG(second_view),   CLATTN__ARG(blocks),      CLATTN__ARG(slices),
        CLATTN__ARG(call->dropout),
    };
    clattn__args_add(&args.all, own, sizeof own / sizeof *own);
    const size_t items = (size_t)clattn__tile_items(o->tile),
                 global[3] = {(size_t)groups * items, 1, 1}, local[3] = {items, 1, 1};
    return clattn__launch(device, timeline, &o->kernel, global, local, args.all.args,
                          args.all.count);
}

static clattn_status run(void *state, clattn_device *device, const clattn__problem *problem,
                         const clattn__call *call, clattn__timeline *timeline)
{
    clattn_status status = CLATTN_OK;
    tiles *s = state;
    clattn_tensor key, value;
    const clattn_tensor none = {0};
    const int64_t M = call->Hq / call->Hkv * call->S;
    TRY(clattn__dot_gradients_begin(&s->shared, device, timeline, problem, call, &key, &value));
    TRY(run_owner(s, &s->of_keys, device, timeline, problem, call, call->T, &key, &value));
    TRY(run_owner(s, &s->of_queries, device, timeline, problem, call, M, &call->grad.query, &none));
    TRY(clattn__dot_gradients_end(&s->shared, device, timeline, call, &key, &value));
done:
    return status;
}

static const char *remark(const void *state)
{
    const tiles *s = state;
    return s->remark[0] ? s->remark : NULL;
}

const clattn__variant clattn__variant_tiles_backward = {"tiles", accepts, NULL, prepare,
                                                        release, fits,    run,  remark};
