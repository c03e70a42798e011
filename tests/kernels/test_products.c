/* product_lanes.cl and product_tiles.cl: with every row of the tuning table and some others,
 * products of sizes that hurt, against straight sums in long double.
 *
  * Bound: a sum whose terms go through n roundings errs by at most nu / (1 - nu) * sum |a b|
  * (Higham, "Accuracy and stability of numerical algorithms", 2002, section 3.1). The kernels sum
  * DEPTH terms by fused multiplications and additions, add up those partial sums and multiply
  * once: n = min(K, DEPTH) + ceil(K / DEPTH); with factors two more, where sums are made again from
  * elements of A divided by K. Storing a narrower type costs half a last place more. */
#include "ops/product.h"
#include "support/device_limits.h"
#include "support/kernel_runs.h"
#include "support/named_tests.h"

#include <math.h>
#include <stdio.h>

/* Sizes that are no number of their own. */
enum {
    NONE = -1,      /* 0 */
    PAST = -2,      /* one past what is done at a time: a work-item's rows, a panel, DEPTH */
    TWICE = -3,     /* twice that */
    PAST_TILE = -4, /* one past the rows of a register tile */
};

typedef enum product_fill {
    FILL_PLAIN = 0,
    FILL_CONSTANT, /* all terms 0.1, so that the errors of a long sum add up */
    FILL_NAN_ROW,  /* the second row of A has a NaN */
    FILL_NAN_COLUMN,
    FILL_LARGE /* B is 3e38 or as near to the end of f64, A is 1, factors bring K of them back */
} product_fill;

typedef struct product_case {
    const char *name;
    clattn_dtype sums, to;
    int64_t B, Hq, Hkv, S, N, K; /* 0: 1 */
    host_strides strides;        /* of C */
    bool factors;
    int64_t offset, more_columns; /* of A: before its first row, behind each */
    double alpha;                 /* 0: 1 */
    int64_t b_heads;              /* 0: B * Hkv */
    product_fill fill;
} product_case;

