/* pack.cl: brings a tensor of any type and strides into dense panels of the sums' type
 *
 * Formula   packed[g][lane / W][depth][lane % W] = tensor(g, lane, depth), 0 past the last lane or
 *           depth; W = 1 and lanes = rows makes a plain row-major copy
 * Shapes    tensor: G heads g = b*H + h of lanes x depths; packed: [G][panels][depths_padded][W]
 * Units     strides in elements
 * Launch    global {ceil(panels / share), ceil(depths_padded / DEPTHS), G}, local {1, 1, 1}; a work-item
 *           packs W lanes x DEPTHS depths of `share` panels
 * Memory    reads and writes each element once
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

/* Depths [begin, end) of a panel: `lanes` of its W are the tensor's, the first one begins at `from`. */
static inline void pack_panel(global ACC *target, global const void *tensor, clattn_int kind,
                              clattn_int from, clattn_int lanes, clattn_int depths,
                              clattn_int begin, clattn_int end, clattn_int lane_stride,
                              clattn_int depth_stride, int W)
{
    /* One lane after the other: the block of the panel stays in the nearest cache meanwhile. */
    for (int l = 0; l < W; l++, from += lane_stride) {
        const clattn_int filled = l < lanes ? max(min(end, depths), begin) : begin;
        clattn_int depth = begin;
        if (W == 1 && depth_stride == 1)
            for (; depth + VW <= filled; depth += VW)
                STORE_GLOBAL(load_run(tensor, kind, from + depth), target + depth);
        if (kind == KIND_OF_SUMS)
            for (; depth < filled; depth++)
                target[depth * W + l] = ((global const ACC *)tensor)[from + depth * depth_stride];
        else
            for (; depth < filled; depth++)
                target[depth * W + l] = load_element(tensor, kind, from + depth * depth_stride);
        for (depth = filled; depth < end; depth++)
            target[depth * W + l] = 0;
    }
}

/* True when something was not finite, and is 0 now. */
static inline bool clean_panel(global ACC *target, clattn_int begin, clattn_int end, int W)
{
    bool found = false;
    for (clattn_int n = begin * W; n < end * W; n++)
        if (!isfinite(target[n])) {
            target[n] = 0;
            found = true;
        }
    return found;
}

kernel void pack(global const void *tensor, clattn_view view, global ACC *packed,
                 global uchar *flags, clattn_int heads, clattn_int lanes, clattn_int depths,
                 clattn_int depths_padded, clattn_int lane_stride, clattn_int depth_stride, int W,
                 int clean, clattn_int panels, int share)
{
    const clattn_int first = get_global_id(0) * share, block = get_global_id(1),
                     g = get_global_id(2), blocks = get_global_size(1);
    const clattn_int begin = block * DEPTHS, end = min(begin + DEPTHS, depths_padded);
    const clattn_int source = row_of(view, g / heads, g % heads, 0);
    for (clattn_int panel = first; panel < min(first + share, panels); panel++) {
        global ACC *target = packed + (g * panels + panel) * depths_padded * W;
        pack_panel(target, tensor, view.kind, source + panel * W * lane_stride, lanes - panel * W,
                   depths, begin, end, lane_stride, depth_stride, W);
        if (clean)
            flags[(g * panels + panel) * blocks + block] = clean_panel(target, begin, end, W);
    }
}
