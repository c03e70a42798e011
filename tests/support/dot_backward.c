/* dot_backward.c: see dot_backward.h. */
#include "dot_backward.h"

#include "backward_call.h"
#include "device.h"
#include "device_runs.h"

/* clang-format off: one row, one case */
static const clattn_case own[] = {
    {"one of all", .S = 1, .T = 1, .D = 1},
    {"one key", .Hq = 2, .S = 7, .T = 1, .D = 7},
    {"one query", .Hq = 4, .Hkv = 2, .S = 1, .T = 201, .D = 64},
    {"around a block of both", .S = 95, .T = 97, .D = 64},
    {"one past two blocks", .S = 193, .T = 193, .D = 65, .Dv = 63},
    {"primes", .B = 2, .Hq = 3, .S = 101, .T = 211, .D = 17, .Dv = 5},
    {"no queries", .Hq = 2, .S = -1, .T = 9},
    {"no keys", .Hq = 2, .S = 9, .T = -1},
    {"no batches", .B = -1, .Hq = 2, .S = 3, .T = 9},
    {"large heads", .Hq = 2, .S = 50, .T = 100, .D = 320, .Dv = 512},
    {"heads share a block", .B = 2, .Hq = 6, .Hkv = 2, .S = 31, .T = 47, .D = 24,
     .flags = CLATTN_CAUSAL, .alignment = CLATTN_BOTTOM_RIGHT},
    {"two splits", .Hq = 2, .Hkv = 1, .S = 70, .T = 1100, .D = 16},
    {"all splits", .S = 20, .T = 4200, .D = 4, .flags = CLATTN_CAUSAL,
     .alignment = CLATTN_BOTTOM_RIGHT},
    {"causal, many blocks", .Hq = 2, .S = 500, .T = 500, .D = 20, .flags = CLATTN_CAUSAL},
    {"causal, more queries", .S = 300, .T = 100, .D = 20, .flags = CLATTN_CAUSAL},
    {"causal, rows that see nothing", .S = 300, .T = 100, .D = 20, .flags = CLATTN_CAUSAL,
     .alignment = CLATTN_BOTTOM_RIGHT},
    {"a narrow window", .Hq = 2, .S = 400, .T = 400, .D = 12, .window_left = 3, .window_right = 2,
     .flags = CLATTN_WINDOW},
    {"a window over lengths", .B = 3, .Hq = 4, .Hkv = 2, .S = 150, .T = 250, .D = 12,
     .window_left = 40, .window_right = -1,
     .flags = CLATTN_WINDOW | CLATTN_CAUSAL | CLATTN_KV_LENGTHS, .alignment = CLATTN_BOTTOM_RIGHT},
    {"everything", .B = 2, .Hq = 4, .Hkv = 2, .S = 70, .T = 110, .D = 12,
     ALL_MODIFICATIONS(60, 70)},
    {"everything, f16", .dtype = CLATTN_F16, .B = 2, .Hq = 4, .Hkv = 2, .S = 70, .T = 110, .D = 12,
     ALL_MODIFICATIONS(60, 70)},
    {"everything, bf16", .dtype = CLATTN_BF16, .B = 2, .Hq = 4, .Hkv = 2, .S = 70, .T = 110,
     .D = 33, ALL_MODIFICATIONS(60, 70)},
    {"everything, f64", .dtype = CLATTN_F64, .B = 2, .Hq = 4, .Hkv = 2, .S = 70, .T = 110, .D = 12,
     ALL_MODIFICATIONS(60, 70)},
    {"f16", .dtype = CLATTN_F16, .Hq = 2, .S = 130, .T = 140, .D = 128},
    {"bf16, transposed", .dtype = CLATTN_BF16, .Hq = 2, .S = 130, .T = 140, .D = 40,
     .strides = STRIDES_TRANSPOSED},
    {"f64, padded", .dtype = CLATTN_F64, .Hq = 2, .S = 130, .T = 140, .D = 37,
     .strides = STRIDES_PADDED},
    {"huge logits", .Hq = 2, .S = 120, .T = 130, .D = 64, .fill = FILL_HUGE},
    {"NaN behind causal", .Hq = 4, .Hkv = 2, .S = 120, .T = 121, .D = 33, .fill = FILL_NAN_LAST,
     .flags = CLATTN_CAUSAL},
    {"NaN seen by a few", .Hq = 4, .Hkv = 2, .S = 120, .T = 118, .D = 33, .fill = FILL_NAN_LAST,
     .flags = CLATTN_CAUSAL},
    {"NaN behind a mask, f16", .dtype = CLATTN_F16, .B = 2, .Hq = 2, .S = 120, .T = 118, .D = 33,
     .fill = FILL_NAN_LAST, .mask = MASK_KEYS, .flags = CLATTN_MASK},
    {"infinity behind a mask", .B = 2, .Hq = 2, .S = 120, .T = 118, .D = 33, .fill = FILL_INF_LAST,
     .mask = MASK_ROWS, .flags = CLATTN_MASK},
    {"dropout", .B = 2, .Hq = 4, .Hkv = 2, .S = 137, .T = 141, .D = 24, .dropout = 0.3},
    {"dropout, everything", .B = 2, .Hq = 4, .Hkv = 2, .S = 70, .T = 110, .D = 12,
     ALL_MODIFICATIONS(60, 70), .dropout = 0.25},
    {"dropout, causal, f16", .dtype = CLATTN_F16, .Hq = 2, .S = 120, .T = 130, .D = 33,
     .flags = CLATTN_CAUSAL, .dropout = 0.25},
    {"dropout, f64", .dtype = CLATTN_F64, .Hq = 2, .S = 60, .T = 107, .D = 12, .dropout = 0.25},
    {"half of the rows see nothing", .B = 2, .Hq = 2, .S = 120, .T = 118, .D = 33,
     .mask = MASK_NONE_VISIBLE, .flags = CLATTN_MASK},
};
/* clang-format on */

