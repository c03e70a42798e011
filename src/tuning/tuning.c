/* tuning.c: parameters by device family, best fit first.
 * Each row says where its numbers come from. */
#include "tuning.h"

static const clattn__tuning rows[] = {
    /* Measured on 2 cores of an AVX-512 machine: 32 registers of 16 floats hold 8 x 2 sums, with
       room to load ahead; bench/RESULTS.md. */
    {"CPU, 16 floats", true, 16, 16, 8, 2, 64, 256, 1, 1, 8, 8, 128, (size_t)9 << 20},
    /* Measured on 2 cores with AVX2 (16 registers of 8 floats: 6 x 2 sums, 2 columns, 1 broadcast);
       bench/RESULTS.md. */
    {"CPU, 8 floats", true, 8, 8, 6, 2, 96, 256, 1, 3, 4, 4, 128, (size_t)9 << 20},
    /* 16 registers of 4 floats (SSE, NEON): the same tile in halves; not measured. */
    {"CPU", true, 0, 4, 6, 2, 96, 256, 1, 3, 4, 4, 128, (size_t)9 << 20},
    /* Any other device: groups of 64 for rows; its products are CLBlast's, the tile is a fallback.
       Not measured. */
    {"GPU-like", false, 0, 4, 4, 1, 16, 256, 64, 1, 4, 4, 64, (size_t)256 << 20},
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
