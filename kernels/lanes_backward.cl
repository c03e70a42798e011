/* lanes_backward.cl: gradients of attention, block of keys by block of queries, in the form that CPU-like
 * devices want: scores are made once more, from lse, and no more of them than a block
 *
 * Formula   x = modify(scale * q.k);  w = exp(x - lse);  dw = dO.v;  ds = w (dw - delta) x'
 *           with dropout, w is dropped where it meets dO, and so is dw
 *           dQ = scale * sum_k ds k;  dK = scale * sum_q ds q;  dV = sum_q w dO
 *           none: w = x, ds = dw x';  sigmoid: w = 1 / (1 + exp(-x)), ds = w (1 - w) dw x'
 *           x' = 1 - tanh(...)^2 of softcap; hidden keys left out
 * Source    Dao et al., "FlashAttention", arXiv:2205.14135, algorithm 4; Dao, "FlashAttention-2",
 *           arXiv:2307.08691. Here a block of keys stays, and queries come to it
 * Shapes    query (B, Hq, S, D), key (B, Hkv, T, D), value (B, Hkv, T, DV), grad_output (B, Hq, S, DV),
 *           lse (B, Hq, S), grad_key, grad_value as key, value: views of any strides. deltas [G][M] of
 *           row_deltas.cl; query_sums [splits][G][M][D, in whole panels], for sum_up.cl. Row r * S + i of
 *           key head g = b*Hkv + h is row i of its query head r; a head has M = group * S rows
 * Units     strides in elements; scores in natural-log units
 * Launch    global {G * splits}, local {1}; a work-item makes split_keys keys of one key head, which is a
 *           multiple of BK
 * Memory    4 BK + 2 BQ rows of D or DV sums and 2 BQ rows of BK in private memory; five products of a block
 * Edges     blocks outside of all rows' bounds are not read, and what a few rows or keys do not see of one is
 *           not multiplied. A NaN at a hidden pair has no effect: blocks with numbers that are not finite are
 *           multiplied with care. A row whose lse is -infinity gives nothing
 * See       src/ops/lanes_backward.c, src/reference, tests/kernels/test_lanes_backward.c
 *
 * -D        meaning                                              values           set by
 * BQ        rows of a block, a multiple of MR                    16 to 128        tuning table
 * GENERAL   1: with all modifications; 0: every key is seen      0, 1             desc
 * DROPOUT   1: weights are dropped                               0, 1             desc
 * and those of block_products.clh
 */
#include "ahead.clh"
#include "block_products.clh"
#include "dropout.clh"
#include "modify.clh"
#if !defined(BQ) || !defined(BK) || !defined(GENERAL) || !defined(DROPOUT)
#error "lanes_backward.cl: BQ, BK, GENERAL and DROPOUT must be given"
#endif

#define TILES (BQ / MR)

/* Keys of a block, and what their gradients are so far. */
typedef struct key_block {
    ACC keys[BK * STEP], key_panels[BK * MOST], value_panels[BK * MOST];
    ACC key_sums[BK * STEP], value_sums[BK * STEP];
} key_block;

/* Rows of a block, and which keys of the block beside them they see. */
typedef struct row_block {
    ACC queries[BQ * STEP], gradients[BQ * STEP];
    ACC shifts[BQ], deltas[BQ];
    clattn_int query_rows[BQ], gradient_rows[BQ];
#if DROPOUT
    clattn_int dropout_rows[BQ];
#endif
    int begins[TILES], ends[TILES]; /* of each tile of rows: keys that any of them sees */
#if GENERAL                         /* where scores are touched, or bounded */
    query_place places[BQ];
    clattn_int heads[BQ], indices[BQ];
#endif
} row_block;

/* Weights, and what a gradient of one becomes when it goes on to its score; then that of the score. */
typedef struct score_block {
    ACC weights[BQ * SCORE_STEP], slopes[BQ * SCORE_STEP];
#if DROPOUT
    ACC kept[BQ * SCORE_STEP]; /* what weights, and their gradients, are multiplied by */
#endif
} score_block;

