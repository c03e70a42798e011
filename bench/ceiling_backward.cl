/* ceiling_backward.cl: what lanes_backward.cl cannot do without, and nothing else: its five products. No kernel with
 * these products is faster.
 *
 * Formula   w = q.k, s = g.v of all pairs; dV[k] = sum_q w g, dK[k] = sum_q s q, dQ[q] = sum_k s k
 * Shapes    query, gradient: one block of rows, (BQ, D), which all blocks and groups use again, so that it stays where
 *           products read it; key, value (T, D): one head for all groups. grad_query (G, M, D), grad_key,
 *           grad_value (G, T, D). D and T are multiples of NV * VW
 * Launch    global {G}, local {1}
 *
 * -D        meaning
 * BQ        rows of a block
 * and those of block_products.clh
 */
#include "block_products.clh"

static inline void make_scores(ACC *to, const ACC *rows, const ACC *panels, int keys, int tiles,
                               int D)
{
    for (int p = 0; p < keys; p += PANEL)
        for (int t = 0; t < tiles; t++) {
            vec tile[MR][NV];
            multiply_rows(tile, rows + t * MR * STEP, panels + p * MOST, D);
            store_scores(to + t * MR * SCORE_STEP + p, tile);
        }
}

static inline void add_to_keys(ACC *sums, const ACC *scores, const ACC *rows, int keys, int tiles,
                               int D)
{
    for (int l = 0; l < keys; l += MR)
        add_to_key_tile(sums + l * STEP, scores + l, rows, tiles * MR, keys - l, D);
}

static inline void add_to_rows(global ACC *sums, const ACC *scores, const ACC *keys, int rows,
                               int count, int D)
{
    for (int r = 0; r < rows; r += MR)
        add_to_row_tile(sums + r * D, scores + r * SCORE_STEP, keys, count, rows - r, D);
}

kernel void ceiling_backward(global const ACC *query, global const ACC *key,
                             global const ACC *value, global const ACC *gradient,
                             global ACC *grad_query, global ACC *grad_key, global ACC *grad_value,
                             int M, int T, int D)
{
    ACC queries[BQ * STEP], gradients[BQ * STEP], weights[BQ * SCORE_STEP], slopes[BQ * SCORE_STEP],
        keys[BK * STEP], key_panels[BK * MOST], value_panels[BK * MOST], key_sums[BK * STEP],
        value_sums[BK * STEP];
    const clattn_view dense = {0, 0, 0, 0, 1, KIND_OF_SUMS};
    const clattn_int g = get_global_id(0);
    clattn_int at[BQ > BK ? BQ : BK];
    for (int r = 0; r < BQ; r++)
        at[r] = (clattn_int)min(r, M - 1) * D;
    copy_rows(queries, query, dense, at, BQ, BQ, D);
    copy_rows(gradients, gradient, dense, at, BQ, BQ, D);
    grad_query += g * M * D, grad_key += g * T * D, grad_value += g * T * D;
    for (clattn_int n = 0; n < (clattn_int)M * D; n += VW)
        STORE_GLOBAL((vec)(0), grad_query + n);
    for (int k = 0; k < T; k += BK) {
        const int count = min(T - k, BK);
        for (int l = 0; l < count; l++)
            at[l] = (clattn_int)(k + l) * D;
        copy_rows(keys, value, dense, at, count, count, D);
        transpose_rows(value_panels, keys, count, D);
        copy_rows(keys, key, dense, at, count, count, D);
        transpose_rows(key_panels, keys, count, D);
        clear_rows(key_sums, count, D);
        clear_rows(value_sums, count, D);
        for (int first = 0; first < M; first += BQ) {
            const int rows = min(M - first, BQ), tiles = (rows + MR - 1) / MR;
            make_scores(weights, queries, key_panels, count, tiles, D);
            make_scores(slopes, gradients, value_panels, count, tiles, D);
            for (int r = rows; r < tiles * MR; r++) /* rows that are not there */
                for (int l = 0; l < count; l += VW) {
                    STORE_VEC((vec)(0), weights + r * SCORE_STEP + l);
                    STORE_VEC((vec)(0), slopes + r * SCORE_STEP + l);
                }
            add_to_keys(value_sums, weights, gradients, count, tiles, D);
            add_to_keys(key_sums, slopes, queries, count, tiles, D);
            add_to_rows(grad_query + (clattn_int)first * D, slopes, keys, rows, count, D);
        }
        for (int l = 0; l < count; l++) {
            store_row(grad_key, dense, (clattn_int)(k + l) * D, key_sums + l * STEP, D);
            store_row(grad_value, dense, (clattn_int)(k + l) * D, value_sums + l * STEP, D);
        }
    }
}
