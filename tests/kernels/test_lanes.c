/* lanes.cl: with every row of the tuning table, and the ends of what its header allows, every case of
 * the table against the reference; and cases around its own tiles, blocks and second walk. */
#include "device.h"
#include "support/device_runs.h"
#include "tuning/tuning.h"

#include <stdio.h>

/* clang-format off: one row, one case */
static const clattn_case own[] = {
    {"NaN goes out by vectors, f16", .dtype = CLATTN_F16, .Hq = 2, .S = 20, .D = 32,
     .fill = FILL_NAN_LAST, .flags = CLATTN_CAUSAL},
    {"NaN goes out by vectors, bf16", .dtype = CLATTN_BF16, .Hq = 2, .S = 20, .D = 32,
     .fill = FILL_NAN_LAST, .flags = CLATTN_CAUSAL},
    {"packed around blocks of queries and keys", .Hq = 2,
     .packed = PACKED({31, 63}, {32, 64}, {33, 65}, {1, 331}, {0, 7}, {7, 0}, {15, 16}, {17, 127})},
    {"packed, heads share a block", .Hq = 6, .Hkv = 2,
     .packed = PACKED({5, 70}, {11, 3}, {1, 1}, {2, 129}, {3, 8}), .flags = CLATTN_CAUSAL},
    {"packed, more runs of blocks than one", .Hq = 2, .D = 4,
     .packed = PACKED({300, 20}, {1, 9}, {200, 30}, {2, 2}, {150, 11}, {40, 300}),
     .alignment = CLATTN_BOTTOM_RIGHT, .flags = CLATTN_CAUSAL},
    {"dropout", .B = 2, .Hq = 4, .Hkv = 2, .S = 37, .T = 141, .D = 24, .dropout = 0.3},
    {"dropout from any key on", .Hq = 2, .S = 90, .T = 150, .D = 9, .window_left = 29,
     .window_right = 6, .flags = CLATTN_WINDOW, .dropout = 0.3},
    {"dropout, everything, f16", .dtype = CLATTN_F16, .B = 2, .Hq = 4, .Hkv = 2, .S = 40, .T = 110,
     .D = 12, ALL_MODIFICATIONS(60, 70), .dropout = 0.25},
    {"dropout, f64", .dtype = CLATTN_F64, .Hq = 2, .S = 37, .T = 70, .D = 12, .dropout = 0.25},
};
/* clang-format on */

/* Beside the tuning table; half as wide for doubles, so that 1 is both. */
static const clattn__tuning others[] = {
    {"VW 1, NV 1", .vector = 1, .lanes_vectors = 1, .lanes_keys = 4, .lanes_values = 2,
     .lanes_block = 16},
    {"VW 4, NV 3", .vector = 4, .lanes_vectors = 3, .lanes_keys = 8, .lanes_values = 16,
     .lanes_block = 32},
    {"VW 16, NV 1", .vector = 16, .lanes_vectors = 1, .lanes_keys = 16, .lanes_values = 16,
     .lanes_block = 256},
};

static clattn_device *device;
static const clattn__tuning *real_tuning;

static bool is_taken(const clattn_case *c)
{
    return c->score != CLATTN_SCORE_GIVEN;
}

/* The same problem without what the fused pass never makes. */
static void by_lanes(void **state)
{
    clattn_case c = *(const clattn_case *)*state;
    c.outputs = CLATTN_OUTPUT | CLATTN_LSE;
    if (is_taken(&c))
        run_case(device, &c, "lanes");
}

static void with_own_weights(void **state)
{
    clattn_case c = *(const clattn_case *)*state;
    c.outputs = CLATTN_OUTPUT | CLATTN_LSE;
    if (!is_taken(&c))
        return;
    run_case_with_own_weights(device, &c, "lanes");
    c.outputs = CLATTN_OUTPUT; /* without a sum of exponentials */
    run_case_with_own_weights(device, &c, "lanes");
}

static void lse_alone(void **state)
{
    clattn_case c = *(const clattn_case *)*state;
    c.outputs = CLATTN_LSE;
    run_case(device, &c, "lanes");
}

/* A driver builds anew for each tuning, type and size, so not all of them meet. */
static bool is_for_every_tuning(const clattn_case *c)
{
    return c->dtype == CLATTN_F32 && c->D <= 64 && c->dropout == 0;
}

static void add_rows(named_tests *tests, const clattn_case *rows, size_t count, bool all)
{
    for (size_t i = 0; i < count; i++) {
        if (!all && !is_for_every_tuning(&rows[i]))
            continue;
        named_tests_add(tests, rows[i].name, by_lanes, &rows[i]);
        named_tests_add(tests, "its own weights", with_own_weights, &rows[i]);
        if (all && i % 8 == 0)
            named_tests_add(tests, "its lse alone", lse_alone, &rows[i]);
    }
}

static int run_with(const clattn__tuning *tuning, bool all)
{
    size_t count;
    const clattn_case *around = cases_around_blocks(&count);
    named_tests tests = {0};
    char name[96];
    (void)snprintf(name, sizeof name, "lanes, %s", tuning->family);
    device->tuning = tuning;
    if (all) {
        add_all_cases(&tests, by_lanes);
        add_cases(&tests, by_lanes, cases_packed);
        add_all_cases(&tests, with_own_weights);
        add_cases(&tests, with_own_weights, cases_packed);
    }
    add_rows(&tests, around, count, all);
    add_rows(&tests, own, sizeof own / sizeof *own, all);
    const int failures = named_tests_run(&tests, name, NULL, NULL);
    device->tuning = real_tuning;
    return failures;
}

int main(void)
{
    int failures = 0;
    size_t count;
    if (clattn_device_open(&device, NULL, 0) != CLATTN_OK) {
        (void)fprintf(stderr, "%s\n", clattn_last_error());
        return 1;
    }
    real_tuning = device->tuning;
    const clattn__tuning *rows = clattn__tuning_rows(&count);
    failures += run_with(real_tuning, true);
    for (size_t i = 0; i < count; i++)
        if (&rows[i] != real_tuning)
            failures += run_with(&rows[i], false);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        failures += run_with(&others[i], false);
    clattn_device_close(device);
    return failures;
}
