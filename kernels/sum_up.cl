/* sum_up.cl: adds up what has the same place in a tensor that broadcasts
 *
 * Formula   to(b, h, r, c) = sum of from(b', h', r', c') over the axes along which `to` has one element, and
 *           over `folds` parts, fold_step elements apart; with `add`, to what is there
 * Shapes    from: view in the type of the sums; to: view (B, H, R, C); sum_*: elements of `from` along an
 *           axis for each of `to`, of which one of the two is 1
 * Units     strides in elements
 * Launch    global {ceil(C / VW), R, B * H}; a work-item makes VW elements
 * Edges     a sum over nothing is 0; sums are made of sums of SUM_BLOCK rows, in an order that depends on the
 *           shapes alone
 * See       src/ops/sum_up.c, tests/kernels/test_sum_up.c
 */
#include "common.clh"
#include "modify.clh"

kernel void sum_up(global const ACC *from, clattn_view of_from, clattn_int folds,
                   clattn_int fold_step, clattn_int sum_b, clattn_int sum_h, clattn_int sum_r,
                   clattn_int sum_c, global void *to, clattn_view of_to, clattn_int heads,
                   clattn_int C, int add)
{
    const clattn_int c = (clattn_int)get_global_id(0) * VW, r = get_global_id(1),
                     b = (clattn_int)get_global_id(2) / heads,
                     h = (clattn_int)get_global_id(2) % heads;
    const int count = (int)min(C - c, (clattn_int)VW);
    vec total = 0;
    for (clattn_int n = 0; n < sum_b * sum_h * folds; n++) {
        const clattn_int at = row_of(of_from, b + n / (sum_h * folds), h + n / folds % sum_h, r) +
                              n % folds * fold_step;
        vec part = 0;
        for (clattn_int row = 0; row < sum_r;) {
            vec some = 0;
            for (int k = 0; k < SUM_BLOCK && row < sum_r; k++, row++)
                for (clattn_int column = 0; column < sum_c; column++)
                    some += load_keys(from, of_from,
                                      at + row * of_from.row + column * of_from.column, c, count);
            part += some;
        }
        total += part;
    }
    const clattn_int at = row_of(of_to, b, h, r) + c * of_to.column;
    if (add)
        total += load_lanes(to, of_to.kind, at, of_to.column, count);
    store_lanes(to, of_to.kind, at, of_to.column, total, count);
}
