/* product_tiles.c: host side of product_tiles.cl. */
#include "product.h"

#include "tile.h"
#include "try.h"

#include <stdlib.h>

/* Terms that the kernel sums in registers. */
#define DEPTH 256

typedef struct product {
    clattn__kernel kernel;
    const clattn__tile *tile;
    char remark[CLATTN__TILE_REMARK_MAX];
} product;

static size_t local_memory(const clattn__tile *tile, const clattn__tiled *of)
{
    const int pitches = clattn__tile_pitch(tile, of->dtype, clattn__tile_rows(tile)) +
                        clattn__tile_pitch(tile, of->dtype, clattn__tile_columns(tile));
    return 2 * (size_t)(tile->depth * pitches) * clattn__sum_size(of->dtype);
}

static void options(char *out, size_t size, const clattn__tile *tile, const clattn__tiled *of)
{
    (void)tile, (void)of;
    (void)snprintf(out, size, " -DDEPTH=%d", DEPTH);
}

static clattn__tiled tiled_by(clattn_dtype dtype)
{
    return (clattn__tiled){"product_tiles", dtype, local_memory, options, NULL};
}

bool clattn__product_tiles_hold(const clattn_device *device, clattn_dtype dtype)
{
    const clattn__tiled tiled = tiled_by(dtype);
    char remark[CLATTN__TILE_REMARK_MAX] = "";
    size_t first = 0;
    return clattn__tile_find(device, &tiled, &first, remark) != NULL;
}

static int64_t panel(const void *state, const clattn_device *device, clattn_dtype dtype)
{
    (void)device, (void)dtype;
    return clattn__tile_columns(((const product *)state)->tile);
}

static void release(void *state)
{
    product *p = state;
    if (!p)
        return;
    clattn__kernel_release(&p->kernel);
    free(p);
}

static clattn_status create(void **state, clattn_device *device, clattn_dtype dtype)
{
    clattn_status status = CLATTN_OK;
    const clattn__tiled tiled = tiled_by(dtype);
    product *p = calloc(1, sizeof *p);
    FAIL_IF(!p, CLATTN_E_MEMORY, "product: no host memory for %zu bytes", sizeof *p);
    *state = p;
    TRY(clattn__tile_kernel_create(&p->kernel, &p->tile, device, &tiled, p->remark));
done:
    return status;
}

static clattn_status run(void *state, clattn_device *device, clattn__timeline *timeline,
                         clattn_dtype dtype, const clattn__call *call, const clattn__product *p)
{
    product *s = state;
    const clattn_int M = call->Hq / call->Hkv * call->S,
                     blocks = clattn__ceil_div(M, clattn__tile_rows(s->tile)),
                     panels = clattn__ceil_div(p->N, clattn__tile_columns(s->tile));
    const size_t items = (size_t)clattn__tile_items(s->tile);
    clattn__number alpha;
    const clattn__arg args[] = {
        CLATTN__ARG(p->a),       CLATTN__ARG(p->a_offset),
        CLATTN__ARG(p->lda),     CLATTN__ARG(p->b),
        CLATTN__ARG(p->c),       CLATTN__ARG(p->c_view),
        CLATTN__ARG(M),          CLATTN__ARG(p->N),
        CLATTN__ARG(p->K),       CLATTN__ARG(call->S),
        CLATTN__ARG(call->Hkv),  clattn__number_arg(&alpha, dtype, p->alpha),
        CLATTN__ARG(p->b_heads),
    };
    const size_t global[3] = {(size_t)(blocks * panels * call->B * call->Hkv) * items, 1, 1},
                 local[3] = {items, 1, 1};
    return clattn__launch(device, timeline, &s->kernel, global, local, args,
                          sizeof args / sizeof *args);
}

static const char *remark(const void *state)
{
    return ((const product *)state)->remark;
}

const clattn__multiplier clattn__multiplier_tiles = {false,   true, panel, create,
                                                     release, run,  remark};
