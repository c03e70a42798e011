/* lanes.cl: attention in one pass over the keys, in the form that CPU-like devices want: the lanes of
 * a vector are queries
 *
 * Formula   s[q][k] = scale * q.k;  x = modify(s);  o[q] = sum_k exp(x - max) v[k] / sum_k exp(x - max)
 *           lse[q] = max + log(sum);  none: o[q] = sum_k x v[k];  sigmoid: o[q] = sum_k v[k] / (1 +
 *           exp(-x));  hidden keys left out
 * Source    Dao et al., "FlashAttention", arXiv:2205.14135; Milakov and Gimelshein, "Online normalizer
 *           calculation for softmax", arXiv:1805.02867. Here scores are made transposed, as vectors
 *           of queries: each element of K and V is broadcast, and maximum and sum need no reduction
 * Shapes    query (B, Hq, S, D), key (B, Hkv, T, D), value (B, Hkv, T, DV), output (B, Hq, S, DV),
 *           lse (B, Hq, S): views of any strides, but that keys and values are of the type of the sums,
 *           with columns side by side. Row r * S + i of key head g = b*Hkv + h is row i of its
 *           query head r; a head has M = group * S rows. Packed sequences have rows of their own each
 * Units     strides in elements; scores in natural-log units
 * Launch    global {blocks * G}, or {blocks of packed sequences, rounded up to whole runs, * Hkv},
 *           local {1}; a work-item makes BQ = NV * VW rows of one key head
 * Memory    BQ * (D + 2 DV + BK) sums in private memory
 * Edges     keys outside of all rows' bounds are not read. A row that sees nothing gives zeros and lse
 *           -infinity (or the sink). A NaN at a hidden key has no effect: a work-item whose sums end up
 *           not finite walks its keys once more, with care. Sums over D are made of sums of DEPTH terms
 * See       src/ops/lanes.c, src/reference, tests/kernels/test_lanes.c
 *
 * -D        meaning                                              values           set by
 * MOST      D and DV at most                                     64 to 4096, 2^k  desc
 * BK        keys of a block, a multiple of MK and VW             16 to 256        tuning table
 * GENERAL   1: with all modifications; 0: every key is seen      0, 1             desc
 * DROPOUT   1: weights are dropped, but not of packed sequences  0, 1             desc
 * and those of lane_products.clh
 */
#include "ahead.clh"
#include "lane_products.clh"
#include "modify.clh"
#include "packed.clh"
#if !defined(MOST) || !defined(BK) || !defined(GENERAL) || !defined(DROPOUT)
#error "lanes.cl: MOST, BK, GENERAL and DROPOUT must be given"
#endif
#include "dropout_rows.clh"

/* What differs from lane to lane. */
typedef struct lane_places {
    clattn_int query[BQ]; /* h * S + i, the row of (Hq, S) */
#if GENERAL
    clattn_int position[BQ], begin[BQ], end[BQ]; /* as in query_place */
    clattn_int mask_row[BQ], bias_row[BQ];
    ACC slope[BQ];
#endif
} lane_places;

#if GENERAL
/* Elements of VW rows from column j on, transposed: tile[key][lane]. */
static inline void load_square(vec tile[VW], global const ACC *memory, const clattn_int *rows,
                               clattn_int j)
{
#pragma unroll
    for (int l = 0; l < VW; l++)
        tile[l] = LOAD_GLOBAL(memory + rows[l] + j);
    transpose(tile);
}

/* What an additive or boolean tensor has at VW keys from j on, for one vector of lanes: at[key][lane].
 * rows[l] is where a lane's row begins, in elements. */
