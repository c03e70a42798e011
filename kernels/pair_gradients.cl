/* pair_gradients.cl: from gradients of additive scores, or of squared distances, to those of queries, of what keys
 * add, and of v or gamma
 *
 * Formula   additive: z[i][j] = x[i] + y[j] as in additive_scores.cl, sech^2 z = 1 - tanh^2 z
 *             d_query[i][a] = scale v[a] sum_j ds[i][j] sech^2 z[i][j][a];  d_hidden[j][a]: likewise sum_i
 *             d_units[a] = scale sum_ij ds[i][j] tanh z[i][j][a]
 *           rbf, as in rbf_scores.cl:
 *             d_query[i][a] = -2 scale gamma sum_j ds[i][j] (q[i][a] - k[j][a]);  d_hidden[j][a]: -sum_i
 *             d_units[a] = -scale sum_ij ds[i][j] (q[i][a] - k[j][a])^2, whose sum is that of gamma
 *           with X = e^2x, Y = e^2y, E = X Y, r = 1 / (1 + E): tanh z = (E - 1) r, sech^2 z = 4 E r r. Small tanh
 *           are known as well as X and Y, whose own errors are made good for in the sums
 * Shapes    ds: [B][Hq][S][stride]; query, key, v, bias, rows, features: as in additive_scores.cl, v of rbf: gamma
 *           for each unit; d_query: [B][Hq][S][A]; d_hidden: [B][Hq][T][A]; d_units: [B][Hq][A]
 * Units     strides in elements
 * Launch    global {ceil(A / share), Hq, B}, local {1, 1, 1}; a work-item walks over all pairs of a head, tile by
 *           tile, for `share` units, a multiple of 4 VW and at most UNITS, one vector of them after the other
 * Memory    3 ROWS * UNITS + ROWS * ROWS + 5 ROWS * VW sums in private memory
 * Edges     a pair whose ds is 0 counts for nothing, whatever its query and its key are; tiles without any other
 *           are not looked at. Sums are made of those of tiles. Where e^2x or E would leave its range, or a number
 *           is not finite, pairs have a tanh each, which is slow
 * See       src/ops/pair_gradients.c, tests/kernels/test_pair_gradients.c
 *
 * -D        meaning                                            values       set by
 * UNITS     most units of a work-item, a multiple of 4 VW      8 to 512     src/ops/pair_gradients.c
 * ROWS      queries of a tile, and keys, a multiple of 4, VW   16 to 64     src/ops/pair_gradients.c
 * RBF       distances in place of additive scores              0, 1         src/ops/pair_gradients.c
 */
#include "common.clh"
#define SCORES_SPACE global
#include "additive.clh"
#ifndef RBF
#error "pair_gradients.cl: RBF must be given"
#endif
#define TILE_KEYS ROWS
#define BLOCK 4 /* queries that meet a key at a time */

/* What the sums of a pair's parts are multiplied by, beside scale and, for the first two, v or gamma. */
#define OF_QUERY (RBF ? (ACC)-2 : (ACC)4)
#define OF_HIDDEN (RBF ? (ACC)2 : (ACC)4)
#define OF_UNITS (RBF ? (ACC)-1 : (ACC)1)

enum { WANTS_QUERY = 1, WANTS_HIDDEN = 2, WANTS_UNITS = 4 }; /* as pair_gradients.c */

/* Which pairs of a tile have gradients. */
typedef struct tile_pairs {
    ACC largest;                                  /* magnitude of one */
    INT rows[ROWS], keys[TILE_KEYS];              /* not 0: some pair of it does */
    int begins[ROWS / BLOCK], ends[ROWS / BLOCK]; /* of a block none but the keys [begin, end) do */
} tile_pairs;

static inline INT any_lane(ivec v)
{
    INT lanes[VW], any = 0;
    STORE_IVEC(v, lanes);
    for (int l = 0; l < VW; l++)
        any |= lanes[l];
    return any;
}

/* Magnitudes, as bits, which are in order where numbers have no sign; NaN is the largest. */
static inline ivec larger_magnitude(ivec largest, vec x)
{
    const ivec size = AS_IVEC(fabs(x));
    return select(largest, size, (ivec)(size > largest));
}

static inline ACC largest_lane(ivec magnitudes)
{
    INT lanes[VW], most = 0;
    STORE_IVEC(magnitudes, lanes);
    for (int l = 0; l < VW; l++)
        most = max(most, lanes[l]);
    return CAT(as_, ACC)(most);
}

