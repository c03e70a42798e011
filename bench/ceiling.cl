/* ceiling.cl: what lanes.cl cannot do without, and nothing else: its two products, and the exponentials
 * between them. No kernel with these products is faster.
 *
 * Formula   o[q] = sum_k w(q.k) v[k], w(x) = x, or exp(x) for x <= 0
 * Shapes    query (M, D), key (T, D), value (T, D): one head, dense, which all groups read, so that it lies
 *           in the nearest caches; output (G, M, D). M and T are multiples of the blocks, D of VW and MD
 * Launch    global {M / BQ * G}, local {1}
 *
 * -D            meaning
 * MOST          D at most
 * BK            keys of a block
 * EXPONENTIALS  1: w is the exponential
 * and those of lane_products.clh, where KIND is KIND_F32
 */
#include "lane_products.clh"

kernel void ceiling(global const float *query, global const float *key, global const float *value,
                    global float *output, int M, int T, int D)
{
    const int blocks = M / BQ, id = (int)get_global_id(0), first = id % blocks * BQ;
    const rows_of_head keys = {key, D}, values = {value, D};
    vec queries[MOST * NV], sums[MOST * NV], scores[BK * NV], most[NV], kept[NV];
    clattn_int rows[BQ], output_rows[BQ];
    for (int l = 0; l < BQ; l++) {
        rows[l] = (clattn_int)(first + l) * D;
        output_rows[l] = (clattn_int)id * BQ * D + l * D;
    }
    for (int v = 0; v < NV; v++) {
        most[v] = 0, kept[v] = 1;
        load_queries(queries + v, query, rows + v * VW, 1, D);
    }
    for (int i = 0; i < D * NV; i++)
        sums[i] = 0;
    for (int k = 0; k < T; k += BK) {
        for (int i = 0; i < BK; i += MK)
            score_tile(scores + i * NV, most, queries, keys, k + i, T - 1, D, 1.0f);
#if EXPONENTIALS
        for (int i = 0; i < BK; i++)
#pragma unroll
            for (int v = 0; v < NV; v++)
                scores[i * NV + v] = exponential(scores[i * NV + v]);
#endif
        weigh(sums, scores, kept, values, k, BK, D, false, 1.0f);
    }
    for (int v = 0; v < NV; v++)
        store_rows(output, sums + v, output_rows + v * VW, 1, D, VW);
}
