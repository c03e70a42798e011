/* tiles.cl: attention in one pass over the keys, in the form that GPU-like devices want: a
 * work-group owns a tile of queries, keys and values pass through local memory
 *
 * Formula   as lanes.cl
 * Source    Dao et al., "FlashAttention", arXiv:2205.14135; Dao, "FlashAttention-2",
 *           arXiv:2307.08691, for what a work-item keeps; tile.clh for the products
 * Shapes    query (B, Hq, S, D), key (B, Hkv, T, D), value (B, Hkv, T, DV), output (B, Hq, S, DV),
 *           lse (B, Hq, S): views of any strides. Row r * S + i of key head g = b*Hkv + h is row i
 *           of its query head r; a head has M = group * S rows.
 *           parts: [G][splits][M][DV + 2], maximum and sum of the weights of a row's keys of a
 *           split, and the mean of its values, or their sum where keys have weights of their own;
 *           see merge_parts.cl
 * Units     strides in elements; scores in natural-log units
 *           Packed sequences, as in lanes.cl, are one batch of T keys in one split
 * Launch    global {WG * blocks * slices * splits * G}, local {WG}; a group makes BM rows of a key
 *           head, VALUES elements of their output, of the SPLIT keys of a split, or of all keys
 *           where there is one. With one split it writes the output, with several ones parts
 * Memory    max(BN, 2 DS) * LEFT + 2 DS * RIGHT vectors in local memory, with modifications the
 *           places of BM rows more, with dropout their blocks; queries are read once for each block
 *           of BN keys
 * Edges     as lanes.cl: a group whose sums end up not finite walks its keys again, with care
 * See       src/ops/tiles.c, src/reference, tests/kernels/test_tiles.c
 *
 * -D        meaning                                              values             set by
 * KIND      of query, key, value and output, as in arguments.h   0 to 3             desc.dtype
 * VALUES    elements of values of a group, a multiple of BN      to 64 * GN / TM    tiles.c
 * SPLIT     keys of a split, a multiple of BN                    2^k                tiles.c
 * GENERAL   1: with all modifications; 0: every key is seen      0, 1               desc
 * DROPOUT   1: weights are dropped, but not of packed sequences  0, 1               desc
 * and those of slices.clh
 */
#include "common.clh"
#include "modify.clh"
#include "packed.clh"
#include "slices.clh"
#if !defined(KIND) || !defined(VALUES) || !defined(SPLIT) || !defined(GENERAL) || !defined(DROPOUT)
#error "tiles.cl: KIND, VALUES, SPLIT, GENERAL and DROPOUT must be given"
#endif
#if DROPOUT
#include "dropout_tile.clh"
#endif
#define NC (VALUES / BN) /* register tiles of output that a work-item keeps */
#define NR (TM / VW)     /* vectors of its rows */
#if DS > BN || VALUES % BN || SPLIT % BN || VALUES * TM > 64 * GN || GN * BM > DS * RIGHT * VW
#error "tiles.cl: VALUES, SPLIT or a slice of keys does not fit the tile"
#endif

#if GENERAL
/* What differs from row to row, in local memory. */
typedef struct row_place {
    clattn_int position, begin, end; /* as in query_place */
    clattn_int mask_row, bias_row;
    ACC slope, sink;
} row_place;

static inline query_place place_of(local const row_place *row)
{
    const query_place q = {row->position, row->begin, row->end, row->slope};
    return q;
}
#else
typedef int row_place; /* nothing does */
#endif

/* What the modifications need of a call, but for the rows' places. */
typedef struct modifiers {
    clattn_modifications m;
    ACC softcap;
    global const void *mask, *bias;
    clattn_int b, start;          /* the split's first key */
    uint first_query, last_query; /* h * S + i of the tile's first row and the head's last one */
} modifiers;

/* From raw to modified scores of BN keys from key k on. One after the other, through local memory:
 * code for each vector would be large. */
