/* lanes.cl: with every row of the tuning table, and the ends of what its header allows, every case of
 * the table against the reference; and cases around its own tiles, blocks and second walk. */
#include "device.h"
#include "support/device_runs.h"
#include "tuning/tuning.h"

#include <stdio.h>

#define ALL_MODIFICATIONS                                                                          \
    .softcap = 5, .scale = 0.25, .window_left = 40, .window_right = 9,                             \
    .flags = CLATTN_CAUSAL | CLATTN_WINDOW | CLATTN_SCALE | CLATTN_MASK | CLATTN_BIAS |            \
             CLATTN_KV_LENGTHS | CLATTN_ALIBI | CLATTN_SINKS

/* clang-format off: one row, one case */
static const clattn_case own[] = {
    {"one less than a block of queries", .B = 1, .Hq = 3, .S = 31, .T = 64},
    {"a block of queries", .B = 1, .Hq = 3, .S = 32, .T = 64},
    {"one more than a block of queries", .B = 1, .Hq = 3, .S = 33, .T = 64},
    {"one less than a block of keys", .B = 1, .Hq = 2, .S = 40, .T = 63},
    {"one more than a block of keys", .B = 1, .Hq = 2, .S = 40, .T = 65},
    {"several blocks of keys and a rest", .B = 2, .Hq = 2, .S = 40, .T = 331, .D = 24},
    {"values of one element", .B = 1, .Hq = 2, .S = 40, .T = 70, .D = 16, .Dv = 1},
    {"values of 15", .B = 1, .Hq = 2, .S = 40, .T = 70, .D = 1, .Dv = 15},
    {"values of 23, f16", .dtype = CLATTN_F16, .B = 1, .Hq = 2, .S = 40, .T = 70, .D = 17,
     .Dv = 23},
    {"values of 30, bf16", .dtype = CLATTN_BF16, .B = 1, .Hq = 2, .S = 40, .T = 70, .D = 33,
     .Dv = 30},
    {"values of 13, f64", .dtype = CLATTN_F64, .B = 1, .Hq = 2, .S = 40, .T = 70, .D = 9, .Dv = 13},
    {"512 elements", .B = 1, .Hq = 2, .S = 5, .T = 70, .D = 512, .Dv = 512},
    {"1025 elements", .B = 1, .S = 5, .T = 70, .D = 1025, .Dv = 40},
    {"513 and 511 elements", .B = 1, .S = 5, .T = 70, .D = 513, .Dv = 511},
    {"heads share a block", .B = 2, .Hq = 8, .Hkv = 2, .S = 7, .T = 90, .flags = CLATTN_CAUSAL},
    {"heads share a block, all modifications", .B = 2, .Hq = 6, .Hkv = 2, .S = 11, .T = 70,
     ALL_MODIFICATIONS},
    {"all modifications, bottom-right, f16", .dtype = CLATTN_F16, .B = 3, .Hq = 4, .Hkv = 2,
     .S = 37, .T = 153, .D = 19, .alignment = CLATTN_BOTTOM_RIGHT, ALL_MODIFICATIONS},
    {"many blocks of causal", .B = 1, .Hq = 2, .S = 300, .T = 300, .D = 8, .flags = CLATTN_CAUSAL},
    {"a window over many blocks", .B = 1, .Hq = 2, .S = 300, .T = 300, .D = 8, .window_left = 70,
     .window_right = -1, .flags = CLATTN_CAUSAL | CLATTN_WINDOW},
    {"causal, bshd, padded", .B = 2, .Hq = 4, .S = 70, .T = 70, .layout = CLATTN_BSHD,
     .strides = STRIDES_PADDED, .flags = CLATTN_CAUSAL},
    {"NaN behind lengths", .B = 3, .Hq = 2, .S = 37, .T = 153, .fill = FILL_NAN_LAST,
     .flags = CLATTN_KV_LENGTHS},
    {"NaN behind causal", .B = 1, .Hq = 2, .S = 153, .T = 153, .fill = FILL_NAN_LAST,
     .flags = CLATTN_CAUSAL},
    {"NaN for all to see", .B = 1, .Hq = 2, .S = 37, .T = 153, .fill = FILL_NAN_LAST},
    {"infinity for all to see", .B = 1, .Hq = 2, .S = 37, .T = 15, .fill = FILL_INF_LAST},
    {"sums of weights and values beyond f32", .B = 1, .Hq = 2, .S = 37, .T = 300,
     .fill = FILL_HUGE_VALUES},
    {"the same behind causal", .B = 1, .Hq = 2, .S = 300, .T = 300, .fill = FILL_HUGE_LAST,
     .flags = CLATTN_CAUSAL},
    {"long sums of one sign", .B = 1, .S = 12, .T = 300, .D = 1024, .Dv = 16,
     .score = CLATTN_SCORE_DOT, .fill = FILL_POSITIVE},
    {"without normalizer", .B = 1, .Hq = 2, .S = 37, .T = 153, .normalizer = CLATTN_NORMALIZER_NONE,
     .flags = CLATTN_CAUSAL},
    {"packed around blocks of queries and keys", .Hq = 2,
     .packed = PACKED({31, 63}, {32, 64}, {33, 65}, {1, 331}, {0, 7}, {7, 0}, {15, 16}, {17, 127})},
    {"packed, heads share a block", .Hq = 6, .Hkv = 2,
     .packed = PACKED({5, 70}, {11, 3}, {1, 1}, {2, 129}, {3, 8}), .flags = CLATTN_CAUSAL},
    {"packed, more runs of blocks than one", .Hq = 2, .D = 4,
     .packed = PACKED({300, 20}, {1, 9}, {200, 30}, {2, 2}, {150, 11}, {40, 300}),
     .alignment = CLATTN_BOTTOM_RIGHT, .flags = CLATTN_CAUSAL},
    {"packed, NaN in the neighbours", .Hq = 2, .D = 9, .fill = FILL_NAN_SEQUENCES,
     .packed = PACKED({20, 63}, {20, 64}, {33, 65}, {1, 331}, {15, 127}, {17, 2}),
     .flags = CLATTN_CAUSAL},
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

static void lse_alone(void **state)
{
    clattn_case c = *(const clattn_case *)*state;
    c.outputs = CLATTN_LSE;
    run_case(device, &c, "lanes");
}

/* A driver builds anew for each tuning, type and size, so not all of them meet. */
static bool is_for_every_tuning(const clattn_case *c)
{
    return c->dtype == CLATTN_F32 && c->D <= 64;
}

static int run_with(const clattn__tuning *tuning, bool all)
{
    named_tests tests = {0};
    char name[96];
    (void)snprintf(name, sizeof name, "lanes, %s", tuning->family);
    device->tuning = tuning;
    if (all) {
        add_all_cases(&tests, by_lanes);
        add_packed_cases(&tests, by_lanes);
    }
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        if (!all && !is_for_every_tuning(&own[i]))
            continue;
        named_tests_add(&tests, own[i].name, by_lanes, &own[i]);
        if (all && i % 8 == 0)
            named_tests_add(&tests, "its lse alone", lse_alone, &own[i]);
    }
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