static inline void load_tile(vec at[VW], global const void *memory, const clattn_view *view,
                             const clattn_int *rows, clattn_int j, int count)
{
    const clattn_int kind = view->kind, column = view->column;
    if (view->row == 0 && view->head == 0) { /* the same for all queries */
        for (int key = 0; key < VW; key++)
            at[key] = (vec)(key < count ? load_element(memory, kind, rows[0] + (j + key) * column)
                                        : (ACC)0);
        return;
    }
    if (kind == KIND_OF_SUMS && column == 1 && count == VW) {
        load_square(at, (global const ACC *)memory, rows, j);
        return;
    }
#pragma unroll 1 /* small code: a driver builds it anew for each program */
    for (int l = 0; l < VW; l++)
        at[l] = load_keys(memory, *view, rows[l], j, count);
    transpose(at);
}

/* What mask and bias add at VW keys from j on, for one vector of lanes: -infinity hides a key. */
static inline void load_added(vec added[VW], const lane_places *lanes, int v,
                              const clattn_modifications *m, clattn_int j, int count,
                              global const void *mask, global const void *bias)
{
    const vec nothing = (vec)(0), hidden = (vec)(-INFINITY);
    if (m->mask.kind != KIND_ABSENT)
        load_tile(added, mask, &m->mask, lanes->mask_row + v * VW, j, count);
    if (m->mask.kind == KIND_BOOL)
        for (int i = 0; i < VW; i++)
            added[i] = select(nothing, hidden, (ivec)(added[i] == nothing));
    if (m->bias.kind == KIND_ABSENT)
        return;
    if (m->mask.kind == KIND_ABSENT) {
        load_tile(added, bias, &m->bias, lanes->bias_row + v * VW, j, count);
        return;
    }
    vec biases[VW];
    load_tile(biases, bias, &m->bias, lanes->bias_row + v * VW, j, count);
    for (int i = 0; i < VW; i++)
        added[i] = select(added[i] + biases[i], hidden,
                          (ivec)(added[i] == hidden) | (ivec)(biases[i] == hidden));
}

/* Adds a tensor to the scores of VW keys from j on, and returns the largest ones: what load_tile() does at
 * its best, and all of it in registers. */
static inline vec add_tile(vec *scores, vec most, global const ACC *memory, const clattn_int *rows,
                           clattn_int j)
{
    vec tile[VW];
    load_square(tile, memory, rows, j);
#pragma unroll
    for (int i = 0; i < VW; i++) {
        const vec x = hide_score(scores[i * NV] + tile[i], (ivec)(tile[i] == (vec)(-INFINITY)));
        most = larger(most, x);
        scores[i * NV] = x;
    }
    return most;
}

/* From raw to modified scores, for keys [from, count) of those from key k on, and the largest of each
 * query's so far. `bounded`: some lanes do not see all of them. */