/* clang-format off: one row, one case */
static const product_case cases[] = {
    {"one of all", .S = 1},
    {"no terms", .Hq = 2, .Hkv = 2, .S = 3, .N = 5, .K = NONE},
    {"no terms, with factors", .S = 3, .N = 5, .K = NONE, .factors = true},
    {"no rows", .S = NONE, .N = 5, .K = 5},
    {"no columns", .S = 5, .N = NONE, .K = 5},
    {"primes", .B = 2, .Hq = 3, .Hkv = 3, .S = 7, .N = 37, .K = 19, .alpha = -0.3},
    {"one past a register tile", .S = PAST_TILE, .N = PAST, .K = 3},
    {"one past a work-item", .S = PAST, .N = PAST, .K = 11},
    {"two work-items of whole panels", .S = TWICE, .N = TWICE, .K = 8},
    {"one past DEPTH", .Hq = 2, .Hkv = 2, .S = 5, .N = PAST, .K = PAST},
    {"twice DEPTH", .S = PAST_TILE, .N = 7, .K = TWICE},
    {"one past a work-item and DEPTH", .S = PAST, .N = PAST, .K = PAST, .alpha = 0.125},
    {"many partial sums", .S = PAST_TILE, .N = 3, .K = 4099},
    {"a long sum of one sign", .S = 2, .N = 2, .K = 65537, .fill = FILL_CONSTANT},
    {"rows of A apart", .B = 2, .Hq = 2, .Hkv = 2, .S = 9, .N = 20, .K = 13, .offset = 7,
     .more_columns = 5},
    {"grouped heads", .B = 3, .Hq = 6, .Hkv = 2, .S = 5, .N = 9, .K = 7},
    {"one matrix for all heads", .B = 3, .Hq = 2, .Hkv = 2, .S = 5, .N = PAST, .K = 7,
     .b_heads = 1},
    {"a matrix for each head of all sequences", .B = 3, .Hq = 4, .Hkv = 2, .S = 5, .N = PAST,
     .K = 7, .b_heads = 2},
    {"grouped heads, one past a work-item", .Hq = 3, .S = PAST, .N = 9, .K = 7},
    {"factors", .B = 2, .Hq = 6, .Hkv = 2, .S = 5, .N = 33, .K = 7, .factors = true},
    {"factors, one past a work-item and DEPTH", .Hq = 2, .Hkv = 2, .S = PAST, .N = PAST, .K = PAST,
     .factors = true},
    {"sums beyond f32 until their factor", .S = PAST_TILE, .N = PAST, .K = 9, .factors = true,
     .fill = FILL_LARGE},
    {"sums beyond f32 until their factor, of many blocks", .S = PAST_TILE, .N = PAST, .K = 4099,
     .factors = true, .fill = FILL_LARGE},
    {"sums beyond f64 until their factor", .sums = CLATTN_F64, .to = CLATTN_F64, .S = PAST_TILE,
     .N = PAST, .K = PAST, .factors = true, .fill = FILL_LARGE},
    {"f32 padded", .Hq = 2, .S = PAST, .N = PAST, .K = 9, .strides = STRIDES_PADDED},
    {"f32 transposed", .Hq = 2, .S = PAST, .N = PAST, .K = 9, .strides = STRIDES_TRANSPOSED},
    {"f16 padded", .to = CLATTN_F16, .B = 2, .Hq = 2, .S = PAST_TILE, .N = PAST, .K = 9,
     .strides = STRIDES_PADDED},
    {"f16 transposed", .to = CLATTN_F16, .Hq = 2, .Hkv = 2, .S = PAST_TILE, .N = PAST, .K = 9,
     .strides = STRIDES_TRANSPOSED, .factors = true},
    {"bf16 padded", .to = CLATTN_BF16, .Hq = 2, .S = PAST_TILE, .N = PAST, .K = 9,
     .strides = STRIDES_PADDED, .factors = true},
    {"bf16 transposed", .to = CLATTN_BF16, .B = 2, .Hq = 2, .S = PAST_TILE, .N = PAST, .K = 9,
     .strides = STRIDES_TRANSPOSED},
    {"f64 primes", .sums = CLATTN_F64, .to = CLATTN_F64, .B = 2, .Hq = 3, .Hkv = 3, .S = 7, .N = 37,
     .K = 19, .alpha = 0.7},
    {"f64, one past a work-item and DEPTH", .sums = CLATTN_F64, .to = CLATTN_F64, .S = PAST,
     .N = PAST, .K = PAST, .factors = true},
    {"f64 padded", .sums = CLATTN_F64, .to = CLATTN_F64, .Hq = 2, .S = PAST_TILE, .N = PAST, .K = 9,
     .strides = STRIDES_PADDED},
    {"f64 transposed", .sums = CLATTN_F64, .to = CLATTN_F64, .Hq = 2, .S = PAST_TILE, .N = PAST,
     .K = 9, .strides = STRIDES_TRANSPOSED},
    {"NaN in one row alone", .S = PAST, .N = PAST, .K = PAST, .fill = FILL_NAN_ROW},
    {"NaN in one row alone, with factors", .S = PAST, .N = PAST, .K = PAST, .fill = FILL_NAN_ROW,
     .factors = true},
    {"NaN in one column alone", .S = PAST_TILE, .N = PAST, .K = PAST, .fill = FILL_NAN_COLUMN},
};
/* clang-format on */

/* Beside the tuning table: the ends of what the header of the kernel allows, and odd tiles. */
static const clattn__tuning others[] = {
    {"VW 1, MR 1, NV 3", .vector = 1, .tile_rows = 1, .tile_vectors = 3, .item_rows = 1,
     .depth = 64},
    {"VW 2, MR 3, NV 4", .vector = 2, .tile_rows = 3, .tile_vectors = 4, .item_rows = 3,
     .depth = 64},
    {"VW 16, MR 7, NV 1", .vector = 16, .tile_rows = 7, .tile_vectors = 1, .item_rows = 252,
     .depth = 512},
};