static inline void modify_tile(vec scores[TM][NV], local const row_place *places,
                               const modifiers *with, int k, local vec *left)
{
    const int l = own_item();
#if GENERAL
#pragma unroll
    for (int i = 0; i < TM; i++)
#pragma unroll
        for (int v = 0; v < NV; v++)
            left[(i * NV + v) * WG + l] = scores[i][v];
#pragma unroll 1
    for (int n = 0; n < TM * NV; n++) {
        local const row_place *place = places + l / GN * TM + n / NV;
        const clattn_int j = with->start + k + (n % NV * GN + l % GN) * VW;
        const int count = (int)clamp(with->m.T - j, (clattn_int)0, (clattn_int)VW);
        left[n * WG + l] =
            modify_keys(cap_score(left[n * WG + l], with->softcap), with->m, place_of(place), j,
                        count, with->mask, place->mask_row, with->bias, place->bias_row);
    }
#pragma unroll
    for (int i = 0; i < TM; i++)
#pragma unroll
        for (int v = 0; v < NV; v++)
            scores[i][v] = left[(i * NV + v) * WG + l];
#else
    (void)places, (void)left;
#pragma unroll
    for (int v = 0; v < NV; v++) {
        const clattn_int j = with->start + k + (v * GN + l % GN) * VW;
        const ivec hidden =
            lane_numbers() >= (ivec)((INT)clamp(with->m.T - j, (clattn_int)0, (clattn_int)VW));
#pragma unroll
        for (int i = 0; i < TM; i++)
            scores[i][v] = hide_score(scores[i][v], hidden);
    }
#endif
}

/* This work-item's rows, one vector of them after the other. */
typedef struct row_state {
    vec most[NR];
    vec sum[NR]; /* of the weights of its own keys alone */
} row_state;

/* The largest of `tops` over all that share a row, and what was the largest before. */
static inline void reduce_tops(vec most[NR], const ACC tops[TM], local vec *room)
{
    const int l = own_item(), row = l / GN * NR;
#pragma unroll
    for (int n = 0; n < NR; n++)
        room[l % GN * (BM / VW) + row + n] = LOAD_VEC(tops + n * VW);
    barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll
    for (int n = 0; n < NR; n++)
#pragma unroll 2 /* a driver that unrolls it all loads all first, and has no registers left */
        for (int x = 0; x < GN; x++)
            most[n] = larger(most[n], room[x * (BM / VW) + row + n]);
}

/* Scores to weights, which go to local memory transposed; `kept` is what the sums so far are worth
 * then. Where each key has a weight of its own, maximum and sum are for the lse alone, and scores go
 * there as they are. */
static inline void make_weights(vec scores[TM][NV], row_state *state, const vec most[NR],
                                ACC kept[TM], int normalizer, local vec *left)
{
    const int l = own_item();
#pragma unroll
    for (int n = 0; n < NR; n++) {
        /* Where all is hidden so far, -infinity less itself would be NaN; any finite shift does. */
        const vec to = select(most[n], (vec)(0), (ivec)(most[n] == (vec)(-INFINITY))),
                  worth = exponential(state->most[n] - to);
        ACC shift[VW], parts[VW];
        vec part[VW];
        STORE_VEC(to, shift);
        state->most[n] = most[n];
#pragma unroll
        for (int v = 0; v < NV; v++) {
            vec weights[VW];
#pragma unroll
            for (int i = 0; i < VW; i++) {
                const vec x = scores[n * VW + i][v], e = exponential(x - (vec)(shift[i]));
                part[i] = v == 0 ? e : part[i] + e;
                weights[i] = normalizer == SOFTMAX ? e : x;
            }
            transpose(weights);
#pragma unroll
            for (int i = 0; i < VW; i++)
                left[((v * GN + l % GN) * VW + i) * LEFT + l / GN * NR + n] = weights[i];
        }
#pragma unroll
        for (int i = 0; i < VW; i++)
            parts[i] = sum_lanes(part[i]);
        state->sum[n] = fma(worth, state->sum[n], LOAD_VEC(parts));
        STORE_VEC(normalizer == SOFTMAX ? worth : (vec)(1), kept + n * VW);
    }
}

/* Scores that make_weights() left in local memory to weights of each key alone. One after the other: code
 * for each vector would be large. */
