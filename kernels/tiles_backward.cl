/* tiles_backward.cl: gradients of dot-product attention in the form that GPU-like devices want: a work-group
 * owns a tile of keys, or of queries, and all others pass through local memory
 *
 * Formula   as lanes_backward.cl
 * Source    Dao et al., "FlashAttention", arXiv:2205.14135, algorithm 4, but in two kernels: one that owns keys
 *           makes dK and dV, one that owns queries makes dQ. Scores are so made twice, and in return nobody adds
 *           to what another one has: the same bits each time without atomics, and no sums to keep apart
 * Shapes    as lanes_backward.cl; own gradients are dK (B, Hkv, T, D) and dV (B, Hkv, T, DV), or dQ (B, Hq, S, D)
 *           and nothing
 * Units     strides in elements; scores in natural-log units
 * Launch    global {WG * blocks * slices * G}, local {WG}; a group owns BM keys, or BM of a key head's M rows of
 *           queries, and makes VALUES elements of each of their gradients
 * Memory    max(BN, 2 DS) * LEFT + 2 DS * RIGHT vectors in local memory, where 2 BM rows begin, and what differs
 *           from query to query
 * Edges     a group whose sums end up not finite makes them again, with care: then nothing is added of what is
 *           hidden, nor where a score's gradient is 0. A row whose lse is -infinity gives nothing
 * See       src/ops/tiles_backward.c, src/reference, tests/kernels/test_tiles_backward.c
 *
 * -D        meaning                                              values             set by
 * KEYS      1: a group owns keys; 0: it owns queries             0, 1               tiles_backward.c
 * VALUES    elements of a gradient that a group makes            multiples of BN    tiles_backward.c
 * GENERAL   1: with all modifications; 0: every key is seen      0, 1               desc
 * DROPOUT   1: weights are dropped                               0, 1               desc
 * and those of slices.clh, whose queries are here what is owned, and whose keys and values all others
 */
#include "common.clh"
#include "modify.clh"
#include "slices.clh"
#if !defined(KEYS) || !defined(VALUES) || !defined(GENERAL) || !defined(DROPOUT)
#error "tiles_backward.cl: KEYS, VALUES, GENERAL and DROPOUT must be given"
#endif
#if DROPOUT
#include "dropout_tile.clh"
#endif
#if BN % DS || VALUES % BN
#error "tiles_backward.cl: VALUES or a slice of keys does not fit the tile"
#endif
#define NC (VALUES / BN)          /* register tiles of a gradient */
#define SUMS (KEYS ? 2 * NC : NC) /* of all */
#define NR (TM / VW)              /* vectors of an item's rows */
#define QUERIES (KEYS ? BN : BM)  /* of a tile */
#define ROOM ((BN > 2 * DS ? BN : 2 * DS) * LEFT)

/* What differs from query to query, in local memory. */
typedef struct query_facts {
    ACC shifts[QUERIES], deltas[QUERIES];
#if DROPOUT
    clattn_int dropout_blocks[QUERIES];
#endif
#if GENERAL
    query_place places[QUERIES];
    clattn_int mask_rows[QUERIES], bias_rows[QUERIES];
#endif
} query_facts;

/* What scores need of a call. */
typedef struct scoring {
    clattn_modifications m;
    ACC softcap;
    int normalizer;
    bool touched; /* more than that some keys are hidden */
    clattn_int b;
    global const void *mask, *bias, *kv_lengths, *alibi_slopes, *lse;
    clattn_view of_lse;
    global const ACC *deltas;
#if DROPOUT
    clattn_dropout dropout;
#endif
} scoring;

#if GENERAL
static inline query_place place(const scoring *with, clattn_int h, clattn_int i)
{
    return place_query(with->m, with->kv_lengths, with->alibi_slopes, with->b, h, i);
}
#endif

/* Puts down what is to know of query n of a tile, number i of head h and one of `row` in its key head. */
static inline void look_up(local query_facts *facts, int n, const scoring *with, clattn_int h,
                           clattn_int i, clattn_int row)
{
    ACC shift = 0, delta = 0;
    if (with->normalizer == SOFTMAX) {
        const ACC sum = load_element(with->lse, KIND_OF_SUMS, row_of(with->of_lse, with->b, h, i));
        shift = sum == -INFINITY ? (ACC)0 : sum;
        delta = with->deltas[row];
    }
    facts->shifts[n] = shift;
    facts->deltas[n] = delta;
#if DROPOUT
    facts->dropout_blocks[n] =
        clattn_dropout_block(&with->dropout, clattn_dropout_row(&with->dropout, with->b, h, i));
#endif
#if GENERAL
    facts->places[n] = place(with, h, i);
    facts->mask_rows[n] = row_of(with->m.mask, with->b, h, i);
    facts->bias_rows[n] = row_of(with->m.bias, with->b, h, i);
#endif
}