/* What happens to scores on their way, and to whose. */
typedef struct modifying {
    ACC scale, softcap;
    int normalizer;
    bool touched, bounded; /* more than that some keys are hidden; some rows may not see all */
    clattn_int b, k;
    global const void *mask, *bias;
    clattn_dropout dropout;
} modifying;

/* Weights and slopes, but nothing where a key is hidden: what was multiplied there may be NaN. */
static inline void store_weights(ACC *weights, ACC *slopes, vec x, vec weight, vec slope)
{
#if GENERAL
    const ivec hidden = (ivec)(x == (vec)(-INFINITY));
    weight = select(weight, (vec)(0), hidden);
    slope = select(slope, (vec)(0), hidden);
#endif
    STORE_VEC(weight, weights);
    STORE_VEC(slope, slopes);
}

#if GENERAL
/* Scores of one row and a panel of keys from key j on to modified ones, and what softcap makes of slopes. */
static inline void modify_scores(vec x[NV], vec factor[NV], const row_block *rows,
                                 const clattn_modifications *m, const modifying *by, int r,
                                 clattn_int j)
{
    const clattn_int h = rows->heads[r], i = rows->indices[r];
#pragma unroll 1
    for (int v = 0; v < NV; v++, j += VW) {
        const vec capped = cap_score(x[v], by->softcap), part = capped / (vec)(by->softcap);
        if (by->softcap > 0)
            factor[v] *= (vec)(1) - part * part;
        x[v] = modify_keys(capped, *m, rows->places[r], j,
                           (int)clamp(m->T - j, (clattn_int)0, (clattn_int)VW), by->mask,
                           row_of(m->mask, by->b, h, i), by->bias, row_of(m->bias, by->b, h, i));
    }
}

/* The same where nothing else happens than that keys are out of the row's bounds. */
static inline void hide_scores(vec x[NV], const query_place *q, clattn_int j)
{
    const ivec lanes = lane_numbers();
    const INT begin = (INT)clamp(q->begin - j, (clattn_int)0, (clattn_int)PANEL),
              end = (INT)clamp(q->end - j, (clattn_int)0, (clattn_int)PANEL);
#pragma unroll
    for (int v = 0; v < NV; v++)
        x[v] = hide_score(x[v], (ivec)(lanes < (ivec)(begin - v * VW)) |
                                    (ivec)(lanes >= (ivec)(end - v * VW)));
}
#endif

/* Raw scores of one row and a panel of keys, those from key j of the block on. */
static inline void weigh_scores(score_block *s, const row_block *rows,
                                const clattn_modifications *m, const modifying *by, int r, int j)
{
    ACC *const at = s->weights + r * SCORE_STEP + j, *const slope = s->slopes + r * SCORE_STEP + j;
    vec x[NV], factor[NV];
#pragma unroll
    for (int v = 0; v < NV; v++) {
        x[v] = LOAD_VEC(at + v * VW) * (vec)(by->scale);
        factor[v] = (vec)(by->scale);
    }
#if GENERAL
    if (by->touched)
        modify_scores(x, factor, rows, m, by, r, by->k + j);
    else if (by->bounded)
        hide_scores(x, &rows->places[r], by->k + j);
#endif
    if (by->normalizer == SOFTMAX) {
#pragma unroll
        for (int v = 0; v < NV; v++) {
            const vec w = weight_by_lse(x[v], (vec)(rows->shifts[r]));
            store_weights(at + v * VW, slope + v * VW, x[v], w, w * factor[v]);
        }
        return;
    }
    for (int v = 0; v < NV; v++) {
        const vec w = own_weight(x[v], by->normalizer);
        store_weights(at + v * VW, slope + v * VW, x[v], w,
                      own_slope(x[v], w, by->normalizer) * factor[v]);
    }
}

/* Whether a row of a tile sees any of `count` keys from key j of the block on. */
static inline bool sees(const row_block *rows, int tile, int j, int count)
{
    return !GENERAL || (rows->begins[tile] < j + count && rows->ends[tile] > j);
}