/* A tile of ds, zeros past its last row and key; whether there is any gradient. */
static inline bool take_tile(ACC *t, tile_pairs *pairs, global const ACC *ds, clattn_int stride,
                             int rows, int keys)
{
    const clattn_view dense = {0, 0, 0, 0, 1, KIND_OF_SUMS};
    ivec of_keys[TILE_KEYS / VW], largest = 0;
    bool any = false;
    for (int j = 0; j < TILE_KEYS; j += VW)
        of_keys[j / VW] = 0;
    for (int r = 0; r < rows; r += BLOCK) {
        ivec of_rows[BLOCK];
        int begin = keys, end = 0;
        for (int n = 0; n < BLOCK; n++)
            of_rows[n] = 0;
        for (int j = 0; j < keys; j += VW) {
            ivec of_block = 0;
            for (int n = 0; n < BLOCK; n++) {
                const vec at = r + n < rows
                                   ? load_keys(ds, dense, (r + n) * stride, j, min(keys - j, VW))
                                   : (vec)(0);
                const ivec counts = (ivec)(at != (vec)(0));
                STORE_VEC(at, t + (r + n) * TILE_KEYS + j);
                largest = larger_magnitude(largest, at);
                of_rows[n] |= counts;
                of_block |= counts;
            }
            of_keys[j / VW] |= of_block;
            if (any_lane(of_block)) {
                begin = min(begin, j);
                end = min(j + VW, keys);
            }
        }
        for (int n = 0; n < BLOCK; n++)
            pairs->rows[r + n] = any_lane(of_rows[n]);
        pairs->begins[r / BLOCK] = begin;
        pairs->ends[r / BLOCK] = end;
        any = any || end > begin;
    }
    for (int j = 0; j < TILE_KEYS; j += VW)
        STORE_IVEC(of_keys[j / VW], pairs->keys + j);
    pairs->largest = largest_lane(largest);
    return any;
}

/* One vector of units of rows or keys, zeros in place of those that nobody meets, and up to a whole block.
 * Gives the largest magnitude, which is NaN where one is. */
static inline ACC take_units(vec *to, const vec *from, const INT *meets, int count)
{
    ivec largest = 0;
    for (int r = 0; r < count; r++) {
        to[r] = meets[r] ? from[r * VECTORS_OF_UNITS] : (vec)(0);
        largest = larger_magnitude(largest, to[r]);
    }
    for (int r = count; r % BLOCK != 0; r++)
        to[r] = 0;
    return largest_lane(largest);
}

/* What a pair has for its query and its key, but for their factors, and for v or gamma; both count `times`
 * times, which is ds, and what they have in common. */
typedef struct pair_part {
    vec of_both, of_units, times;
} pair_part;

#if RBF
/* So are squares of distances. */
static inline ACC largest_sum(ACC largest_ds)
{
    return CAT(ACC_IS_, ACC) ? (ACC)1e154 : (ACC)1e19;
}

static inline void make_forms(vec *x, vec *errors, int count)
{
    for (int r = 0; r < count; r++)
        errors[r] = 0;
}

static inline pair_part meet_as_is(vec x, vec y, vec ds)
{
    const vec apart = x - y;
    const pair_part part = {apart, apart * apart, ds};
    return part;
}

static inline pair_part meet_by_forms(vec x, vec y, vec ds)
{
    return meet_as_is(x, y, ds);
}
#else
/* E and 1 / (1 + E) are normal numbers, and what ds / (1 + E) loses to being less than those is, E times, nothing
 * beside the largest ds. */
static inline ACC largest_sum(ACC largest_ds)
{
    const ACC most = CAT(ACC_IS_, ACC) ? (ACC)350 : (ACC)43,
              room = CAT(ACC_IS_, ACC) ? (ACC)660 : (ACC)60;
    return fmin(most, (log(largest_ds) + room) / 2);
}

/* x becomes X, e^2x; errors how much more it should be, as a part of it, where that can be known: from half on. */
static inline void make_forms(vec *x, vec *errors, int count)
{
    for (int r = 0; r < count; r++) {
        vec less_one;
        x[r] = normal_exponential_less_one(x[r] + x[r], &less_one);
        errors[r] =
            select((vec)(0), (less_one - (x[r] - (vec)(1))) / x[r], (ivec)(x[r] >= (vec)(0.5)));
    }
}

static inline pair_part meet_as_is(vec x, vec y, vec ds)
{
    const vec z = x + y, e = exponential((vec)(-2) * fabs(z)), r = (vec)(1) / (e + (vec)(1));
    const pair_part part = {e * r * r, hyperbolic_tangent(z), ds};
    return part;
}