static inline void modify_block(vec *scores, vec most[NV], const lane_places *lanes,
                                const clattn_modifications *m, ACC softcap, bool bounded,
                                clattn_int k, int from, int count, global const void *mask,
                                global const void *bias)
{
    const bool adds = m->mask.kind != KIND_ABSENT || m->bias.kind != KIND_ABSENT,
               has_slopes = m->alibi_slopes.kind != KIND_ABSENT, simple = !bounded && softcap <= 0,
               only_adds = simple && !has_slopes, only_slopes = simple && !adds,
               by_tiles = only_adds && m->bias.kind == KIND_ABSENT &&
                          m->mask.kind == KIND_OF_SUMS && m->mask.column == 1 &&
                          (m->mask.row != 0 || m->mask.head != 0);
    for (int v = 0; v < NV; v++) {
        ACC distances[VW];
        INT begins[VW], ends[VW];
        for (int l = 0; l < VW; l++) {
            distances[l] = (ACC)(lanes->position[v * VW + l] - k);
            begins[l] = (INT)clamp(lanes->begin[v * VW + l] - k, (clattn_int)0, (clattn_int)BK);
            ends[l] = (INT)clamp(lanes->end[v * VW + l] - k, (clattn_int)0, (clattn_int)BK);
        }
        const vec distance = LOAD_VEC(distances), slope = LOAD_VEC(lanes->slope + v * VW);
        const ivec begin = LOAD_IVEC(begins), end = LOAD_IVEC(ends);
        if (only_slopes) {
            for (int key = from; key < count; key++) {
                vec *const at = scores + key * NV + v;
                const vec x = shift_score(*at, slope, distance - (vec)((ACC)key), (vec)(0));
                most[v] = larger(most[v], x);
                *at = x;
            }
            continue;
        }
        for (int first = from; first < count; first += VW) {
            vec added[VW];
            const int keys = min(count - first, VW);
            if (by_tiles && keys == VW) {
                most[v] = add_tile(scores + first * NV + v, most[v], mask, lanes->mask_row + v * VW,
                                   k + first);
                continue;
            }
            if (adds)
                load_added(added, lanes, v, m, k + first, keys, mask, bias);
            else
                for (int i = 0; i < VW; i++)
                    added[i] = 0;
            if (only_adds) {
                for (int i = 0; i < keys; i++) {
                    vec *const at = scores + (first + i) * NV + v;
                    const vec x = hide_score(*at + added[i], (ivec)(added[i] == (vec)(-INFINITY)));
                    most[v] = larger(most[v], x);
                    *at = x;
                }
                continue;
            }
#pragma unroll 1
            for (int i = 0; i < keys; i++) {
                const int key = first + i;
                vec *const at = scores + key * NV + v;
                const ivec hidden = (ivec)(added[i] == (vec)(-INFINITY)) |
                                    (begin > (ivec)((INT)key)) | (end <= (ivec)((INT)key));
                const vec x = hide_score(shift_score(cap_score(*at, softcap), slope,
                                                     distance - (vec)((ACC)key), added[i]),
                                         hidden);
                most[v] = larger(most[v], x);
                *at = x;
            }
        }
    }
}
#endif

/* Adds the values that are not finite, key by key, to the rows that may see them. */
static inline void add_not_finite(ACC *sums, const ACC *weights, const lane_places *lanes,
                                  clattn_modifications m, rows_of_head values, clattn_int b,
                                  clattn_int k, int count, int DV, global const void *mask,
                                  global const void *bias)
{
    for (int key = 0; key < count; key++)
        for (int d = 0; d < DV; d++) {
            const ACC value = values.memory[(k + key) * values.row + d];
            if (isfinite(value))
                continue;
            for (int l = 0; l < BQ; l++) {
#if GENERAL
                const query_place q = {lanes->position[l], lanes->begin[l], lanes->end[l],
                                       lanes->slope[l]};
                if (!is_visible(m, q, mask, bias, b, lanes->query[l] / m.S, lanes->query[l] % m.S,
                                k + key))
                    continue;
#endif
                sums[d * BQ + l] += weights[key * BQ + l] * value;
            }
        }
}

/* Maximum and sum of each row, as far as its keys have been walked. */
typedef struct row_state {
    vec most[NV], sum[NV];
} row_state;

/* Scores to weights, in place; `kept` is what the sums so far are worth then. Where each key has a weight
 * of its own, maximum and sum are for the lse alone, and there is no sum unless it is `summed`. */
static inline void weigh_scores(vec *scores, row_state *state, const vec most[NV], vec kept[NV],
                                int count, int normalizer, bool summed)
{
    vec shift[NV], part[NV];
#pragma unroll
    for (int v = 0; v < NV; v++) {
        /* Where all is hidden so far, -infinity less itself would be NaN; any finite shift does. */
        shift[v] = select(most[v], (vec)(0), (ivec)(most[v] == (vec)(-INFINITY)));
        kept[v] = exponential(state->most[v] - shift[v]);
        state->most[v] = most[v];
        part[v] = 0;
    }
    if (normalizer == SOFTMAX) {
        for (int key = 0; key < count; key++)
#pragma unroll
            for (int v = 0; v < NV; v++) {
                const vec e = exponential(scores[key * NV + v] - shift[v]);
                part[v] += e;
                scores[key * NV + v] = e;
            }
    } else {
        for (int i = 0; i < count * NV; i++) {
            const vec x = scores[i];
            if (summed)
                part[i % NV] += exponential(x - shift[i % NV]);
            scores[i] = own_weight(x, normalizer);
        }
    }
#pragma unroll
    for (int v = 0; v < NV; v++) {
        state->sum[v] = fma(kept[v], state->sum[v], part[v]);
        kept[v] = normalizer == SOFTMAX ? kept[v] : (vec)(1);
    }
}