/* What this work-item's rows, or columns, have of a number for each query. */
static inline vec of_queries(local const ACC *numbers, int i, int v)
{
    return KEYS ? LOAD_VEC(numbers + (v * GN + own_item() % GN) * VW)
                : (vec)(numbers[own_item() / GN * TM + i]);
}

#if GENERAL
/* modify_keys() for VW queries and one key, which the last queries of `count` are not there for. */
static inline vec modify_queries(vec capped, local const query_facts *facts, int first, int count,
                                 const scoring *with, clattn_int j)
{
    ACC lanes[VW];
    STORE_VEC(capped, lanes);
#pragma unroll
    for (int l = 0; l < VW; l++) {
        const query_place q = facts->places[first + l];
        const clattn_modifications *m = &with->m;
        ACC added = 0;
        bool hidden = l >= count || j < q.begin || j >= q.end;
        if (!hidden && m->mask.kind != KIND_ABSENT) {
            const ACC at = load_element(with->mask, m->mask.kind,
                                        facts->mask_rows[first + l] + j * m->mask.column);
            hidden = m->mask.kind == KIND_BOOL ? at == 0 : at == -INFINITY;
            added = m->mask.kind == KIND_BOOL ? (ACC)0 : at;
        }
        if (!hidden && m->bias.kind != KIND_ABSENT) {
            const ACC at = load_element(with->bias, m->bias.kind,
                                        facts->bias_rows[first + l] + j * m->bias.column);
            hidden = at == -INFINITY;
            added += at;
        }
        lanes[l] = hidden ? -INFINITY : lanes[l] - q.slope * fabs((ACC)(q.position - j)) + added;
    }
    return LOAD_VEC(lanes);
}
#endif

/* From scaled to modified scores of the tile's rows and BN others from number k on, of which `count` are there,
 * and what softcap makes of slopes. One vector after the other, through local memory: code for each would be
 * large. */
static inline void modify_tile(vec scores[TM][NV], vec factors[TM][NV],
                               local const query_facts *facts, const scoring *with,
                               clattn_int first_row, int k, int count, local vec *room)
{
    const int l = own_item();
#if GENERAL
    local vec *const own = room + l;
    if (with->softcap > 0) {
#pragma unroll
        for (int n = 0; n < TM * NV; n++)
            own[n * WG] = scores[n / NV][n % NV];
#pragma unroll 1
        for (int n = 0; n < TM * NV; n++) {
            const vec part = cap_score(own[n * WG], with->softcap) / (vec)(with->softcap);
            own[n * WG] = (vec)(1) - part * part;
        }
#pragma unroll
        for (int n = 0; n < TM * NV; n++)
            factors[n / NV][n % NV] *= own[n * WG];
    }
#pragma unroll
    for (int n = 0; n < TM * NV; n++)
        own[n * WG] = scores[n / NV][n % NV];
#pragma unroll 1
    for (int n = 0; n < TM * NV; n++) {
        const int row = l / GN * TM + n / NV, column = (n % NV * GN + l % GN) * VW;
        const vec capped = cap_score(own[n * WG], with->softcap);
#if KEYS
        own[n * WG] = modify_queries(capped, facts, column, count - column, with, first_row + row);
#else
        const clattn_int j = k + column;
        own[n * WG] =
            modify_keys(capped, with->m, facts->places[row], j,
                        (int)clamp(with->m.T - j, (clattn_int)0, (clattn_int)VW), with->mask,
                        facts->mask_rows[row], with->bias, facts->bias_rows[row]);
#endif
    }
#pragma unroll
    for (int n = 0; n < TM * NV; n++)
        scores[n / NV][n % NV] = own[n * WG];
#else
    (void)factors, (void)facts, (void)with, (void)first_row, (void)k, (void)room;
#pragma unroll
    for (int v = 0; v < NV; v++) {
        const ivec hidden = lane_numbers() >= (ivec)(clamp(count - (v * GN + l % GN) * VW, 0, VW));
#pragma unroll
        for (int i = 0; i < TM; i++)
            scores[i][v] = hide_score(scores[i][v], hidden);
    }
#endif
}

