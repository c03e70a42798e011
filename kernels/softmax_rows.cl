/* softmax_rows.cl: scores to weights, one row after the other by each work-group; softmax, or another
 * normalizer
 *
 * Formula   x[j] = modify(s[j]);  m = max_j x[j];  sum = sum_j exp(x[j] - m) + exp(sink - m)
 *           w[j] = exp(x[j] - m) / sum;  lse = m + log(sum)
 *           none: w[j] = x[j]; sigmoid: w[j] = 1 / (1 + exp(-x[j])); sparsemax: w[j] = max(x[j] - t, 0);
 *           entmax15: w[j] = max(x[j] / 2 - t, 0)^2, with t where they add up to 1; 0 where hidden
 *           with `factors`, s becomes exp(x[j] - m), and factors[r] = 1 / sum is left to the
 *           product that follows: one pass over s less
 *           argmax and entropy as row_outputs.clh; then some of w are dropped, as dropout.clh does
 * Source    Milakov and Gimelshein, arXiv:1805.02867, "safe softmax"; sinks: Xiao et al.,
 *           arXiv:2309.17453; sparsemax: Martins and Astudillo, arXiv:1602.02068; entmax15: Peters et
 *           al., arXiv:1905.05702; their t by Newton's method, as Michelot, "A finite algorithm for
 *           finding the projection of a point onto the canonical simplex", 1986
 * Shapes    s: [G][M][stride], M = group * S rows of key head g = b*Hkv + h; row r * S + i is row i
 *           of its query head r; stride: T rounded up to a multiple of VW. Weights replace the
 *           scores there; scores, lse and what row_outputs.clh has are views; factors: [G][M]
 * Units     strides in elements; scores in natural-log units
 * Launch    global {WG, ceil(M / group_rows), G}, local {WG, 1, 1}; a group makes group_rows rows;
 *           work-item l takes vectors l, l + WG, ...
 * Memory    2 WG values of ACC in local memory; reads s three times and writes it twice, from the
 *           nearest cache but for the first reading; with `factors` one reading and writing less
 * Edges     a row in which all is hidden gives zeros and lse -infinity (or the sink); NaN at a
 *           hidden key has no effect; all of s up to `stride` is written, with zeros past T
 * See       src/ops/softmax_rows.c, src/reference, tests/kernels/test_softmax_rows.c
 *
 * -D        meaning                     values           set by
 * TELLS     argmax or entropy is told   0, 1             desc.outputs; not by an argument: PoCL 3.1 makes
 *                                                        wrong code of barriers that are reached or not
 * and that of row_weights.clh
 */
#include "common.clh"
#include "dropout.clh"
#include "modify.clh"
#include "row_outputs.clh"
#include "row_weights.clh"
#ifndef TELLS
#error "softmax_rows.cl: TELLS must be given"
#endif

enum { STAGE_RAW, STAGE_CAPPED, STAGE_MODIFIED };

