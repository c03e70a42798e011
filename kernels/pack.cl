/* pack.cl: brings a tensor of any type and strides into dense panels of the sums' type
 *
 * Formula   packed[g][lane / W][depth][lane % W] = tensor(g, lane, depth), 0 past the last lane or
 *           depth; W = 1 and lanes = rows makes a plain row-major copy
 * Shapes    tensor: G heads g = b*H + h of lanes x depths; packed: [G][panels][depths_padded][W]
 * Units     strides in elements
 * Launch    global {ceil(panels / share), ceil(depths_padded / DEPTHS), G}, local {1, 1, 1}; a work-item
 *           packs W lanes x DEPTHS depths of `share` panels
 * Memory    reads and writes each element once; with `clean` what it wrote once more
 * Edges     with `clean`, what is not finite becomes 0, and flags[g][panel][depth block] tells that
 *           there was some: the product that follows then stays finite, and hidden_values.cl puts
 *           back what may be seen
 * See       src/ops/pack.c, tests/kernels/test_pack.c
 *
 * -D        meaning                        values   set by
 * DEPTHS    depths of one work-item        64       src/ops/pack.h
 */
#include "common.clh"
#ifndef DEPTHS
#error "pack.cl: DEPTHS must be given"
#endif

/* What all panels of a call have in common. */
typedef struct packing {
    global const void *tensor;
    clattn_int kind, depths, lane_stride, depth_stride;
    int W;
} packing;

/* Depths [begin, end) of one lane, which begins at `from`; 0 from depth `filled` on. */
static inline void pack_lane(global ACC *target, const packing *p, clattn_int from,
                             clattn_int begin, clattn_int filled, clattn_int end)
{
    clattn_int depth = begin;
    if (p->W == 1 && p->depth_stride == 1)
        for (; depth + VW <= filled; depth += VW)
            STORE_GLOBAL(load_run(p->tensor, p->kind, from + depth), target + depth);
    if (p->kind == KIND_OF_SUMS)
        for (; depth < filled; depth++)
            target[depth * p->W] = ((global const ACC *)p->tensor)[from + depth * p->depth_stride];
    else
        for (; depth < filled; depth++)
            target[depth * p->W] = load_element(p->tensor, p->kind, from + depth * p->depth_stride);
    for (; depth < end; depth++)
        target[depth * p->W] = 0;
}

/* VW runs of VW elements of the tensor, turned round. */
static inline void pack_tile(global ACC *target, clattn_int target_step, const packing *p,
                             clattn_int from, clattn_int step)
{
    vec tile[VW];
    for (int i = 0; i < VW; i++)
        tile[i] = load_run(p->tensor, p->kind, from + i * step);
    transpose(tile);
    for (int i = 0; i < VW; i++)
        STORE_GLOBAL(tile[i], target + i * target_step);
}

/* Depths [begin, end) of a panel: `lanes` of its W are the tensor's, the first one begins at `from`. */
static inline void pack_lanes(global ACC *target, const packing *p, clattn_int from,
                              clattn_int lanes, clattn_int begin, clattn_int end)
{
    const clattn_int filled = max(min(end, p->depths), begin);
    /* One lane after the other: the block of the panel stays in the nearest cache meanwhile. */
    int l = 0;
    if (p->depth_stride == 1)
        for (; l + VW <= min((clattn_int)p->W, lanes); l += VW) {
            clattn_int depth = begin;
            for (; depth + VW <= filled; depth += VW)
                pack_tile(target + depth * p->W + l, p->W, p, from + l * p->lane_stride + depth,
                          p->lane_stride);
            for (int i = l; i < l + VW; i++)
                pack_lane(target + i, p, from + i * p->lane_stride, depth, filled, end);
        }
    for (; l < p->W; l++)
        pack_lane(target + l, p, from + l * p->lane_stride, begin, l < lanes ? filled : begin, end);
}