/* Modified scores to weights, and what a gradient of one becomes when it goes on to its score in place of
 * `factors`: HIDDEN, both, where a key is. */
static inline void make_weights(vec scores[TM][NV], vec factors[TM][NV],
                                local const query_facts *facts, int normalizer)
{
#pragma unroll
    for (int i = 0; i < TM; i++)
#pragma unroll
        for (int v = 0; v < NV; v++) {
            const vec x = scores[i][v];
            const ivec hidden = (ivec)(x == (vec)(-INFINITY));
            vec w, slope;
            if (normalizer == SOFTMAX) {
                w = slope = weight_by_lse(x, of_queries(facts->shifts, i, v));
            } else {
                w = own_weight(x, normalizer);
                slope = own_slope(x, w, normalizer);
                w = select(w, (vec)(0), (ivec)(w == (vec)(0))); /* which is not HIDDEN */
            }
            const vec factor = slope * factors[i][v];
            scores[i][v] = select(w, HIDDEN, hidden);
            factors[i][v] =
                select(select(factor, (vec)(0), (ivec)(factor == (vec)(0))), HIDDEN, hidden);
        }
}

/* Gradients of weights to those of scores; 0 is as good as hidden. */
static inline void make_slopes(vec gradients[TM][NV], vec factors[TM][NV],
                               local const query_facts *facts)
{
#pragma unroll
    for (int i = 0; i < TM; i++)
#pragma unroll
        for (int v = 0; v < NV; v++) {
            const vec by = factors[i][v],
                      x = (gradients[i][v] - of_queries(facts->deltas, i, v)) * by;
            gradients[i][v] =
                select(x, HIDDEN, (ivec)(AS_IVEC(by) == AS_IVEC(HIDDEN)) | (ivec)(x == (vec)(0)));
        }
}

#if DROPOUT
/* Weights, or their gradients, to those that are left of them. */
static inline void drop_tile(vec tile[TM][NV], ulong dropped, ACC factor)
{
#pragma unroll
    for (int i = 0; i < TM; i++)
#pragma unroll
        for (int v = 0; v < NV; v++) {
            const vec x = tile[i][v];
            tile[i][v] = select(drop_by_bits(x, dropped, (i * NV + v) * VW, 1, factor), HIDDEN,
                                (ivec)(AS_IVEC(x) == AS_IVEC(HIDDEN)));
        }
}
#endif

/* A tile becomes a left slice as deep as it is wide. */
static inline void put_down(local vec *left, vec tile[TM][NV])
{
    const int l = own_item();
#pragma unroll
    for (int n = 0; n < NR; n++)
#pragma unroll
        for (int v = 0; v < NV; v++) {
            vec turned[VW];
#pragma unroll
            for (int i = 0; i < VW; i++)
                turned[i] = tile[n * VW + i][v];
            transpose(turned);
#pragma unroll
            for (int i = 0; i < VW; i++)
                left[((v * GN + l % GN) * VW + i) * LEFT + l / GN * NR + n] = turned[i];
        }
}

/* multiply() with care: what is HIDDEN adds nothing, whatever it would be multiplied by. */
static inline void multiply_with_care(vec sums[TM][NV], local const vec *left,
                                      local const vec *right)
{
#pragma unroll 1
    for (int k = 0; k < DS; k++) {
        ACC rows[TM];
        load_rows(rows, left + k * LEFT);
#pragma unroll
        for (int v = 0; v < NV; v++) {
            const vec columns = load_columns(right + k * RIGHT, v);
#pragma unroll
            for (int i = 0; i < TM; i++) {
                const vec factor = (vec)(rows[i]);
                sums[i][v] = select(fma(factor, columns, sums[i][v]), sums[i][v],
                                    (ivec)(AS_IVEC(factor) == AS_IVEC(HIDDEN)));
            }
        }
    }
}

/* Adds the products of what was put down, for others [k, k + count), and `columns` elements of each from d_begin
 * on, to the register tiles from number `tile_begin` on. At the end all has been read. */
