/* product_tiles.cl: C = alpha * A B for many heads, in the form that GPU-like devices want
 *
 * Formula   c[g][m][n] = alpha * sum_k a[g][m][k] * b[g][k][n]
 * Source    as tile.clh
 * Shapes    a: [G][M][lda] from a_offset on; b: panels of pack.cl, [b_heads][ceil(N / BN)][K][BN],
 *           head g reading those of g % b_heads; c: view of (B, Hq, S, N), row r * S + i of key head g
 *           being row i of its query head r
 * Units     strides in elements
 * Launch    global {WG * ceil(M / BM) * ceil(N / BN) * G}, local {WG}; a group makes BM rows by a
 *           panel
 * Memory    2 DS * (LEFT + RIGHT) vectors in local memory
 * Edges     as product_lanes.cl: sums run over DEPTH terms in registers, and those partial sums are
 *           added up. Rows past M repeat the last one and are not stored. K = 0 gives zeros
 * See       src/ops/product_tiles.c, tests/kernels/test_products.c
 *
 * -D        meaning                                   values        set by
 * DEPTH     terms that are summed in registers        DS * 2^k      tuning table
 * and those of tile.clh
 */
#include "common.clh"
#include "tile.clh"
#if !defined(DEPTH) || DEPTH % DS
#error "product_tiles.cl: DEPTH must be given, a multiple of DS"
#endif

/* Rows of A that this work-item brings, or a panel: where they begin, and whether vectors do. */
typedef struct source {
    global const ACC *memory;
    clattn_int at[LEFT_LOADS];
    bool aligned;
} source;

/* Depths [k, k + DS) of both. */
static inline void load_slices(vec a_next[LEFT_LOADS], vec b_next[RIGHT_LOADS], const source *a,
                               const source *b, clattn_int k, clattn_int K)
{
    const clattn_int depth = k + depth_of_load();
#pragma unroll
    for (int n = 0; n < LEFT_LOADS; n++)
        a_next[n] = a->aligned && depth + VW <= K
                        ? load_aligned(a->memory, KIND_OF_SUMS, a->at[n] + depth)
                        : load_lanes(a->memory, KIND_OF_SUMS, a->at[n] + depth, 1,
                                     (int)clamp(K - depth, (clattn_int)0, (clattn_int)VW));
#pragma unroll
    for (int n = 0; n < RIGHT_LOADS; n++) {
        const clattn_int row = k + depth_of_column_load(n),
                         at = b->at[0] + row * BN + column_of_load();
        b_next[n] = row >= K     ? (vec)(0)
                    : b->aligned ? load_aligned(b->memory, KIND_OF_SUMS, at)
                                 : load_run(b->memory, KIND_OF_SUMS, at);
    }
}
static inline void store_slices(local vec *left, local vec *right, const vec a_next[LEFT_LOADS],
                                const vec b_next[RIGHT_LOADS])
{
#pragma unroll
    for (int n = 0; n < LEFT_LOADS; n++)
        store_transposed(left, LEFT, a_next[n], n);
    store_columns(right, b_next);
}

__attribute__((reqd_work_group_size(WG, 1, 1))) kernel void
product_tiles(global const ACC *a, clattn_int a_offset, clattn_int lda, global const ACC *b,
              global void *c, clattn_view view, clattn_int M, clattn_int N, clattn_int K,
              clattn_int S, clattn_int heads, ACC alpha, clattn_int b_heads)
{
    local vec left[2][DS * LEFT], right[2][DS * RIGHT];
    const int l = own_item();
    const clattn_int blocks = (M + BM - 1) / BM, panels = (N + BN - 1) / BN, id = get_group_id(0),
                     block = id % blocks, panel = id / blocks % panels, g = id / blocks / panels,
                     first = block * BM;
    source rows, of_panel;
    rows.memory = a, rows.aligned = true;
#pragma unroll
    for (int n = 0; n < LEFT_LOADS; n++) {
        rows.at[n] = a_offset + (g * M + min(first + row_of_load(n), M - 1)) * lda;
        rows.aligned = rows.aligned && is_aligned(a, KIND_OF_SUMS, rows.at[n], 1, VW);
    }
    of_panel.memory = b, of_panel.at[0] = (g % b_heads * panels + panel) * K * BN;
    of_panel.aligned = is_aligned(b, KIND_OF_SUMS, of_panel.at[0], 1, BN);

    vec sums[TM][NV], total[TM][NV], a_next[LEFT_LOADS], b_next[RIGHT_LOADS];
    int turn = 0;
    clear_sums(sums);
    clear_sums(total);
    load_slices(a_next, b_next, &rows, &of_panel, 0, K);
    store_slices(left[0], right[0], a_next, b_next);
    barrier(CLK_LOCAL_MEM_FENCE);
    for (clattn_int k = 0; k < K; k += DS) {
        const bool more = k + DS < K;
        if (more)
            load_slices(a_next, b_next, &rows, &of_panel, k + DS, K);
        multiply(sums, left[turn], right[turn]);
        if (!more || (k + DS) % DEPTH == 0) /* long sums are sums of short ones */
            add_to_total(total, sums);
        if (more) {
            turn ^= 1;
            store_slices(left[turn], right[turn], a_next, b_next);
            barrier(CLK_LOCAL_MEM_FENCE);
        }
    }
#pragma unroll
    for (int i = 0; i < TM; i++) {
        const clattn_int row = first + l / GN * TM + i;
        if (row >= M)
            continue;
        const clattn_int to = row_of(view, g / heads, g % heads * (M / S) + row / S, row % S);
#pragma unroll
        for (int v = 0; v < NV; v++) {
            const clattn_int column = panel * BN + (v * GN + l % GN) * VW;
            store_part(c, view.kind, to + column * view.column, view.column,
                       (vec)(alpha)*total[i][v],
                       (int)clamp(N - column, (clattn_int)0, (clattn_int)VW));
        }
    }
}
