/* tiles.cl and merge_parts.cl: every case of the table against the reference; cases around their
 * own tiles, splits and walks with care, with every row of the tile table and another; and which
 * tile a device takes. */
#include "device.h"
#include "ops/tile.h"
#include "support/device_runs.h"

#include <stdio.h>
#include <string.h>

/* clang-format off: one row, one case */
static const clattn_case own[] = {
    {"one less than a split", .B = 1, .Hq = 2, .S = 9, .T = 1023},
    {"a split", .B = 1, .Hq = 2, .S = 9, .T = 1024, .outputs = CLATTN_OUTPUT},
    {"one more than a split", .B = 1, .Hq = 2, .S = 9, .T = 1025},
    {"one query, several splits", .B = 2, .Hq = 4, .Hkv = 2, .S = 1, .T = 3001, .D = 33},
    {"several splits, all modifications", .B = 2, .Hq = 4, .Hkv = 2, .S = 3, .T = 2100, .D = 19,
     .Dv = 23, .alignment = CLATTN_BOTTOM_RIGHT, ALL_MODIFICATIONS(40, 9)},
    {"splits that nobody sees", .B = 2, .Hq = 2, .S = 5, .T = 3000, .window_left = 300,
     .window_right = 0, .flags = CLATTN_WINDOW},
    {"several splits, without normalizer", .B = 1, .Hq = 2, .S = 3, .T = 2500,
     .normalizer = CLATTN_NORMALIZER_NONE},
    {"NaN for all to see, several splits", .B = 1, .Hq = 2, .S = 3, .T = 2100,
     .fill = FILL_NAN_LAST},
    {"NaN behind causal, several splits", .B = 1, .Hq = 1, .S = 70, .T = 1090,
     .alignment = CLATTN_BOTTOM_RIGHT, .fill = FILL_NAN_LAST, .flags = CLATTN_CAUSAL},
    {"sums beyond f32, several splits", .B = 1, .Hq = 2, .S = 3, .T = 2100,
     .fill = FILL_HUGE_VALUES},
    {"long sums of one sign, several splits", .B = 1, .S = 5, .T = 4100, .D = 16,
     .score = CLATTN_SCORE_DOT, .fill = FILL_POSITIVE},
    {"aligned vectors", .B = 2, .Hq = 4, .Hkv = 2, .S = 70, .T = 140, .D = 64},
    {"aligned vectors, f16, causal", .dtype = CLATTN_F16, .B = 1, .Hq = 2, .S = 70, .T = 70,
     .D = 32, .flags = CLATTN_CAUSAL},
    {"aligned vectors, bf16, bshd", .dtype = CLATTN_BF16, .B = 2, .Hq = 2, .S = 37, .T = 70,
     .D = 16, .layout = CLATTN_BSHD},
    {"packed around tiles of queries and keys", .Hq = 2,
     .packed = PACKED({63, 63}, {64, 64}, {65, 65}, {1, 331}, {0, 7}, {7, 0}, {15, 16}, {17, 127})},
    {"packed, heads share a tile, causal", .Hq = 6, .Hkv = 2, .D = 32,
     .packed = PACKED({5, 70}, {11, 3}, {1, 1}, {2, 129}, {3, 8}), .flags = CLATTN_CAUSAL},
    {"packed, more keys than a split", .Hq = 2, .packed = PACKED({9, 2100}, {70, 5}, {3, 1025}),
     .alignment = CLATTN_BOTTOM_RIGHT, .flags = CLATTN_CAUSAL},
    {"dropout, several splits, everything", .B = 2, .Hq = 4, .Hkv = 2, .S = 37, .T = 1141, .D = 24,
     .alignment = CLATTN_BOTTOM_RIGHT, ALL_MODIFICATIONS(600, 70), .dropout = 0.3},
    {"dropout from any key on", .Hq = 2, .S = 90, .T = 150, .D = 9, .window_left = 29,
     .window_right = 6, .flags = CLATTN_WINDOW, .dropout = 0.3},
    {"dropout, f64", .dtype = CLATTN_F64, .B = 2, .Hq = 4, .Hkv = 2, .S = 70, .T = 39, .D = 12,
     .dropout = 0.25},
    {"values of three slices", .B = 1, .Hq = 2, .S = 9, .T = 70, .D = 8, .Dv = 300},
};
/* clang-format on */

