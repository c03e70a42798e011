/* hidden_values.cl: adds the values that are not finite to the rows that may see them
 *
 * Formula   output[i][d] += w[i][j] * value[j][d] for each key j that row i sees, where
 *           value[j][d] is NaN or infinite; turned: output[j][d] += w[i][j] * value[i][d] likewise
 * Why       a product has no eye for masks: 0 * NaN would carry a hidden key's NaN into every row.
 *           So pack.cl makes such values 0, the product runs, and this kernel shows them where they
 *           are visible; usually there are none.
 * Shapes    w: [G][M][stride], rows as in softmax_rows.cl; flags: of pack.cl, [G][panels][blocks], of keys;
 *           value, output: views. Turned: flags of rows, value (B, Hkv, M, Dv), output (B, Hkv, T, Dv)
 * Launch    global {ceil(M / ROWS), G}, local {1, 1}; a work-item looks after ROWS rows; turned: T and keys
 * Memory    reads the flags, and of w and value only what they point at
 * Edges     a visible key whose weight is 0 shows its NaN all the same: 0 * NaN; with skips_zero, as where
 *           the weights are gradients, it does not; nor, turned, does one of -0, whose score is -infinity
 * See       src/ops/hidden_values.c, tests/kernels/test_hidden_values.c
 *
 * -D        meaning                     values   set by
 * ROWS      rows or keys of an item     64       src/ops/hidden_values.c
 * DEPTHS    what one flag covers        64       src/ops/pack.h
 */
#include "common.clh"
#include "modify.clh"
#if !defined(ROWS) || !defined(DEPTHS)
#error "hidden_values.cl: ROWS and DEPTHS must be given"
#endif

kernel void hidden_values(global const ACC *w, clattn_int stride, global const uchar *flags,
                          clattn_int panels, clattn_int blocks, int W, clattn_modifications m,
                          clattn_int heads, clattn_int M, clattn_int Dv, global const void *mask,
                          global const void *bias, global const void *kv_lengths,
                          global const void *alibi_slopes, global const void *value,
                          clattn_view value_view, global void *output, clattn_view output_view,
                          int skips_zero, int turned)
{
    const clattn_int first = (clattn_int)get_global_id(0) * ROWS, g = get_global_id(1);
    const clattn_int b = g / heads, kv_head = g % heads, group = M / m.S;
    const clattn_int last = min(first + ROWS, turned ? m.T : M);
    flags += g * panels * blocks;
    for (clattn_int panel = 0; panel < panels; panel++)
        for (clattn_int block = 0; block < blocks; block++) {
            if (!flags[panel * blocks + block])
                continue;
            const clattn_int flagged = block * DEPTHS,
                             end = min(flagged + DEPTHS, turned ? M : m.T);
            for (clattn_int r = turned ? flagged : first; r < (turned ? end : last); r++) {
                const clattn_int h = kv_head * group + r / m.S, i = r % m.S;
                const query_place q = place_query(m, kv_lengths, alibi_slopes, b, h, i);
                for (clattn_int j = turned ? first : flagged; j < (turned ? last : end); j++) {
                    if (!is_visible(m, q, mask, bias, b, h, i, j))
                        continue;
                    const ACC weight = w[(g * M + r) * stride + j];
                    if (weight == 0 && (skips_zero || (turned && signbit(weight))))
                        continue;
                    for (clattn_int d = panel * W; d < min((panel + 1) * W, Dv); d++) {
                        const ACC v = load_element(value, value_view.kind,
                                                   row_of(value_view, b, kv_head, turned ? r : j) +
                                                       d * value_view.column);
                        const clattn_int at = (turned ? row_of(output_view, b, kv_head, j)
                                                      : row_of(output_view, b, h, i)) +
                                              d * output_view.column;
                        if (!isfinite(v))
                            store_element(output, output_view.kind, at,
                                          load_element(output, output_view.kind, at) + weight * v);
                    }
                }
            }
        }
}