/* clang-format off: one row, one case */
static const clattn_case of_many_rows[] = {
    {"in pieces", .B = 2, .Hq = 2, .S = 300, .T = 20, .D = 8},
    {"in pieces, causal, f16", .dtype = CLATTN_F16, .Hq = 4, .Hkv = 2, .S = 300, .T = 40, .D = 8,
     .flags = CLATTN_CAUSAL, .alignment = CLATTN_BOTTOM_RIGHT},
    {"in pieces, everything and dropout", .B = 2, .Hq = 4, .Hkv = 2, .S = 200, .T = 33, .D = 12,
     ALL_MODIFICATIONS(60, 70), .dropout = 0.3},
    {"in pieces, everything", .B = 2, .Hq = 4, .Hkv = 2, .S = 200, .T = 30, .D = 12, .Dv = 7,
     ALL_MODIFICATIONS(60, 70)},
};
/* clang-format on */

static clattn_device *device;
static const char *variant;
static uint64_t real_allocation;

static bool is_taken(const clattn_case *c)
{
    return c->score <= CLATTN_SCORE_DOT && c->D <= 512 && c->Dv <= 512 && !c->packed;
}

/* A call backward, behind a call forward by the reference, of what such a variant makes gradients of. */
static void make_backward(host_call *call, const clattn_case *c, uint32_t results)
{
    clattn_case forward = *c;
    forward.outputs = CLATTN_OUTPUT | CLATTN_LSE;
    case_make(call, &forward);
    assert_status(CLATTN_OK, clattn_reference_run(&call->desc, &call->args));
    backward_call_turn(call, results, c->strides);
    call->desc.gradients &= ~(uint32_t)(CLATTN_GRAD_BIAS | CLATTN_GRAD_ALIBI_SLOPES);
    call->args.grad.bias = call->args.grad.alibi_slopes = (clattn_tensor){0};
}

static void run_one(const clattn_case *c, uint32_t results, uint64_t allocation)
{
    host_call call;
    device->info.max_allocation = real_allocation;
    /* A gradient of weights is a product with values, and those of 3e38 have none in f32. */
    if (!is_taken(c) || !device_takes_case(device, c) || c->fill == FILL_HUGE_VALUES ||
        c->fill == FILL_HUGE_LAST)
        return;
    make_backward(&call, c, results);
    device->info.max_allocation = allocation;
    run_and_verify(device, &call, variant, c->name);
    device->info.max_allocation = real_allocation;
    host_call_free(&call);
}

static void by_variant(void **state)
{
    run_one(*state, CLATTN_OUTPUT, real_allocation);
}

static void with_lse(void **state)
{
    run_one(*state, CLATTN_OUTPUT | CLATTN_LSE, real_allocation);
}

static void with_own_weights(void **state)
{
    clattn_case c = *(const clattn_case *)*state;
    c.flags &= ~(uint32_t)CLATTN_SINKS;
    c.normalizer = CLATTN_NORMALIZER_NONE;
    run_one(&c, CLATTN_OUTPUT, real_allocation);
    c.normalizer = CLATTN_NORMALIZER_SIGMOID;
    run_one(&c, CLATTN_OUTPUT, real_allocation);
}