static inline void make_own_weights(int normalizer, local vec *left)
{
    const int l = own_item();
#pragma unroll 1
    for (int n = 0; n < NR; n++)
#pragma unroll 1
        for (int i = 0; i < NV * VW; i++) {
            local vec *const at =
                left + ((i / VW * GN + l % GN) * VW + i % VW) * LEFT + l / GN * NR + n;
            *at = own_weight(*at, normalizer);
        }
}

#if DROPOUT
/* Weights in local memory to those that are left of them. */
static inline void drop_weights(local vec *left, ulong dropped, ACC factor)
{
    const int l = own_item();
#pragma unroll
    for (int n = 0; n < NR; n++)
#pragma unroll
        for (int i = 0; i < NV * VW; i++) {
            local vec *const at =
                left + ((i / VW * GN + l % GN) * VW + i % VW) * LEFT + l / GN * NR + n;
            *at = drop_by_bits(*at, dropped, n * VW * TN + i, TN, factor);
        }
}
#endif

/* The sink is one key more, without a value; `kept` is what the sums of values are worth then. */
static inline void add_sink(vec *most, vec *sum, vec *kept, vec sink)
{
    const vec top = larger(sink, *most);
    *kept = exponential(*most - top);
    *sum = fma(*sum, *kept, exponential(sink - top));
    *most = top;
}

/* A bit for each of this work-item's rows that sees key k. */
static inline uint rows_that_see(local const row_place *places, const modifiers *with, int k)
{
#if GENERAL
    const int row = own_item() / GN * TM;
    uint seen = 0;
#pragma unroll 1
    for (int i = 0; i < TM; i++) {
        const uint query = min(with->first_query + row + i, with->last_query), S = (uint)with->m.S;
        if (is_visible(with->m, place_of(places + row + i), with->mask, with->bias, with->b,
                       query / S, query % S, with->start + k))
            seen |= 1u << i;
    }
    return seen;
#else
    (void)places, (void)with, (void)k;
    return ~0u;
#endif
}

/* multiply() with care, for weights and values of keys [k, k + DS): values that are not finite
 * reach only who sees them, and weights are brought down, so that no sum of them overflows. */
static inline void multiply_with_care(vec sums[TM][NV], local const vec *left,
                                      local const vec *right, ACC down, int k,
                                      local const row_place *places, const modifiers *with)
{
#pragma unroll 1
    for (int n = 0; n < DS; n++) {
        ACC weights[TM];
        load_rows(weights, left + n * LEFT);
#pragma unroll
        for (int v = 0; v < NV; v++) {
            const vec value = load_columns(right + n * RIGHT, v), differences = value - value;
            const ivec odd = (ivec)(differences != (vec)(0)); /* it is 0, or NaN */
            uint seen = 0;                                    /* by rows of which it is, if so */
            if (sum_lanes(differences) != 0)
                seen = rows_that_see(places, with, k + n);
#pragma unroll
            for (int i = 0; i < TM; i++) {
                const vec w = (vec)(weights[i]);
                sums[i][v] = fma(w * (vec)(down), select(value, (vec)(0), odd), sums[i][v]);
                if (seen >> i & 1)
                    sums[i][v] += select((vec)(0), w * value, odd);
            }
        }
    }
}

