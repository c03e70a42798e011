/* location_features.cl: what filters find in the weights of earlier steps around each key
 *
 * Formula   out[b][h][c][j] = sum_k filters(h, c, k) weights(b, h, j + k - (K - 1) / 2), weights past
 *           the first and last key being 0; with a second channel, the same of it is added
 * Source    Chorowski et al., "Attention-based models for speech recognition", arXiv:1506.07503; two
 *           channels: Shen et al. (Tacotron 2), arXiv:1712.05884
 * Shapes    filters: view (1, H, C, K); weights: view (B, H, 1, T); likewise the second channel, which
 *           may be absent; out: [B][H][C][stride], stride a multiple of VW, at least T
 * Units     strides in elements
 * Launch    global {ceil(T / VW), H, B}, local {1, 1, 1}; a work-item makes all features of VW keys
 * Memory    FILTERS vectors of sums in registers; reads the weights once for each FILTERS filters
 * Edges     what lies past T in a row's last vector is of no meaning
 * See       src/ops/operands.c, tests/api/test_scores.c
 *
 * -D        meaning                            values   set by
 * FILTERS   filters that share a reading       1 to 16  src/ops/operands.c
 */
#include "common.clh"
#include "modify.clh"
#ifndef FILTERS
#error "location_features.cl: FILTERS must be given"
#endif

/* VW weights from key `first` on, which may lie before the first key or past the last one. */
static inline vec load_around(global const void *weights, clattn_view view, clattn_int at,
                              clattn_int first, clattn_int T)
{
    if (first >= 0 && first + VW <= T)
        return load_keys(weights, view, at, first, VW);
    ACC lanes[VW];
    for (int l = 0; l < VW; l++)
        lanes[l] = first + l >= 0 && first + l < T
                       ? load_element(weights, view.kind, at + (first + l) * view.column)
                       : (ACC)0;
    return LOAD_VEC(lanes);
}

/* Adds what `count` filters from filter c on find around keys j, j + 1, ... of head (b, h). */
static inline void add_channel(vec sums[FILTERS], global const void *filters,
                               clattn_view of_filters, clattn_int K, global const void *weights,
                               clattn_view of_weights, clattn_int b, clattn_int h, clattn_int c,
                               int count, clattn_int j, clattn_int T)
{
    const clattn_int at = row_of(of_weights, b, h, 0);
    for (clattn_int k = 0; k < K; k++) {
        const vec around = load_around(weights, of_weights, at, j + k - (K - 1) / 2, T);
        for (int n = 0; n < count; n++)
            sums[n] =
                fma((vec)(load_element(filters, of_filters.kind,
                                       row_of(of_filters, 0, h, c + n) + k * of_filters.column)),
                    around, sums[n]);
    }
}

kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
location_features(global const void *filters, clattn_view of_filters, global const void *weights,
                  clattn_view of_weights, global const void *more_filters,
                  clattn_view of_more_filters, global const void *more_weights,
                  clattn_view of_more_weights, clattn_int C, clattn_int K, clattn_int T,
                  global ACC *out, clattn_int stride)
{
    const clattn_int j = (clattn_int)get_global_id(0) * VW, h = get_global_id(1),
                     b = get_global_id(2), heads = get_global_size(1);
    out += (b * heads + h) * C * stride + j;
    for (clattn_int c = 0; c < C; c += FILTERS) {
        const int count = (int)min(C - c, (clattn_int)FILTERS);
        vec sums[FILTERS];
        for (int n = 0; n < FILTERS; n++)
            sums[n] = 0;
        add_channel(sums, filters, of_filters, K, weights, of_weights, b, h, c, count, j, T);
        if (of_more_weights.kind != KIND_ABSENT)
            add_channel(sums, more_filters, of_more_filters, K, more_weights, of_more_weights, b, h,
                        c, count, j, T);
        for (int n = 0; n < count; n++)
            STORE_VEC(sums[n], out + (c + n) * stride);
    }
}
