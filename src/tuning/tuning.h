/* tuning.h: numbers that depend on the kind of device, as data. */
#ifndef CLATTN_TUNING_H
#define CLATTN_TUNING_H

#include <clattn/device.h>

#include <stdbool.h>

/* How a work-group makes a tile of a product, and each work-item a register tile: tile.clh. */
typedef struct clattn__tile {
    int item_rows, item_columns;   /* TM, TN */
    int group_rows, group_columns; /* GM, GN: work-items of a group */
    int depth;                     /* DS */
    int vector;                    /* floats in a vector; doubles take half */
} clattn__tile;

typedef struct clattn__tuning {
    const char *family;        /* what the row is for */
    bool cpu_like;             /* the row fits CPU-like devices, or all others */
    uint32_t float_width;      /* ... of at least this native vector width, in floats */
    int vector;                /* floats in a kernel's vector; doubles take half */
    int tile_rows;             /* MR of product_lanes.cl and lanes_backward.cl */
    int tile_vectors;          /* NV */
    int item_rows;             /* ROWS, a multiple of tile_rows */
    int depth;                 /* DEPTH */
    int softmax_group;         /* WG of softmax_rows.cl */
    int lanes_vectors;         /* NV of lanes.cl */
    int lanes_keys;            /* MK */
    int lanes_values;          /* MD */
    int lanes_block;           /* BK */
    int backward_rows;         /* BQ of lanes_backward.cl, a multiple of tile_rows */
    int backward_keys;         /* BK, a multiple of tile_vectors * vector */
    int additive_units;        /* UNITS of additive.clh; of doubles half as many */
    int additive_rows;         /* ROWS */
    size_t scratch;            /* bytes of scores that the staged path holds at a time */
    const clattn__tile *tiles; /* best first: a device takes the first one that it can hold */
    size_t tile_count;
} clattn__tuning;

/* The first row that fits; the last one fits anything. */
const clattn__tuning *clattn__tuning_for(const clattn_device_info *device);

/* All rows, for tests to try every one on the device that is there. */
const clattn__tuning *clattn__tuning_rows(size_t *count);

#endif
