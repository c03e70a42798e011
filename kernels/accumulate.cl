/* accumulate.cl: adds a step's weights to the sum of those before
 *
 * Formula   sums[b][h][j] += weights(b, h, 0, j)
 * Source    coverage: See et al., arXiv:1704.04368; cumulative weights: Tacotron 2, arXiv:1712.05884
 * Shapes    sums: [B][H][T]; weights: view (B, H, 1, T)
 * Units     strides in elements
 * Launch    global {T, H, B}, local chosen by the driver
 * See       src/decoder.c, tests/api/test_decoder.c
 */
#include "common.clh"

kernel void accumulate(global ACC *sums, global const void *weights, clattn_view of_weights)
{
    const clattn_int j = get_global_id(0), h = get_global_id(1), b = get_global_id(2),
                     T = get_global_size(0), heads = get_global_size(1);
    sums[(b * heads + h) * T + j] +=
        load_element(weights, of_weights.kind, row_of(of_weights, b, h, 0) + j * of_weights.column);
}
