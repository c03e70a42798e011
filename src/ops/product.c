/* product.c: host side of product_lanes.cl. */
#include "product.h"

int64_t clattn__product_panel(const clattn_device *device, clattn_dtype dtype)
{
    return (int64_t)clattn__vector_width(device, dtype) * device->tuning->tile_vectors;
}

clattn_status clattn__product_create(clattn__kernel *kernel, clattn_device *device,
                                     clattn_dtype dtype)
{
    const clattn__tuning *tuning = device->tuning;
    char options[CLATTN__OPTIONS_MAX];
    size_t used = clattn__common_options(options, device, dtype);
    (void)snprintf(options + used, sizeof options - used, " -DMR=%d -DNV=%d -DROWS=%d -DDEPTH=%d",
                   tuning->tile_rows, tuning->tile_vectors, tuning->item_rows, tuning->depth);
    return clattn__kernel_create(kernel, device, "product_lanes", options);
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

clattn_status clattn__product_run(clattn__kernel *kernel, clattn_device *device,
                                  clattn__timeline *timeline, clattn_dtype dtype,
                                  const clattn__call *call, const clattn__product *p)
{
    const clattn_int M = call->Hq / call->Hkv * call->S;
    const clattn_int rows = clattn__ceil_div(M, device->tuning->item_rows),
                     panels = clattn__ceil_div(p->N, clattn__product_panel(device, dtype)),
                     heads = call->B * call->Hkv;
    const clattn_int item_panels = panels_of_item(device, rows * heads, panels);
    const cl_int has_factors = p->factors != NULL;
    const cl_mem factors = p->factors ? p->factors : p->a;
    clattn__number alpha;
    const clattn__arg args[] = {
        CLATTN__ARG(p->a),    CLATTN__ARG(p->a_offset), CLATTN__ARG(p->lda),
        CLATTN__ARG(p->b),    CLATTN__ARG(p->c),        CLATTN__ARG(p->c_view),
        CLATTN__ARG(M),       CLATTN__ARG(p->N),        CLATTN__ARG(p->K),
        CLATTN__ARG(call->S), CLATTN__ARG(call->Hkv),   clattn__number_arg(&alpha, dtype, p->alpha),
        CLATTN__ARG(factors), CLATTN__ARG(has_factors), CLATTN__ARG(item_panels),
    };
    const size_t global[3] = {(size_t)rows,
                              item_panels ? (size_t)clattn__ceil_div(panels, item_panels) : 0,
                              (size_t)heads};
    const size_t local[3] = {1, 1, 1};
    return clattn__launch(device, timeline, kernel, global, local, args,
                          sizeof args / sizeof *args);
}
