/* column_sums.cl: how much each key is looked at: the sum of its weights over all queries of a head
 *
 * Formula   sums[j] = sum_i w[i][j] f[i], f[i] = 1 without factors
 * Source    Kahan, "Further remarks on reducing truncation errors", 1965: what an addition loses joins the
 *           next one, so that the error does not grow with the number of queries
 * Shapes    w: [B][Hq][S][stride], zeros or HIDDEN at hidden keys, readable up to a multiple of VW past T; factors:
 *           [B][Hq][S]; sums (B, Hq, 1, T): view of any strides
 * Units     strides in elements
 * Launch    global {ceil(T / (VECTORS VW)), Hq, B}, local {1, 1, 1}; a work-item sums VECTORS vectors of keys
 * Memory    reads w once; VECTORS * 2 vectors in registers
 * Edges     with `more` the sums of earlier rows stand in `sums` already
 * See       src/ops/column_sums.c, src/reference/columns.c, tests/kernels/test_column_sums.c
 *
 * -D        meaning                               values     set by
 * VECTORS   vectors of keys of a work-item        1 to 16    column_sums.c
 */
#include "common.clh"
#ifndef VECTORS
#error "column_sums.cl: VECTORS must be given"
#endif

kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
column_sums(global const ACC *w, clattn_int stride, clattn_int S, clattn_int T,
            global const ACC *factors, int deferred, global void *sums, clattn_view view, int more)
{
    const clattn_int first = get_global_id(0) * VECTORS * VW, h = get_global_id(1),
                     b = get_global_id(2), rows = (b * get_global_size(1) + h) * S,
                     at = row_of(view, b, h, 0);
    const int vectors = (int)min((T - first + VW - 1) / VW, (clattn_int)VECTORS);
    vec total[VECTORS], lost[VECTORS];
    for (int v = 0; v < vectors; v++) {
        const clattn_int j = first + v * VW;
        lost[v] = 0;
        total[v] = more ? load_lanes(sums, view.kind, at + j * view.column, view.column,
                                     (int)min(T - j, (clattn_int)VW))
                        : (vec)(0);
    }
    for (clattn_int i = 0; i < S; i++) {
        global const ACC *const row = w + (rows + i) * stride + first;
        const ACC factor = deferred ? factors[rows + i] : (ACC)1;
        for (int v = 0; v < vectors; v++) {
            const vec added = finish_weights(LOAD_VEC(row + v * VW), factor) - lost[v],
                      sum = total[v] + added, over = (sum - total[v]) - added;
            /* An infinite sum has lost nothing. */
            lost[v] = select(over, (vec)(0), (ivec)(over - over != (vec)(0)));
            total[v] = sum;
        }
    }
    for (int v = 0; v < vectors; v++) {
        const clattn_int j = first + v * VW;
        store_lanes(sums, view.kind, at + j * view.column, view.column, total[v],
                    (int)min(T - j, (clattn_int)VW));
    }
}
