/* additive.cl: attention with additive scores in one pass: a work-item makes the scores of a few queries of
 * a head and of a chunk of keys, and their part of the output
 *
 * Formula   scores as additive.clh; then as decode.cl: chunks.clh, attend.clh
 * Shapes    query: x, (B, Hq, S, A); key: y, (B, Hkv or Hq, T, A); v, bias, rows, features as in
 *           additive_scores.cl; value (B, Hkv, T, DV), output (B, Hq, S, DV), lse (B, Hq, S), weights (B, Hq,
 *           S, T): views of any type and strides, value and output of one type. parts:
 *           [B][Hq][chunks][S][DV + 2]; kept: [B][Hq][S][kept_step], only with one item for a block
 * Units     strides in elements
 * Launch    global {blocks * items, Hq, B}, local {1, 1, 1}; a work-item makes block_rows queries of a head,
 *           at most ROWS, and item_chunks chunks of its keys. With one item for a block it writes output
 *           and lse; with several, chunks go to `parts` for decode_merge.cl
 * Memory    as additive.clh and attend.clh; no scores are written
 * Edges     keys outside of all bounds of a block are not read
 * See       src/ops/additive.c, src/reference, tests/api/test_scores.c
 *
 * -D        as additive.clh and chunks.clh
 */
#include "common.clh"
#define SCORES_SPACE
#include "additive.clh"
#include "chunks.clh"

typedef struct scorer {
    additive_head head;
    clattn_int first; /* query of row 0 */
    ACC scale;
} scorer;

static inline void score_chunk(const scorer *by, vec *scores, chunk_place chunk, int M)
{
    /* Whole vectors, as far as there are keys: a row's do not depend on what the rows beside it see. */
    const clattn_int begin = chunk.j + (chunk.seen_begin - chunk.j) / VW * VW,
                     end = chunk.j + min((chunk.seen_end - chunk.j + VW - 1) / VW * VW,
                                         (clattn_int)chunk.count);
    additive_block((ACC *)scores + (begin - chunk.j), CHUNK, &by->head, by->first, M, begin, end,
                   by->scale);
}

#include "attend.clh"

kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
additive(global const void *query, clattn_view query_view, global const void *key,
         clattn_view key_view, global const void *value, clattn_view value_view,
         global void *output, clattn_view output_view, global void *lse, clattn_view lse_view,
         int units, int DV, ACC scale, ACC softcap, clattn_modifications m, clattn_int kv_heads,
         clattn_int M, int normalizer, global const void *mask, global const void *bias,
         global const void *kv_lengths, global const void *alibi_slopes, global const void *sinks,
         global ACC *parts, global ACC *kept, clattn_split split, global void *weights,
         global const void *weights_heads, global const void *weights_rows, global void *argmax,
         global void *entropy, clattn_row_outputs row_outputs, global const void *v,
         clattn_view of_v, global const void *bias_of_units, clattn_view of_bias,
         global const void *rows_of_features, clattn_view of_rows, global const void *features,
         clattn_view of_features, global const void *forms, clattn_view of_forms,
         global const void *extents, clattn_view of_extents, int feature_count, int key_group,
         clattn_int block_rows)
{
    const clattn_int block = get_global_id(0) / split.items, item = get_global_id(0) % split.items,
                     h = get_global_id(1), b = get_global_id(2), heads = get_global_size(1),
                     first = block * block_rows, chunks = (m.T + CHUNK - 1) / CHUNK;
    const scorer by = {take_head(query, query_view, key, key_view, units, v, of_v, bias_of_units,
                                 of_bias, rows_of_features, of_rows, features, of_features, forms,
                                 of_forms, extents, of_extents, feature_count, key_group, b, h),
                       first, scale};
    row_task task = take_task(value, value_view, output, output_view, lse, lse_view, DV, softcap, m,
                              normalizer, mask, bias, kv_lengths, alibi_slopes, sinks, split, item,
                              weights, weights_heads, weights_rows, argmax, entropy, row_outputs);
    task.b = b, task.kv_head = h / (heads / kv_heads);
    task.first_head = h, task.first_row = first;
    task.rows = (int)min(m.S - first, block_rows);
    task.parts_step = m.S * PART_SIZE(DV);
    task.parts = split.items > 1
                     ? parts + (b * heads + h) * chunks * task.parts_step + first * PART_SIZE(DV)
                     : 0;
    task.kept = split.kept_step ? kept + ((b * heads + h) * m.S + first) * split.kept_step : 0;
    attend(&task, &by);
}
