/* decode.cl: attention of a few queries over many keys: the keys of a head are split over work-items
 *
 * Formula   as lanes.cl, for each chunk of CHUNK keys on its own: a mean of values, and maximum m and sum l
 *           of its weights. Two of them become one by o = (l1 o1 + l2 o2) / (l1 + l2), l1 and l2 brought
 *           to the larger maximum; chunks are merged from the first to the last, whoever made them
 * Source    Dao et al., "Flash-Decoding for long-context inference", 2023
 * Shapes    query (B, Hq, S, D), key (B, Hkv, T, D), value (B, Hkv, T, DV), output (B, Hq, S, DV),
 *           lse (B, Hq, S): views of any strides; M = group * S rows of a key head, at most ROWS.
 *           parts: [G][chunks][ROWS][DV + 2], means, maximum and sum of a chunk
 * Units     strides in elements; scores in natural-log units
 * Launch    global {items * G}, local {1}; a work-item makes item_chunks chunks of one key head. With one
 *           item for a head it writes the output; with several, chunks go to `parts`, and a second launch
 *           with `merge` and one item for a head makes the output of them
 * Memory    ROWS * (D + 2 DV + CHUNK) sums in private memory; keys and values are read once
 * Edges     as lanes.cl; a chunk whose means are not finite is made once more, with care
 * See       src/ops/decode.c, src/reference, tests/kernels/test_decode.c
 *
 * -D        meaning                                              values           set by
 * MOST      D and DV at most, a multiple of VW                   64 to 4096, 2^k  desc
 * KIND      of query, key, value and output, as in arguments.h   0 to 3           desc.dtype
 * CHUNK     keys of a chunk, a multiple of VW                    64 to 1024       decode.c
 * ROWS      rows of a key head at most                           1 to 64          decode.c
 */
#include "common.clh"
#include "modify.clh"
#if !defined(MOST) || !defined(KIND) || !defined(CHUNK) || !defined(ROWS)
#error "decode.cl: MOST, KIND, CHUNK and ROWS must be given"
#endif
#define VECTORS (MOST / VW) /* of the largest key or value */
#define BLOCK 32 /* keys whose values all rows meet before they leave the nearest cache */

/* What a row has seen so far: the mean of its values, and what is needed to go on. */
typedef struct row_state {
    vec mean[VECTORS];
    ACC most, sum;
} row_state;

/* One vector of a row, zeros past its end. */
static inline vec load_part(global const void *memory, clattn_int at, clattn_int column, int first,
                            int size)
{
    return column == 1 && first + VW <= size
               ? load_run(memory, KIND, at + first)
               : load_lanes(memory, KIND, at + first * column, column, min(size - first, VW));
}

/* The raw scores of VW keys, from rows `at` on, each `row` further; keys past `last` are the last one. */
static inline vec score_keys(const vec *q, global const void *key, clattn_int at, clattn_view view,
                             int last, int D)
{
    vec tile[VW];
    for (int i = 0; i < VW; i++) {
        const clattn_int from = at + min(i, last) * view.row;
        vec sum = 0;
        if (view.column == 1)
            for (int d = 0; d + VW <= D; d += VW)
                sum = fma(load_run(key, KIND, from + d), q[d / VW], sum);
        for (int d = view.column == 1 ? D / VW * VW : 0; d < D; d += VW)
            sum = fma(load_part(key, from, view.column, d, D), q[d / VW], sum);
        tile[i] = sum;
    }
    transpose(tile);
#pragma unroll
    for (int half_size = VW / 2; half_size > 0; half_size /= 2)
#pragma unroll
        for (int i = 0; i < half_size; i++)
            tile[i] += tile[i + half_size];
    return tile[0];
}

/* Weights times the values of `count` keys, added to `sums`; keys `from`, from + row, ... */
static inline void add_values(vec *sums, const ACC *weights, global const void *value,
                              clattn_int from, clattn_view view, int count, int DV)
{
    for (int d = 0; d < DV; d += VW) {
        vec sum = sums[d / VW];
        int key = 0;
        if (view.column == 1 && d + VW <= DV)
            for (; key < count; key++)
                sum =
                    fma((vec)(weights[key]), load_run(value, KIND, from + key * view.row + d), sum);
        for (; key < count; key++)
            sum = fma((vec)(weights[key]),
                      load_part(value, from + key * view.row, view.column, d, DV), sum);
        sums[d / VW] = sum;
    }
}

/* One element of a chunk's mean, with care: what is not finite reaches only who sees it, and weights are
 * brought down, so that no sum of them overflows. */
