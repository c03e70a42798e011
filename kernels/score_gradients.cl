/* score_gradients.cl: from gradients of weights to gradients of scores, one row after the other by each
 * work-group
 *
 * Formula   x[j] = modify(s[j]), w[j] its weight; dw[j] that of the product, and what comes in through weights
 *           with dropout those of weights that dropout.clh drops are 0, and so are the weights that take the
 *           place of s
 *           dx[j] = a[j] (dw[j] - mean) + dlse exp(x[j] - lse);  ds[j] = dx[j] (1 - (c[j] / softcap)^2)
 *           softmax: a = w, mean = sum w dw; none: a = 1, mean = 0; sigmoid: a = w (1 - w), mean = 0;
 *           sparsemax: a = 1 where w > 0, entmax15: a = sqrt(w); mean = sum a dw / sum a
 *           slopes[r] = -sum_j |p - j| dx[j];  sinks[r] = exp(sink - lse) (dlse - mean)
 *           Where weights were saved, they and the saved lse are taken as they are, and s is not read
 * Source    sparsemax, entmax15: Martins and Astudillo, arXiv:1602.02068, Peters et al., arXiv:1905.05702;
 *           their Jacobians as a (diag - mean) are equation 16 of Peters et al.
 * Shapes    s, dw, dx: [G][M][stride] as in softmax_rows.cl: weights take the place of s, ds that of dw;
 *           dx is wanted with a softcap, or for itself; slopes, sinks: [G][M]; the rest are views
 * Units     strides in elements; scores in natural-log units
 * Launch    global {WG, ceil(M / group_rows), G}, local {WG, 1, 1}; a group makes group_rows rows;
 *           work-item l takes vectors l, l + WG, ...
 * Memory    WG values of ACC in local memory; reads s and dw three times, from the nearest cache but for the
 *           first reading
 * Edges     what is hidden, and a row in which all is, gives zeros, whatever dw is there; so does a visible
 *           score of -infinity. Such weights are -0, by which hidden_values.cl knows them
 * See       src/ops/score_gradients.c, src/reference/backward.inc
 *
 * -D and that of row_weights.clh
 */
#include "common.clh"
#include "dropout.clh"
#include "modify.clh"
#include "row_weights.clh"

/* What a gradient of a weight counts for that of its score, before the row's mean is taken off. */
static inline vec share(vec x, vec w, int normalizer)
{
    vec a = w;
    switch (normalizer) {
    case NONE:
        a = (vec)(1);
        break;
    case SIGMOID:
        a = w * ((vec)(1) - w);
        break;
    case SPARSEMAX:
        a = select((vec)(1), w, (ivec)(w == (vec)(0))); /* what is NaN counts, too */
        break;
    case ENTMAX15:
        a = sqrt(w);
        break;
    }
    return select(a, (vec)(0), (ivec)(x == (vec)(-INFINITY)));
}

kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void score_gradients(
    global ACC *s, global ACC *dw, int has_dw, global ACC *dx, int has_dx, clattn_int stride,
    clattn_modifications m, ACC softcap, clattn_int heads, clattn_int M, clattn_int group_rows,
    int normalizer, global const void *mask, global const void *bias, global const void *kv_lengths,
    global const void *alibi_slopes, global const void *sinks, global const void *weights,
    clattn_view of_weights, global const void *lse, clattn_view of_lse, global const void *saved,
    clattn_view of_saved, global const void *saved_lse, clattn_view of_saved_lse,
    global ACC *slopes, global ACC *sink_gradients, clattn_dropout dropout)
{
    local ACC scratch[WG];
    const clattn_int g = get_global_id(2), b = g / heads;
    const clattn_int first = (clattn_int)get_global_id(1) * group_rows;
    const clattn_int start = (clattn_int)get_local_id(0) * VW;
    const bool is_saved = of_saved.kind != KIND_ABSENT;
    const int made_by =
        is_saved ? NONE : normalizer; /* weights of what stands in place of scores */
    for (clattn_int r = first; r < min(first + group_rows, M); r++) {
        const clattn_int h = g % heads * (M / m.S) + r / m.S, i = r % m.S;
        const query_place q = place_query(m, kv_lengths, alibi_slopes, b, h, i);
        const clattn_int mask_row = row_of(m.mask, b, h, i), bias_row = row_of(m.bias, b, h, i),
                         weights_row = row_of(of_weights, b, h, i),
                         saved_row = row_of(of_saved, b, h, i);
        const bool has_sink = m.sinks.kind != KIND_ABSENT, has_lse = of_lse.kind != KIND_ABSENT;
        const ACC sink = has_sink ? load_element(sinks, m.sinks.kind, row_of(m.sinks, 0, h, 0))
                                  : (ACC)-INFINITY,
                  dlse = has_lse ? load_element(lse, of_lse.kind, row_of(of_lse, b, h, i)) : (ACC)0;
        global ACC *const x_row = s + (g * M + r) * stride,
                          *const dw_row = dw + (g * M + r) * stride,
                          *const dx_row = dx + (g * M + r) * stride;
        const clattn_int dropout_row = clattn_dropout_row(&dropout, b, h, i);
        vec top = (vec)(-INFINITY);
        for (clattn_int j = start; j < m.T; j += WG * VW) {
            /* Past the last key there may be what nobody has written. */
            const int count = (int)min(m.T - j, (clattn_int)VW);
            const vec raw = is_saved
                                ? load_keys(saved, of_saved, saved_row, j, count)
                                : load_keys(s, (clattn_view){.column = 1, .kind = KIND_OF_SUMS},
                                            (g * M + r) * stride, j, count),
                      capped = is_saved ? (vec)(0) : cap_score(raw, softcap),
                      modified =
                          modify_keys(capped, m, q, j, count, mask, mask_row, bias, bias_row),
                      x = is_saved ? select(raw, modified, (ivec)(modified == (vec)(-INFINITY)))
                                   : modified;
            vec d = has_dw ? LOAD_VEC(dw_row + j) : (vec)(0);
            if (of_weights.kind != KIND_ABSENT)
                d += load_keys(weights, of_weights, weights_row, j, count);
            d = drop(d, dropout, dropout_row, j);
            if (softcap > 0) {
                const vec part = capped / (vec)(softcap);
                STORE_VEC(fma(-part, part, (vec)(1)), dx_row + j);
            }
            STORE_VEC(x, x_row + j);
            STORE_VEC(select(d, (vec)(0), (ivec)(x == (vec)(-INFINITY))), dw_row + j);
            top = larger(top, x);
        }

        /* Where all is hidden, -infinity less itself would be NaN. */
        const ACC seen = fmax(group_reduce(max_lanes(top), scratch, 0), sink),
                  most = is_saved && has_sink ? load_element(saved_lse, of_saved_lse.kind,
                                                             row_of(of_saved_lse, b, h, i))
                                              : seen,
                  shift = most == -INFINITY ? (ACC)0 : most;
        const ACC threshold = made_by == SPARSEMAX || made_by == ENTMAX15
                                  ? find_threshold(x_row, start, m.T, shift, made_by, scratch)
                                  : (ACC)0;
        const bool summed = normalizer == SOFTMAX || has_lse;
        vec exponentials = 0, shares = 0, products = 0;
        for (clattn_int j = start; j < m.T;) {
            vec some = 0, some_shares = 0, some_products = 0;
            for (int n = 0; n < SUM_BLOCK && j < m.T; n++, j += WG * VW) {
                const vec x = LOAD_VEC(x_row + j),
                          a = share(x, weigh(x, shift, threshold, made_by), normalizer);
                if (summed)
                    some += normalizer == SOFTMAX ? a : exponential(x - (vec)(shift));
                some_shares += a;
                some_products = fma(a, LOAD_VEC(dw_row + j), some_products);
            }
            exponentials += some, shares += some_shares, products += some_products;
        }
        const ACC keys_sum = group_reduce(sum_lanes(exponentials), scratch, 1),
                  share_sum = group_reduce(sum_lanes(shares), scratch, 1),
                  product = group_reduce(sum_lanes(products), scratch, 1),
                  sink_part = has_sink ? exp(sink - shift) : (ACC)0, sum = keys_sum + sink_part,
                  factor = sum == 0 || is_saved ? (ACC)1 : 1 / sum,
                  divisor = normalizer == SOFTMAX ? sum : share_sum,
                  mean = normalizer == NONE || normalizer == SIGMOID || divisor == 0
                             ? (ACC)0
                             : product / divisor;

        vec slope_total = 0;
        for (clattn_int j = start; j < m.T;) {
            vec slope_part = 0;
            for (int n = 0; n < SUM_BLOCK && j < m.T; n++, j += WG * VW) {
                const vec x = LOAD_VEC(x_row + j), e = weigh(x, shift, threshold, made_by),
                          w = select(normalizer == SOFTMAX ? e * (vec)(factor) : e, (vec)(0),
                                     (ivec)(x == (vec)(-INFINITY)));
                vec d = share(x, w, normalizer) * (LOAD_VEC(dw_row + j) - (vec)(mean));
                if (has_lse)
                    d +=
                        (vec)(dlse) *
                        (normalizer == SOFTMAX ? w : exponential(x - (vec)(shift)) * (vec)(factor));
                d = select(d, (vec)(0), (ivec)(x == (vec)(-INFINITY)));
                if (m.alibi_slopes.kind != KIND_ABSENT) {
                    ACC distances[VW];
                    for (int l = 0; l < VW; l++)
                        distances[l] = (ACC)(q.position - j - l);
                    slope_part = fma(-fabs(LOAD_VEC(distances)), d, slope_part);
                }
                STORE_VEC(select(drop(w, dropout, dropout_row, j) + (vec)(0), -(vec)(0),
                                 (ivec)(x == (vec)(-INFINITY))),
                          x_row + j);
                STORE_VEC(softcap > 0 ? d * LOAD_VEC(dx_row + j) : d, dw_row + j);
                if (has_dx)
                    STORE_VEC(d, dx_row + j);
            }
            slope_total += slope_part;
        }
        const ACC slope = group_reduce(sum_lanes(slope_total), scratch, 1);
        if (get_local_id(0) == 0) {
            slopes[g * M + r] = slope;
            sink_gradients[g * M + r] = sink_part * factor * (dlse - mean);
        }
    }
}