__attribute__((reqd_work_group_size(WG, 1, 1))) kernel void
tiles(global const void *query, clattn_view query_view, global const void *key,
      clattn_view key_view, global const void *value, clattn_view value_view, global void *output,
      clattn_view output_view, global void *lse, clattn_view lse_view, int D, int DV, ACC scale,
      ACC softcap, clattn_modifications of_call, clattn_int heads, clattn_int M, int normalizer,
      global const void *mask, global const void *bias, global const void *kv_lengths,
      global const void *alibi_slopes, global const void *sinks, global const void *cu_seqlens_q,
      global const void *cu_seqlens_k, global ACC *parts, uint blocks, uint slices, uint splits,
      clattn_dropout dropout)
{
    local vec left[(BN > 2 * DS ? BN : 2 * DS) * LEFT]; /* slices of queries, and then weights */
    local vec right[2 * DS * RIGHT];                    /* slices of keys, and then of values */
    local clattn_int query_at[BM];
    local row_place places[GENERAL ? BM : 1];
#if DROPOUT
    local clattn_int dropout_blocks[BM];
#endif
    local int again;
    const int l = own_item();
    /* The last blocks come first: where keys are bounded by causal, they have most to do. */
    const uint id = (uint)get_group_id(0), g = id / blocks / slices / splits, kv_head = g % heads;
    const int slice = (int)(id / blocks % slices);
    const clattn_int b = g / heads, split = id / blocks / slices % splits, start = split * SPLIT,
                     group = M / of_call.S;
    packed_sequence s = only_sequence(of_call, blocks - 1 - id % blocks);
    if (of_call.cu_seqlens_q.kind != KIND_ABSENT) { /* the one batch; each is one for itself */
        s = find_sequence(of_call, cu_seqlens_q, cu_seqlens_k, s.block, group, (clattn_int)BM);
        M = group * s.queries;
    }
    const int rows = s.block < 0 ? 0 : (int)clamp(M - s.block * BM, (clattn_int)0, (clattn_int)BM);
    if (rows == 0) /* nothing to do, but barriers want it to go on: a row without keys */
        s.queries = 1, s.keys = 0, s.block = 0, M = group;
    const clattn_modifications m = modifications_of(of_call, s);
    const clattn_view of_query = from_row(query_view, s.query), of_key = from_row(key_view, s.key),
                      of_value = from_row(value_view, s.key),
                      of_output = from_row(output_view, s.query),
                      of_lse = from_row(lse_view, s.query);
    const int block = (int)s.block;
    const uint S = (uint)m.S, first_query = kv_head * (uint)M + block * BM,
               last_query = kv_head * (uint)M + (uint)M - 1;
    const clattn_int first_part = (g * (clattn_int)splits + split) * M + block * BM,
                     most_keys = splits == 1 ? m.T : SPLIT;
    const int d_begin = slice * VALUES,
              columns = of_output.kind == KIND_ABSENT ? 0 : min(DV - d_begin, VALUES);
    const modifiers with = {m, softcap, mask, bias, b, start, first_query, last_query};

    int begin = 0, end = (int)clamp(m.T - start, (clattn_int)0, most_keys);
    for (int row = l; row < BM; row += WG) { /* rows past the last one make it once more */
        const uint at = min(first_query + row, last_query), h = at / S, i = at % S;
        query_at[row] = row_of(of_query, b, h, i);
#if DROPOUT
        dropout_blocks[row] = clattn_dropout_block(&dropout, clattn_dropout_row(&dropout, b, h, i));
#endif
#if GENERAL
        const query_place q = place_query(m, kv_lengths, alibi_slopes, b, h, i);
        places[row].position = q.position, places[row].begin = q.begin, places[row].end = q.end;
        places[row].slope = q.slope;
        places[row].sink = m.sinks.kind == KIND_ABSENT
                               ? (ACC)0
                               : load_element(sinks, m.sinks.kind, row_of(m.sinks, 0, h, 0));
        places[row].mask_row = row_of(m.mask, b, h, i),
        places[row].bias_row = row_of(m.bias, b, h, i);
#endif
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    int seen_begin = 0, seen_end = end; /* by all rows */
#if GENERAL
    clattn_int first_seen = m.T, last_seen = 0, all_begin = 0, all_end = m.T;
#pragma unroll 2
    for (int row = 0; row < BM; row++) {
        first_seen = min(first_seen, places[row].begin);
        last_seen = max(last_seen, places[row].end);
        all_begin = max(all_begin, places[row].begin);
        all_end = min(all_end, places[row].end);
    }
    begin = (int)clamp(first_seen - start, (clattn_int)0, most_keys);
    end = (int)clamp(last_seen - start, (clattn_int)0, (clattn_int)end);
    seen_begin = (int)clamp(all_begin - start, (clattn_int)0, most_keys);
    seen_end = (int)clamp(all_end - start, (clattn_int)0, most_keys);
    if (softcap > 0 || m.mask.kind != KIND_ABSENT || m.bias.kind != KIND_ABSENT ||
        m.alibi_slopes.kind != KIND_ABSENT)
        seen_end = 0; /* no block stays as it is */
#endif
    /* Blocks begin at multiples of BN, so that those of a row do not depend on the rows beside it:
     * keys that it does not see add nothing. */
    begin = begin / BN * BN;

    const tile_rows queries = take_tile_rows(query, of_query, query_at, b, D);
    const rows_of_split keys = take_rows(key, of_key, row_of(of_key, b, kv_head, start), end, D),
                        values = take_rows(value, of_value, row_of(of_value, b, kv_head, start),
                                           end, DV);

    /* Walks with care, as in lanes.cl; `redo` has a bit for each element of output that is not
     * finite so far. */
    ulong redo = 0;
    int turn = 0, walk = 0;
    do {
        /* By which weights are brought down: no row has more keys, and a power of two rounds nothing. */
        const ACC whole = walk == 2 ? (ACC)(1u << 31) : (ACC)1;
        row_state state;
        vec sums[NC][TM][NV];
#pragma unroll
        for (int c = 0; c < NC; c++)
            clear_sums(sums[c]);
#pragma unroll
        for (int n = 0; n < NR; n++)
            state.most[n] = (vec)(-INFINITY), state.sum[n] = (vec)(0);
        for (int k = begin; k < end; k += BN) {
            vec tile[TM][NV], next[RIGHT_LOADS], most[NR];
            ACC tops[TM], kept[TM];
            make_products(tile, queries, keys, k, D, left, right, &turn);
            load_values(next, values, k, d_begin);
#pragma unroll
            for (int i = 0; i < TM; i++)
#pragma unroll
                for (int v = 0; v < NV; v++)
                    tile[i][v] *= (vec)(scale);
            if (k < seen_begin || k + BN > seen_end)
                modify_tile(tile, places, &with, k, left);
#pragma unroll
            for (int i = 0; i < TM; i++) {
                vec top = (vec)(-INFINITY);
#pragma unroll
                for (int v = 0; v < NV; v++)
                    top = larger(top, tile[i][v]);
                tops[i] = max_lanes(top);
            }
#pragma unroll
            for (int n = 0; n < NR; n++)
                most[n] = state.most[n];
            reduce_tops(most, tops, right + (turn ^ 1) * DS * RIGHT);
            store_values(right + turn * DS * RIGHT, next, values, k, d_begin);
            make_weights(tile, &state, most, kept, normalizer, left);
            if (normalizer != SOFTMAX)
                make_own_weights(normalizer, left);
#if DROPOUT
            drop_weights(left, find_dropped(dropout_blocks, dropout, start + k, false),
                         factor_of_kept(dropout));
#endif
            barrier(CLK_LOCAL_MEM_FENCE);
            const int count = min(end - k, BN),
                      steps = (count + DS - 1) / DS * ((columns + BN - 1) / BN);
            /* What is multiplied: part of the elements, BN of them, by DS keys of the block. */
            int part = 0, slice_begin = 0;
            clear_sums(tile);
            for (int step = 0; step < steps; step++) {
                const bool last_of_part = slice_begin + DS >= count, more = step + 1 < steps;
                const int next_begin = last_of_part ? 0 : slice_begin + DS,
                          next_part = last_of_part ? part + 1 : part;
                if (more)
                    load_values(next, values, k + next_begin, d_begin + next_part * BN);
                if (walk == 0)
                    multiply(tile, left + slice_begin * LEFT, right + turn * DS * RIGHT);
                else
                    multiply_with_care(tile, left + slice_begin * LEFT, right + turn * DS * RIGHT,
                                       1 / whole, k + slice_begin, places, &with);
                if (last_of_part) {
#pragma unroll
                    for (int c = 0; c < NC; c++)
#pragma unroll
                        for (int i = 0; i < TM; i++)
#pragma unroll
                            for (int v = 0; v < NV; v++)
                                if (c == part)
                                    sums[c][i][v] = fma((vec)(kept[i]), sums[c][i][v], tile[i][v]);
                    clear_sums(tile);
                }
                turn ^= 1;
                if (more)
                    store_values(right + turn * DS * RIGHT, next, values, k + next_begin,
                                 d_begin + next_part * BN);
                barrier(CLK_LOCAL_MEM_FENCE);
                slice_begin = next_begin, part = next_part;
            }
        }

        /* The sums of all who share a row, in the order of their keys. */
#pragma unroll
        for (int n = 0; n < NR; n++)
            right[l % GN * (BM / VW) + l / GN * NR + n] = state.sum[n];
        barrier(CLK_LOCAL_MEM_FENCE);
        ACC factor[TM];
#pragma unroll
        for (int n = 0; n < NR; n++) {
            vec sum = 0, kept = 1;
#pragma unroll 2
            for (int x = 0; x < GN; x++)
                sum += right[x * (BM / VW) + l / GN * NR + n];
#if GENERAL
            if (m.sinks.kind != KIND_ABSENT && splits == 1) {
                ACC sinks_of_rows[VW];
#pragma unroll
                for (int i = 0; i < VW; i++)
                    sinks_of_rows[i] = places[l / GN * TM + n * VW + i].sink;
                add_sink(&state.most[n], &sum, &kept, LOAD_VEC(sinks_of_rows));
            }
#endif
            STORE_VEC(normalizer == SOFTMAX ? kept / select(sum, (vec)(1), (ivec)(sum == (vec)(0)))
                                            : (vec)(1),
                      factor + n * VW);
            if (l % GN == 0) {
                left[l / GN * NR + n] = state.most[n];
                left[BM / VW + l / GN * NR + n] = sum;
            }
        }
        if (l == 0)
            again = 0;
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int row = l; row < rows && walk == 0 && slice == 0; row += WG) {
            const uint at = first_query + row;
            const ACC most = ((local const ACC *)left)[row],
                      sum = ((local const ACC *)left)[BM + row];
            if (splits > 1) {
                global ACC *part = parts + (first_part + row) * (DV + 2);
                part[0] = most, part[1] = sum;
            } else if (of_lse.kind != KIND_ABSENT) {
                store_element(lse, of_lse.kind, row_of(of_lse, b, at / S, at % S),
                              (most == -INFINITY ? (ACC)0 : most) + log(sum));
            }
        }
        barrier(CLK_LOCAL_MEM_FENCE);

        /* Register tiles go out through local memory, so that neighbours write what lies side by
         * side. */
        ulong odd = 0, bit = 1;
#pragma unroll 1
        for (int part = 0; part < NC; part++) {
            local ACC *const rows_of_part = (local ACC *)left;
#pragma unroll
            for (int c = 0; c < NC; c++)
#pragma unroll
                for (int i = 0; i < TM; i++)
#pragma unroll
                    for (int v = 0; v < NV; v++)
                        if (c == part)
                            left[(l / GN * TM + i) * (BN / VW) + v * GN + l % GN] =
                                sums[c][i][v] * (vec)(factor[i] * whole);
            barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll 1
            for (int n = l; n < BM * BN; n += WG, bit <<= 1) {
                const int row = n / BN, d = d_begin + part * BN + n % BN;
                /* No element depends on what its neighbours are. */
                if (row >= rows || d >= d_begin + columns || (walk > 0 && !(redo & bit)))
                    continue;
                const ACC element = rows_of_part[n];
                const uint at = first_query + row;
                if (splits > 1)
                    parts[(first_part + row) * (DV + 2) + 2 + d] = element;
                else
                    store_element(output, KIND,
                                  row_of(of_output, b, at / S, at % S) + d * of_output.column,
                                  element);
                if (!isfinite(element))
                    odd |= bit;
            }
            barrier(CLK_LOCAL_MEM_FENCE);
        }
        redo = odd;
        if (redo)
            atomic_or(&again, 1);
        barrier(CLK_LOCAL_MEM_FENCE);
        walk++;
    } while (again && walk < 3);
}
