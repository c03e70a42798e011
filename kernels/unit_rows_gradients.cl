/* unit_rows_gradients.cl: gradients of rows, and of their lengths, from those of the rows that unit_rows.cl makes
 *
 * Formula   u = x / |x|;  dlength = d.u;  dx = length / |x| * (d - (d.u) u)
 * Source    Salimans and Kingma, "Weight normalization", arXiv:1602.07868, equation 3
 * Shapes    x: view (B, H, rows, D); length: view (B, H, rows, 1), absent: 1; d, dx: [B][H][rows][D];
 *           dlength: [B][H][rows]
 * Units     strides in elements
 * Launch    global {ceil(rows / ITEM_ROWS), H, B}, local {1, 1, 1}
 * Memory    reads each row of x and d three times, from the nearest cache but for the first time
 * Edges     a row of 0 has no direction: its gradients are 0, or d where it is kept as it is; so are those of a
 *           row whose d is 0, as of a hidden key, whatever it holds
 * See       src/ops/operand_gradients.c
 *
 * -D         meaning                   values   set by
 * ITEM_ROWS  rows of a work-item       1 to 64  src/ops/operand_gradients.c
 */
#include "common.clh"
#include "modify.clh"
#ifndef ITEM_ROWS
#error "unit_rows_gradients.cl: ITEM_ROWS must be given"
#endif

kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
unit_rows_gradients(global const void *x, clattn_view of_x, global const void *length,
                    clattn_view of_length, global const ACC *d, global ACC *dx, global ACC *dlength,
                    clattn_int rows, clattn_int D, int keeps_zero)
{
    const clattn_int first = (clattn_int)get_global_id(0) * ITEM_ROWS, h = get_global_id(1),
                     b = get_global_id(2), heads = get_global_size(1);
    for (clattn_int r = first; r < min(first + ITEM_ROWS, rows); r++) {
        const clattn_int at = row_of(of_x, b, h, r), to = (b * heads + h) * rows + r;
        const clattn_view dense = {0, 0, 0, 0, 1, KIND_OF_SUMS};
        vec top = 0, squares = 0, products = 0, sizes = 0;
        for (clattn_int c = 0; c < D; c += VW)
            top = larger(top, fabs(load_keys(x, of_x, at, c, (int)min(D - c, (clattn_int)VW))));
        const ACC most = max_lanes(top), down = most > 0 ? most : (ACC)1;
        for (clattn_int c = 0; c < D; c += VW) {
            const int count = (int)min(D - c, (clattn_int)VW);
            const vec part = load_keys(x, of_x, at, c, count) / (vec)(down),
                      gradient = load_keys(d, dense, to * D, c, count);
            squares = fma(part, part, squares);
            products = fma(gradient, part, products);
            sizes += fabs(gradient);
        }
        const ACC sum = sum_lanes(squares), root = sqrt(sum), size = sum_lanes(sizes),
                  wanted = of_length.kind == KIND_ABSENT
                               ? (ACC)1
                               : load_element(length, of_length.kind, row_of(of_length, b, h, r)),
                  dot = sum == 0 ? (ACC)0 : sum_lanes(products) / root,
                  factor = sum == 0 ? (ACC)keeps_zero : wanted / root / down;
        for (clattn_int c = 0; c < D; c += VW) {
            const int count = (int)min(D - c, (clattn_int)VW);
            const vec unit = load_keys(x, of_x, at, c, count) / (vec)(down * (sum == 0 ? 1 : root)),
                      gradient =
                          (vec)(factor) * (load_keys(d, dense, to * D, c, count) - (vec)(dot)*unit);
            store_lanes(dx, KIND_OF_SUMS, to * D + c, 1, size == 0 ? (vec)(0) : gradient, count);
        }
        dlength[to] = size == 0 ? (ACC)0 : dot;
    }
}