static clattn_device *device;
static const clattn__tuning *real_tuning;
static clattn_device_info real_info;

/* The same problem without what the fused pass never makes. */
static void by_tiles(void **state)
{
    clattn_case c = *(const clattn_case *)*state;
    c.outputs = c.outputs ? c.outputs & (CLATTN_OUTPUT | CLATTN_LSE) : CLATTN_OUTPUT | CLATTN_LSE;
    if (c.score != CLATTN_SCORE_GIVEN && c.outputs)
        run_case(device, &c, "tiles");
}

static void with_own_weights(void **state)
{
    clattn_case c = *(const clattn_case *)*state;
    c.outputs = CLATTN_OUTPUT | CLATTN_LSE;
    if (c.score != CLATTN_SCORE_GIVEN)
        run_case_with_own_weights(device, &c, "tiles");
}

static void lse_alone(void **state)
{
    clattn_case c = *(const clattn_case *)*state;
    c.outputs = CLATTN_LSE;
    run_case(device, &c, "tiles");
}

/* As on a device that allocates little: first batches and heads are apart, then rows. */
static void in_pieces(void **state)
{
    static const uint64_t most[] = {30000, 6000};
    for (size_t n = 0; n < sizeof most / sizeof *most; n++) {
        device->info.max_allocation = most[n];
        by_tiles(state);
        device->info = real_info;
    }
}

static void add_rows(named_tests *tests, const clattn_case *rows, size_t count, bool few)
{
    for (size_t i = 0; i < count; i++) {
        /* A driver builds anew for each type and size, and for problems without modifications or with
         * dropout. */
        if (few && (rows[i].dtype != CLATTN_F32 || rows[i].D > 64 || rows[i].Dv > 64 ||
                    !rows[i].flags || rows[i].dropout > 0))
            continue;
        named_tests_add(tests, rows[i].name, by_tiles, &rows[i]);
        named_tests_add(tests, "its own weights", with_own_weights, &rows[i]);
        if (!few && i % 4 == 0 && rows[i].D <= 64)
            named_tests_add(tests, "its lse alone", lse_alone, &rows[i]);
        if (!few && rows[i].dropout > 0 && rows[i].T < 100)
            named_tests_add(tests, "in pieces", in_pieces, &rows[i]);
    }
}

static int run_with(const clattn__tile *tile, const char *name)
{
    size_t count;
    const clattn_case *around = cases_around_blocks(&count);
    named_tests tests = {0};
    clattn__tuning tuning = *real_tuning;
    if (tile) {
        tuning.tiles = tile, tuning.tile_count = 1;
        device->tuning = &tuning;
    } else {
        add_all_cases(&tests, by_tiles);
        add_cases(&tests, by_tiles, cases_packed);
        add_all_cases(&tests, with_own_weights);
        add_cases(&tests, with_own_weights, cases_packed);
    }
    add_rows(&tests, around, count, tile != NULL);
    add_rows(&tests, own, sizeof own / sizeof *own, tile != NULL);
    const int failures = named_tests_run(&tests, name, NULL, NULL);
    device->tuning = real_tuning;
    return failures;
}

/* A device, and what a plan for it says of the tiles. */
typedef struct played_device {
    const char *name;
    uint64_t local_memory;
    size_t group;
    const char *says; /* in the explanation, or in the sentence of the failure */
    bool refused;
} played_device;

/* clang-format off: one row, one device */
static const played_device devices[] = {
    {"all there is", .local_memory = 65536, .group = 1024, .says = "tiles: tiles of 64 x 64\n"},
    {"32 KiB and groups of 64", .local_memory = 32768, .group = 64,
     .says = "tiles: tiles of 32 x 32; 64 x 64 needs 256 work-items in a group, and the device "
             "gives 64\n"},
    {"16 KiB", .local_memory = 16384, .group = 1024,
     .says = "tiles: tiles of 32 x 32; 64 x 64 needs 29704 bytes of local memory, and the device "
             "gives 16384\n"},
    {"4 KiB and groups of 32", .local_memory = 4096, .group = 32,
     .says = "tiles: tiles of 16 x 16; 64 x 64 needs 256 work-items in a group, and the device "
             "gives 32; "
             "32 x 32 needs 64 work-items in a group, and the device gives 32\n"},
    {"groups of 8", .local_memory = 32768, .group = 8, .refused = true,
     .says = "the last one, 16 x 16 needs 16 work-items in a group, and the device gives 8"},
    {"1 KiB", .local_memory = 1024, .group = 1024, .refused = true,
     .says = "the last one, 16 x 16 needs"},
};
/* clang-format on */

