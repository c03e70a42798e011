/* unpack.cl: brings a dense row-major result of the sums' type to a tensor of any type and strides
 *
 * Formula   tensor(b, h, i, d) = packed[g][m][d], row m = r * S + i of key head g being row i of
 *           its query head r
 * Shapes    packed: [G][M][columns], M = group * S; tensor: view
 * Launch    global {columns, M, G}, local chosen by the driver
 * Memory    reads and writes each element once
 * See       src/ops/pack.c, tests/kernels/test_unpack.c
 */
#include "common.clh"

kernel void unpack(global const ACC *packed, clattn_int S, clattn_int heads, global void *tensor,
                   clattn_view view)
{
    const clattn_int d = get_global_id(0), r = get_global_id(1), g = get_global_id(2);
    const clattn_int columns = get_global_size(0), M = get_global_size(1);
    const clattn_int h = g % heads * (M / S) + r / S;
    store_element(tensor, view.kind, row_of(view, g / heads, h, r % S) + d * view.column,
                  packed[(g * M + r) * columns + d]);
}
