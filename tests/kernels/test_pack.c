/* pack.cl: every element where the formula puts it, zeros around, and what is not finite flagged.
 * Packing only copies and widens, so every element is compared exactly. */
#include "ops/pack.h"
#include "support/device_limits.h"
#include "support/kernel_runs.h"
#include "support/named_tests.h"

#include <math.h>

#define ROWS CLATTN__LANES_ARE_ROWS
#define COLUMNS CLATTN__LANES_ARE_COLUMNS

typedef struct pack_case {
    const char *name;
    clattn_dtype from, sums;
    int64_t B, H, rows, columns; /* 0: 1 */
    clattn__pack_lanes lanes;
    int64_t width, more_depths, more_panels; /* past what the tensor fills */
    host_strides strides;
    bool clean;
    size_t spoiled; /* element spoiled - 1 and every `spoiled`th from there on is not finite */
} pack_case;

/* clang-format off: one row, one case */
static const pack_case cases[] = {
    {"one of all", .lanes = ROWS, .width = 1},
    {"one of all, in a wide panel", .lanes = ROWS, .width = 32},
    {"row-major, primes", .B = 2, .H = 3, .rows = 7, .columns = 19, .lanes = ROWS, .width = 1},
    {"row-major, longer rows", .H = 3, .rows = 5, .columns = 19, .lanes = ROWS, .width = 1,
     .more_depths = 13},
    {"transposed by packing", .B = 2, .rows = 7, .columns = 19, .lanes = COLUMNS, .width = 1},
    {"keys, primes", .B = 3, .H = 2, .rows = 37, .columns = 19, .lanes = ROWS, .width = 16},
    {"keys, whole panels", .H = 2, .rows = 64, .columns = 64, .lanes = ROWS, .width = 32},
    {"keys, one past a panel", .H = 2, .rows = 33, .columns = 8, .lanes = ROWS, .width = 32},
    {"keys, one past a block of depths", .H = 2, .rows = 3, .columns = 65, .lanes = ROWS,
     .width = 4},
    {"values, primes", .B = 2, .H = 3, .rows = 131, .columns = 23, .lanes = COLUMNS, .width = 8},
    {"values, one past a block of depths", .H = 2, .rows = 65, .columns = 9, .lanes = COLUMNS,
     .width = 8},
    {"values, two blocks of depths", .rows = 128, .columns = 5, .lanes = COLUMNS, .width = 3},
    {"zeros past the last lane and depth", .H = 2, .rows = 60, .columns = 5, .lanes = COLUMNS,
     .width = 4, .more_depths = 70, .more_panels = 2, .clean = true},
    {"no rows", .rows = -1, .columns = 5, .lanes = COLUMNS, .width = 4, .more_depths = 3,
     .clean = true},
    {"no lanes", .H = 2, .rows = -1, .columns = 5, .lanes = ROWS, .width = 4, .more_panels = 1},
    {"f16 padded", .from = CLATTN_F16, .B = 2, .H = 3, .rows = 9, .columns = 67, .lanes = ROWS,
     .width = 8, .strides = STRIDES_PADDED},
    {"f16 transposed", .from = CLATTN_F16, .B = 2, .H = 3, .rows = 67, .columns = 9,
     .lanes = COLUMNS, .width = 8, .strides = STRIDES_TRANSPOSED},
    {"bf16 padded", .from = CLATTN_BF16, .B = 2, .rows = 67, .columns = 9, .lanes = COLUMNS,
     .width = 8, .strides = STRIDES_PADDED},
    {"bf16 transposed", .from = CLATTN_BF16, .B = 2, .rows = 9, .columns = 67, .lanes = ROWS,
     .width = 8, .strides = STRIDES_TRANSPOSED},
    {"f32 padded", .B = 2, .H = 3, .rows = 67, .columns = 9, .lanes = COLUMNS, .width = 8,
     .strides = STRIDES_PADDED},
    {"f32 transposed", .B = 2, .H = 3, .rows = 9, .columns = 67, .lanes = ROWS, .width = 8,
     .strides = STRIDES_TRANSPOSED},
    {"f64 padded", .from = CLATTN_F64, .sums = CLATTN_F64, .B = 2, .H = 3, .rows = 67, .columns = 9,
     .lanes = COLUMNS, .width = 8, .strides = STRIDES_PADDED},
    {"f32 among f64", .sums = CLATTN_F64, .H = 3, .rows = 9, .columns = 67, .lanes = ROWS,
     .width = 8},
    {"NaN and infinity stay", .H = 2, .rows = 67, .columns = 9, .lanes = ROWS, .width = 8,
     .spoiled = 5},
    {"nothing to clean", .H = 2, .rows = 131, .columns = 9, .lanes = COLUMNS, .width = 4,
     .clean = true},
    {"all to clean", .H = 2, .rows = 131, .columns = 9, .lanes = COLUMNS, .width = 4, .clean = true,
     .spoiled = 1},
    {"some blocks to clean", .H = 3, .rows = 131, .columns = 9, .lanes = COLUMNS, .width = 4,
     .clean = true, .spoiled = 541},
    {"one element to clean, the last", .rows = 131, .columns = 9, .lanes = COLUMNS, .width = 4,
     .clean = true, .spoiled = (size_t)131 * 9},
    {"panels of one column to clean", .rows = 131, .columns = 9, .lanes = COLUMNS, .width = 1,
     .clean = true, .spoiled = 241},
    {"f16 to clean", .from = CLATTN_F16, .rows = 131, .columns = 9, .lanes = COLUMNS, .width = 4,
     .clean = true, .spoiled = 241},
    {"bf16 to clean", .from = CLATTN_BF16, .rows = 131, .columns = 9, .lanes = COLUMNS, .width = 4,
     .clean = true, .spoiled = 241},
    {"f64 to clean", .from = CLATTN_F64, .sums = CLATTN_F64, .rows = 131, .columns = 9,
     .lanes = COLUMNS, .width = 4, .clean = true, .spoiled = 241},
};
/* clang-format on */

