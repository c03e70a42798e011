/* row_deltas.cl: what all gradients of a row's weights have in common, before they go on to scores
 *
 * Formula   delta[i] = dO[i].O[i] - dlse[i];  sinks[i] = -exp(sink - lse[i]) delta[i]
 * Source    Dao et al., "FlashAttention", arXiv:2205.14135, algorithm 4: dO.O is the mean of dO.v by a row's
 *           weights
 * Shapes    output, grad_output (B, Hq, S, DV), lse, grad_lse (B, Hq, S): views of any strides; deltas,
 *           sink_parts [G][M], rows as in lanes_backward.cl
 * Launch    global {ceil(M / ROWS), G}; a work-item makes ROWS rows
 * Memory    reads both outputs once
 * Edges     without grad_lse, or without sinks, that part is left out. An output of 0, as of a row that sees no
 *           key, adds nothing, whatever comes in there
 * See       src/ops/dot_gradients.c, tests/kernels/test_lanes_backward.c
 *
 * -D        meaning                     values   set by
 * ROWS      rows of a work-item         1, 64    dot_gradients.c
 */
#include "common.clh"
#include "modify.clh"
#ifndef ROWS
#error "row_deltas.cl: ROWS must be given"
#endif

kernel void row_deltas(global const void *output, clattn_view output_view,
                       global const void *grad_output, clattn_view grad_output_view,
                       global const void *lse, clattn_view lse_view, global const void *grad_lse,
                       clattn_view grad_lse_view, global const void *sinks, clattn_view sinks_view,
                       int DV, clattn_int heads, clattn_int S, clattn_int M, global ACC *deltas,
                       global ACC *sink_parts)
{
    const clattn_int first = (clattn_int)get_global_id(0) * ROWS, g = get_global_id(1),
                     b = g / heads;
    for (clattn_int r = first; r < min(first + ROWS, M); r++) {
        const clattn_int h = g % heads * (M / S) + r / S, i = r % S,
                         output_row = row_of(output_view, b, h, i),
                         gradient_row = row_of(grad_output_view, b, h, i);
        vec sum = 0;
        for (int d = 0; d < DV; d += VW) {
            const int count = min(DV - d, VW);
            const vec o = load_keys(output, output_view, output_row, d, count),
                      gradient = load_keys(grad_output, grad_output_view, gradient_row, d, count);
            sum = fma(select(gradient, (vec)(0), (ivec)(o == (vec)(0))), o, sum);
        }
        ACC delta = sum_lanes(sum);
        if (grad_lse_view.kind != KIND_ABSENT)
            delta -= load_element(grad_lse, grad_lse_view.kind, row_of(grad_lse_view, b, h, i));
        deltas[g * M + r] = delta;
        if (sinks_view.kind != KIND_ABSENT)
            sink_parts[g * M + r] =
                -exp(load_element(sinks, sinks_view.kind, row_of(sinks_view, 0, h, 0)) -
                     load_element(lse, lse_view.kind, row_of(lse_view, b, h, i))) *
                delta;
    }
}
