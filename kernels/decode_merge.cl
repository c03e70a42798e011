/* decode_merge.cl: one result of the parts that several work-items of decode.cl found
 *
 * Formula   decode.clh
 * Shapes    parts: [G][chunks][M][DV + 2], as decode.cl leaves them; output (B, Hq, S, DV), lse (B, Hq, S):
 *           views of any strides
 * Launch    global {G}, local {1}; a work-item makes the rows of one key head
 * Memory    2 * DV sums in private memory
 * Edges     chunks are merged from the first to the last, so that bits do not depend on the split
 * See       src/ops/decode.c, tests/kernels/test_decode.c
 *
 * -D        meaning                                              values           set by
 * MOST      DV at most, a multiple of VW                         64 to 4096, 2^k  desc
 * KIND      of output, as in arguments.h                         0 to 3           desc.dtype
 */
#include "common.clh"
#if !defined(MOST) || !defined(KIND)
#error "decode_merge.cl: MOST and KIND must be given"
#endif
#include "decode.clh"

__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
decode_merge(global const ACC *parts, clattn_int chunks, clattn_int heads, clattn_int M,
             clattn_int S, int DV, int normalizer, global const void *sinks, clattn_view sinks_view,
             global void *output, clattn_view output_view, global void *lse, clattn_view lse_view)
{
    const clattn_int g = get_global_id(0), b = g / heads, first_head = g % heads * (M / S);
    for (clattn_int r = 0; r < M; r++) {
        row_part row, part;
        clear_part(&row, DV);
        for (clattn_int c = 0; c < chunks; c++) {
            load_saved(&part, parts + ((g * chunks + c) * M + r) * PART_SIZE(DV), DV);
            merge_parts(&row, &part, DV, normalizer);
        }
        store_row(&row, sinks_view, sinks, DV, normalizer, output, output_view, lse, lse_view, b,
                  first_head + r / S, r % S);
    }
}
