/* decode.cl: attention of a few queries over many keys: the keys of a head are split over work-items
 *
 * Formula   as lanes.cl, for each chunk of CHUNK keys on its own: a mean of values, and maximum and sum of
 *           its weights; chunks are merged from the first to the last, whoever made them (decode.clh)
 * Source    Dao et al., "Flash-Decoding for long-context inference", 2023
 * Shapes    query (B, Hq, S, D), key (B, Hkv, T, D), value (B, Hkv, T, DV), output (B, Hq, S, DV),
 *           lse (B, Hq, S): views of any strides; M = group * S rows of a key head, at most ROWS.
 *           parts: [G][chunks][M][DV + 2], the mean, maximum and sum of a chunk
 * Units     strides in elements; scores in natural-log units
 * Launch    global {items * G}, local {1}; a work-item makes item_chunks chunks of one key head. With one
 *           item for a head it writes output and lse; with several, chunks go to `parts` for
 *           decode_merge.cl
 * Memory    ROWS * (D + 2 DV + CHUNK) sums in private memory; keys and values are read once. A processor
 *           streams a row of them best from end to end, so a key meets two rows of queries whole
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
#include "decode.clh"
#define TILE (VW == 16 ? 8 : 4) /* vectors of two rows that registers hold at a time */
#define BLOCK 16 /* keys whose values all rows meet before they leave the nearest cache */

/* Loops over a tile unroll, and its vectors stay in registers, only where the sizes are known. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* The chunk at hand: `count` keys from key j on, which begin at elements `keys` and `values`. */
typedef struct chunk_place {
    clattn_int j, keys, values;
    int count;
} chunk_place;

/* One vector of a row, zeros past its end. */
static inline vec load_part(global const void *memory, clattn_int at, clattn_int column, int first,
                            int size)
{
    return column == 1 && first + VW <= size
               ? load_run(memory, KIND, at + first)
               : load_lanes(memory, KIND, at + first * column, column, min(size - first, VW));
}

/* Asks for `vectors` vectors from element `at` on: rows after the first two find theirs in the nearest
 * cache, and the processor has time to fetch the next ones meanwhile. */
ALWAYS_INLINE void ask_for(global const void *memory, clattn_int at, int vectors)
{
#pragma unroll
    for (int v = 0; v < TILE; v++)
        if (v < vectors)
            PREFETCH(memory, (at + v * VW) * SIZE_OF_KIND(KIND));
}

/* Adds to tile[r * VW + i], lane by lane, what `vectors` vectors of VW keys and of one or two rows give; a
 * key every `step` elements, those past `last` are the last one. `ahead`: asks for the next VW keys, too. */
ALWAYS_INLINE void multiply_tile(vec *tile, const vec *queries, global const void *key,
                                 clattn_int at, clattn_int step, int last, int rows, int vectors,
                                 bool ahead)
{
    vec q[2][TILE];
#pragma unroll
    for (int r = 0; r < 2; r++)
#pragma unroll
        for (int v = 0; v < TILE; v++)
            if (r < rows && v < vectors)
                q[r][v] = queries[r * VECTORS + v];
#pragma unroll 1
    for (int i = 0; i < VW; i++) {
        const clattn_int from = at + min(i, last) * step;
        if (ahead)
            ask_for(key, from + VW * step, vectors);
        vec one = tile[i], two = tile[(rows - 1) * VW + i];
#pragma unroll
        for (int v = 0; v < TILE; v++)
            if (v < vectors) {
                const vec k = load_run(key, KIND, from + v * VW);
                one = fma(k, q[0][v], one);
                if (rows == 2)
                    two = fma(k, q[1][v], two);
            }
        tile[i] = one;
        if (rows == 2)
            tile[VW + i] = two;
    }
}

/* The raw scores of VW keys and one or two rows: scores[r * (CHUNK / VW)]. */
ALWAYS_INLINE void score_keys(vec *scores, const vec *queries, global const void *key,
                              clattn_int at, clattn_view view, int last, int D, ACC scale, int rows,
                              bool ahead)
{
    vec tile[2 * VW];
    int d = 0;
    for (int i = 0; i < rows * VW; i++)
        tile[i] = 0;
    if (view.column == 1) {
        for (; d + TILE * VW <= D; d += TILE * VW)
            multiply_tile(tile, queries + d / VW, key, at + d, view.row, last, rows, TILE, ahead);
        for (; d + TILE / 2 * VW <= D; d += TILE / 2 * VW)
            multiply_tile(tile, queries + d / VW, key, at + d, view.row, last, rows, TILE / 2,
                          ahead);
        for (; d + VW <= D; d += VW)
            multiply_tile(tile, queries + d / VW, key, at + d, view.row, last, rows, 1, ahead);
    }
    for (; d < D; d += VW)
        for (int i = 0; i < VW; i++) {
            const vec k = load_part(key, at + min(i, last) * view.row, view.column, d, D);
            for (int r = 0; r < rows; r++)
                tile[r * VW + i] = fma(k, queries[r * VECTORS + d / VW], tile[r * VW + i]);
        }
    for (int r = 0; r < rows; r++)
        scores[r * (CHUNK / VW)] = sums_of_lanes(tile + r * VW) * (vec)(scale);
}

