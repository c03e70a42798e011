/* merge_parts.cl: what a row has of each split of its keys becomes one
 *
 * Formula   most = max_c most[c];  share[c] = sum[c] exp(most[c] - most);  all = sum_c share[c]
 *           lse = most + log(all);  o = sum_c share[c] o[c] / all, or o = sum_c o[c] where
 *           each key has a weight of its own
 * Source    Dao et al., "Flash-Decoding for long-context inference", 2023
 * Shapes    parts: [G][splits][M][DV + 2], maximum, sum and values as tiles.cl leaves them, M =
 *           group * S rows of key head g; output (B, Hq, S, DV) and lse (B, Hq, S): views
 * Launch    global {ceil(DV / VW), M, G}, or {1, M, G} for lse alone
 * Memory    reads maxima and sums once for each vector, values once
 * Edges     a row that sees nothing gives zeros and lse -infinity (or the sink). A split none of
 *           whose weights is above 0 still shows what it has of NaN
 * See       src/ops/tiles.c, tests/kernels/test_tiles.c
 *
 * -D        meaning                                   values     set by
 * KIND      of output, a KIND_ of arguments.h         0 to 3     desc.dtype
 */
#include "common.clh"
#ifndef KIND
#error "merge_parts.cl: KIND must be given"
#endif

kernel void merge_parts(global const ACC *parts, clattn_int splits, clattn_int S, clattn_int heads,
                        clattn_int DV, int normalizer, global const void *sinks,
                        clattn_view sinks_view, global void *output, clattn_view output_view,
                        global void *lse, clattn_view lse_view)
{
    const clattn_int d = (clattn_int)get_global_id(0) * VW, r = get_global_id(1),
                     M = get_global_size(1), g = get_global_id(2), b = g / heads,
                     h = g % heads * (M / S) + r / S, i = r % S, part = DV + 2;
    const ACC sink = sinks_view.kind == KIND_ABSENT
                         ? (ACC)-INFINITY
                         : load_element(sinks, sinks_view.kind, row_of(sinks_view, 0, h, 0));
    parts += (g * splits * M + r) * part;
    ACC most = sink;
    for (clattn_int c = 0; c < splits; c++)
        most = fmax(most, parts[c * M * part]);
    /* Where all is hidden, -infinity less itself would be NaN; any finite shift does. */
    const ACC shift = most == -INFINITY ? (ACC)0 : most;
    ACC total = exp(sink - shift);
    for (clattn_int c = 0; c < splits; c++)
        total = fma(parts[c * M * part + 1], exp(parts[c * M * part] - shift), total);
    if (d == 0 && lse_view.kind != KIND_ABSENT)
        store_element(lse, lse_view.kind, row_of(lse_view, b, h, i), shift + log(total));
    if (output_view.kind == KIND_ABSENT)
        return;
    const int count = (int)min(DV - d, (clattn_int)VW);
    vec sum = (vec)(0);
    for (clattn_int c = 0; c < splits; c++) {
        global const ACC *of_split = parts + c * M * part;
        const ACC share = of_split[1] * exp(of_split[0] - shift) / (total == 0 ? (ACC)1 : total);
        sum = fma((vec)(normalizer == SOFTMAX ? share : (ACC)1),
                  load_lanes(of_split, KIND_OF_SUMS, 2 + d, 1, count), sum);
    }
    store_lanes(output, KIND, row_of(output_view, b, h, i) + d * output_view.column,
                output_view.column, sum, count);
}
