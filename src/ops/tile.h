/* tile.h: kernels whose work-groups make tiles (tile.clh), and which tile a device can hold. */
#ifndef CLATTN_TILE_H
#define CLATTN_TILE_H

#include "op.h"

/* Rows, columns and work-items of a tile. */
static inline int clattn__tile_rows(const clattn__tile *tile)
{
    return tile->item_rows * tile->group_rows;
}
static inline int clattn__tile_columns(const clattn__tile *tile)
{
    return tile->item_columns * tile->group_columns;
}
static inline int clattn__tile_items(const clattn__tile *tile)
{
    return tile->group_rows * tile->group_columns;
}

/* Elements of a depth of a slice of so many rows or columns, a spare vector among them. */
int clattn__tile_pitch(const clattn__tile *tile, clattn_dtype dtype, int size);

/* DEPTH of slices.clh: longer sums are sums of shorter ones. */
#define CLATTN__TILE_DEPTH 256

/* Bytes of local memory for the slices of slices.clh, and the weights that take the place of left ones. */
size_t clattn__tile_slices(const clattn__tile *tile, clattn_dtype dtype);

/* Elements of rows of `size` that a group makes, in whole tiles, of which a work-item keeps at most `sums`; for
 * more there are more groups, which make the scores again. */
int clattn__tile_values(const clattn__tile *tile, clattn_dtype dtype, size_t size, int sums);

/* A kernel that wants a tile. */
typedef struct clattn__tiled {
    const char *name; /* of the kernel, a literal */
    clattn_dtype dtype;
    /* Bytes of local memory that it takes with a tile. */
    size_t (*local_memory)(const clattn__tile *tile, const struct clattn__tiled *of);
    /* Its -D options beside those of common.clh and tile.clh. */
    void (*options)(char *options, size_t size, const clattn__tile *tile,
                    const struct clattn__tiled *of);
    const clattn__problem *problem; /* or NULL: for the two above */
} clattn__tiled;

#define CLATTN__TILE_REMARK_MAX 512

/* The first of the device's tiles, from number `*index` on, that its limits allow; NULL and
 * tile_count: none. `remark` gets a clause for each one that is passed over. */
const clattn__tile *clattn__tile_find(const clattn_device *device, const clattn__tiled *tiled,
                                      size_t *index, char remark[CLATTN__TILE_REMARK_MAX]);

/* True when there is one; else `reason` says why not, in one clause. */
bool clattn__tile_is_held(const clattn_device *device, const clattn__tiled *tiled, char *reason,
                          size_t size);

/* Builds the kernel with the first tile that the device holds once it is built, too, and that needs
 * no memory for registers, if there is one. `remark` becomes the tile's size and why others were
 * passed over. */
clattn_status clattn__tile_kernel_create(clattn__kernel *kernel, const clattn__tile **tile,
                                         clattn_device *device, const clattn__tiled *tiled,
                                         char remark[CLATTN__TILE_REMARK_MAX]);

#endif