/* Adds weights times values to `vectors` vectors, from `first` on, of one or two rows; a key every `step`
 * elements. */
ALWAYS_INLINE void add_tile(row_part *part, int first, const ACC *weights, global const void *value,
                            clattn_int from, clattn_int step, int count, int rows, int vectors,
                            bool ahead)
{
    vec sums[2][TILE];
#pragma unroll
    for (int r = 0; r < 2; r++)
#pragma unroll
        for (int v = 0; v < TILE; v++)
            if (r < rows && v < vectors)
                sums[r][v] = part[r].mean[first + v];
#pragma unroll 1
    for (int key = 0; key < count; key++) {
        if (ahead)
            ask_for(value, from + BLOCK * step, vectors);
        const vec one = (vec)(weights[key]), two = (vec)(weights[(rows - 1) * CHUNK + key]);
#pragma unroll
        for (int v = 0; v < TILE; v++)
            if (v < vectors) {
                const vec x = load_run(value, KIND, from + v * VW);
                sums[0][v] = fma(one, x, sums[0][v]);
                if (rows == 2)
                    sums[1][v] = fma(two, x, sums[1][v]);
            }
        from += step;
    }
#pragma unroll
    for (int r = 0; r < 2; r++)
#pragma unroll
        for (int v = 0; v < TILE; v++)
            if (r < rows && v < vectors)
                part[r].mean[first + v] = sums[r][v];
}

/* Weights times the values of `count` keys, added to the means of one or two rows. */
ALWAYS_INLINE void add_values(row_part *part, const ACC *weights, global const void *value,
                              clattn_int from, clattn_view view, int count, int DV, int rows,
                              bool ahead)
{
    int d = 0;
    if (view.column == 1) {
        for (; d + TILE * VW <= DV; d += TILE * VW)
            add_tile(part, d / VW, weights, value, from + d, view.row, count, rows, TILE, ahead);
        for (; d + TILE / 2 * VW <= DV; d += TILE / 2 * VW)
            add_tile(part, d / VW, weights, value, from + d, view.row, count, rows, TILE / 2,
                     ahead);
        for (; d + VW <= DV; d += VW)
            add_tile(part, d / VW, weights, value, from + d, view.row, count, rows, 1, ahead);
    }
    for (; d < DV; d += VW)
        for (int key = 0; key < count; key++) {
            const vec x = load_part(value, from + key * view.row, view.column, d, DV);
            for (int r = 0; r < rows; r++)
                part[r].mean[d / VW] =
                    fma((vec)(weights[r * CHUNK + key]), x, part[r].mean[d / VW]);
        }
}

/* The elements of a chunk's mean that are not finite, once more and with care: what is not finite reaches
 * only who sees it, and weights are brought down, so that no sum of them overflows. */
static inline void repair_mean(ACC *mean, const ACC *weights, ACC factor, global const void *value,
                               clattn_view view, chunk_place chunk, int DV, clattn_modifications m,
                               query_place q, global const void *mask, global const void *bias,
                               clattn_int b, clattn_int h, clattn_int i)
{
    for (int d = 0; d < DV; d++) {
        ACC sum = 0, rest = 0;
        if (isfinite(mean[d]))
            continue;
        for (int key = 0; key < chunk.count; key++) {
            const ACC v =
                load_element(value, KIND, chunk.values + key * view.row + d * view.column);
            if (isfinite(v))
                sum += v * (weights[key] / CHUNK);
            else if (is_visible(m, q, mask, bias, b, h, i, chunk.j + key))
                rest += weights[key] * v;
        }
        mean[d] = sum * (CHUNK * factor) + rest * factor;
    }
}

/* Scores of all rows and keys of a chunk, not yet modified; those of row r begin at vector r * CHUNK / VW. */
static inline void score_chunk(vec *scores, const vec *queries, global const void *key,
                               clattn_view view, chunk_place chunk, int D, ACC scale, int M)
{
    for (int first = 0; first < chunk.count; first += VW) {
        const clattn_int at = chunk.keys + first * view.row;
        const int last = min(chunk.count - first, VW) - 1;
        for (int r = 0; r < M; r += 2) {
            vec *const to = scores + r * (CHUNK / VW) + first / VW;
            if (r + 1 < M)
                score_keys(to, queries + r * VECTORS, key, at, view, last, D, scale, 2, r == 2);
            else
                score_keys(to, queries + r * VECTORS, key, at, view, last, D, scale, 1, r == 2);
        }
    }
}

/* The scores of a row become weights; its maximum and sum go to `part`. */
static inline void weigh_scores(vec *scores, row_part *part, int count, int normalize)
{
    vec top = (vec)(-INFINITY), total = 0;
    for (int v = 0; v * VW < count; v++)
        top = larger(top, scores[v]);
    part->most = max_lanes(top);
    /* Where all is hidden, -infinity less itself would be NaN; any finite shift does. */
    const vec shift = (vec)(part->most == -INFINITY ? (ACC)0 : part->most);
    for (int v = 0; v * VW < count; v++) {
        const vec x = scores[v], e = exponential(x - shift);
        total += e;
        scores[v] = normalize ? e : select(x, (vec)(0), (ivec)(x == (vec)(-INFINITY)));
    }
    part->sum = sum_lanes(total);
}

