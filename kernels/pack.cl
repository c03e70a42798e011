/* pack.cl: brings a tensor of any type and strides into dense panels of the sums' type
 *
 * Formula   packed[g][lane / W][depth][lane % W] = tensor(g, lane, depth), 0 past the last lane or
 *           depth; W = 1 and lanes = rows makes a plain row-major copy
 * Shapes    tensor: G heads g = b*H + h of lanes x depths; packed: [G][panels][depths_padded][W]
 * Units     strides in elements
 * Launch    global {panels, ceil(depths_padded / DEPTHS), G}, local {1, 1, 1}; a work-item packs
 *           W lanes x DEPTHS depths
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

kernel void pack(global const void *tensor, clattn_view view, global ACC *packed,
                 global uchar *flags, clattn_int heads, clattn_int lanes, clattn_int depths,
                 clattn_int depths_padded, clattn_int lane_stride, clattn_int depth_stride, int W,
                 int clean)
{
    const clattn_int panel = get_global_id(0), block = get_global_id(1), g = get_global_id(2);
    const clattn_int panels = get_global_size(0), blocks = get_global_size(1);
    const clattn_int begin = block * DEPTHS, end = min(begin + DEPTHS, depths_padded);
    const clattn_int source = row_of(view, g / heads, g % heads, 0);
    global ACC *target = packed + (g * panels + panel) * depths_padded * W;
    /* One lane after the other: the block of the panel stays in the nearest cache meanwhile. */
    for (int l = 0; l < W; l++) {
        const clattn_int lane = panel * W + l, from = source + lane * lane_stride;
        const clattn_int filled = lane < lanes ? max(min(end, depths), begin) : begin;
        clattn_int depth = begin;
        if (W == 1 && depth_stride == 1)
            for (; depth + VW <= filled; depth += VW)
                STORE_GLOBAL(load_run(tensor, view.kind, from + depth), target + depth);
        if (view.kind == KIND_OF_SUMS)
            for (; depth < filled; depth++)
                target[depth * W + l] = ((global const ACC *)tensor)[from + depth * depth_stride];
        else
            for (; depth < filled; depth++)
                target[depth * W + l] =
                    load_element(tensor, view.kind, from + depth * depth_stride);
        for (depth = filled; depth < end; depth++)
            target[depth * W + l] = 0;
    }
    if (!clean)
        return;
    bool found = false;
    for (clattn_int n = begin * W; n < end * W; n++)
        if (!isfinite(target[n])) {
            target[n] = 0;
            found = true;
        }
    flags[(g * panels + panel) * blocks + block] = found;
}
