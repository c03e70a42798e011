/* location_weight_gradients.cl: gradients of the earlier steps' weights that location_features.cl looks at
 *
 * Formula   out[b][h][j] = sum_c sum_k d[b][h][j - k + (K - 1) / 2][c] filters(h, c, k), over keys that there are
 * Source    Chorowski et al., "Attention-based models for speech recognition", arXiv:1506.07503
 * Shapes    d: [B][H][T][C]; filters: view (1, H, C, K); out: [B][H][T]
 * Units     strides in elements
 * Launch    global {T, H, B}, local chosen by the driver; a work-item makes a number
 * See       src/ops/operand_gradients.c
 */
#include "common.clh"
#include "modify.clh"

kernel void location_weight_gradients(global const ACC *d, global const void *filters,
                                      clattn_view of_filters, clattn_int C, clattn_int K,
                                      clattn_int T, global ACC *out)
{
    const clattn_int j = get_global_id(0), h = get_global_id(1), b = get_global_id(2),
                     g = b * get_global_size(1) + h;
    const clattn_view dense = {0, 0, 0, 0, 1, KIND_OF_SUMS};
    ACC total = 0;
    for (clattn_int k = 0; k < K; k++) {
        const clattn_int from = j - k + (K - 1) / 2;
        vec part = 0;
        if (from < 0 || from >= T)
            continue;
        for (clattn_int c = 0; c < C; c += VW) {
            const int count = (int)min(C - c, (clattn_int)VW);
            part = fma(load_keys(d, dense, (g * T + from) * C, c, count),
                       load_lanes(filters, of_filters.kind,
                                  row_of(of_filters, 0, h, c) + k * of_filters.column,
                                  of_filters.row, count),
                       part);
        }
        total += sum_lanes(part);
    }
    out[g * T + j] = total;
}
