/* tuning.c: parameters by device family, best fit first.
 * Each row says where its numbers come from. */
#include "tuning.h"

/* What tiles.cl, tiles_backward.cl and product_tiles.cl are built with. Not measured, but chosen by what compilers
 * say: for sm_80, gfx90a and gfx1030 the first two keep heads of 64 and 128 floats with all
 * modifications in registers. Local memory is that of tiles.cl for such heads. */
static const clattn__tile tiles[] = {
    {4, 4, 16, 16, 16, 4}, /* 64 x 64 by 256 work-items, 29 KiB */
    {4, 4, 8, 8, 16, 4},   /* 32 x 32 by 64, 11 KiB */
    {4, 4, 4, 4, 8, 4},    /* 16 x 16 by 16, 4 KiB */
};
#define TILES tiles, sizeof tiles / sizeof *tiles

static const clattn__tuning rows[] = {
    /* Measured on 2 cores of an AVX-512 machine: 32 registers of 16 floats hold 8 x 2 sums, with
       room to load ahead; bench/RESULTS.md. */
    {"CPU, 16 floats", true, 16, 16, 8, 2, 64, 256, 1, 1, 8, 8, 128, 64, 128, 512, 16,
     (size_t)9 << 20, TILES},
    /* Measured on 2 cores with AVX2 (16 registers of 8 floats: 6 x 2 sums, 2 columns, 1 broadcast);
       bench/RESULTS.md. */
    {"CPU, 8 floats", true, 8, 8, 6, 2, 96, 256, 1, 2, 6, 6, 96, 96, 96, 512, 16, (size_t)9 << 20,
     TILES},
    /* 16 registers of 4 floats (SSE, NEON): the same tile in halves; not measured. */
    {"CPU", true, 0, 4, 6, 2, 96, 256, 1, 2, 6, 6, 96, 96, 96, 512, 16, (size_t)9 << 20, TILES},
    /* Any other device: groups of 64 for rows; its products are CLBlast's or by tiles, those of
       product_lanes.cl for devices that hold no tile. Not measured. */
    {"GPU-like", false, 0, 4, 4, 1, 16, 256, 64, 1, 4, 4, 64, 16, 16, 64, 4, (size_t)256 << 20,
     TILES},
};

const clattn__tuning *clattn__tuning_for(const clattn_device_info *device)
{
    const bool cpu_like = device->kind == CLATTN_DEVICE_CPU;
    size_t i = 0;
    while (i + 1 < sizeof rows / sizeof *rows &&
           (rows[i].cpu_like != cpu_like || device->float_width < rows[i].float_width))
        i++;
    return &rows[i];
}

const clattn__tuning *clattn__tuning_rows(size_t *count)
{
    *count = sizeof rows / sizeof *rows;
    return rows;
}
