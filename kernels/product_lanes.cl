/* product_lanes.cl: C = alpha * A B for many heads, in the form that CPU-like devices want
 *
 * Formula   c[g][m][n] = alpha * sum_k a[g][m][k] * b[g][k][n]; with `factors`, factors[g][m]
 *           stands in for alpha
 * Source    Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", ACM TOMS
 *           34(3), 2008: panels of B, register tiles of C; each element of A is broadcast and
 *           multiplied by vectors of B
 * Shapes    a: [G][M][lda] from a_offset on; b: panels of pack.cl, [b_heads][ceil(N / NB)][K][NB],
 *           NB = NV * VW, head g reading those of g % b_heads; c: view of (B, Hq, S, N), row r * S + i of key head g being row i of its
 *           query head r
 * Units     strides in elements
 * Launch    global {ceil(M / ROWS), ceil(panels / item_panels), G}, local {1, 1, 1}; a work-item
 *           makes ROWS rows of C by item_panels panels, one panel after the other, so that its
 *           rows of A stay in the cache
 * Memory    ROWS * NB sums in private memory when K > DEPTH
 * Edges     sums run over DEPTH terms in registers, and those partial sums are added up: the error
 *           grows with DEPTH + K / DEPTH, not with K. Rows past M repeat the last one and are not
 *           stored. K = 0 gives zeros. With `factors`, a sum that leaves the range of its
 *           type before its factor brings it back is made again.
 * See       src/ops/product_lanes.c, tests/kernels/test_products.c
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

/* One register tile: rows at `rows[i]`, each element times `down`, terms [0, depth). */
static inline void tile(vec sums[MR][NV], global const ACC *const rows[MR], global const ACC *b,
                        clattn_int depth, const ACC down)
{
#pragma unroll
    for (int i = 0; i < MR; i++)
#pragma unroll
        for (int v = 0; v < NV; v++)
            sums[i][v] = 0;
    for (clattn_int k = 0; k < depth; k++) {
        vec columns[NV];
#pragma unroll
        for (int v = 0; v < NV; v++)
            columns[v] = LOAD_VEC(b + k * NB + v * VW);
#pragma unroll
        for (int i = 0; i < MR; i++) {
            const vec a = (vec)(rows[i][k] * down);
#pragma unroll
            for (int v = 0; v < NV; v++)
                sums[i][v] = fma(a, columns[v], sums[i][v]);
        }
    }
}

/* any_left_its_range() of a tile in registers, where it has to stay. */
static inline bool has_left_its_range(vec sums[MR][NV])
{
    vec differences = 0; /* x - x is 0, or NaN */
#pragma unroll
    for (int i = 0; i < MR; i++)
#pragma unroll
        for (int v = 0; v < NV; v++)
            differences += sums[i][v] - sums[i][v];
    return sum_lanes(differences) != 0;
}

/* Finishes a tile some of whose sums are not finite: weights that still miss their factor may add up
 * to K, and so their sum with large values to infinity. Those sums are made again from rows divided by
 * K; all others stay, so that no element depends on what shares its tile. */
static inline void finish_large(vec sums[MR][NV], global const ACC *const rows[MR],
                                global const ACC *b, clattn_int K, const ACC factors[MR])
{
    vec again[MR][NV], part[MR][NV];
    global const ACC *from[MR];
    for (clattn_int begin = 0; begin < K; begin += DEPTH) {
#pragma unroll
        for (int i = 0; i < MR; i++)
            from[i] = rows[i] + begin;
        tile(part, from, b + begin * NB, min((clattn_int)DEPTH, K - begin), (ACC)1 / K);
#pragma unroll
        for (int i = 0; i < MR; i++)
#pragma unroll
            for (int v = 0; v < NV; v++)
                again[i][v] = begin == 0 ? part[i][v] : again[i][v] + part[i][v];
    }
#pragma unroll
    for (int i = 0; i < MR; i++)
#pragma unroll
        for (int v = 0; v < NV; v++)
            sums[i][v] = select((vec)(factors[i]) * sums[i][v], (vec)(factors[i] * K) * again[i][v],
                                (ivec)(sums[i][v] - sums[i][v] != (vec)(0)));
}

