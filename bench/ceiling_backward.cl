/* ceiling_backward.cl: what lanes_backward.cl cannot do without, and nothing else: its five products. No kernel with
 * these products is faster.
 *
 * Formula   w = q.k, s = g.v of all pairs; dV[k] = sum_q w g, dK[k] = sum_q s q, dQ[q] = sum_k s k; with
 *           EXPONENTIALS w = e^(q.k - SHIFT). Causal: tiles of which a row sees a key are made, whole, and no others
 * Shapes    query, gradient: one block of rows, (BQ, D), which all blocks and groups use again, so that it stays where
 *           products read it; key, value (T, D): one head for all groups. grad_query (G, M, D), grad_key,
 *           grad_value (G, T, D). D and T are multiples of NV * VW; causal: M = T
 * Launch    global {G}, local {1}
 *
 * -D             meaning
 * BQ             rows of a block
 * EXPONENTIALS   1: scores become weights
 * SHIFT          more than any score
 * and those of block_products.clh
 */
#include "block_products.clh"

/* Keys of a block of `keys` that a tile of rows sees, whose first row is `ahead` of the first key. */
static inline int keys_seen(int ahead, int keys, int causal)
{
    return causal ? clamp(ahead + MR, 0, keys) : keys;
}

static inline void make_scores(ACC *to, const ACC *rows, const ACC *panels, int ahead, int keys,
                               int tiles, int D, int causal, bool weigh)
{
    for (int p = 0; p < keys; p += PANEL)
        for (int t = 0; t < tiles; t++) {
            vec tile[MR][NV];
            if (p >= keys_seen(ahead + t * MR, keys, causal)) {
                for (int i = 0; i < MR; i++)
                    for (int v = 0; v < NV; v++)
                        tile[i][v] = 0;
            } else {
                multiply_rows(tile, rows + t * MR * STEP, panels + p * MOST, D);
#pragma unroll
                for (int i = 0; i < MR && weigh; i++)
#pragma unroll
                    for (int v = 0; v < NV; v++)
                        tile[i][v] = weight_by_lse(tile[i][v], (vec)(SHIFT));
            }
            store_scores(to + t * MR * SCORE_STEP + p, tile);
        }
}

static inline void add_to_keys(ACC *sums, const ACC *scores, const ACC *rows, int ahead, int keys,
                               int tiles, int D, int causal)
{
    for (int l = 0; l < keys; l += MR) {
        int t = 0;
        while (t < tiles && keys_seen(ahead + t * MR, keys, causal) <= l)
            t++;
        add_to_key_tile(sums + l * STEP, scores + t * MR * SCORE_STEP + l, rows + t * MR * STEP,
                        (tiles - t) * MR, keys - l, D);
    }
}

static inline void add_to_rows(global ACC *sums, const ACC *scores, const ACC *keys, int ahead,
                               int rows, int count, int D, int causal)
{
    for (int r = 0; r < rows; r += MR)
        add_to_row_tile(sums + r * D, scores + r * SCORE_STEP, keys,
                        keys_seen(ahead + r, count, causal), rows - r, D);
}

kernel void ceiling_backward(global const ACC *query, global const ACC *key,
                             global const ACC *value, global const ACC *gradient,
                             global ACC *grad_query, global ACC *grad_key, global ACC *grad_value,
                             int M, int T, int D, int causal)
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
            const int rows = min(M - first, BQ), tiles = (rows + MR - 1) / MR, ahead = first - k;
            if (causal && ahead + rows <= 0)
                continue;
            make_scores(weights, queries, key_panels, ahead, count, tiles, D, causal, EXPONENTIALS);
            make_scores(slopes, gradients, value_panels, ahead, count, tiles, D, causal, false);
            for (int r = rows; r < tiles * MR; r++) /* rows that are not there */
                for (int l = 0; l < count; l += VW) {
                    STORE_VEC((vec)(0), weights + r * SCORE_STEP + l);
                    STORE_VEC((vec)(0), slopes + r * SCORE_STEP + l);
                }
            add_to_keys(value_sums, weights, gradients, ahead, count, tiles, D, causal);
            add_to_keys(key_sums, slopes, queries, ahead, count, tiles, D, causal);
            add_to_rows(grad_query + (clattn_int)first * D, slopes, keys, ahead, rows, count, D,
                        causal);
        }
        for (int l = 0; l < count; l++) {
            store_row(grad_key, dense, (clattn_int)(k + l) * D, key_sums + l * STEP, D);
            store_row(grad_value, dense, (clattn_int)(k + l) * D, value_sums + l * STEP, D);
        }
    }
}