/* Beside those of the table, which begin with the largest. */
static const clattn__tile other_tiles[] = {
    {.item_rows = 8,
     .item_columns = 4,
     .group_rows = 8,
     .group_columns = 16,
     .depth = 16,
     .vector = 4},
    {.item_rows = 2,
     .item_columns = 4,
     .group_rows = 4,
     .group_columns = 1,
     .depth = 4,
     .vector = 2},
};

static const clattn__multiplier *multiplier;
static clattn_device *device;
static clattn_device_info real_info;

typedef struct product_tensors {
    host_call memory;
    int64_t G, M, N, K, lda, panel, b_heads;
    clattn_tensor a, b, c, factors;
} product_tensors;

static bool by_tiles(void)
{
    return multiplier == &clattn__multiplier_tiles;
}

static int64_t rows_of_item(void)
{
    return by_tiles() ? device->tuning->tiles->item_rows : device->tuning->tile_rows;
}

/* Rows that a work-item makes, or a group. */
static int64_t rows_at_a_time(void)
{
    const clattn__tile *tile = device->tuning->tiles;
    return by_tiles() ? tile->item_rows * tile->group_rows : device->tuning->item_rows;
}

static int64_t depth_of_sums(void)
{
    return by_tiles() ? 256 : device->tuning->depth;
}

static int64_t size_of(int64_t size, int64_t at_a_time)
{
    switch (size) {
    case NONE:
        return 0;
    case PAST:
        return at_a_time + 1;
    case TWICE:
        return 2 * at_a_time;
    case PAST_TILE:
        return rows_of_item() + 1;
    default:
        return size ? size : 1;
    }
}

/* Rounds of a work-item's loops where a driver unrolls none of them: for each term those of a register
 * tile, and up to as many for partial sums and stores; sums that leave their range are made again. */
static int64_t rounds_of(const product_case *c)
{
    const clattn__tuning *tuning = device->tuning;
    const int64_t terms = size_of(c->K, depth_of_sums()) * (c->fill == FILL_LARGE ? 2 : 1);
    if (by_tiles())
        return 2 * terms * (tuning->tiles->item_rows + 1) * (tuning->tiles->item_columns + 1);
    const int64_t rows = size_of(c->S, tuning->item_rows), most = tuning->item_rows,
                  tiles = clattn__ceil_div(rows < most ? rows : most, tuning->tile_rows),
                  tile = (int64_t)(tuning->tile_rows + 1) * (tuning->tile_vectors + 1);
    return 2 * terms * tiles * tile;
}

static double number(int64_t i)
{
    return (double)(i * 7919 % 2003) / 1001 - 1;
}

static size_t a_at(const product_tensors *t, const product_case *c, int64_t g, int64_t m, int64_t k)
{
    return (size_t)(c->offset + (g * t->M + m) * t->lda + k);
}

static size_t b_at(const product_tensors *t, int64_t g, int64_t k, int64_t n)
{
    const int64_t panels = clattn__ceil_div(t->N, t->panel);
    return (size_t)(((g % t->b_heads * panels + n / t->panel) * t->K + k) * t->panel +
                    n % t->panel);
}