static clattn_device *device;

typedef struct pack_tensors {
    host_call memory;
    clattn_tensor source, packed, flags;
    clattn__packing packing;
} pack_tensors;

static int64_t size_or_1(int64_t size)
{
    return size < 0 ? 0 : size ? size : 1;
}

static void fill(const clattn_tensor *source, size_t spoiled)
{
    const double not_finite[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    const size_t count = clattn_tensor_count(source);
    for (size_t i = 0; i < count; i++)
        host_tensor_set(source, i, (double)i / 7 - 30);
    for (size_t i = spoiled; spoiled && i <= count; i += spoiled)
        host_tensor_set(source, i - 1, not_finite[i / spoiled % 3]);
}

static void make(pack_tensors *t, const pack_case *c)
{
    const int64_t shape[] = {size_or_1(c->B), size_or_1(c->H), size_or_1(c->rows),
                             size_or_1(c->columns)};
    const int64_t lanes = shape[c->lanes == ROWS ? 2 : 3], depths = shape[c->lanes == ROWS ? 3 : 2];
    *t = (pack_tensors){0};
    t->packing = (clattn__packing){.lanes = c->lanes, .width = c->width};
    t->packing.depth_padded = depths + c->more_depths;
    t->packing.lanes_padded = clattn__round_up(lanes, c->width) + c->more_panels * c->width;
    t->source = host_call_tensor(&t->memory, c->from, 4, shape, c->strides);
    fill(&t->source, c->spoiled);
    const int64_t count = (int64_t)clattn__packed_count(&t->source, &t->packing),
                  flags = (int64_t)clattn__packed_flags(&t->source, &t->packing);
    t->packed = host_call_tensor(&t->memory, c->sums, 1, &count, STRIDES_DENSE);
    t->flags = host_call_tensor(&t->memory, CLATTN_BOOL, 1, &flags, STRIDES_DENSE);
    /* The kernel has to write every element and every flag. */
    for (size_t i = 0; i < (size_t)count; i++)
        host_tensor_set(&t->packed, i, (double)NAN);
    for (size_t i = 0; i < (size_t)flags; i++)
        host_tensor_set(&t->flags, i, 1);
}

static void run(pack_tensors *t, const pack_case *c)
{
    clattn__kernel kernel;
    lent_memory lent;
    make(t, c);
    lend(&lent, device, &t->memory);
    const clattn_tensor source = lent_tensor(&lent, &t->source),
                        packed = lent_tensor(&lent, &t->packed),
                        flags = lent_tensor(&lent, &t->flags);
    assert_status(CLATTN_OK, clattn__pack_create(&kernel, device, c->sums));
    assert_status(CLATTN_OK, clattn__pack_run(&kernel, device, NULL, &source, &t->packing,
                                              packed.buffer, c->clean ? flags.buffer : NULL));
    take_back(&lent);
    clattn__kernel_release(&kernel);
}

/* Element (head, lane, depth), 0 where the tensor has none. */
static double element(const pack_tensors *t, int64_t g, int64_t lane, int64_t depth)
{
    const clattn_tensor *source = &t->source;
    const bool lanes_are_rows = t->packing.lanes == ROWS;
    const int64_t row = lanes_are_rows ? lane : depth, column = lanes_are_rows ? depth : lane,
                  rows = source->shape[2], columns = source->shape[3];
    if (row >= rows || column >= columns)
        return 0;
    return host_tensor_get(source, (size_t)((g * rows + row) * columns + column));
}

static void compare(const pack_tensors *t, const pack_case *c)
{
    const clattn__packing *p = &t->packing;
    const int64_t heads = t->source.shape[0] * t->source.shape[1],
                  panels = p->lanes_padded / p->width,
                  blocks = clattn__ceil_div(p->depth_padded, CLATTN__PACK_DEPTHS);
    bool flagged[512] = {false};
    assert_in_range(heads * panels * blocks, 0, sizeof flagged - 1);
    for (int64_t g = 0; g < heads; g++)
        for (int64_t lane = 0; lane < p->lanes_padded; lane++)
            for (int64_t depth = 0; depth < p->depth_padded; depth++) {
                const int64_t panel = g * panels + lane / p->width;
                const size_t at =
                    (size_t)((panel * p->depth_padded + depth) * p->width + lane % p->width);
                double wanted = element(t, g, lane, depth);
                if (c->clean && !isfinite(wanted)) {
                    flagged[panel * blocks + depth / CLATTN__PACK_DEPTHS] = true;
                    wanted = 0;
                }
                assert_close(host_tensor_get(&t->packed, at), wanted, 0, "packed", at);
            }
    for (size_t i = 0; i < clattn_tensor_count(&t->flags); i++)
        assert_close(host_tensor_get(&t->flags, i), !c->clean || flagged[i], 0, "flags", i);
    assert_true(host_tensor_gaps_untouched(&t->memory, &t->packed));
    assert_true(host_tensor_gaps_untouched(&t->memory, &t->flags));
}

static void packs(void **state)
{
    const pack_case *c = *state;
    pack_tensors first, second;
    if (!device_takes(device, c->sums))
        skip();
    run(&first, c);
    compare(&first, c);
    run(&second, c);
    assert_true(host_call_equal(&first.memory, &second.memory));
    host_call_free(&first.memory);
    host_call_free(&second.memory);
}

int main(void)
{
    named_tests tests = {0};
    device = kernel_device_open();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        named_tests_add(&tests, cases[i].name, packs, &cases[i]);
    const int failures = named_tests_run(&tests, "pack", NULL, NULL);
    kernel_device_close(device);
    return failures;
}