static inline void add_products(vec sums[SUMS][TM][NV], int tile_begin, rows_of_split others, int k,
                                int count, int d_begin, int columns, local const vec *left,
                                local vec *right, int *turn, bool with_care)
{
    const int steps = (count + DS - 1) / DS * ((columns + BN - 1) / BN);
    /* What is multiplied: part of the elements, BN of them, by DS of the others. */
    int part = 0, slice_begin = 0;
    vec next[RIGHT_LOADS], tile[TM][NV];
    load_values(next, others, k, d_begin);
    store_values(right + *turn * DS * RIGHT, next, others, k, d_begin);
    barrier(CLK_LOCAL_MEM_FENCE);
    clear_sums(tile);
    for (int step = 0; step < steps; step++) {
        const bool last_of_part = slice_begin + DS >= count, more = step + 1 < steps;
        const int next_begin = last_of_part ? 0 : slice_begin + DS,
                  next_part = last_of_part ? part + 1 : part;
        if (more)
            load_values(next, others, k + next_begin, d_begin + next_part * BN);
        if (with_care)
            multiply_with_care(tile, left + slice_begin * LEFT, right + *turn * DS * RIGHT);
        else
            multiply(tile, left + slice_begin * LEFT, right + *turn * DS * RIGHT);
        if (last_of_part) {
            /* Without a branch for each: compilers would make one of them all, and an address of the sums. */
#pragma unroll
            for (int c = 0; c < SUMS; c++)
#pragma unroll
                for (int i = 0; i < TM; i++)
#pragma unroll
                    for (int v = 0; v < NV; v++) {
                        const vec more = sums[c][i][v] + tile[i][v];
                        sums[c][i][v] = c == tile_begin + part ? more : sums[c][i][v];
                    }
            clear_sums(tile);
        }
        *turn ^= 1;
        if (more)
            store_values(right + *turn * DS * RIGHT, next, others, k + next_begin,
                         d_begin + next_part * BN);
        barrier(CLK_LOCAL_MEM_FENCE);
        slice_begin = next_begin, part = next_part;
    }
}

/* The rows that a group owns. */
typedef struct owned {
    uint first, last, S; /* of the key head's */
    clattn_int b, head;  /* the key head, or the first query head of its group */
    int rows;
} owned;

/* Where an owned row is; those past the last one are the last one. */
static inline clattn_int row_of_owned(clattn_view view, owned own, int row)
{
    const uint at = min(own.first + row, own.last);
    return KEYS ? row_of(view, own.b, own.head, at)
                : row_of(view, own.b, own.head + at / own.S, at % own.S);
}

/* A gradient of what is owned. */
typedef struct target {
    global void *memory;
    clattn_view view;
    int columns; /* that a group makes */
} target;

/* Register tiles go out through local memory, so that neighbours write what lies side by side. True when one of
 * this work-item's is not finite. */