/* What lies between the rows of A, and past the last column of B, is NaN: it must not be used. */
static void fill(const product_tensors *t, const product_case *c)
{
    const clattn_tensor *const all[] = {&t->a, &t->b, &t->c};
    const bool constant = c->fill == FILL_CONSTANT, large = c->fill == FILL_LARGE;
    const double largest = c->sums == CLATTN_F64 ? 1.7e308 : 3e38;
    for (size_t n = 0; n < sizeof all / sizeof *all; n++)
        for (size_t i = 0; i < clattn_tensor_count(all[n]); i++)
            host_tensor_set(all[n], i, (double)NAN);
    for (int64_t g = 0; g < t->G; g++)
        for (int64_t k = 0; k < t->K; k++) {
            for (int64_t m = 0; m < t->M; m++)
                host_tensor_set(&t->a, a_at(t, c, g, m, k),
                                large      ? 1
                                : constant ? 0.1
                                           : number((g * t->M + m) * t->K + k));
            for (int64_t n = 0; n < t->N; n++)
                host_tensor_set(&t->b, b_at(t, g, k, n),
                                large      ? largest
                                : constant ? 1
                                           : number(((g * t->N) + n) * t->K + k + 11));
        }
    for (size_t i = 0; i < clattn_tensor_count(&t->factors); i++)
        host_tensor_set(&t->factors, i, 1.0 / (large ? (double)t->K : (double)(i + 3)));
    if (c->fill == FILL_NAN_ROW)
        host_tensor_set(&t->a, a_at(t, c, 0, 1, t->K - 1), (double)NAN);
    if (c->fill == FILL_NAN_COLUMN)
        host_tensor_set(&t->b, b_at(t, 0, t->K - 1, 1), (double)NAN);
}

static void make(product_tensors *t, const product_case *c, const void *multiplier_state)
{
    const int64_t B = size_of(c->B, 1), Hq = size_of(c->Hq, 1), Hkv = c->Hkv ? c->Hkv : 1,
                  S = size_of(c->S, rows_at_a_time());
    *t = (product_tensors){.G = B * Hkv, .M = Hq / Hkv * S};
    t->b_heads = c->b_heads ? c->b_heads : t->G;
    t->panel = multiplier->panel(multiplier_state, device, c->sums);
    t->N = size_of(c->N, t->panel);
    t->K = size_of(c->K, depth_of_sums());
    t->lda = t->K + c->more_columns;
    const int64_t a = c->offset + t->G * t->M * t->lda,
                  b = t->G * clattn__round_up(t->N, t->panel) * t->K;
    t->a = host_call_tensor(&t->memory, c->sums, 1, &a, STRIDES_DENSE);
    t->b = host_call_tensor(&t->memory, c->sums, 1, &b, STRIDES_DENSE);
    t->c = host_call_tensor(&t->memory, c->to, 4, (int64_t[]){B, Hq, S, t->N}, c->strides);
    t->factors = host_call_tensor(&t->memory, c->sums, 1, (int64_t[]){t->G * t->M}, STRIDES_DENSE);
    fill(t, c);
}

static double alpha_of(const product_case *c)
{
    return c->alpha != 0 ? c->alpha : 1;
}

static void run(product_tensors *t, const product_case *c, uint32_t compute_units)
{
    void *state = NULL;
    lent_memory lent;
    assert_status(CLATTN_OK, multiplier->create(&state, device, c->sums));
    make(t, c, state);
    lend(&lent, device, &t->memory);
    const clattn_tensor a = lent_tensor(&lent, &t->a), b = lent_tensor(&lent, &t->b),
                        to = lent_tensor(&lent, &t->c), factors = lent_tensor(&lent, &t->factors);
    const clattn__call call = {
        .B = to.shape[0], .Hq = to.shape[1], .Hkv = c->Hkv ? c->Hkv : 1, .S = to.shape[2]};
    const clattn__product product = {.a = a.buffer,
                                     .a_offset = c->offset,
                                     .lda = t->lda,
                                     .b = b.buffer,
                                     .b_heads = t->b_heads,
                                     .c = to.buffer,
                                     .factors = c->factors ? factors.buffer : NULL,
                                     .c_view = clattn__view(&to),
                                     .N = t->N,
                                     .K = t->K,
                                     .alpha = alpha_of(c)};
    device->info.compute_units = compute_units;
    assert_status(CLATTN_OK, multiplier->run(state, device, NULL, c->sums, &call, &product));
    device->info = real_info;
    take_back(&lent);
    multiplier->release(state);
}

/* Half a last place of a type that is narrower than the sums, for it is rounded to once more. */
static double storing(clattn_dtype to, double value)
{
    switch (to) {
    case CLATTN_F16:
        return fabs(value) * 0x1p-11 + 0x1p-25;
    case CLATTN_BF16:
        return fabs(value) * 0x1p-8 + 0x1p-134;
    default:
        return 0;
    }
}

