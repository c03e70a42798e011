/* rbf_scores.cl: squared distances of all queries and keys of a head, for softmax_rows.cl
 *
 * Formula   s[b][h][i][j] = -scale * gamma[h] * sum_d (query[i][d] - key[j][d])^2
 * Source    Nadaraya, "On estimating regression", 1964; Watson, "Smooth regression analysis", 1964
 * Shapes    query (B, Hq, S, D), key (B, Hkv, T, D), gamma (1, Hq, 1, 1): views of any type and strides.
 *           s: [B][Hq][S][stride], which is [G][M][stride] of softmax_rows.cl; stride: a multiple of VW,
 *           at least T
 * Units     strides in elements
 * Launch    global {blocks * splits, Hq, B}, local {1, 1, 1}; a work-item makes ROWS queries of a head by
 *           split_keys keys, a multiple of VW
 * Memory    ROWS * VW vectors of sums in private memory
 * Edges     differences are squared as they are: |q|^2 - 2 q.k + |k|^2 would lose all that near vectors
 *           differ by. What lies past T in a row's last vector is of no meaning
 * See       src/ops/pairs.c, src/reference, tests/api/test_scores.c
 *
 * -D        meaning                     values   set by
 * ROWS      queries of a block          1 to 8   src/ops/pairs.c
 */
#include "common.clh"
#include "modify.clh"
#ifndef ROWS
#error "rbf_scores.cl: ROWS must be given"
#endif

kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
rbf_scores(global const void *query, clattn_view of_query, global const void *key,
           clattn_view of_key, int D, ACC scale, clattn_int S, clattn_int T, clattn_int split_keys,
           global ACC *s, clattn_int stride, global const void *gamma, clattn_view of_gamma,
           int key_group)
{
    const clattn_int splits = (T + split_keys - 1) / split_keys,
                     i = get_global_id(0) / splits * ROWS,
                     begin = get_global_id(0) % splits * split_keys, h = get_global_id(1),
                     b = get_global_id(2), heads = get_global_size(1);
    const clattn_int end = min(begin + split_keys, T);
    const int rows = (int)min(S - i, (clattn_int)ROWS);
    const vec factor =
        (vec)(-scale * load_element(gamma, of_gamma.kind, row_of(of_gamma, 0, h, 0)));
    s += ((b * heads + h) * S + i) * stride;
    for (clattn_int j = begin; j < end; j += VW) {
        vec sums[ROWS][VW];
        for (int r = 0; r < ROWS; r++)
            for (int k = 0; k < VW; k++)
                sums[r][k] = 0;
        for (int d = 0; d < D; d += VW) {
            const int count = min(D - d, VW);
            vec q[ROWS];
            for (int r = 0; r < ROWS; r++)
                q[r] = load_keys(query, of_query, row_of(of_query, b, h, i + min(r, rows - 1)), d,
                                 count);
            for (int k = 0; k < VW; k++) {
                const vec key_part = load_keys(
                    key, of_key, row_of(of_key, b, h / key_group, min(j + k, end - 1)), d, count);
                for (int r = 0; r < ROWS; r++) {
                    const vec apart = q[r] - key_part;
                    sums[r][k] = fma(apart, apart, sums[r][k]);
                }
            }
        }
        for (int r = 0; r < rows; r++)
            STORE_VEC(factor * sums_of_lanes(sums[r]), s + r * stride + j);
    }
}
