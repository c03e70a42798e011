/* sum_up.cl: adds up what has the same place in a tensor that broadcasts
 *
 * Formula   to(b, h, r, c) = sum of from(b', h', r', c') over the axes along which `to` has one element, and
 *           over `folds` parts, fold_step elements apart; with `add`, to what is there
 * Shapes    from: view in the type of the sums; to: view (B, H, R, C); sum_*: elements of `from` along an
 *           axis for each of `to`, of which one of the two is 1
 * Units     strides in elements
 * Launch    global {ceil(C / (VW * vectors)), R, B * H}; a work-item makes `vectors` vectors of a row
 * Edges     a sum over nothing is 0; sums are made of sums of SUM_BLOCK rows, in an order that depends on the
 *           shapes alone
 * See       src/ops/sum_up.c, tests/kernels/test_sum_up.c
 */
#include "common.clh"
#include "modify.clh"

/* Elements c, c + 1, ... of rows and columns that begin at `at`, of which the first `count` are there. */
static inline vec sum_rows(global const ACC *from, clattn_view of_from, clattn_int at,
                           clattn_int rows, clattn_int columns, clattn_int c, int count)
{
    vec sum = 0;
    for (clattn_int row = 0; row < rows;) {
        vec some = 0;
        for (int k = 0; k < SUM_BLOCK && row < rows; k++, row++)
            for (clattn_int column = 0; column < columns; column++)
                some += load_keys(from, of_from, at + row * of_from.row + column * of_from.column,
                                  c, count);
        sum += some;
    }
    return sum;
}

kernel void sum_up(global const ACC *from, clattn_view of_from, clattn_int folds,
                   clattn_int fold_step, clattn_int sum_b, clattn_int sum_h, clattn_int sum_r,
                   clattn_int sum_c, global void *to, clattn_view of_to, clattn_int heads,
                   clattn_int C, clattn_int vectors, int add)
{
    const clattn_int first = (clattn_int)get_global_id(0) * vectors * VW,
                     last = min(first + vectors * VW, C), r = get_global_id(1),
                     b = (clattn_int)get_global_id(2) / heads,
                     h = (clattn_int)get_global_id(2) % heads, to_row = row_of(of_to, b, h, r);
    for (clattn_int c = first; c < last; c += VW) {
        const int count = (int)min(last - c, (clattn_int)VW);
        vec total = 0;
        for (clattn_int i = 0; i < sum_b; i++)
            for (clattn_int j = 0; j < sum_h; j++)
                for (clattn_int fold = 0; fold < folds; fold++)
                    total +=
                        sum_rows(from, of_from, row_of(of_from, b + i, h + j, r) + fold * fold_step,
                                 sum_r, sum_c, c, count);
        const clattn_int at = to_row + c * of_to.column;
        if (add)
            total += load_lanes(to, of_to.kind, at, of_to.column, count);
        store_lanes(to, of_to.kind, at, of_to.column, total, count);
    }
}