static void compare(const product_tensors *t, const product_case *c)
{
    const double u = c->sums == CLATTN_F64 ? 0x1p-53 : 0x1p-24;
    const int64_t depth = depth_of_sums();
    const double roundings = (double)((t->K < depth ? t->K : depth) +
                                      clattn__ceil_div(t->K, depth) + (c->factors ? 2 : 0)) *
                             u;
    size_t at = 0;
    for (int64_t g = 0; g < t->G; g++)
        for (int64_t m = 0; m < t->M; m++)
            for (int64_t n = 0; n < t->N; n++, at++) {
                long double sum = 0, magnitudes = 0, factor = (long double)alpha_of(c);
                for (int64_t k = 0; k < t->K; k++) {
                    const long double term =
                        (long double)host_tensor_get(&t->a, a_at(t, c, g, m, k)) *
                        (long double)host_tensor_get(&t->b, b_at(t, g, k, n));
                    sum += term;
                    magnitudes += fabsl(term);
                }
                if (c->sums != CLATTN_F64)
                    factor = (long double)(float)factor;
                if (c->factors)
                    factor = (long double)host_tensor_get(&t->factors, (size_t)(g * t->M + m));
                const double wanted = (double)(factor * sum),
                             bound =
                                 roundings / (1 - roundings) * (double)(fabsl(factor) * magnitudes);
                assert_close(host_tensor_get(&t->c, at), wanted,
                             bound + storing(c->to, fabs(wanted) + bound), "c", at);
            }
    assert_true(host_tensor_gaps_untouched(&t->memory, &t->c));
}

static void multiplies(void **state)
{
    const product_case *c = *state;
    product_tensors whole, pieces;
    if (!device_takes(device, c->sums) || !device_loops(device, rounds_of(c)))
        skip();
    run(&whole, c, FEW_UNITS);
    compare(&whole, c);
    run(&pieces, c, MANY_UNITS);
    assert_true(host_call_equal(&whole.memory, &pieces.memory));
    host_call_free(&whole.memory);
    host_call_free(&pieces.memory);
}

/* Doubles only where it says so: a program takes seconds to compile. */
static int run_with(const clattn__tuning *tuning, const char *name, bool doubles)
{
    named_tests tests = {0};
    device->tuning = tuning;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if ((cases[i].sums != CLATTN_F64 || doubles) &&
            (!cases[i].factors || multiplier->takes_factors))
            named_tests_add(&tests, cases[i].name, multiplies, &cases[i]);
    return named_tests_run(&tests, name, NULL, NULL);
}

static int run_lanes(const clattn__tuning *tunings, size_t count)
{
    int failures = 0;
    for (size_t t = 0; t < count; t++)
        failures += run_with(&tunings[t], tunings[t].family, t % 3 == 0);
    return failures;
}

static int run_tile(const clattn__tile *tile, bool doubles)
{
    const clattn__tuning tuning = {.vector = tile->vector, .tiles = tile, .tile_count = 1};
    char name[96];
    (void)snprintf(name, sizeof name, "tiles of %d x %d", tile->item_rows * tile->group_rows,
                   tile->item_columns * tile->group_columns);
    return run_with(&tuning, name, doubles);
}

int main(void)
{
    size_t count;
    const clattn__tuning *rows = clattn__tuning_rows(&count);
    device = kernel_device_open();
    real_info = device->info;
    multiplier = &clattn__multiplier_lanes;
    int failures = run_lanes(rows, count) + run_lanes(others, sizeof others / sizeof *others);
    multiplier = &clattn__multiplier_tiles;
    for (size_t i = 0; i < rows->tile_count; i++)
        failures += run_tile(&rows->tiles[i], i == 0);
    for (size_t i = 0; i < sizeof other_tiles / sizeof *other_tiles; i++)
        failures += run_tile(&other_tiles[i], i == 1);
    kernel_device_close(device);
    return failures;
}
