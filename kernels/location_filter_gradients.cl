/* location_filter_gradients.cl: gradients of the filters of location_features.cl
 *
 * Formula   out[b][h][c][k] = sum_j d[b][h][j][c] weights(b, h, j + k - (K - 1) / 2), weights past the first and
 *           last key being 0
 * Source    Chorowski et al., "Attention-based models for speech recognition", arXiv:1506.07503
 * Shapes    d: [B][H][T][C]; weights: view (B, H, 1, T); out: [B][H][C][K]
 * Units     strides in elements
 * Launch    global {ceil(C / VW), H, B}, local {1, 1, 1}; a work-item makes VW filters
 * Edges     sums are made of sums of SUM_BLOCK keys
 * See       src/ops/operand_gradients.c
 */
#include "common.clh"
#include "modify.clh"

kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
location_filter_gradients(global const ACC *d, global const void *weights, clattn_view of_weights,
                          clattn_int C, clattn_int K, clattn_int T, global ACC *out)
{
    const clattn_int c = (clattn_int)get_global_id(0) * VW, h = get_global_id(1),
                     b = get_global_id(2), heads = get_global_size(1), g = b * heads + h,
                     at = row_of(of_weights, b, h, 0);
    const clattn_view dense = {0, 0, 0, 0, 1, KIND_OF_SUMS};
    const int count = (int)min(C - c, (clattn_int)VW);
    for (clattn_int k = 0; k < K; k++) {
        const clattn_int shift = k - (K - 1) / 2, end = min(T, T - shift);
        vec total = 0;
        for (clattn_int j = max((clattn_int)0, -shift); j < end;) {
            vec part = 0;
            for (int n = 0; n < SUM_BLOCK && j < end; n++, j++)
                part = fma((vec)(load_element(weights, of_weights.kind,
                                              at + (j + shift) * of_weights.column)),
                           load_keys(d, dense, (g * T + j) * C, c, count), part);
            total += part;
        }
        store_lanes(out, KIND_OF_SUMS, (g * C + c) * K + k, K, total, count);
    }
}