static void takes_what_it_holds(void **state)
{
    const played_device *played = *state;
    const clattn_case c = {"played",
                           .B = 2,
                           .Hq = 2,
                           .S = 70,
                           .T = 90,
                           .D = 16,
                           .flags = CLATTN_CAUSAL,
                           .outputs = CLATTN_OUTPUT};
    clattn_plan *plan = NULL;
    host_call call;
    case_make(&call, &c);
    device->info.local_memory = played->local_memory;
    device->info.max_work_group = played->group;
    call.desc.variant = "tiles";
    const clattn_status status = clattn_plan_create(&plan, device, &call.desc);
    assert_int_equal(status, played->refused ? CLATTN_E_UNSUPPORTED : CLATTN_OK);
    const char *said = plan ? clattn_plan_explain(plan) : clattn_last_error();
    if (!strstr(said, played->says))
        fail_msg("found: %s", said);
    clattn_plan_destroy(plan);
    call.desc.variant = NULL;
    if (!played->refused)
        run_and_verify(device, &call, "tiles", c.name);
    host_call_free(&call);
    device->info = real_info;
}

/* A GPU-like device takes them before anything else where only the output is wanted, a CPU-like one
 * never by itself. */
static void is_for_gpu_like_devices(void **state)
{
    const clattn_case c = {"played", .S = 5, .D = 8, .outputs = CLATTN_OUTPUT};
    clattn_plan *plan = NULL;
    host_call call;
    (void)state;
    case_make(&call, &c);
    const clattn_device_kind kinds[] = {CLATTN_DEVICE_CPU, CLATTN_DEVICE_GPU_DISCRETE};
    for (size_t i = 0; i < 2; i++) {
        device->info.kind = kinds[i];
        assert_status(CLATTN_OK, clattn_plan_create(&plan, device, &call.desc));
        assert_int_equal(strcmp(clattn_plan_variant(plan), "tiles") == 0,
                         kinds[i] == CLATTN_DEVICE_GPU_DISCRETE);
        clattn_plan_destroy(plan);
    }
    device->info = real_info;
    host_call_free(&call);
}

/* On such a device `staged` multiplies by tiles, too. */
static void staged_by_tiles(void **state)
{
    clattn_plan *plan = NULL;
    host_call call;
    case_make(&call, *state);
    call.desc.variant = "staged";
    device->info.kind = CLATTN_DEVICE_GPU_DISCRETE;
    if (device_takes(device, call.desc.dtype)) {
        assert_status(CLATTN_OK, clattn_plan_create(&plan, device, &call.desc));
        assert_non_null(strstr(clattn_plan_explain(plan), "staged: tiles of 64 x 64"));
        clattn_plan_destroy(plan);
        run_and_verify(device, &call, "staged", ((const clattn_case *)*state)->name);
    }
    device->info = real_info;
    host_call_free(&call);
}

int main(void)
{
    int failures = 0;
    named_tests choice = {0}, staged = {0};
    if (clattn_device_open(&device, NULL, 0) != CLATTN_OK) {
        (void)fprintf(stderr, "%s\n", clattn_last_error());
        return 1;
    }
    real_tuning = device->tuning;
    real_info = device->info;
    failures += run_with(NULL, "tiles");
    for (size_t i = 1; i < real_tuning->tile_count; i++)
        failures += run_with(&real_tuning->tiles[i], "tiles, another row of the table");
    failures += run_with(&tile_beside_the_table, "tiles, beside the table");
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
        named_tests_add(&choice, devices[i].name, takes_what_it_holds, &devices[i]);
    named_tests_add(&choice, "is for GPU-like devices", is_for_gpu_like_devices, NULL);
    failures += named_tests_run(&choice, "tiles, which tile", NULL, NULL);
    add_all_cases(&staged, staged_by_tiles);
    failures += named_tests_run(&staged, "staged by tiles", NULL, NULL);
    clattn_device_close(device);
    return failures;
}