#if DROPOUT
static inline void drop_weights(score_block *s, const row_block *rows, const modifying *by,
                                int begin, int end, int tiles)
{
    for (int r = 0; r < tiles * MR; r++)
#pragma unroll 1
        for (int j = begin / PANEL * PANEL; j < whole_panels(end); j += VW) {
            ACC *const at = s->weights + r * SCORE_STEP + j;
            const vec kept = drop((vec)(1), by->dropout, rows->dropout_rows[r], by->k + j);
            STORE_VEC(LOAD_VEC(at) * kept, at);
            STORE_VEC(kept, s->kept + r * SCORE_STEP + j);
        }
}
#endif

#if GENERAL
/* Where the rows of a block stand, from row i of query head h on, and which of `count` keys they see: those of a tile,
 * and in all [begin, end). Rows behind the last one stand where that does. */
static inline void place_rows(row_block *rows, const clattn_modifications *m, const modifying *by,
                              global const void *kv_lengths, global const void *alibi_slopes,
                              clattn_int h, clattn_int i, int row_count, int count, int *begin,
                              int *end)
{
    int first = count, last = 0, tile_first = count, tile_last = 0;
    for (int r = 0; r < (row_count + MR - 1) / MR * MR; r++) {
        const query_place q = place_query(*m, kv_lengths, alibi_slopes, by->b, h, i);
        const int q_begin = (int)clamp(q.begin - by->k, (clattn_int)0, (clattn_int)count),
                  q_end = (int)clamp(q.end - by->k, (clattn_int)q_begin, (clattn_int)count);
        rows->places[r] = q;
        rows->heads[r] = h;
        rows->indices[r] = i;
        tile_first = r % MR ? min(tile_first, q_begin) : q_begin;
        tile_last = r % MR ? max(tile_last, q_end) : q_end;
        rows->begins[r / MR] = tile_first;
        rows->ends[r / MR] = tile_last;
        first = min(first, q_begin);
        last = max(last, q_end);
        if (r + 1 < row_count && ++i == m->S)
            i = 0, h++;
    }
    *begin = first;
    *end = last;
}
#endif

/* Weights of a block, and the gradients of its scores where they are wanted. */
static inline void make_scores(score_block *s, const row_block *rows, const key_block *keys,
                               const clattn_modifications *m, const modifying *by, int begin,
                               int end, int tiles, int D, int DV, bool with_slopes,
                               rows_ahead next[3])
{
    for (int p = begin / PANEL * PANEL; p < end; p += PANEL) {
        for (int t = 0; t < tiles; t++) {
            const int r = t * MR;
            vec tile[MR][NV];
            for (int n = 0; n < 3; n++)
                ask(&next[n]);
            if (!sees(rows, t, p, PANEL))
                continue;
            multiply_rows(tile, rows->queries + r * STEP, keys->key_panels + p * MOST, D);
            store_scores(s->weights + r * SCORE_STEP + p, tile);
        }
#pragma unroll 1
        for (int r = 0; r < tiles * MR; r++)
            if (sees(rows, r / MR, p, PANEL))
                weigh_scores(s, rows, m, by, r, p);
            else
                for (int v = 0; v < NV; v++) {
                    STORE_VEC((vec)(0), s->weights + r * SCORE_STEP + p + v * VW);
                    STORE_VEC((vec)(0), s->slopes + r * SCORE_STEP + p + v * VW);
                }
    }
#if DROPOUT
    drop_weights(s, rows, by, begin, end, tiles);
#endif
    if (!with_slopes)
        return;
    for (int p = begin / PANEL * PANEL; p < end; p += PANEL)
        for (int t = 0; t < tiles; t++) {
            const int r = t * MR;
            vec tile[MR][NV];
            if (!sees(rows, t, p, PANEL))
                continue;
            multiply_rows(tile, rows->gradients + r * STEP, keys->value_panels + p * MOST, DV);
#pragma unroll
            for (int i = 0; i < MR; i++)
#pragma unroll
                for (int v = 0; v < NV; v++) {
                    ACC *const at = s->slopes + (r + i) * SCORE_STEP + p + v * VW;
#if DROPOUT
                    const vec kept = LOAD_VEC(s->kept + (r + i) * SCORE_STEP + p + v * VW);
                    tile[i][v] = select(tile[i][v] * kept, (vec)(0), (ivec)(kept == (vec)(0)));
#endif
                    const vec slope = LOAD_VEC(at),
                              x = (tile[i][v] - (vec)(rows->deltas[r + i])) * slope;
#if GENERAL
                    STORE_VEC(select(x, (vec)(0), (ivec)(slope == (vec)(0))), at);
#else
                    STORE_VEC(x, at);
#endif
                }
        }
}