/* Weights times values, for all rows, whose means begin as zeros. */
static inline void sum_chunk(row_part *parts, const vec *weights, global const void *value,
                             clattn_view view, chunk_place chunk, int DV, int M)
{
    for (int first = 0; first < chunk.count; first += BLOCK) {
        const clattn_int at = chunk.values + first * view.row;
        const int count = min(chunk.count - first, BLOCK);
        for (int r = 0; r < M; r += 2) {
            const ACC *const from = (const ACC *)(weights + r * (CHUNK / VW)) + first;
            if (r + 1 < M)
                add_values(parts + r, from, value, at, view, count, DV, 2, r == 2);
            else
                add_values(parts + r, from, value, at, view, count, DV, 1, r == 2);
        }
    }
}

__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
decode(global const void *query, clattn_view query_view, global const void *key,
       clattn_view key_view, global const void *value, clattn_view value_view, global void *output,
       clattn_view output_view, global void *lse, clattn_view lse_view, int D, int DV, ACC scale,
       ACC softcap, clattn_modifications m, clattn_int heads, clattn_int M, int normalize,
       global const void *mask, global const void *bias, global const void *kv_lengths,
       global const void *alibi_slopes, global const void *sinks, global ACC *parts,
       clattn_int items, clattn_int item_chunks)
{
    const clattn_int g = get_global_id(0) / items, item = get_global_id(0) % items;
    const clattn_int b = g / heads, kv_head = g % heads, first_head = kv_head * (M / m.S);
    const clattn_int chunks = (m.T + CHUNK - 1) / CHUNK;
    const clattn_int chunk_begin = item * item_chunks,
                     chunk_end = min(chunk_begin + item_chunks, chunks);
    const bool touched = softcap > 0 || m.mask.kind != KIND_ABSENT || m.bias.kind != KIND_ABSENT ||
                         m.alibi_slopes.kind != KIND_ABSENT;
    row_part rows[ROWS];
    query_place places[ROWS];
    vec queries[ROWS * VECTORS];
    for (int r = 0; r < M; r++) {
        const clattn_int h = first_head + r / m.S, i = r % m.S, at = row_of(query_view, b, h, i);
        places[r] = place_query(m, kv_lengths, alibi_slopes, b, h, i);
        clear_part(&rows[r], DV);
        for (int d = 0; d < D; d += VW)
            queries[r * VECTORS + d / VW] = load_part(query, at, query_view.column, d, D);
    }
    for (clattn_int c = chunk_begin; c < chunk_end; c++) {
        const clattn_int j = c * CHUNK;
        const chunk_place chunk = {j, row_of(key_view, b, kv_head, j),
                                   row_of(value_view, b, kv_head, j),
                                   (int)min(m.T - j, (clattn_int)CHUNK)};
        vec scores[ROWS * (CHUNK / VW)];
        row_part found[ROWS];
        bool seen = false;
        for (int r = 0; r < M; r++) {
            seen = seen || (places[r].begin < j + chunk.count && places[r].end > j);
            clear_part(&found[r], DV);
        }
        if (seen) {
            score_chunk(scores, queries, key, key_view, chunk, D, scale, M);
            for (int r = 0; r < M; r++) {
                vec *const of_row = scores + r * (CHUNK / VW);
                const clattn_int h = first_head + r / m.S, i = r % m.S;
                if (touched || places[r].begin > j || places[r].end < j + CHUNK)
                    for (int first = 0; first < chunk.count; first += VW)
                        of_row[first / VW] =
                            modify_keys(cap_score(of_row[first / VW], softcap), m, places[r],
                                        j + first, min(chunk.count - first, VW), mask,
                                        row_of(m.mask, b, h, i), bias, row_of(m.bias, b, h, i));
                weigh_scores(of_row, &found[r], chunk.count, normalize);
            }
            sum_chunk(found, scores, value, value_view, chunk, DV, M);
        }
        for (int r = 0; r < M; r++) {
            const ACC factor = normalize && found[r].sum != 0 ? 1 / found[r].sum : (ACC)1;
            for (int d = 0; d < DV; d += VW)
                found[r].mean[d / VW] *= (vec)(factor);
            if (any_left_its_range(found[r].mean, (DV + VW - 1) / VW))
                repair_mean((ACC *)found[r].mean, (const ACC *)(scores + r * (CHUNK / VW)), factor,
                            value, value_view, chunk, DV, m, places[r], mask, bias, b,
                            first_head + r / m.S, r % m.S);
            if (items > 1)
                save_part(parts + ((g * chunks + c) * M + r) * PART_SIZE(DV), &found[r], DV);
            else
                merge_parts(&rows[r], &found[r], DV, normalize);
        }
    }
    if (items > 1)
        return;
    for (int r = 0; r < M; r++)
        store_row(&rows[r], m.sinks, sinks, DV, normalize, output, output_view, lse, lse_view, b,
                  first_head + r / m.S, r % m.S);
}