static inline bool store_sums(target first, target second, owned own, vec sums[SUMS][TM][NV],
                              int d_begin, local vec *room)
{
    const int l = own_item();
    local ACC *const elements = (local ACC *)room;
    target to = first;
    bool odd = false;
#pragma unroll 1
    for (int part = 0; part < SUMS; part++) {
#pragma unroll
        for (int i = 0; i < TM; i++)
#pragma unroll
            for (int v = 0; v < NV; v++) {
                vec sum = sums[0][i][v];
#pragma unroll
                for (int c = 1; c < SUMS; c++)
                    sum = c == part ? sums[c][i][v] : sum;
                room[(l / GN * TM + i) * (BN / VW) + v * GN + l % GN] = sum;
            }
        barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll 1
        for (int n = l; n < BM * BN; n += WG) {
            const int row = n / BN, d = part % NC * BN + n % BN;
            if (row >= own.rows || d >= to.columns)
                continue;
            store_element(to.memory, to.view.kind,
                          row_of_owned(to.view, own, row) + (d_begin + d) * to.view.column,
                          elements[n]);
            odd = odd || !isfinite(elements[n]);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        if (part == NC - 1)
            to = second;
    }
    return odd;
}

/* Others that any of the rows sees, or is seen by, [begin, end), and those that all do, [all_begin, all_end). */
typedef struct others_seen {
    int begin, end, all_begin, all_end;
} others_seen;

#if KEYS
/* Queries. Bounds are the same for all heads, and rise from one to the next, so that of a block the first and the last tell. */
static inline others_seen find_others(const scoring *with, local const query_facts *facts,
                                      owned own)
{
    const int S = (int)with->m.S;
    others_seen seen = {0, S, 0, S / BN * BN};
#if GENERAL
    const clattn_int first = own.first, last = first + own.rows - 1;
    while (seen.begin < seen.end && place(with, own.head, min(seen.begin + BN, S) - 1).end <= first)
        seen.begin += BN;
    while (seen.begin < seen.end && place(with, own.head, (seen.end - 1) / BN * BN).begin > last)
        seen.end = (seen.end - 1) / BN * BN;
    seen.all_begin = seen.begin;
    seen.all_end = with->touched ? 0 : min(seen.all_end, seen.end);
    while (seen.all_begin < seen.all_end && place(with, own.head, seen.all_begin).end <= last)
        seen.all_begin += BN;
    while (seen.all_begin < seen.all_end && place(with, own.head, seen.all_end - 1).begin > first)
        seen.all_end -= BN;
#endif
    return seen;
}
#else
/* A bound, which windows may put anywhere. */
static inline int key_of(clattn_int bound, int T)
{
    return (int)clamp(bound, (clattn_int)0, (clattn_int)T);
}

/* Keys. Blocks begin at multiples of BN, so that those of a row do not depend on the rows beside it. */
static inline others_seen find_others(const scoring *with, local const query_facts *facts,
                                      owned own)
{
    const int T = (int)with->m.T;
    others_seen seen = {0, T, 0, T};
#if GENERAL
    seen.begin = T, seen.end = 0;
#pragma unroll 2
    for (int row = 0; row < BM; row++) {
        seen.begin = min(seen.begin, key_of(facts->places[row].begin, T));
        seen.end = max(seen.end, key_of(facts->places[row].end, T));
        seen.all_begin = max(seen.all_begin, key_of(facts->places[row].begin, T));
        seen.all_end = min(seen.all_end, key_of(facts->places[row].end, T));
    }
    seen.begin = seen.begin / BN * BN;
    if (with->touched)
        seen.all_end = 0;
#endif
    return seen;
}
#endif

__attribute__((reqd_work_group_size(WG, 1, 1))) kernel void tiles_backward(
    global const void *query, clattn_view query_view, global const void *key, clattn_view key_view,
    global const void *value, clattn_view value_view, global const void *output,
    clattn_view output_view, global const void *lse, clattn_view lse_view, int D, int DV, ACC scale,
    ACC softcap, clattn_modifications m, clattn_int heads, clattn_int M, int normalizer,
    global const void *mask, global const void *bias, global const void *kv_lengths,
    global const void *alibi_slopes, global const void *sinks, global const void *grad_output,
    clattn_view grad_output_view, global const ACC *deltas, global void *gradient,
    clattn_view gradient_view, global void *grad_value, clattn_view grad_value_view, uint blocks,
    uint slices, clattn_dropout dropout)
{
    local vec left[ROOM], right[2 * DS * RIGHT];
    local clattn_int score_rows[BM], weight_rows[BM]; /* owned ones */
    local query_facts facts;
    local int again;
    /* Scores are products of owned rows and others, gradients of their weights those of a second pair. */
#if KEYS
    global const void *const own_scored = key, *const own_weighed = value, *const scored = query,
                             *const weighed = grad_output;
    const clattn_view own_view = key_view, own_weight_view = value_view, view = query_view,
                      weight_view = grad_output_view;
#else
    global const void *const own_scored = query, *const own_weighed = grad_output,
                             *const scored = key, *const weighed = value;
    const clattn_view own_view = query_view, own_weight_view = grad_output_view, view = key_view,
                      weight_view = value_view;
#endif
    const int l = own_item();
    const uint id = (uint)get_group_id(0), g = id / blocks / slices;
    const clattn_int b = g / heads, kv_head = g % heads, group = m.S ? M / m.S : 1;
    const int d_begin = (int)(id / blocks % slices) * VALUES;
    owned own;
    /* Where keys are bounded by causal, the first keys and the last queries have most to do, and come first. */
    own.first = (KEYS ? id % blocks : blocks - 1 - id % blocks) * BM;
    own.last = (uint)(KEYS ? m.T : M) - 1;
    own.S = (uint)m.S;
    own.b = b, own.head = KEYS ? kv_head : kv_head * group;
    own.rows = (int)min(own.last + 1 - own.first, (uint)BM);
    scoring with;
    with.m = m, with.softcap = softcap, with.normalizer = normalizer;
    with.touched = softcap > 0 || m.mask.kind != KIND_ABSENT || m.bias.kind != KIND_ABSENT ||
                   m.alibi_slopes.kind != KIND_ABSENT;
    with.b = b, with.mask = mask, with.bias = bias, with.kv_lengths = kv_lengths;
    with.alibi_slopes = alibi_slopes, with.lse = lse, with.of_lse = lse_view;
    with.deltas = deltas + g * M;
#if DROPOUT
    with.dropout = dropout;
    const ACC factor = factor_of_kept(dropout);
#endif
    target of_scores = {gradient, gradient_view, 0}, of_weights = {grad_value, grad_value_view, 0};
    if (gradient_view.kind != KIND_ABSENT)
        of_scores.columns = clamp(D - d_begin, 0, VALUES);
    if (KEYS && grad_value_view.kind != KIND_ABSENT)
        of_weights.columns = clamp(DV - d_begin, 0, VALUES);

    for (int row = l; row < BM; row += WG) {
        score_rows[row] = row_of_owned(own_view, own, row);
        weight_rows[row] = row_of_owned(own_weight_view, own, row);
#if !KEYS
        const uint at = min(own.first + row, own.last);
        look_up(&facts, row, &with, own.head + at / own.S, at % own.S, at);
#endif
    }
    barrier(CLK_LOCAL_MEM_FENCE);

    const tile_rows scored_rows = take_tile_rows(own_scored, own_view, score_rows, b, D),
                    weighed_rows = take_tile_rows(own_weighed, own_weight_view, weight_rows, b, DV);
    const clattn_int first_head = KEYS ? kv_head * group : kv_head;
    const others_seen seen = find_others(&with, &facts, own);
    const int blocks_of_head = max((seen.end - seen.begin + BN - 1) / BN, 0),
              steps = (KEYS ? (int)group : 1) * blocks_of_head * 2;

    /* A second walk is with care. */
    int turn = 0, walks = 0;
    do {
        vec sums[SUMS][TM][NV], tile[TM][NV], factors[TM][NV];
#if DROPOUT
        ulong dropped = 0;
#endif
#pragma unroll
        for (int c = 0; c < SUMS; c++)
            clear_sums(sums[c]);
        /* Each block comes twice: first scores are made, and their weights meet gradients of the output; then
         * gradients of weights, and those of scores meet queries or keys. One loop over all, as drivers for CPUs
         * take twice as long to build nested ones. */
        for (int step = 0; step < steps; step++) {
            const int pass = step % 2, block = step / 2 % blocks_of_head,
                      head = step / 2 / blocks_of_head, k = seen.begin + block * BN,
                      count = min(seen.end - k, BN);
            const clattn_int h = first_head + head;
            const bool wanted = pass == 0 || of_scores.columns > 0;
            const rows_of_split scored_others =
                                    take_rows(scored, view, row_of(view, b, h, 0), seen.end, D),
                                weighed_others =
                                    take_rows(weighed, weight_view, row_of(weight_view, b, h, 0),
                                              seen.end, DV);
#if KEYS
            for (int n = l; n < BN && pass == 0; n += WG) {
                const clattn_int i = min((clattn_int)k + n, m.S - 1);
                look_up(&facts, n, &with, h, i, head * m.S + i);
            }
#endif
            make_products(tile, pass == 0 ? scored_rows : weighed_rows,
                          pass == 0 ? scored_others : weighed_others, k,
                          wanted ? (pass == 0 ? D : DV) : 0, left, right, &turn);
            if (pass == 0) {
#if DROPOUT
                dropped = find_dropped(facts.dropout_blocks, dropout, KEYS ? own.first : k, KEYS);
#endif
#pragma unroll
                for (int n = 0; n < TM * NV; n++) {
                    tile[n / NV][n % NV] *= (vec)(scale);
                    factors[n / NV][n % NV] = (vec)(scale);
                }
                if (k < seen.all_begin || k + BN > seen.all_end)
                    modify_tile(tile, factors, &facts, &with, own.first, k, count, left);
                make_weights(tile, factors, &facts, normalizer);
#if DROPOUT
                drop_tile(tile, dropped, factor);
#endif
            } else {
#if DROPOUT
                drop_tile(tile, dropped, factor);
#endif
                make_slopes(tile, factors, &facts);
            }
            barrier(CLK_LOCAL_MEM_FENCE);
            put_down(left, tile);
            add_products(sums, pass == 0 ? NC : 0, pass == 0 ? weighed_others : scored_others, k,
                         count, d_begin, pass == 0 ? of_weights.columns : of_scores.columns, left,
                         right, &turn, walks > 0);
        }
        if (l == 0)
            again = 0;
        barrier(CLK_LOCAL_MEM_FENCE);
        if (store_sums(of_scores, of_weights, own, sums, d_begin, left))
            atomic_or(&again, 1);
        barrier(CLK_LOCAL_MEM_FENCE);
        walks++;
    } while (again && walks < 2);
}