/* Some of the gradients alone are those of all, bit for bit. */
static void one_by_one(void **state)
{
    static const uint32_t some[] = {CLATTN_GRAD_QUERY, CLATTN_GRAD_KEY, CLATTN_GRAD_VALUE};
    const clattn_case *c = *state;
    if (!is_taken(c) || !device_takes_case(device, c))
        return;
    for (size_t s = 0; s < sizeof some / sizeof *some; s++) {
        host_call all, one;
        make_backward(&all, c, CLATTN_OUTPUT);
        make_backward(&one, c, CLATTN_OUTPUT);
        clattn_tensor *const made[][2] = {{&all.args.grad.query, &one.args.grad.query},
                                          {&all.args.grad.key, &one.args.grad.key},
                                          {&all.args.grad.value, &one.args.grad.value}};
        one.desc.gradients = some[s];
        one.args.grad.sinks = (clattn_tensor){0};
        for (size_t t = 0; t < 3; t++)
            if (t != s)
                *made[t][1] = (clattn_tensor){0};
        clattn_plan *plan = plan_of(device, &all, variant);
        run_to_end(device, plan, &all.args);
        clattn_plan_destroy(plan);
        plan = plan_of(device, &one, variant);
        run_to_end(device, plan, &one.args);
        clattn_plan_destroy(plan);
        for (size_t i = 0; i < clattn_tensor_count(made[s][0]); i++)
            assert_true(host_tensor_get(made[s][0], i) == host_tensor_get(made[s][1], i));
        host_call_free(&all);
        host_call_free(&one);
    }
}

/* As on a device that allocates little: first batches and heads are apart, then rows. */
static void in_pieces(void **state)
{
    static const uint64_t most[] = {60000, 6000};
    for (size_t n = 0; n < sizeof most / sizeof *most; n++)
        run_one(*state, CLATTN_OUTPUT | CLATTN_LSE, most[n]);
}

/* A driver builds anew for each tuning, type and size. */
static bool is_of_plain_build(const clattn_case *c)
{
    return c->dtype == CLATTN_F32 && c->D <= 64 && c->Dv <= 64 && c->dropout == 0;
}

static dot_backward_cases which;

/* A case of the tables. */
static void of_tables(void **state)
{
    if (which == DOT_BACKWARD_ALL || is_of_plain_build(*state))
        by_variant(state);
}

static void of_tables_with_own_weights(void **state)
{
    if (which == DOT_BACKWARD_ALL || is_of_plain_build(*state))
        with_own_weights(state);
}

static bool is_wanted(const clattn_case *c)
{
    switch (which) {
    case DOT_BACKWARD_FEW:
        return is_of_plain_build(c) && c->flags;
    case DOT_BACKWARD_SOME: /* of dropout, a build for each width of vectors */
        return c->dropout == 0 || c->dtype == CLATTN_F64 || (c->dtype == CLATTN_F32 && c->flags);
    case DOT_BACKWARD_ALL:
        break;
    }
    return true;
}

int dot_backward_run(clattn_device *by, const clattn__tuning *tuning, const char *name,
                     const char *group, dot_backward_cases cases)
{
    size_t count;
    const clattn_case *around = cases_around_blocks(&count);
    named_tests tests = {0};
    const clattn__tuning *const real_tuning = by->tuning;
    device = by;
    device->tuning = tuning;
    variant = name;
    which = cases;
    real_allocation = device->info.max_allocation;
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        if (!is_wanted(&own[i]))
            continue;
        named_tests_add(&tests, own[i].name, by_variant, &own[i]);
        named_tests_add(&tests, "its own weights", with_own_weights, &own[i]);
        if (which != DOT_BACKWARD_FEW)
            named_tests_add(&tests, "and of lse", with_lse, &own[i]);
        if (which != DOT_BACKWARD_FEW && i % 4 == 0)
            named_tests_add(&tests, "one by one", one_by_one, &own[i]);
    }
    if (which != DOT_BACKWARD_FEW) {
        for (size_t i = 0; i < sizeof of_many_rows / sizeof *of_many_rows; i++)
            if (is_wanted(&of_many_rows[i]))
                named_tests_add(&tests, of_many_rows[i].name, in_pieces, &of_many_rows[i]);
        for (size_t i = 0; i < count; i++)
            named_tests_add(&tests, around[i].name, of_tables, &around[i]);
        add_all_cases(&tests, of_tables);
        add_all_cases(&tests, of_tables_with_own_weights);
    }
    const int failures = named_tests_run(&tests, group, NULL, NULL);
    device->tuning = real_tuning;
    return failures;
}