/* sums[key] += sum of scores[row][key] rows[row], for keys [begin, end) and the rows that see them. */
static inline void add_to_keys(ACC *sums, const ACC *scores, const ACC *rows, const row_block *of,
                               int begin, int end, int tiles, int D)
{
    for (int l = begin; l < end; l += MR) {
        int first = 0, last = tiles;
#if GENERAL
        while (first < last && !sees(of, first, l, MR))
            first++;
        while (first < last && !sees(of, last - 1, l, MR))
            last--;
#endif
        add_to_key_tile(sums + l * STEP, scores + first * MR * SCORE_STEP + l,
                        rows + first * MR * STEP, (last - first) * MR, end - l, D);
    }
}

/* sums[row] += sum of scores[row][key] keys[key], for the keys that a row sees. */
static inline void add_to_rows(global ACC *sums, const ACC *scores, const ACC *keys,
                               const row_block *of, int rows, int D)
{
    for (int r = 0; r < rows; r += MR) {
        const int begin = of->begins[r / MR], count = of->ends[r / MR] - begin;
        if (count > 0)
            add_to_row_tile(sums + r * whole_panels(D), scores + r * SCORE_STEP + begin,
                            keys + begin * STEP, count, rows - r, D);
    }
}

/* True when an element of the first `count` rows is NaN or infinite. */
static inline bool any_not_finite(const ACC *rows, int count, int D)
{
    vec differences = 0; /* x - x is 0, or NaN */
    for (int r = 0; r < count; r++)
        for (int d = 0; d < D; d += VW) {
            const vec x = LOAD_VEC(rows + r * STEP + d);
            differences += x - x;
        }
    return sum_lanes(differences) != 0;
}

/* part += score * row */
static inline void add_row(ACC *part, ACC score, const ACC *row, int D)
{
    for (int d = 0; d < D; d++)
        part[d] = fma(score, row[d], part[d]);
}

/* What the functions above do, pair by pair and in the same order, where 0 times NaN would show: nothing for
 * weights of hidden keys, and for scores whose gradient is 0. */
static inline void add_with_care(global ACC *query_sums, key_block *keys, const score_block *s,
                                 const row_block *rows, const clattn_modifications *m,
                                 const modifying *by, int begin, int end, int count, int D, int DV)
{
    ACC part[STEP];
    for (int l = begin; l < end; l++) {
        for (int d = 0; d < DV; d++)
            part[d] = 0;
        for (int r = 0; r < count; r++) {
#if GENERAL
            if ((by->touched || by->bounded) &&
                !is_visible(*m, rows->places[r], by->mask, by->bias, by->b, rows->heads[r],
                            rows->indices[r], by->k + l))
                continue;
#endif
            add_row(part, s->weights[r * SCORE_STEP + l], rows->gradients + r * STEP, DV);
        }
        for (int d = 0; d < DV; d++)
            keys->value_sums[l * STEP + d] += part[d];
        for (int d = 0; d < D; d++)
            part[d] = 0;
        for (int r = 0; r < count; r++)
            if (s->slopes[r * SCORE_STEP + l] != 0)
                add_row(part, s->slopes[r * SCORE_STEP + l], rows->queries + r * STEP, D);
        for (int d = 0; d < D; d++)
            keys->key_sums[l * STEP + d] += part[d];
    }
    for (int r = 0; query_sums && r < count; r++) {
        for (int d = 0; d < D; d++)
            part[d] = 0;
        for (int l = begin; l < end; l++)
            if (s->slopes[r * SCORE_STEP + l] != 0)
                add_row(part, s->slopes[r * SCORE_STEP + l], keys->keys + l * STEP, D);
        for (int d = 0; d < D; d++)
            query_sums[r * whole_panels(D) + d] += part[d];
    }
}