/* The rows of a tensor whose lanes lie side by side, W being 1; `rows` are rows of the target. */
static inline void pack_turned(global ACC *target, const packing *p, clattn_int from,
                               clattn_int lanes, clattn_int begin, clattn_int end,
                               clattn_int row_step, clattn_int rows)
{
    const clattn_int filled = max(min(end, p->depths), begin);
    clattn_int row = 0;
    for (; row + VW <= min(rows, lanes); row += VW) {
        clattn_int depth = begin;
        for (; depth + VW <= filled; depth += VW)
            pack_tile(target + row * row_step + depth, row_step, p,
                      from + row + depth * p->depth_stride, p->depth_stride);
        for (clattn_int i = row; i < row + VW; i++)
            pack_lane(target + i * row_step, p, from + i, depth, filled, end);
    }
    for (; row < rows; row++)
        pack_lane(target + row * row_step, p, from + row, begin, row < lanes ? filled : begin, end);
}

/* One depth of `panels` panels whose lanes lie one behind the other: the tensor's rows, in pieces, at `from`; lines
 * of the tensor, which are far apart, are read once. */
static inline void pack_depth(global ACC *target, const packing *p, clattn_int from,
                              clattn_int lanes, clattn_int panel_step, clattn_int panels)
{
    for (clattn_int panel = 0; panel < panels; panel++, target += panel_step, lanes -= p->W) {
        int l = 0;
        for (; l + VW <= p->W && l + VW <= lanes; l += VW, from += VW)
            STORE_GLOBAL(load_run(p->tensor, p->kind, from), target + l);
        for (; l < p->W; l++, from++)
            target[l] = l < lanes ? load_element(p->tensor, p->kind, from) : 0;
    }
}

/* True when something was not finite, and is 0 now. */
static inline bool clean_panel(global ACC *target, clattn_int count)
{
    clattn_int n = 0;
    ivec found = 0;
    INT any = 0, lanes[VW];
    for (; n + VW <= count; n += VW) {
        const vec x = LOAD_GLOBAL(target + n);
        const ivec bad = (ivec)(x - x != (vec)(0));
        STORE_GLOBAL(select(x, (vec)(0), bad), target + n);
        found |= bad;
    }
    for (; n < count; n++)
        if (!isfinite(target[n])) {
            target[n] = 0;
            any = 1;
        }
    STORE_IVEC(found, lanes);
    for (int l = 0; l < VW; l++)
        any |= lanes[l];
    return any != 0;
}

kernel void pack(global const void *tensor, clattn_view view, global ACC *packed,
                 global uchar *flags, clattn_int heads, clattn_int lanes, clattn_int depths,
                 clattn_int depths_padded, clattn_int lane_stride, clattn_int depth_stride, int W,
                 int clean, clattn_int panels, int share)
{
    const clattn_int first = get_global_id(0) * share, block = get_global_id(1),
                     g = get_global_id(2), blocks = get_global_size(1);
    const clattn_int begin = block * DEPTHS, end = min(begin + DEPTHS, depths_padded);
    const clattn_int source = row_of(view, g / heads, g % heads, 0),
                     count = min((clattn_int)share, panels - first), panel_step = depths_padded * W;
    const packing p = {tensor, view.kind, depths, lane_stride, depth_stride, W};
    packed += (g * panels + first) * panel_step;
    if (lane_stride == 1 && W == 1)
        pack_turned(packed, &p, source + first, lanes - first, begin, end, panel_step, count);
    else if (lane_stride == 1)
        for (clattn_int depth = begin; depth < end; depth++)
            pack_depth(packed + depth * W, &p, source + depth * depth_stride + first * W,
                       depth < depths ? lanes - first * W : 0, panel_step, count);
    else
        for (clattn_int panel = 0; panel < count; panel++)
            pack_lanes(packed + panel * panel_step, &p, source + (first + panel) * W * lane_stride,
                       lanes - (first + panel) * W, begin, end);
    if (clean)
        for (clattn_int panel = 0; panel < count; panel++)
            flags[(g * panels + first + panel) * blocks + block] =
                clean_panel(packed + panel * panel_step + begin * W, (end - begin) * W);
}
