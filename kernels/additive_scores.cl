/* additive_scores.cl: additive scores of all queries and keys of a head, for softmax_rows.cl
 *
 * Formula   s[b][h][i][j] = scale * sum_a v[a] tanh(x[i][a] + bias[a] + y[j][a] +
 *           sum_c rows[c][a] features[c][j])
 * Source    see additive.clh
 * Shapes    query: x, (B, Hq, S, A); key: y, (B, Hkv or Hq, T, A); v, bias: (1, Hq, 1, A); rows:
 *           (1, Hq, C, A); features: (B, Hq, C, T); views of any type and strides. s: [B][Hq][S][stride],
 *           which is [G][M][stride] of softmax_rows.cl; stride: a multiple of VW, at least T
 * Units     strides in elements
 * Launch    global {blocks * splits, Hq, B}, local {1, 1, 1}; a work-item makes ROWS queries of a head by
 *           split_keys keys, a multiple of VW
 * Edges     what lies past T in a row's last vector is of no meaning
 * See       src/ops/pairs.c, src/reference, tests/api/test_scores.c
 *
 * -D        as additive.clh
 */
#include "common.clh"
#define SCORES_SPACE global
#include "additive.clh"

kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
additive_scores(global const void *query, clattn_view of_query, global const void *key,
                clattn_view of_key, int units, ACC scale, clattn_int S, clattn_int T,
                clattn_int split_keys, global ACC *s, clattn_int stride, global const void *v,
                clattn_view of_v, global const void *bias, clattn_view of_bias,
                global const void *rows_of_features, clattn_view of_rows,
                global const void *features, clattn_view of_features, global const void *forms,
                clattn_view of_forms, global const void *extents, clattn_view of_extents,
                int feature_count, int key_group)
{
    const clattn_int splits = (T + split_keys - 1) / split_keys,
                     i = get_global_id(0) / splits * ROWS,
                     begin = get_global_id(0) % splits * split_keys, h = get_global_id(1),
                     b = get_global_id(2), heads = get_global_size(1);
    const additive_head head =
        take_head(query, of_query, key, of_key, units, v, of_v, bias, of_bias, rows_of_features,
                  of_rows, features, of_features, forms, of_forms, extents, of_extents,
                  feature_count, key_group, b, h);
    additive_block(s + ((b * heads + h) * S + i) * stride + begin, stride, &head, i,
                   (int)min(S - i, (clattn_int)ROWS), begin, min(begin + split_keys, T), scale);
}