static inline ACC mean_with_care(const ACC *weights, ACC factor, global const void *value,
                                 clattn_int from, clattn_view view, int count, int d,
                                 clattn_modifications m, query_place q, global const void *mask,
                                 global const void *bias, clattn_int b, clattn_int h, clattn_int i,
                                 clattn_int j)
{
    ACC sum = 0, rest = 0;
    for (int key = 0; key < count; key++) {
        const ACC v = load_element(value, KIND, from + key * view.row + d * view.column);
        if (isfinite(v))
            sum += v * (weights[key] / CHUNK);
        else if (is_visible(m, q, mask, bias, b, h, i, j + key))
            rest += weights[key] * v;
    }
    return sum * (CHUNK * factor) + rest * factor;
}

static inline bool has_left_its_range(const vec *sums, int DV)
{
    vec differences = 0; /* x - x is 0, or NaN */
    for (int d = 0; d < DV; d += VW)
        differences += sums[d / VW] - sums[d / VW];
    return sum_lanes(differences) != 0;
}

/* Two parts of a row become one, the first one. */
static inline void merge_parts(row_state *row, const vec *mean, ACC most, ACC sum, int DV,
                               int normalize)
{
    if (sum == 0) /* it has seen nothing */
        return;
    const ACC top = most > row->most || row->sum == 0 ? most : row->most;
    const ACC before = row->sum == 0 ? (ACC)0 : row->sum * exp(row->most - top),
              added = sum * exp(most - top);
    row->most = top;
    row->sum = before + added;
    const vec kept = (vec)(normalize ? before / row->sum : (ACC)1),
              share = (vec)(normalize ? added / row->sum : (ACC)1);
    for (int d = 0; d < DV; d += VW)
        row->mean[d / VW] = fma(kept, row->mean[d / VW], share * mean[d / VW]);
}

/* The sink joins, and the row goes out. */
static inline void store_row(row_state *row, bool has_sink, ACC sink, int DV, int normalize,
                             global void *output, clattn_int at, clattn_view view, global void *lse,
                             clattn_int lse_at, int lse_kind)
{
    ACC factor = 1;
    if (has_sink) {
        const ACC top = row->sum == 0 || sink > row->most ? sink : row->most,
                  kept = row->sum == 0 ? (ACC)0 : row->sum * exp(row->most - top);
        const ACC all = kept + exp(sink - top);
        factor = normalize ? kept / all : (ACC)1;
        row->most = top, row->sum = all;
    }
    if (lse_kind != KIND_ABSENT)
        store_element(lse, lse_kind, lse_at,
                      row->sum == 0 ? (ACC)-INFINITY : row->most + log(row->sum));
    if (view.kind != KIND_ABSENT)
        for (int d = 0; d < DV; d += VW)
            store_lanes(output, KIND, at + d * view.column, view.column,
                        row->mean[d / VW] * (vec)(factor), min(DV - d, VW));
}