static inline pair_part meet_by_forms(vec x, vec y, vec ds)
{
    const vec e = x * y, r = (vec)(1) / (e + (vec)(1));
    const pair_part part = {e * r, fma(x, y, (vec)(-1)), ds * r};
    return part;
}
#endif

/* A block's rows and the keys [begin, end): gives of_rows, adds to of_keys, returns what is v's or gamma's. */
static inline vec meet_block(const vec *x, const vec *y, const ACC *t, int begin, int end,
                             vec *of_rows, vec *of_keys)
{
    vec rows[BLOCK], totals[2] = {0, 0};
#pragma unroll
    for (int n = 0; n < BLOCK; n++)
        rows[n] = 0;
    for (int j = begin; j < end; j++) {
        vec key[2] = {of_keys[j], 0};
#pragma unroll
        for (int n = 0; n < BLOCK; n++) {
            const pair_part part = meet_by_forms(x[n], y[j], (vec)(t[n * TILE_KEYS + j]));
            rows[n] = fma(part.times, part.of_both, rows[n]);
            key[n % 2] = fma(part.times, part.of_both, key[n % 2]);
            totals[n % 2] = fma(part.times, part.of_units, totals[n % 2]);
        }
        of_keys[j] = key[0] + key[1];
    }
#pragma unroll
    for (int n = 0; n < BLOCK; n++)
        of_rows[n] = rows[n];
    return totals[0] + totals[1];
}

/* The same row by row, of numbers that may be anything where there is no gradient. */
static inline vec meet_with_care(const vec *x, const vec *y, const ACC *t, int begin, int end,
                                 vec *of_rows, vec *of_keys)
{
    vec total = 0;
    for (int n = 0; n < BLOCK; n++) {
        vec row = 0;
        for (int j = begin; j < end; j++) {
            if (t[n * TILE_KEYS + j] == 0)
                continue;
            const pair_part part = meet_as_is(x[n], y[j], (vec)(t[n * TILE_KEYS + j]));
            row = fma(part.times, part.of_both, row);
            of_keys[j] = fma(part.times, part.of_both, of_keys[j]);
            total = fma(part.times, part.of_units, total);
        }
        of_rows[n] = row;
    }
    return total;
}

/* What the errors of forms took from sums over tanh, whose slope by ln X is 2 E r^2. */
static inline vec what_is_missing(const vec *errors, const vec *sums, int step, int count)
{
    vec missing = 0;
    for (int r = 0; r < count; r++)
        missing = fma(errors[r], sums[r * step], missing);
    return missing + missing;
}

/* All pairs of a tile, for a vector of units: queries become their sums, to of_keys theirs are added; rows of
 * either are VECTORS_OF_UNITS vectors apart. */
static inline vec meet_tile(vec *queries, const vec *keys, const ACC *t, const tile_pairs *pairs,
                            int row_count, int key_count, vec *of_keys)
{
    vec x[ROWS], x_errors[ROWS], y[TILE_KEYS], y_errors[TILE_KEYS], sums[TILE_KEYS], total = 0;
    const ACC largest_query = take_units(x, queries, pairs->rows, row_count),
              largest_key = take_units(y, keys, pairs->keys, key_count);
    const bool by_forms = largest_query + largest_key <= largest_sum(pairs->largest);
    if (by_forms) {
        make_forms(x, x_errors, (row_count + BLOCK - 1) / BLOCK * BLOCK);
        make_forms(y, y_errors, key_count);
    }
    for (int j = 0; j < key_count; j++)
        sums[j] = 0;
    for (int r = 0; r < row_count; r += BLOCK) {
        const int begin = pairs->begins[r / BLOCK], end = pairs->ends[r / BLOCK];
        const ACC *const of_block = t + r * TILE_KEYS;
        vec rows[BLOCK];
        total += by_forms ? meet_block(x + r, y, of_block, begin, end, rows, sums)
                          : meet_with_care(x + r, y, of_block, begin, end, rows, sums);
        for (int n = 0; n < BLOCK && r + n < row_count; n++)
            queries[(r + n) * VECTORS_OF_UNITS] = rows[n];
    }
    if (by_forms)
        total += what_is_missing(x_errors, queries, VECTORS_OF_UNITS, row_count) +
                 what_is_missing(y_errors, sums, 1, key_count);
    for (int j = 0; j < key_count; j++)
        of_keys[j * VECTORS_OF_UNITS] += sums[j];
    return total;
}

