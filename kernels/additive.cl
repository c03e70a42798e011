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
additive(global const void *query, clattn_view of_query, global const void *key, clattn_view of_key,
         global const void *v, clattn_view of_v, global const void *bias_of_units,
         clattn_view of_bias, global const void *rows_of_features, clattn_view of_rows,
         global const void *features, clattn_view of_features, int units, int feature_count,
         int key_group, ACC scale, ACC softcap, clattn_modifications m, int group, int DV,
         int normalize, global const void *value, clattn_view of_value, global void *output,
         clattn_view of_output, global void *lse, clattn_view of_lse, global const void *mask,
         global const void *bias, global const void *kv_lengths, global const void *alibi_slopes,
         global const void *sinks, global ACC *parts, clattn_int items, clattn_int item_chunks,
         clattn_int block_rows, global void *weights, clattn_view of_weights, global ACC *kept,
         clattn_int kept_step)
{
    const clattn_int block = get_global_id(0) / items, item = get_global_id(0) % items,
                     h = get_global_id(1), b = get_global_id(2), heads = get_global_size(1),
                     first = block * block_rows, chunks = (m.T + CHUNK - 1) / CHUNK;
    const scorer by = {{query,
                        key,
                        v,
                        bias_of_units,
                        rows_of_features,
                        features,
                        row_of(of_query, b, h, 0),
                        row_of(of_key, b, h / key_group, 0),
                        row_of(of_v, 0, h, 0),
                        row_of(of_bias, 0, h, 0),
                        row_of(of_rows, 0, h, 0),
                        row_of(of_features, b, h, 0),
                        of_query,
                        of_key,
                        of_v,
                        of_bias,
                        of_rows,
                        of_features,
                        units,
                        feature_count},
                       first,
                       scale};
    row_task task;
    task.b = b, task.kv_head = h / group;
    task.first_head = h, task.first_row = first;
    task.rows = (int)min(m.S - first, block_rows);
    task.DV = DV, task.normalize = normalize, task.softcap = softcap, task.m = m;
    task.value = value, task.value_view = of_value;
    task.mask = mask, task.bias = bias, task.kv_lengths = kv_lengths;
    task.alibi_slopes = alibi_slopes, task.sinks = sinks;
    task.output = output, task.output_view = of_output;
    task.lse = lse, task.lse_view = of_lse;
    task.chunk_begin = item * item_chunks;
    task.chunk_end = min(task.chunk_begin + item_chunks, chunks);
    task.parts_step = m.S * PART_SIZE(DV);
    task.parts =
        items > 1 ? parts + (b * heads + h) * chunks * task.parts_step + first * PART_SIZE(DV) : 0;
    task.weights = weights, task.weights_view = of_weights;
    task.kept =
        of_weights.kind == KIND_ABSENT ? 0 : kept + ((b * heads + h) * m.S + first) * kept_step;
    task.kept_step = kept_step;
    attend(&task, &by);
}
