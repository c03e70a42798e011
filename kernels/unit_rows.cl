/* unit_rows.cl: rows brought to a given length, in the type of the sums
 *
 * Formula   out[b][h][r] = length(b, h, r) * x(b, h, r) / |x(b, h, r)|, 0 where x is 0
 * Source    cosine scores: Graves et al., "Neural Turing machines", arXiv:1410.5401; v of additive
 *           ones: Salimans and Kingma, "Weight normalization", arXiv:1602.07868
 * Shapes    x: view (B, H, rows, D); length: view (B, H, rows, 1), absent: 1; out: [B][H][rows][D]
 * Units     strides in elements
 * Launch    global {ceil(rows / ITEM_ROWS), H, B}, local {1, 1, 1}
 * Memory    reads each row three times, from the nearest cache but for the first time
 * Edges     rows are brought to a largest element of 1 first, so that no square leaves its range; what
 *           is not finite makes its row NaN
 * See       src/ops/operands.c, tests/api/test_scores.c
 *
 * -D         meaning                   values   set by
 * ITEM_ROWS  rows of a work-item       1 to 64  src/ops/operands.c
 */
#include "common.clh"
#include "modify.clh"
#ifndef ITEM_ROWS
#error "unit_rows.cl: ITEM_ROWS must be given"
#endif

kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
unit_rows(global const void *x, clattn_view of_x, global const void *length, clattn_view of_length,
          global ACC *out, clattn_int rows, clattn_int D)
{
    const clattn_int first = (clattn_int)get_global_id(0) * ITEM_ROWS, h = get_global_id(1),
                     b = get_global_id(2), heads = get_global_size(1);
    for (clattn_int r = first; r < min(first + ITEM_ROWS, rows); r++) {
        const clattn_int at = row_of(of_x, b, h, r);
        global ACC *const to = out + ((b * heads + h) * rows + r) * D;
        vec top = 0, squares = 0;
        for (clattn_int d = 0; d < D; d += VW)
            top = larger(top, fabs(load_keys(x, of_x, at, d, (int)min(D - d, (clattn_int)VW))));
        const ACC most = max_lanes(top), down = most > 0 ? most : (ACC)1;
        for (clattn_int d = 0; d < D; d += VW) {
            const vec part =
                load_keys(x, of_x, at, d, (int)min(D - d, (clattn_int)VW)) / (vec)(down);
            squares = fma(part, part, squares);
        }
        const ACC sum = sum_lanes(squares),
                  wanted = of_length.kind == KIND_ABSENT
                               ? (ACC)1
                               : load_element(length, of_length.kind, row_of(of_length, b, h, r)),
                  factor = sum == 0 ? (ACC)1 : wanted / sqrt(sum);
        for (clattn_int d = 0; d < D; d += VW) {
            const int count = (int)min(D - d, (clattn_int)VW);
            const vec part = load_keys(x, of_x, at, d, count) / (vec)(down) * (vec)(factor);
            /* 0 / down of a row that has a NaN is not enough: all of it is NaN. */
            store_lanes(to, KIND_OF_SUMS, d, 1, part + (vec)(sum - sum), count);
        }
    }
}
