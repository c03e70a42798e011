/* decode.cl: with every row of the tuning table, every case of the table that it takes against the
 * reference; and cases around its chunks, their merging and what a chunk does with care. */
#include "device.h"
#include "ops/fused.h"
#include "support/device_runs.h"
#include "tuning/tuning.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* clang-format off: one row, one case */
static const clattn_case own[] = {
    {"one key", .B = 1, .Hq = 2, .S = 1, .T = 1},
    {"one less than a chunk", .B = 1, .Hq = 2, .S = 1, .T = 255},
    {"a chunk", .B = 1, .Hq = 2, .S = 1, .T = 256},
    {"one more than a chunk", .B = 1, .Hq = 2, .S = 1, .T = 257},
    {"split over items", .B = 1, .Hq = 1, .S = 1, .T = 3001, .D = 33},
    {"split over items, 16 rows", .B = 1, .Hq = 1, .S = 16, .T = 3001, .D = 33},
    {"not split, for there are many heads", .B = 5, .Hq = 8, .S = 1, .T = 601},
    {"grouped heads", .B = 2, .Hq = 8, .Hkv = 2, .S = 1, .T = 700, .D = 40, .Dv = 24},
    {"grouped heads of several queries", .B = 2, .Hq = 8, .Hkv = 2, .S = 4, .T = 700, .D = 16,
     .alignment = CLATTN_BOTTOM_RIGHT, .flags = CLATTN_CAUSAL},
    {"all modifications", .B = 2, .Hq = 4, .Hkv = 2, .S = 3, .T = 900, .D = 19, .Dv = 23,
     .alignment = CLATTN_BOTTOM_RIGHT, ALL_MODIFICATIONS(400, 9)},
    {"all modifications, f16", .dtype = CLATTN_F16, .B = 2, .Hq = 4, .Hkv = 2, .S = 3, .T = 900,
     .D = 16, .alignment = CLATTN_BOTTOM_RIGHT, ALL_MODIFICATIONS(400, 9)},
    {"bf16", .dtype = CLATTN_BF16, .B = 2, .Hq = 4, .S = 2, .T = 700, .D = 48},
    {"f64", .dtype = CLATTN_F64, .B = 2, .Hq = 4, .S = 2, .T = 700, .D = 48},
    {"a window that leaves whole chunks out", .B = 1, .Hq = 2, .S = 2, .T = 2000,
     .window_left = 300, .window_right = 0, .alignment = CLATTN_BOTTOM_RIGHT,
     .flags = CLATTN_WINDOW},
    {"bshd, padded", .B = 2, .Hq = 4, .S = 2, .T = 600, .layout = CLATTN_BSHD,
     .strides = STRIDES_PADDED},
    {"NaN behind lengths", .B = 3, .Hq = 2, .S = 2, .T = 900, .fill = FILL_NAN_LAST,
     .flags = CLATTN_KV_LENGTHS},
    {"NaN for all to see", .B = 1, .Hq = 2, .S = 2, .T = 900, .fill = FILL_NAN_LAST},
    {"infinity for all to see", .B = 1, .Hq = 2, .S = 2, .T = 15, .fill = FILL_INF_LAST},
    {"sums of weights and values beyond f32", .B = 1, .Hq = 2, .S = 2, .T = 900,
     .fill = FILL_HUGE_VALUES},
    {"tiny values", .B = 1, .Hq = 2, .S = 2, .T = 900, .fill = FILL_TINY_VALUES},
    {"long sums of one sign", .B = 1, .S = 12, .T = 300, .D = 1024, .Dv = 16,
     .score = CLATTN_SCORE_DOT, .fill = FILL_POSITIVE},
    {"without normalizer", .B = 1, .Hq = 2, .S = 3, .T = 900, .normalizer = CLATTN_NORMALIZER_NONE,
     .flags = CLATTN_CAUSAL},
    {"512 elements", .B = 1, .Hq = 2, .S = 2, .T = 300, .D = 512, .Dv = 511},
};
/* clang-format on */

static clattn_device *device;
static const clattn__tuning *real_tuning;

static bool is_taken(const clattn_case *c)
{
    const int64_t S = c->S ? c->S : 1, Hq = c->Hq ? c->Hq : 1, Hkv = c->Hkv ? c->Hkv : Hq;
    return c->score != CLATTN_SCORE_GIVEN && S > 0 && Hq / Hkv * S <= 16;
}

static void by_decode(void **state)
{
    clattn_case c = *(const clattn_case *)*state;
    c.outputs = CLATTN_OUTPUT | CLATTN_LSE;
    if (is_taken(&c))
        run_case(device, &c, "decode");
}