/* A chunk's vectors of rows times their factors to rows of `units` elements, or added to what is there. */
static inline void store_units(global ACC *to, const vec *from, const vec *factors, ACC factor,
                               int rows, int first, int units, int vectors, bool add)
{
    const clattn_view dense = {0, 0, 0, 0, 1, KIND_OF_SUMS};
    for (int r = 0; r < rows; r++)
        for (int a = 0; a < vectors && first + a * VW < units; a++) {
            const int unit = first + a * VW, count = min(units - unit, VW);
            vec sum = factors[a] * (vec)(factor)*from[r * VECTORS_OF_UNITS + a];
            if (add)
                sum += load_keys(to, dense, (clattn_int)r * units, unit, count);
            store_lanes(to, KIND_OF_SUMS, (clattn_int)r * units + unit, 1, sum, count);
        }
}

kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
pair_gradients(global const void *query, clattn_view of_query, global const void *key,
               clattn_view of_key, int units, ACC scale, clattn_int S, clattn_int T,
               global const ACC *ds, clattn_int stride, global ACC *d_query, global ACC *d_hidden,
               global ACC *d_units, int wanted, int share, global const void *v, clattn_view of_v,
               global const void *bias, clattn_view of_bias, global const void *rows_of_features,
               clattn_view of_rows, global const void *features, clattn_view of_features,
               global const void *forms, clattn_view of_forms, global const void *extents,
               clattn_view of_extents, int feature_count, int key_group)
{
    const clattn_int h = get_global_id(1), b = get_global_id(2),
                     head_number = b * get_global_size(1) + h;
    const additive_head head =
        take_head(query, of_query, key, of_key, units, v, of_v, bias, of_bias, rows_of_features,
                  of_rows, features, of_features, forms, of_forms, extents, of_extents,
                  feature_count, key_group, b, h);
    const int first = (int)get_global_id(0) * share,
              vectors = vectors_of_chunk(min(units, first + share), first);
    vec x[ROWS * VECTORS_OF_UNITS], y[TILE_KEYS * VECTORS_OF_UNITS],
        of_keys[TILE_KEYS * VECTORS_OF_UNITS], of_units[VECTORS_OF_UNITS],
        factors[VECTORS_OF_UNITS];
    ACC t[ROWS * TILE_KEYS];
    tile_pairs pairs;
    ds += head_number * S * stride;
    d_query += head_number * S * units;
    d_hidden += head_number * T * units;
    load_units(factors, v, of_v, head.v_at, first, units, vectors);
    for (int a = 0; a < vectors; a++)
        of_units[a] = 0;
    /* Without keys, too, queries have their zeros. */
    for (clattn_int j = 0; j == 0 || j < T; j += TILE_KEYS) {
        const int key_count = (int)min(T - j, (clattn_int)TILE_KEYS);
        vec total[VECTORS_OF_UNITS];
        for (int k = 0; k < key_count; k += KEYS)
            load_keys_of_chunk(y + k * VECTORS_OF_UNITS, &head, j + k, min(key_count - k, KEYS),
                               first, vectors);
        for (int k = 0; k < key_count * VECTORS_OF_UNITS; k++)
            of_keys[k] = 0;
        for (int a = 0; a < vectors; a++)
            total[a] = 0;
        for (clattn_int i = 0; i < S; i += ROWS) {
            const int row_count = (int)min(S - i, (clattn_int)ROWS);
            if (take_tile(t, &pairs, ds + i * stride + j, stride, row_count, key_count)) {
                load_queries_of_chunk(x, &head, i, row_count, first, vectors);
                for (int a = 0; a < vectors; a++)
                    total[a] +=
                        meet_tile(x + a, y + a, t, &pairs, row_count, key_count, of_keys + a);
            } else if (j == 0) {
                for (int r = 0; r < row_count * VECTORS_OF_UNITS; r++)
                    x[r] = 0;
            } else {
                continue;
            }
            if (wanted & WANTS_QUERY)
                store_units(d_query + i * units, x, factors, scale * OF_QUERY, row_count, first,
                            units, vectors, j > 0);
        }
        if (wanted & WANTS_HIDDEN)
            store_units(d_hidden + j * units, of_keys, factors, scale * OF_HIDDEN, key_count, first,
                        units, vectors, false);
        for (int a = 0; a < vectors; a++)
            of_units[a] += total[a];
    }
    if (wanted & WANTS_UNITS) {
        for (int a = 0; a < vectors; a++)
            factors[a] = (vec)(1);
        store_units(d_units + head_number * units, of_units, factors, scale * OF_UNITS, 1, first,
                    units, vectors, false);
    }
}
