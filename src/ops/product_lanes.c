/* product_lanes.c: host side of product_lanes.cl. */
#include "product.h"

#include "try.h"

#include <stdlib.h>

static int64_t panel(const void *state, const clattn_device *device, clattn_dtype dtype)
{
    (void)state;
    return (int64_t)clattn__vector_width(device, dtype) * device->tuning->tile_vectors;
}

static void release(void *state)
{
    clattn__kernel *kernel = state;
    if (!kernel)
        return;
    clattn__kernel_release(kernel);
    free(kernel);
}

static clattn_status create(void **state, clattn_device *device, clattn_dtype dtype)
{
    clattn_status status = CLATTN_OK;
    const clattn__tuning *tuning = device->tuning;
    char options[CLATTN__OPTIONS_MAX];
    clattn__kernel *kernel = calloc(1, sizeof *kernel);
    FAIL_IF(!kernel, CLATTN_E_MEMORY, "product: no host memory for %zu bytes", sizeof *kernel);
    *state = kernel;
    clattn__options(options, device, dtype, " -DMR=%d -DNV=%d -DROWS=%d -DDEPTH=%d",
                    tuning->tile_rows, tuning->tile_vectors, tuning->item_rows, tuning->depth);
    TRY(clattn__kernel_create(kernel, device, "product_lanes", options));
done:
    return status;
}

/* All panels of a row block are best made by one work-item, as long as every compute unit still has
 * several to do. */
static clattn_int panels_of_item(const clattn_device *device, clattn_int blocks, clattn_int panels)
{
    const clattn_int wanted = 4 * (clattn_int)device->info.compute_units;
    if (blocks == 0 || blocks >= wanted)
        return panels;
    return clattn__ceil_div(panels, clattn__ceil_div(wanted, blocks));
}

static clattn_status run(void *state, clattn_device *device, clattn__timeline *timeline,
                         clattn_dtype dtype, const clattn__call *call, const clattn__product *p)
{
    const clattn_int M = call->Hq / call->Hkv * call->S;
    const clattn_int rows = clattn__ceil_div(M, device->tuning->item_rows),
                     panels = clattn__ceil_div(p->N, panel(state, device, dtype)),
                     heads = call->B * call->Hkv;
    const clattn_int item_panels = panels_of_item(device, rows * heads, panels);
    const cl_int has_factors = p->factors != NULL;
    const cl_mem factors = p->factors ? p->factors : p->a;
    clattn__number alpha;
    const clattn__arg args[] = {
        CLATTN__ARG(p->a),        CLATTN__ARG(p->a_offset),
        CLATTN__ARG(p->lda),      CLATTN__ARG(p->b),
        CLATTN__ARG(p->c),        CLATTN__ARG(p->c_view),
        CLATTN__ARG(M),           CLATTN__ARG(p->N),
        CLATTN__ARG(p->K),        CLATTN__ARG(call->S),
        CLATTN__ARG(call->Hkv),   clattn__number_arg(&alpha, dtype, p->alpha),
        CLATTN__ARG(factors),     CLATTN__ARG(has_factors),
        CLATTN__ARG(item_panels), CLATTN__ARG(p->b_heads),
    };
    const size_t global[3] = {(size_t)rows,
                              item_panels ? (size_t)clattn__ceil_div(panels, item_panels) : 0,
                              (size_t)heads};
    const size_t local[3] = {1, 1, 1};
    return clattn__launch(device, timeline, state, global, local, args, sizeof args / sizeof *args);
}

const clattn__multiplier clattn__multiplier_lanes = {true, true, panel, create, release, run, NULL};