/* The block of a head that is made at this place; late ones see more under `pairs`, so that a long and a
 * short one come in turn. */
static inline clattn_int block_at(clattn_int place, clattn_int blocks, int pairs)
{
    if (!pairs)
        return place;
    return place % 2 ? place / 2 : blocks - 1 - place / 2;
}

__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
lanes(global const void *query, clattn_view query_view, global const ACC *key, clattn_view key_view,
      global const ACC *value, clattn_view value_view, global void *output, clattn_view output_view,
      global void *lse, clattn_view lse_view, int D, int DV, ACC scale, ACC softcap,
      clattn_modifications of_call, clattn_int heads, clattn_int M, int normalizer,
      global const void *mask, global const void *bias, global const void *kv_lengths,
      global const void *alibi_slopes, global const void *sinks, clattn_int blocks, int pair_blocks,
      global const void *cu_seqlens_q, global const void *cu_seqlens_k, clattn_int run,
      clattn_int step, clattn_dropout dropout)
{
    const clattn_int id = get_global_id(0), group = M / of_call.S;
    clattn_int g = id / blocks, keys_ahead = key_view.head, values_ahead = value_view.head;
    packed_sequence s = only_sequence(of_call, id % blocks);
    if (of_call.cu_seqlens_q.kind != KIND_ABSENT) { /* the one batch; each is one for itself */
        const clattn_int items = heads * run, runs = get_global_size(0) / items,
                         place = id / items * step % runs * run + id % run;
        g = id % items / run;
        s = find_sequence(of_call, cu_seqlens_q, cu_seqlens_k, place, group, BQ);
        M = group * s.queries;
        blocks = (M + BQ - 1) / BQ;
        if (s.block < 0 || s.block >= blocks)
            return;
        keys_ahead = s.keys * key_view.row;
        values_ahead = s.keys * value_view.row;
    }
    const clattn_modifications m = modifications_of(of_call, s);
    const clattn_view of_query = from_row(query_view, s.query), of_key = from_row(key_view, s.key),
                      of_value = from_row(value_view, s.key),
                      of_output = from_row(output_view, s.query),
                      of_lse = from_row(lse_view, s.query);
    const clattn_int place = s.block;
    const clattn_int b = g / heads, kv_head = g % heads,
                     first = block_at(place, blocks, pair_blocks) * BQ;
    const int rows = (int)min(M - first, (clattn_int)BQ);

    vec queries[MOST * NV], sums[MOST * NV], scores[BK * NV];
    vec again[MOST * NV]; /* sums with care */
    lane_places places;
#if DROPOUT
    uint dropout_blocks[2 * BQ];
#endif
    clattn_int begin = m.T, end = 0, seen_begin = 0, seen_end = m.T;
    clattn_int query_rows[BQ], output_rows[BQ], h = kv_head * group + first / m.S, i = first % m.S;
    for (int l = 0; l < BQ; l++) { /* lanes past the last row make it once more */
        places.query[l] = h * m.S + i;
        query_rows[l] = row_of(of_query, b, h, i);
        output_rows[l] = row_of(of_output, b, h, i);
#if DROPOUT
        const ulong block =
            (ulong)clattn_dropout_block(&dropout, clattn_dropout_row(&dropout, b, h, i));
        dropout_blocks[l] = (uint)block, dropout_blocks[BQ + l] = (uint)(block >> 32);
#endif
#if GENERAL
        const query_place q = place_query(m, kv_lengths, alibi_slopes, b, h, i);
        places.position[l] = q.position;
        places.begin[l] = q.begin;
        places.end[l] = q.end;
        places.slope[l] = q.slope;
        places.mask_row[l] = row_of(m.mask, b, h, i);
        places.bias_row[l] = row_of(m.bias, b, h, i);
        begin = min(begin, q.begin);
        end = max(end, q.end);
        seen_begin = max(seen_begin, q.begin);
        seen_end = min(seen_end, q.end);
#endif
        if (l + 1 < rows && ++i == m.S)
            i = 0, h++;
    }
    for (int v = 0; v < NV; v++)
        load_queries(queries + v, query, query_rows + v * VW, of_query.column, D);
#if GENERAL
    const bool touched = softcap > 0 || m.mask.kind != KIND_ABSENT || m.bias.kind != KIND_ABSENT ||
                         m.alibi_slopes.kind != KIND_ABSENT;
#else
    begin = 0, end = m.T;
#endif
    const rows_of_head keys = {key + row_of(of_key, b, kv_head, 0), of_key.row},
                       values = {value + row_of(of_value, b, kv_head, 0), of_value.row};
    /* Blocks end at multiples of BK, so that those of a row do not depend on the rows beside it: keys
     * that it does not see add nothing. */
    begin = begin / MK * MK;

    /* What this work-item writes, and what the next one reads: its queries, and of the keys and values
     * that come next the part that falls to this one. Rows that lie apart fill few sets of the caches:
     * those are asked for a block ahead. */
    const int parts = (int)((end - begin + MK - 1) / MK), share = (int)(m.T / blocks),
              behind = max((int)(end - begin) - BK, 0);
    const bool is_last = place + 1 == blocks;
    const clattn_int next =
        block_at(is_last ? 0 : place + 1, blocks, pair_blocks) * BQ + (is_last ? M : 0);
    rows_ahead to_write = rows_to_ask(output, KIND, output_rows[0], of_output.row, DV, rows, parts),
               next_queries =
                   rows_to_ask(query, QUERY_KIND, query_rows[0] + (next - first) * of_query.row,
                               of_query.row, D, BQ, parts),
               next_keys =
                   rows_to_ask(keys.memory, KIND_OF_SUMS, keys_ahead + place * share * keys.row,
                               keys.row, D, share, parts),
               next_values = rows_to_ask(values.memory, KIND_OF_SUMS,
                                         values_ahead + place * share * values.row, values.row, DV,
                                         share, parts),
               own_keys = rows_to_ask(keys.memory, KIND_OF_SUMS, (begin + BK) * keys.row, keys.row,
                                      D, keys.row == D ? 0 : behind, parts),
               own_values = rows_to_ask(values.memory, KIND_OF_SUMS, (begin + BK) * values.row,
                                        values.row, DV, values.row == DV ? 0 : behind, parts);

    row_state state;
    /* A second walk keeps hidden values out that are not finite. What is not finite even then may be a
     * sum of weights, which may add up to T, with large values: a third walk brings weights down, by a
     * power of two, which rounds nothing. */
    ACC whole = 1;
    while (whole < (ACC)m.T)
        whole *= 2;
    int walk = 0;
    for (;; walk++) {
        const bool careful = walk > 0;
        const ACC down = walk == 2 ? 1 / whole : (ACC)1;
        vec *const to = careful ? again : sums;
        for (int i = 0; i < DV * NV; i++)
            to[i] = 0;
#pragma unroll
        for (int v = 0; v < NV; v++) {
            state.most[v] = -INFINITY;
            state.sum[v] = 0;
        }
        for (clattn_int k = begin; k < end; k = k / BK * BK + BK) {
            const int count = (int)(min(k / BK * BK + BK, end) - k);
            vec most[NV], kept[NV];
            /* Scores of keys [plain, plain_end) stay as they are made. */
            int plain = 0, plain_end = count;
#if GENERAL
            const bool bounded = k < seen_begin || k + count > seen_end;
            if (touched)
                plain_end = 0;
            else if (bounded) {
                plain =
                    (int)clamp(seen_begin - k + MK - 1, (clattn_int)0, (clattn_int)BK) / MK * MK;
                plain_end = (int)clamp(seen_end - k, (clattn_int)0, (clattn_int)BK) / MK * MK;
            }
#endif
#pragma unroll
            for (int v = 0; v < NV; v++)
                most[v] = state.most[v];
            for (int i = 0; i < count; i += MK) {
                vec most_with[NV];
                ask(&own_keys);
                ask(&own_values);
                ask(&next_queries);
                ask(&next_keys);
                ask(&next_values);
                ask(&to_write);
#pragma unroll
                for (int v = 0; v < NV; v++)
                    most_with[v] = most[v];
                score_tile(scores + i * NV, most_with, queries, keys, k + i, end - 1, D, scale);
                if (i >= plain && i < plain_end)
#pragma unroll
                    for (int v = 0; v < NV; v++)
                        most[v] = most_with[v];
            }
#if GENERAL
            /* What is before, or all where nothing is plain, and what is behind. */
#pragma unroll 1
            for (int side = 0; side < 2; side++) {
                const int from = side ? max(plain, plain_end) : 0,
                          to = side ? count : min(plain, count);
                if (from < to)
                    modify_block(scores, most, &places, &m, softcap, bounded, k, from, to, mask,
                                 bias);
            }
#endif
            weigh_scores(scores, &state, most, kept, count, normalizer, of_lse.kind != KIND_ABSENT);
#if DROPOUT
            drop_rows(scores, dropout_blocks, dropout, k, count);
#endif
            weigh(to, scores, kept, values, k, count, DV, careful, down);
            if (!careful)
                continue;
            add_not_finite((ACC *)to, (const ACC *)scores, &places, m, values, b, k, count, DV,
                           mask, bias);
        }
        if (walk == 1) /* no element depends on what its neighbours are */
            for (int i = 0; i < DV * NV; i++)
                sums[i] = select(sums[i], again[i], (ivec)(sums[i] - sums[i] != (vec)(0)));
        if (walk == 2 || !any_left_its_range(sums, DV * NV))
            break;
    }

    /* The sink is one key more, without a value. */
    vec factor[NV];
    for (int v = 0; v < NV; v++) {
        vec most = state.most[v], sum = state.sum[v], kept = 1;
#if GENERAL
        if (m.sinks.kind != KIND_ABSENT) {
            ACC logits[VW];
            for (int l = 0; l < VW; l++)
                logits[l] = load_element(sinks, m.sinks.kind,
                                         row_of(m.sinks, 0, places.query[v * VW + l] / m.S, 0));
            const vec sink = LOAD_VEC(logits);
            most = larger(sink, most);
            kept = exponential(state.most[v] - most);
            sum = fma(sum, kept, exponential(sink - most));
        }
#endif
        const vec shift = select(most, (vec)(0), (ivec)(most == (vec)(-INFINITY)));
        factor[v] = normalizer == SOFTMAX ? kept / select(sum, (vec)(1), (ivec)(sum == (vec)(0)))
                                          : (vec)(1);
        if (of_lse.kind != KIND_ABSENT) {
            ACC logs[VW];
            STORE_VEC(shift + log(sum), logs);
            for (int l = 0; l < min(rows - v * VW, (int)VW); l++) {
                const clattn_int row = places.query[v * VW + l];
                store_element(lse, of_lse.kind, row_of(of_lse, b, row / m.S, row % m.S), logs[l]);
            }
        }
    }
    if (of_output.kind == KIND_ABSENT)
        return;
    for (int d = 0; d < DV; d++)
        for (int v = 0; v < NV; v++) {
            const vec x = sums[d * NV + v];
            vec y = x * factor[v];
            if (walk == 2)
                y = select(y, again[d * NV + v] * factor[v] * (vec)(whole),
                           (ivec)(x - x != (vec)(0)));
            sums[d * NV + v] = y;
        }
    for (int v = 0; v < NV; v++)
        store_rows(output, sums + v, output_rows + v * VW, of_output.column, DV, rows - v * VW);
}