__attribute__((reqd_work_group_size(1, 1, 1))) kernel void lanes_backward(
    global const void *query, clattn_view query_view, global const void *key, clattn_view key_view,
    global const void *value, clattn_view value_view, global const void *output,
    clattn_view output_view, global const void *lse, clattn_view lse_view, int D, int DV, ACC scale,
    ACC softcap, clattn_modifications m, clattn_int heads, clattn_int M, int normalizer,
    global const void *mask, global const void *bias, global const void *kv_lengths,
    global const void *alibi_slopes, global const void *sinks, global const void *grad_output,
    clattn_view grad_output_view, global const ACC *deltas, global ACC *query_sums,
    int query_wanted, clattn_int splits, clattn_int split_keys, global void *grad_key,
    clattn_view grad_key_view, global void *grad_value, clattn_view grad_value_view,
    clattn_dropout dropout)
{
    const clattn_int id = get_global_id(0), g = id / splits, split = id % splits, b = g / heads,
                     kv_head = g % heads, group = m.S ? M / m.S : 1, step = whole_panels(D),
                     first_key = split * split_keys, last_key = min(m.T, first_key + split_keys);
    const bool key_wanted = grad_key_view.kind != KIND_ABSENT,
               value_wanted = grad_value_view.kind != KIND_ABSENT,
               slopes_wanted = query_wanted || key_wanted;
    global ACC *const all_sums =
        query_sums + (split * (get_global_size(0) / splits) + g) * M * step;
    key_block keys;
    row_block rows;
    score_block scores;
    clattn_int key_rows[BK];
    for (clattn_int at = 0; query_wanted && at < M * step; at += VW)
        STORE_GLOBAL((vec)(0), all_sums + at);
    /* Tiles go on behind the last key of a block, though nothing comes of it. */
    for (int n = 0; n < BQ * SCORE_STEP; n++)
        scores.weights[n] = scores.slopes[n] = 0;
    for (clattn_int k = first_key; k < last_key; k += BK) {
        const int count = (int)min(last_key - k, (clattn_int)BK), padded = whole_panels(count);
        for (int l = 0; l < count; l++)
            key_rows[l] = row_of(value_view, b, kv_head, k + l);
        copy_rows(keys.keys, value, value_view, key_rows, count, padded, DV);
        transpose_rows(keys.value_panels, keys.keys, padded, DV);
        for (int l = 0; l < count; l++)
            key_rows[l] = row_of(key_view, b, kv_head, k + l);
        copy_rows(keys.keys, key, key_view, key_rows, count, padded, D);
        transpose_rows(keys.key_panels, keys.keys, padded, D);
        clear_rows(keys.key_sums, count, whole_panels(D));
        clear_rows(keys.value_sums, count, whole_panels(DV));
        modifying by = {scale, softcap, normalizer, false, false, b, k, mask, bias, dropout};
#if GENERAL
        by.touched = softcap > 0 || m.mask.kind != KIND_ABSENT || m.bias.kind != KIND_ABSENT ||
                     m.alibi_slopes.kind != KIND_ABSENT;
#endif
        const bool keys_not_finite = any_not_finite(keys.keys, count, D);
        for (clattn_int first = 0; first < M; first += BQ) {
            const int row_count = (int)min(M - first, (clattn_int)BQ),
                      tiles = (row_count + MR - 1) / MR;
            clattn_int h = kv_head * group + first / m.S, i = first % m.S;
            int begin = 0, end = count;
            for (int t = 0; t < tiles; t++) {
                rows.begins[t] = 0;
                rows.ends[t] = count;
            }
#if GENERAL
            bool all_seen = false;
            if (i + row_count <= m.S) { /* bounds of one head's rows rise from one to the next */
                const query_place top = place_query(m, kv_lengths, alibi_slopes, b, h, i),
                                  bottom = place_query(m, kv_lengths, alibi_slopes, b, h,
                                                       i + row_count - 1);
                if (top.begin >= k + count || bottom.end <= k)
                    continue;
                all_seen = bottom.begin <= k && top.end >= k + count;
            }
            by.bounded = !all_seen;
            if (by.touched || by.bounded)
                place_rows(&rows, &m, &by, kv_lengths, alibi_slopes, h, i, row_count, count, &begin,
                           &end);
#endif
            for (int r = 0; r < tiles * MR; r++) {
                if (r >= row_count) { /* rows of zeros, which add nothing */
                    rows.shifts[r] = rows.deltas[r] = 0;
#if DROPOUT
                    rows.dropout_rows[r] = 0;
#endif
                    continue;
                }
                rows.query_rows[r] = row_of(query_view, b, h, i);
                rows.gradient_rows[r] = row_of(grad_output_view, b, h, i);
#if DROPOUT
                rows.dropout_rows[r] = clattn_dropout_row(&dropout, b, h, i);
#endif
                rows.shifts[r] = rows.deltas[r] = 0;
                if (normalizer == SOFTMAX) {
                    const ACC sum = load_element(lse, KIND_OF_SUMS, row_of(lse_view, b, h, i));
                    rows.shifts[r] = sum == -INFINITY ? (ACC)0 : sum;
                    rows.deltas[r] = deltas[g * M + first + r];
                }
                if (++i == m.S)
                    i = 0, h++;
            }
            if (begin >= end)
                continue;
            copy_rows(rows.queries, query, query_view, rows.query_rows, row_count, tiles * MR, D);
            copy_rows(rows.gradients, grad_output, grad_output_view, rows.gradient_rows, row_count,
                      tiles * MR, DV);
            /* The rows that come next, and the sums that these will be added to. */
            const int parts = tiles * ((end + PANEL - 1) / PANEL - begin / PANEL);
            rows_ahead next[3] = {
                rows_to_ask(query, query_view.kind, rows.query_rows[0] + BQ * query_view.row,
                            query_view.row, D, BQ, parts),
                rows_to_ask(grad_output, grad_output_view.kind,
                            rows.gradient_rows[0] + BQ * grad_output_view.row, grad_output_view.row,
                            DV, BQ, parts),
                rows_to_ask(all_sums, KIND_OF_SUMS, first * step, step, D, row_count, parts)};
            make_scores(&scores, &rows, &keys, &m, &by, begin, end, tiles, D, DV, slopes_wanted,
                        next);
            global ACC *const sums = all_sums + first * step;
            if (keys_not_finite || any_not_finite(rows.queries, row_count, D) ||
                any_not_finite(rows.gradients, row_count, DV)) {
                add_with_care(query_wanted ? sums : 0, &keys, &scores, &rows, &m, &by, begin, end,
                              row_count, D, DV);
                continue;
            }
            if (value_wanted)
                add_to_keys(keys.value_sums, scores.weights, rows.gradients, &rows, begin, end,
                            tiles, DV);
            if (key_wanted)
                add_to_keys(keys.key_sums, scores.slopes, rows.queries, &rows, begin, end, tiles,
                            D);
            if (query_wanted)
                add_to_rows(sums, scores.slopes, keys.keys, &rows, row_count, D);
        }
        for (int l = 0; l < count; l++) {
            if (key_wanted)
                store_row(grad_key, grad_key_view, row_of(grad_key_view, b, kv_head, k + l),
                          keys.key_sums + l * STEP, D);
            if (value_wanted)
                store_row(grad_value, grad_value_view, row_of(grad_value_view, b, kv_head, k + l),
                          keys.value_sums + l * STEP, DV);
        }
    }
}