/* All that it can: then one work-item has all keys of a row. */
static void tells_of_weights(void **state)
{
    clattn_case c = *(const clattn_case *)*state;
    c.outputs = CLATTN_OUTPUT | CLATTN_LSE | CLATTN__OF_WEIGHTS;
    if (c.normalizer == CLATTN_NORMALIZER_NONE)
        c.outputs &= ~(uint32_t)CLATTN_ENTROPY;
    run_case(device, &c, "decode");
}

/* By several work-items, and by one, which writes the weights, too. */
static void with_own_weights(void **state)
{
    clattn_case c = *(const clattn_case *)*state;
    c.outputs = CLATTN_OUTPUT | CLATTN_LSE;
    if (!is_taken(&c))
        return;
    run_case_with_own_weights(device, &c, "decode");
    c.outputs |= CLATTN__OF_WEIGHTS;
    run_case_with_own_weights(device, &c, "decode");
}

/* A score of -infinity, that of an infinite key, has a weight of 0, and yet a NaN in its value shows; also
 * where a whole chunk has no other scores. */
static void weights_of_0_are_no_mask(void **state)
{
    enum { KEYS = 600, FINITE = 256, SIZE = 8 };
    const clattn_case c = {.S = 1, .T = KEYS, .D = SIZE, .outputs = CLATTN_OUTPUT};
    host_call call;
    (void)state;
    case_make(&call, &c);
    for (size_t d = 0; d < SIZE; d++)
        host_tensor_set(&call.args.query, d, -1);
    for (size_t i = (size_t)FINITE * SIZE; i < (size_t)KEYS * SIZE; i++)
        host_tensor_set(&call.args.key, i, (double)INFINITY);
    run_and_verify(device, &call, "decode", "scores of -infinity");
    host_tensor_set(&call.args.value, (size_t)(KEYS - 1) * SIZE, (double)NAN);
    run_and_verify(device, &call, "decode", "scores of -infinity, NaN in a value");
    assert_true(isnan(host_tensor_get(&call.args.output, 0)));
    host_call_free(&call);
}

/* A plan of free choice takes it for few queries and another variant for more. */
static void plans_choose_by_the_call(void **state)
{
    const clattn_case few = {"few", .S = 2, .T = 700, .D = 16, .outputs = CLATTN_OUTPUT},
                      many = {"many", .S = 40, .T = 700, .D = 16, .outputs = CLATTN_OUTPUT};
    host_call calls[2];
    clattn_plan *plan = NULL;
    (void)state;
    if (!device_takes_case(device, &many))
        skip();
    case_make(&calls[0], &few);
    case_make(&calls[1], &many);
    assert_int_equal(CLATTN_OK, clattn_plan_create(&plan, device, &calls[0].desc));
    for (int n = 0; n < 4; n++) {
        clattn_report report;
        host_call *call = &calls[n % 2];
        assert_int_equal(CLATTN_OK, clattn_plan_run(plan, &call->args));
        assert_int_equal(CLATTN_OK, clattn_device_finish(device));
        assert_string_equal(clattn_plan_variant(plan), n % 2 ? "lanes" : "decode");
        assert_int_equal(CLATTN_OK, clattn_verify(&report, &call->desc, &call->args, 0));
        assert_true(report.ok);
    }
    clattn_plan_destroy(plan);
    calls[1].desc.variant = "decode";
    assert_int_equal(CLATTN_OK, clattn_plan_create(&plan, device, &calls[1].desc));
    assert_int_equal(CLATTN_E_UNSUPPORTED, clattn_plan_run(plan, &calls[1].args));
    assert_last_error_says("decode: 40 queries");
    clattn_plan_destroy(plan);
    host_call_free(&calls[0]);
    host_call_free(&calls[1]);
}

static int run_with(const clattn__tuning *tuning)
{
    named_tests tests = {0};
    char name[96];
    (void)snprintf(name, sizeof name, "decode, %s", tuning->family);
    device->tuning = tuning;
    if (tuning == real_tuning) {
        add_all_cases(&tests, by_decode);
        named_tests_add(&tests, "weights of 0 are no mask", weights_of_0_are_no_mask, NULL);
        add_all_cases(&tests, with_own_weights);
        if (clattn_device_get_info(device)->kind == CLATTN_DEVICE_CPU)
            named_tests_add(&tests, "plans choose by the call", plans_choose_by_the_call, NULL);
    }
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (tuning == real_tuning || own[i].dtype == CLATTN_F32) {
            named_tests_add(&tests, own[i].name, by_decode, &own[i]);
            named_tests_add(&tests, own[i].name, tells_of_weights, &own[i]);
            named_tests_add(&tests, "its own weights", with_own_weights, &own[i]);
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
    failures += run_with(real_tuning);
    for (size_t i = 0; i < count; i++)
        if (&rows[i] != real_tuning)
            failures += run_with(&rows[i]);
    clattn_device_close(device);
    return failures;
}
