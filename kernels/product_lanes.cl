/* product_lanes.cl: C = alpha * A B for many heads, in the form that CPU-like devices want
 *
 * Formula   c[g][m][n] = alpha * sum_k a[g][m][k] * b[g][k][n]
 * Source    Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", ACM TOMS 34(3), 2008: panels of
 *           B, register tiles of C; each element of A is broadcast and multiplied by vectors of B
 * Shapes    a: [G][M][lda] from a_offset on; b: panels of pack.cl, [G][ceil(N / NB)][K][NB], NB = NV * VW;
 *           c: view (batch: heads / Hkv, head: ..., row, column), rows m = r * S + i of a key head g are row i of its
 *           query head r
 * Units     strides in elements
 * Launch    global {ceil(M / ROWS), ceil(N / NB), G}, local {1, 1, 1}; a work-item makes ROWS x NB of C
 * Memory    ROWS * NB sums in private memory when K > DEPTH
 * Edges     sums run over DEPTH terms in registers, and those partial sums are added up: the error grows with
 *           DEPTH + K / DEPTH, not with K. Rows past M repeat the last one and are not stored. K = 0 gives zeros.
 * See       src/ops/product.c, tests/kernels/test_product.c
 *
 * -D        meaning                                   values        set by
 * MR        rows of a register tile                   1 to 8        tuning table
 * NV        vectors of a register tile's row          1 to 4        tuning table
 * ROWS      rows of a work-item, a multiple of MR     MR to 256     tuning table
 * DEPTH     terms that are summed in registers        64 to 512     tuning table
 */
#include "common.clh"
#if !defined(MR) || !defined(NV) || !defined(ROWS) || !defined(DEPTH)
#error "product_lanes.cl: MR, NV, ROWS and DEPTH must be given"
#endif
#define NB (NV * VW)

/* One register tile: rows at `rows[i]`, terms [0, depth). */
static inline void tile(vec sums[MR][NV], global const ACC *const rows[MR], global const ACC *b, clattn_int depth)
{
#pragma unroll
    for (int i = 0; i < MR; i++)
#pragma unroll
        for (int v = 0; v < NV; v++) sums[i][v] = 0;
    for (clattn_int k = 0; k < depth; k++) {
        vec columns[NV];
#pragma unroll
        for (int v = 0; v < NV; v++) columns[v] = LOAD_VEC(b + k * NB + v * VW);
#pragma unroll
        for (int i = 0; i < MR; i++) {
            const vec a = (vec)(rows[i][k]);
#pragma unroll
            for (int v = 0; v < NV; v++) sums[i][v] = fma(a, columns[v], sums[i][v]);
        }
    }
}

kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
product_lanes(global const ACC *a, clattn_int a_offset, clattn_int lda, global const ACC *b, global void *c, clattn_view view,
              clattn_int M, clattn_int N, clattn_int K, clattn_int S, clattn_int heads, ACC alpha)
{
    const clattn_int first = (clattn_int)get_global_id(0) * ROWS, panel = get_global_id(1), g = get_global_id(2);
    const clattn_int group = M / max(S, (clattn_int)1), count = min((clattn_int)ROWS, M - first);
    ACC partial[ROWS * NB];
    a += a_offset + (g * M + first) * lda;
    b += (g * (clattn_int)get_global_size(1) + panel) * K * NB;

    clattn_int begin = 0;
    do {
        const clattn_int depth = min((clattn_int)DEPTH, K - begin);
        const bool last = begin + depth >= K;
        for (clattn_int m = 0; m < count; m += MR) {
            vec sums[MR][NV];
            global const ACC *rows[MR];
#pragma unroll
            for (int i = 0; i < MR; i++) rows[i] = a + min(m + i, count - 1) * lda + begin;
            tile(sums, rows, b + begin * NB, depth);
#pragma unroll
            for (int i = 0; i < MR; i++)
#pragma unroll
                for (int v = 0; v < NV; v++) {
                    private ACC *sofar = partial + (m + i) * NB + v * VW;
                    if (begin > 0) sums[i][v] += LOAD_VEC(sofar);
                    if (!last) STORE_VEC(sums[i][v], sofar);
                }
            for (int i = 0; last && i < MR && m + i < count; i++) {
                const clattn_int row = first + m + i;
                const clattn_int at = row_of(view, g / heads, g % heads * group + row / S, row % S);
#pragma unroll
                for (int v = 0; v < NV; v++) {
                    const clattn_int column = panel * NB + v * VW;
                    store_lanes(c, view.kind, at + column * view.column, view.column, (vec)(alpha)*sums[i][v],
                                (int)clamp(N - column, (clattn_int)0, (clattn_int)VW));
                }
            }
        }
        begin += DEPTH;
    } while (begin < K);
}