/* The key of the whole work-group, for every work-item. */
static inline INT group_top(const top_key *top, local ACC *scratch, local INT *keys)
{
    ACC most;
    INT at = top_of_lanes(top, &most);
#if WG > 1
    const int l = (int)get_local_id(0);
    barrier(CLK_LOCAL_MEM_FENCE);
    scratch[l] = most, keys[l] = at;
    for (int half_size = WG / 2; half_size > 0; half_size /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (l < half_size &&
            comes_first(scratch[l + half_size], keys[l + half_size], scratch[l], keys[l]))
            scratch[l] = scratch[l + half_size], keys[l] = keys[l + half_size];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    at = keys[0];
#endif
    return at;
}

kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void
softmax_rows(global ACC *s, clattn_int stride, clattn_modifications m, ACC softcap,
             clattn_int heads, clattn_int M, clattn_int group_rows, int normalizer, int stage,
             global const void *mask, global const void *bias, global const void *kv_lengths,
             global const void *alibi_slopes, global const void *sinks, global void *scores,
             clattn_view scores_view, global void *lse, clattn_view lse_view, global ACC *factors,
             int deferred, global void *weights, global const void *weights_heads,
             global const void *weights_rows, global void *argmax, global void *entropy,
             clattn_row_outputs o, clattn_dropout dropout)
{
    local ACC scratch[WG];
    local INT keys[WG];
    const clattn_int g = get_global_id(2), b = g / heads;
    const clattn_int first = (clattn_int)get_global_id(1) * group_rows;
    const clattn_int start = (clattn_int)get_local_id(0) * VW;
    for (clattn_int r = first; r < min(first + group_rows, M); r++) {
        const clattn_int h = g % heads * (M / m.S) + r / m.S, i = r % m.S;
        const query_place q = place_query(m, kv_lengths, alibi_slopes, b, h, i);
        const clattn_int mask_row = row_of(m.mask, b, h, i), bias_row = row_of(m.bias, b, h, i);
        const clattn_int scores_row = row_of(scores_view, b, h, i),
                         weights_row = weights_of_row(o, weights_heads, weights_rows, b, h, i);
        const bool has_sink = m.sinks.kind != KIND_ABSENT;
        const ACC sink =
            has_sink ? load_element(sinks, m.sinks.kind, row_of(m.sinks, 0, h, 0)) : (ACC)-INFINITY;
        const clattn_int dropout_row = clattn_dropout_row(&dropout, b, h, i);
        global ACC *x_row = s + (g * M + r) * stride;
        vec top = (vec)(-INFINITY);

        /* Most vectors of most problems are wholly visible and stay as they are: only their maximum
         * is of interest. */
        const bool untouched = softcap == 0 && q.slope == 0 && m.mask.kind == KIND_ABSENT &&
                               m.bias.kind == KIND_ABSENT && scores_view.kind == KIND_ABSENT;
        for (clattn_int j = start; j < m.T; j += WG * VW) {
            if (untouched && j >= q.begin && j + VW <= q.end) {
                top = larger(top, LOAD_VEC(x_row + j));
                continue;
            }
            /* Past the last key there may be what nobody has written. */
            const int count = (int)min(m.T - j, (clattn_int)VW);
            const vec raw =
                count == VW ? LOAD_VEC(x_row + j) : load_lanes(x_row, KIND_OF_SUMS, j, 1, count);
            const vec capped = cap_score(raw, softcap);
            const vec x = modify_keys(capped, m, q, j, count, mask, mask_row, bias, bias_row);
            STORE_VEC(x, x_row + j);
            top = larger(top, x);
            if (scores_view.kind != KIND_ABSENT)
                store_lanes(scores, scores_view.kind, scores_row + j * scores_view.column,
                            scores_view.column,
                            stage == STAGE_RAW ? raw : (stage == STAGE_CAPPED ? capped : x), count);
        }

#if TELLS
        top_key key = no_key();
        for (clattn_int j = start; j < m.T; j += WG * VW)
            see_keys(&key, LOAD_VEC(x_row + j), j);
        const INT at = group_top(&key, scratch, keys);
        if (get_local_id(0) == 0 && o.argmax.kind != KIND_ABSENT)
            store_integer(argmax, o.argmax.kind, row_of(o.argmax, b, h, i), at);
#endif

        /* Where all is hidden, -infinity less itself would be NaN; any finite shift gives the zeros
         * that are due. */
        const ACC most = fmax(group_reduce(max_lanes(top), scratch, 0), sink);
        const ACC shift = most == -INFINITY ? (ACC)0 : most;
        const bool summed = normalizer == SOFTMAX || lse_view.kind != KIND_ABSENT;
        const ACC threshold = normalizer == SPARSEMAX || normalizer == ENTMAX15
                                  ? find_threshold(x_row, start, m.T, shift, normalizer, scratch)
                                  : (ACC)0;
        vec total = (vec)(0), spread = (vec)(0);
        for (clattn_int j = start; j < m.T;) {
            vec part = (vec)(0), spread_part = (vec)(0);
            for (int n = 0; n < SUM_BLOCK && j < m.T; n++, j += WG * VW) {
                const vec x = LOAD_VEC(x_row + j), w = weigh(x, shift, threshold, normalizer);
                if (summed)
                    part += normalizer == SOFTMAX ? w : exponential(x - (vec)(shift));
                if (TELLS)
                    spread_part += normalizer == SOFTMAX ? entropy_of_softmax(x, w, shift)
                                                         : entropy_of_weights(w);
                STORE_VEC(
                    select(drop(w, dropout, dropout_row, j), HIDDEN, (ivec)(x == (vec)(-INFINITY))),
                    x_row + j);
            }
            total += part, spread += spread_part;
        }
        const ACC keys_sum = group_reduce(sum_lanes(total), scratch, 1),
                  sum = has_sink ? keys_sum + exp(sink - shift) : keys_sum;
#if TELLS
        const ACC terms = group_reduce(sum_lanes(spread), scratch, 1);
        if (get_local_id(0) == 0 && o.entropy.kind != KIND_ABSENT)
            store_element(entropy, o.entropy.kind, row_of(o.entropy, b, h, i),
                          normalizer == SOFTMAX ? entropy_of_row(terms, keys_sum, sum) : terms);
#endif
        const ACC factor = normalizer == SOFTMAX && sum != 0 ? 1 / sum : (ACC)1;
        if (get_local_id(0) == 0) {
            if (lse_view.kind != KIND_ABSENT)
                store_element(lse, lse_view.kind, row_of(lse_view, b, h, i), shift + log(sum));
            if (deferred)
                factors[g * M + r] = factor;
        }
        if (deferred) {
            for (clattn_int j = (m.T + VW - 1) / VW * VW + start; j < stride; j += WG * VW)
                STORE_VEC((vec)(0), x_row + j);
            continue;
        }
        for (clattn_int j = start; j < stride; j += WG * VW) {
            const vec p = j < m.T ? LOAD_VEC(x_row + j) : HIDDEN;
            const vec w = finish_weights(p, factor);
            STORE_VEC(w, x_row + j);
            if (weights_row >= 0 && j < m.T)
                store_lanes(weights, o.weights.kind, weights_row + j * o.weights.column,
                            o.weights.column, w, (int)min(m.T - j, (clattn_int)VW));
        }
    }
}
