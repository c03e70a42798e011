/* decode.cl: attention of a few queries over many keys: the keys of a head are split over work-items
 *
 * Formula   as lanes.cl; the keys of each chunk of CHUNK on their own (chunks.clh), then all (attend.clh)
 * Source    Dao et al., "Flash-Decoding for long-context inference", 2023
 * Shapes    query (B, Hq, S, D), key (B, Hkv, T, D), value (B, Hkv, T, DV), output (B, Hq, S, DV),
 *           lse (B, Hq, S): views of any strides; M = group * S rows of a key head, at most ROWS.
 *           parts: [G][chunks][M][DV + 2], the mean, maximum and sum of a chunk; what row_outputs.clh has,
 *           with kept [G][M][kept_step] for scores, only with one item for a head
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
#include "chunks.clh"
#define QUERY_VECTORS (MOST / VW)

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
                q[r][v] = queries[r * QUERY_VECTORS + v];
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
                tile[r * VW + i] = fma(k, queries[r * QUERY_VECTORS + d / VW], tile[r * VW + i]);
        }
    for (int r = 0; r < rows; r++)
        scores[r * (CHUNK / VW)] = sums_of_lanes(tile + r * VW) * (vec)(scale);
}

/* What scores are made of: the rows' queries, and the keys of a head, the first of which begins at element
 * key_at. */
typedef struct scorer {
    vec queries[ROWS * QUERY_VECTORS];
    global const void *key;
    clattn_view key_view;
    clattn_int key_at;
    int D;
    ACC scale;
} scorer;

static inline void score_chunk(const scorer *by, vec *scores, chunk_place chunk, int M)
{
    for (int first = 0; first < chunk.count; first += VW) {
        const clattn_int at = by->key_at + (chunk.j + first) * by->key_view.row;
        const int last = min(chunk.count - first, VW) - 1;
        for (int r = 0; r < M; r += 2) {
            vec *const to = scores + r * (CHUNK / VW) + first / VW;
            const vec *const queries = by->queries + r * QUERY_VECTORS;
            if (r + 1 < M)
                score_keys(to, queries, by->key, at, by->key_view, last, by->D, by->scale, 2,
                           r == 2);
            else
                score_keys(to, queries, by->key, at, by->key_view, last, by->D, by->scale, 1,
                           r == 2);
        }
    }
}

#include "attend.clh"

__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
decode(global const void *query, clattn_view query_view, global const void *key,
       clattn_view key_view, global const void *value, clattn_view value_view, global void *output,
       clattn_view output_view, global void *lse, clattn_view lse_view, int D, int DV, ACC scale,
       ACC softcap, clattn_modifications m, clattn_int heads, clattn_int M, int normalizer,
       global const void *mask, global const void *bias, global const void *kv_lengths,
       global const void *alibi_slopes, global const void *sinks, global ACC *parts,
       global ACC *kept, clattn_split split, global void *weights, global const void *weights_heads,
       global const void *weights_rows, global void *argmax, global void *entropy,
       clattn_row_outputs row_outputs)
{
    const clattn_int g = get_global_id(0) / split.items, item = get_global_id(0) % split.items;
    const clattn_int b = g / heads, kv_head = g % heads, chunks = (m.T + CHUNK - 1) / CHUNK;
    scorer by;
    by.key = key, by.key_view = key_view, by.key_at = row_of(key_view, b, kv_head, 0);
    by.D = D, by.scale = scale;
    for (int r = 0; r < M; r++) {
        const clattn_int at = row_of(query_view, b, kv_head * (M / m.S) + r / m.S, r % m.S);
        for (int d = 0; d < D; d += VW)
            by.queries[r * QUERY_VECTORS + d / VW] = load_part(query, at, query_view.column, d, D);
    }
    row_task task = take_task(value, value_view, output, output_view, lse, lse_view, DV, softcap, m,
                              normalizer, mask, bias, kv_lengths, alibi_slopes, sinks, split, item,
                              weights, weights_heads, weights_rows, argmax, entropy, row_outputs);
    task.b = b, task.kv_head = kv_head;
    task.first_head = kv_head * (M / m.S), task.first_row = 0, task.rows = (int)M;
    task.parts_step = M * PART_SIZE(DV);
    task.parts = split.items > 1 ? parts + g * chunks * task.parts_step : 0;
    task.kept = split.kept_step ? kept + g * M * split.kept_step : 0;
    attend(&task, &by);
}