__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
decode(global const void *query, clattn_view query_view, global const void *key,
       clattn_view key_view, global const void *value, clattn_view value_view, global void *output,
       clattn_view output_view, global void *lse, clattn_view lse_view, int D, int DV, ACC scale,
       ACC softcap, clattn_modifications m, clattn_int heads, clattn_int M, int normalize,
       global const void *mask, global const void *bias, global const void *kv_lengths,
       global const void *alibi_slopes, global const void *sinks, global ACC *parts, int merge,
       clattn_int items, clattn_int item_chunks)
{
    const clattn_int g = get_global_id(0) / items, item = get_global_id(0) % items;
    const clattn_int b = g / heads, kv_head = g % heads, group = M / m.S;
    const clattn_int chunks = (m.T + CHUNK - 1) / CHUNK;
    const clattn_int chunk_begin = item * item_chunks,
                     chunk_end = min(chunk_begin + item_chunks, chunks);
    const int part_size = DV + 2;
    row_state rows[ROWS];
    query_place places[ROWS];
    vec q[ROWS * VECTORS], scores[ROWS * (CHUNK / VW)];
    for (int r = 0; r < M; r++) {
        const clattn_int h = kv_head * group + r / m.S, i = r % m.S;
        rows[r].most = -INFINITY, rows[r].sum = 0;
        for (int d = 0; d < DV; d += VW)
            rows[r].mean[d / VW] = 0;
        if (merge)
            continue;
        places[r] = place_query(m, kv_lengths, alibi_slopes, b, h, i);
        for (int d = 0; d < D; d += VW)
            q[r * VECTORS + d / VW] =
                load_part(query, row_of(query_view, b, h, i), query_view.column, d, D);
    }
    for (clattn_int c = chunk_begin; c < chunk_end; c++) {
        const clattn_int j = c * CHUNK;
        const int count = (int)min(m.T - j, (clattn_int)CHUNK);
        global ACC *part = parts + ((g * chunks + c) * M) * part_size;
        const clattn_int keys = row_of(key_view, b, kv_head, j),
                         values = row_of(value_view, b, kv_head, j);
        vec sums[ROWS * VECTORS];
        bool seen = merge;
        if (!merge)
            for (int r = 0; r < M; r++)
                seen = seen || (places[r].begin < j + count && places[r].end > j);
        if (!seen && items == 1)
            continue;
        if (!merge && seen)
            for (int first = 0; first < count; first += VW)
                for (int r = 0; r < M; r++) {
                    const clattn_int h = kv_head * group + r / m.S, i = r % m.S;
                    const vec raw = score_keys(q + r * VECTORS, key, keys + first * key_view.row,
                                               key_view, min(count - first, VW) - 1, D) *
                                    (vec)(scale);
                    scores[r * (CHUNK / VW) + first / VW] = modify_keys(
                        cap_score(raw, softcap), m, places[r], j + first, min(count - first, VW),
                        mask, row_of(m.mask, b, h, i), bias, row_of(m.bias, b, h, i));
                }
        ACC mosts[ROWS], totals[ROWS];
        for (int r = 0; r < M; r++) {
            vec *const s = scores + r * (CHUNK / VW);
            vec top = (vec)(-INFINITY), total = 0;
            if (merge) {
                mosts[r] = part[r * part_size], totals[r] = part[r * part_size + 1];
                for (int d = 0; d < DV; d += VW)
                    sums[r * VECTORS + d / VW] =
                        load_lanes(part, KIND_OF_SUMS, r * part_size + 2 + d, 1, min(DV - d, VW));
                continue;
            }
            for (int d = 0; d < DV; d += VW)
                sums[r * VECTORS + d / VW] = 0;
            mosts[r] = -INFINITY, totals[r] = 0;
            if (!seen)
                continue;
            for (int v = 0; v * VW < count; v++)
                top = larger(top, s[v]);
            mosts[r] = max_lanes(top);
            /* Where all is hidden, -infinity less itself would be NaN; any finite shift does. */
            const vec shift = (vec)(mosts[r] == -INFINITY ? (ACC)0 : mosts[r]);
            for (int v = 0; v * VW < count; v++) {
                const vec x = s[v], e = exp_negative(x - shift);
                total += e;
                s[v] = normalize ? e : select(x, (vec)(0), (ivec)(x == (vec)(-INFINITY)));
            }
            totals[r] = sum_lanes(total);
        }
        if (!merge && seen) {
            for (int first = 0; first < count; first += BLOCK)
                for (int r = 0; r < M; r++)
                    add_values(sums + r * VECTORS, (const ACC *)(scores + r * (CHUNK / VW)) + first,
                               value, values + first * value_view.row, value_view,
                               min(count - first, BLOCK), DV);
            for (int r = 0; r < M; r++) {
                const ACC factor = normalize && totals[r] != 0 ? 1 / totals[r] : (ACC)1;
                vec *const of_row = sums + r * VECTORS;
                for (int d = 0; d < DV; d += VW)
                    of_row[d / VW] *= (vec)(factor);
                if (!has_left_its_range(of_row, DV))
                    continue;
                ACC *const elements_of_row = (ACC *)of_row;
                for (int d = 0; d < DV; d++)
                    if (!isfinite(elements_of_row[d]))
                        elements_of_row[d] =
                            mean_with_care((const ACC *)(scores + r * (CHUNK / VW)), factor, value,
                                           values, value_view, count, d, m, places[r], mask, bias,
                                           b, kv_head * group + r / m.S, r % m.S, j);
            }
        }
        for (int r = 0; r < M; r++) {
            if (items == 1) {
                merge_parts(&rows[r], sums + r * VECTORS, mosts[r], totals[r], DV, normalize);
                continue;
            }
            part[r * part_size] = mosts[r], part[r * part_size + 1] = totals[r];
            for (int d = 0; d < DV; d += VW)
                store_lanes(part, KIND_OF_SUMS, r * part_size + 2 + d, 1,
                            sums[r * VECTORS + d / VW], min(DV - d, VW));
        }
    }
    if (items > 1)
        return;
    for (int r = 0; r < M; r++) {
        const clattn_int h = kv_head * group + r / m.S, i = r % m.S;
        const bool has_sink = m.sinks.kind != KIND_ABSENT;
        store_row(&rows[r], has_sink,
                  has_sink ? load_element(sinks, m.sinks.kind, row_of(m.sinks, 0, h, 0)) : (ACC)0,
                  DV, normalize, output, row_of(output_view, b, h, i), output_view, lse,
                  row_of(lse_view, b, h, i), (int)lse_view.kind);
    }
}