/* `count` rows of C from row `row` of head `head` on, the columns of one panel. */
static inline void panel_of_rows(global const ACC *a, clattn_int lda, global const ACC *b,
                                 clattn_int K, global void *c, clattn_view view, clattn_int b_index,
                                 clattn_int head, clattn_int row, clattn_int S, clattn_int count,
                                 clattn_int column, clattn_int N, ACC alpha,
                                 global const ACC *factors)
{
    ACC partial[ROWS * NB];
    const bool whole = view.kind == KIND_OF_SUMS && view.column == 1 && column + NB <= N;
    clattn_int begin = 0;
    do {
        const clattn_int depth = min((clattn_int)DEPTH, K - begin);
        const bool last = begin + depth >= K;
        for (clattn_int m = 0; m < count; m += MR) {
            vec sums[MR][NV];
            global const ACC *rows[MR];
#pragma unroll
            for (int i = 0; i < MR; i++)
                rows[i] = a + min(m + i, count - 1) * lda + begin;
            tile(sums, rows, b + begin * NB, depth, 1);
            if (begin > 0)
#pragma unroll
                for (int i = 0; i < MR; i++)
#pragma unroll
                    for (int v = 0; v < NV; v++)
                        sums[i][v] += LOAD_VEC(partial + (m + i) * NB + v * VW);
            if (!last) {
#pragma unroll
                for (int i = 0; i < MR; i++)
#pragma unroll
                    for (int v = 0; v < NV; v++)
                        STORE_VEC(sums[i][v], partial + (m + i) * NB + v * VW);
                continue;
            }
            ACC row_factors[MR];
#pragma unroll
            for (int i = 0; i < MR; i++)
                row_factors[i] = factors ? factors[min(m + i, count - 1)] : alpha;
            if (factors && has_left_its_range(sums)) {
#pragma unroll
                for (int i = 0; i < MR; i++)
                    rows[i] -= begin;
                finish_large(sums, rows, b, K, row_factors);
#pragma unroll
                for (int i = 0; i < MR; i++)
                    row_factors[i] = 1;
            }
#pragma unroll
            for (int i = 0; i < MR; i++) {
                if (m + i >= count)
                    break;
                const clattn_int at = row_of(view, b_index, head, row) + column * view.column;
#pragma unroll
                for (int v = 0; v < NV; v++) {
                    const vec value = (vec)(row_factors[i]) * sums[i][v];
                    if (whole)
                        STORE_VEC(value, (global ACC *)c + at + v * VW);
                    else
                        store_lanes(c, view.kind, at + v * VW * view.column, view.column, value,
                                    (int)clamp(N - column - v * VW, (clattn_int)0, (clattn_int)VW));
                }
                if (++row == S) {
                    row = 0;
                    head++;
                }
            }
        }
        begin += DEPTH;
    } while (begin < K);
}

kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
product_lanes(global const ACC *a, clattn_int a_offset, clattn_int lda, global const ACC *b,
              global void *c, clattn_view view, clattn_int M, clattn_int N, clattn_int K,
              clattn_int S, clattn_int heads, ACC alpha, global const ACC *factors, int has_factors,
              clattn_int item_panels, clattn_int b_heads)
{
    const clattn_int first = (clattn_int)get_global_id(0) * ROWS, g = get_global_id(2);
    const clattn_int panels = (N + NB - 1) / NB, begin = (clattn_int)get_global_id(1) * item_panels;
    const clattn_int count = min((clattn_int)ROWS, M - first);
    a += a_offset + (g * M + first) * lda;
    b += g % b_heads * panels * K * NB;
    factors = has_factors ? factors + g * M + first : 0;
    for (clattn_int panel = begin; panel < min(begin + item_panels, panels); panel++)
        panel_of_rows(a, lda, b + panel * K * NB, K, c, view, g / heads,
                      g % heads * (M / S) + first / S, first % S, S, count, panel * NB, N, alpha,
                      factors);
}
