/* softmax_rows.cl: with every row of the tuning table and some others, every case of
 * the table as given scores, against the reference; and what a whole call would not
 * show: the scratch memory, the accuracy of the exponential and of long sums. */
#include "ops/softmax_rows.h"
#include "support/device_runs.h"
#include "support/kernel_runs.h"

#include <math.h>

/* Vectors that the kernel sums in a row (docs/numerics.md). */
#define SUM_BLOCK 32

/* clang-format off: one row, one case */
/* Around what groups do at a time, 1 to 1024 columns, and around SUM_BLOCK times that. */
static const clattn_case long_rows[] = {
    {"63 keys", .Hq = 4, .Hkv = 2, .S = 7, .T = 63},
    {"65 keys", .Hq = 4, .Hkv = 2, .S = 7, .T = 65},
    {"255 keys", .Hq = 2, .S = 5, .T = 255, .flags = CLATTN_CAUSAL},
    {"256 keys", .Hq = 2, .S = 5, .T = 256, .flags = CLATTN_SINKS},
    {"257 keys", .Hq = 2, .S = 5, .T = 257, .flags = CLATTN_KV_LENGTHS},
    {"513 keys", .S = 5, .T = 513, .flags = CLATTN_BIAS},
    {"513 keys of f64", .dtype = CLATTN_F64, .S = 5, .T = 513, .flags = CLATTN_CAUSAL},
    {"1025 keys in a window", .S = 3, .T = 1025, .alignment = CLATTN_BOTTOM_RIGHT,
     .flags = CLATTN_WINDOW, .window_left = 700, .window_right = -1},
    {"2049 keys", .S = 3, .T = 2049, .flags = CLATTN_MASK},
    {"16385 keys", .S = 2, .T = 16385},
    {"32769 keys, NaN for all to see", .T = 32769, .S = 1, .fill = FILL_NAN_LAST},
    {"more rows than a group makes", .B = 2, .Hq = 6, .Hkv = 2, .S = 37, .T = 19},
    {"one NaN behind causal", .Hq = 2, .S = 33, .T = 33, .fill = FILL_NAN_LAST,
     .flags = CLATTN_CAUSAL, .stage = CLATTN_SCORES_MODIFIED},
    {"NaN behind lengths, with a sink", .B = 2, .Hq = 2, .S = 9, .T = 17, .fill = FILL_NAN_LAST,
     .flags = CLATTN_KV_LENGTHS | CLATTN_SINKS},
};
/* clang-format on */

/* Beside the tuning table: the ends of what the header of the kernel allows. */
static const clattn__tuning others[] = {
    {"VW 1, WG 256", .vector = 1, .softmax_group = 256},
    {"VW 2, WG 2", .vector = 2, .softmax_group = 2},
    {"VW 16, WG 64", .vector = 16, .softmax_group = 64},
};

static clattn_device *device;
static clattn_device_info real_info;

typedef struct softmax_tensors {
    host_call memory; /* a whole call on given scores */
    clattn__problem problem;
    clattn__call call;    /* its tensors, still in host memory */
    int64_t rows, stride; /* of s: B*Hq*S rows in the order of the tensors' own */
    clattn_tensor s, factors;
} softmax_tensors;

/* The scratch memory of a call: the scores, with NaN past the last key of each row. */
static void add_scratch(softmax_tensors *t)
{
    assert_status(CLATTN_OK, clattn__problem_init(&t->problem, &t->memory.desc));
    assert_status(CLATTN_OK, clattn__call_init(&t->call, &t->problem, &t->memory.args));
    const clattn_dtype dtype = t->memory.desc.dtype,
                       sums = dtype == CLATTN_F64 ? CLATTN_F64 : CLATTN_F32;
    const int64_t width = clattn__vector_width(device, dtype), T = t->call.T;
    t->rows = t->call.B * t->call.Hq * t->call.S;
    t->stride = clattn__round_up(T, width) + width;
    t->s = host_call_tensor(&t->memory, sums, 2, (int64_t[]){t->rows, t->stride}, STRIDES_DENSE);
    t->factors = host_call_tensor(&t->memory, sums, 1, &t->rows, STRIDES_DENSE);
    for (int64_t r = 0; r < t->rows; r++)
        for (int64_t j = 0; j < t->stride; j++)
            host_tensor_set(&t->s, (size_t)(r * t->stride + j),
                            j < T
                                ? host_tensor_get(&t->memory.args.given_scores, (size_t)(r * T + j))
                                : (double)NAN);
}

static void run(softmax_tensors *t, bool deferred, uint32_t compute_units)
{
    clattn__kernel kernel;
    lent_memory lent;
    clattn__call call = t->call;
    const clattn_dtype dtype = t->memory.desc.dtype;
    lend(&lent, device, &t->memory);
    lend_call(&lent, &call);
    if (deferred)
        call.weights = (clattn_tensor){0};
    const clattn_tensor s = lent_tensor(&lent, &t->s), factors = lent_tensor(&lent, &t->factors);
    device->info.compute_units = compute_units;
    assert_status(CLATTN_OK,
                  clattn__softmax_rows_create(&kernel, device, dtype, t->memory.desc.outputs));
    assert_status(CLATTN_OK,
                  clattn__softmax_rows_run(&kernel, device, NULL, &t->problem, &call, s.buffer,
                                           t->stride, deferred ? factors.buffer : NULL));
    device->info = real_info;
    take_back(&lent);
    clattn__kernel_release(&kernel);
}

/* Any case as one on given scores. No output is asked for, so that values may be small; without
 * modified scores to give out, vectors that are wholly visible stay untouched. */
static void make(softmax_tensors *t, const clattn_case *from, uint32_t scores)
{
    clattn_case c = *from;
    c.score = CLATTN_SCORE_GIVEN;
    c.flags &= ~(uint32_t)CLATTN_SCALE;
    c.precision = CLATTN_PRECISION_DEFAULT;
    c.outputs = CLATTN_WEIGHTS | CLATTN_LSE | CLATTN_ARGMAX | scores;
    if (c.normalizer != CLATTN_NORMALIZER_NONE)
        c.outputs |= CLATTN_ENTROPY;
    c.weights_heads = c.weights_rows = NULL;
    c.D = c.Dv = 1;
    *t = (softmax_tensors){0};
    case_make(&t->memory, &c);
    add_scratch(t);
}

static void verify(const softmax_tensors *t, const char *about)
{
    clattn_report report;
    const clattn_tensor *tensor;
    const char *name;
    assert_status(CLATTN_OK, clattn_verify(&report, &t->memory.desc, &t->memory.args, 0));
    assert_verified(&report, about);
    for (size_t o = 0; (tensor = host_call_output(&t->memory, o, &name)); o++)
        if (clattn__has(tensor))
            assert_true(host_tensor_gaps_untouched(&t->memory, tensor));
    assert_true(host_tensor_gaps_untouched(&t->memory, &t->s));
}

static double scratch(const softmax_tensors *t, int64_t row, int64_t column)
{
    return host_tensor_get(&t->s, (size_t)(row * t->stride + column));
}

/* The product that follows reads rows to their ends. */
static void assert_zeros_past_keys(const softmax_tensors *t)
{
    for (int64_t r = 0; r < t->rows; r++)
        for (int64_t j = t->call.T; j < t->stride; j++)
            assert_close(scratch(t, r, j), 0, 0, "s past the last key", (size_t)j);
}

static void finishes_weights(void **state)
{
    const clattn_case *c = *state;
    softmax_tensors whole, pieces;
    if (!device_takes(device, c->dtype))
        skip();
    make(&whole, c, CLATTN_SCORES);
    run(&whole, false, FEW_UNITS);
    verify(&whole, c->name);
    assert_zeros_past_keys(&whole);
    const clattn_tensor *weights = &whole.memory.args.weights;
    for (size_t i = 0; i < clattn_tensor_count(weights); i++) {
        const int64_t T = whole.call.T;
        unsigned char stored[sizeof(double)];
        clattn_element_store(weights->dtype, stored, 0,
                             scratch(&whole, (int64_t)i / T, (int64_t)i % T));
        assert_close(host_tensor_get(weights, i), clattn_element_load(weights->dtype, stored, 0), 0,
                     "weights, as s has them,", i);
    }
    make(&pieces, c, CLATTN_SCORES);
    run(&pieces, false, MANY_UNITS);
    assert_true(host_call_equal(&whole.memory, &pieces.memory));
    host_call_free(&whole.memory);
    host_call_free(&pieces.memory);
}

/* Weights times factors are what the reference finds. */
static void defers_weights(void **state)
{
    const clattn_case *c = *state;
    softmax_tensors whole, pieces;
    if (!device_takes(device, c->dtype))
        skip();
    make(&whole, c, 0);
    run(&whole, true, FEW_UNITS);
    make(&pieces, c, 0);
    run(&pieces, true, MANY_UNITS);
    assert_true(host_call_equal(&whole.memory, &pieces.memory));
    assert_zeros_past_keys(&whole);
    for (int64_t r = 0; r < whole.rows; r++)
        for (int64_t j = 0; j < whole.call.T; j++) {
            const double w = scratch(&whole, r, j);
            /* Where infinity is seen the factor is NaN, which must not show at a hidden key, -0. */
            host_tensor_set(&whole.memory.args.weights, (size_t)(r * whole.call.T + j),
                            w == 0 && signbit(w) ? 0
                                                 : w * host_tensor_get(&whole.factors, (size_t)r));
        }
    verify(&whole, c->name);
    host_call_free(&whole.memory);
    host_call_free(&pieces.memory);
}

/* A call of one head on scores that the caller fills before add_scratch(). */
static void make_scores(softmax_tensors *t, clattn_dtype dtype, int64_t rows, int64_t keys)
{
    *t = (softmax_tensors){0};
    t->memory.desc = (clattn_attention_desc){.struct_size = sizeof t->memory.desc,
                                             .dtype = dtype,
                                             .score = CLATTN_SCORE_GIVEN,
                                             .value_size = 1,
                                             .outputs = CLATTN_LSE};
    clattn_attention_args *args = &t->memory.args;
    args->struct_size = sizeof *args;
    args->given_scores =
        host_call_tensor(&t->memory, dtype, 2, (int64_t[]){rows, keys}, STRIDES_DENSE);
    args->value = host_call_tensor(&t->memory, dtype, 2, (int64_t[]){keys, 1}, STRIDES_DENSE);
    args->lse = host_call_tensor(&t->memory, dtype, 1, &rows, STRIDES_DENSE);
}

/* Deferred weights of a row whose maximum is 0 are exp(x) as they come. In
 * f32 they are within 1.5 last places, and 0 below e^-87 (docs/numerics.md);
 * in f64 they are OpenCL's exp(), which may err by 3 places. */
static void exponential(void **state)
{
    const clattn_dtype dtype = *(const clattn_dtype *)*state;
    enum { ROWS = 1500, KEYS = 16 };
    softmax_tensors t;
    if (!device_takes(device, dtype))
        skip();
    make_scores(&t, dtype, ROWS, KEYS);
    const clattn_tensor *scores = &t.memory.args.given_scores;
    for (int64_t i = 0; i < (int64_t)ROWS * KEYS; i++)
        host_tensor_set(scores, (size_t)i, i % KEYS ? -(double)i * 88 / (ROWS * KEYS) : 0.0);
    add_scratch(&t);
    run(&t, true, FEW_UNITS);
    for (int64_t i = 0; i < (int64_t)ROWS * KEYS; i++) {
        const double x = host_tensor_get(scores, (size_t)i);
        double wanted = exp(x),
               last_place = ldexp(1, ilogb(wanted) - (dtype == CLATTN_F64 ? 52 : 23));
        if (dtype == CLATTN_F32 && x < -87)
            wanted = last_place = 0;
        assert_close(scratch(&t, i / KEYS, i % KEYS), wanted,
                     (dtype == CLATTN_F64 ? 3 : 1.5) * last_place, "exp", (size_t)i);
    }
    host_call_free(&t.memory);
}

/* Terms of one sign, whose rounding errors add up. A sum whose terms go through n
 * roundings errs by at most nu / (1 - nu) of itself: here those of a block, of the
 * blocks of a work-item, of its lanes and of the work-items; then come the error
 * of the exponential, in roundings as above, and the division's 2.5 places. */
static void long_sum(void **state)
{
    const clattn_dtype dtype = *(const clattn_dtype *)*state;
    enum { KEYS = 262145 };
    softmax_tensors t;
    if (!device_takes(device, dtype) || !device_loops(device, KEYS))
        skip();
    make_scores(&t, dtype, 1, KEYS);
    const clattn_tensor *scores = &t.memory.args.given_scores;
    for (size_t j = 0; j < KEYS; j++)
        host_tensor_set(scores, j, j ? -2.3 : 0.0);
    const double wanted =
        (double)(1 + (KEYS - 1) * expl((long double)host_tensor_get(scores, KEYS - 1)));
    add_scratch(&t);
    run(&t, true, FEW_UNITS);
    const int64_t width = clattn__vector_width(device, dtype),
                  group = device->tuning->softmax_group,
                  vectors = clattn__ceil_div(KEYS, width * group);
    const double u = dtype == CLATTN_F64 ? 0x1p-53 : 0x1p-24,
                 sum = (double)((vectors < SUM_BLOCK ? vectors : SUM_BLOCK) +
                                clattn__ceil_div(vectors, SUM_BLOCK)) +
                       log2((double)(width * group)),
                 roundings = (sum + (dtype == CLATTN_F64 ? 6 : 3) + 5) * u;
    assert_close(1 / host_tensor_get(&t.factors, 0), wanted, wanted * roundings / (1 - roundings),
                 "sum", 0);
    host_call_free(&t.memory);
}

static void add(named_tests *tests, CMUnitTestFunction test, const clattn_case *cases, size_t count,
                bool doubles)
{
    for (size_t i = 0; i < count; i++)
        if (cases[i].dtype != CLATTN_F64 || doubles)
            named_tests_add(tests, cases[i].name, test, &cases[i]);
}

static int run_with(const clattn__tuning *tuning, bool doubles)
{
    static const clattn_dtype f32 = CLATTN_F32, f64 = CLATTN_F64;
    const CMUnitTestFunction both[] = {finishes_weights, defers_weights};
    named_tests tests = {0};
    size_t hurt_count, pair_count;
    const clattn_case *hurt = cases_that_hurt(&hurt_count), *pairs = cases_of_pairs(&pair_count);
    device->tuning = tuning;
    for (size_t n = 0; n < sizeof both / sizeof *both; n++) {
        add(&tests, both[n], long_rows, sizeof long_rows / sizeof *long_rows, doubles);
        add(&tests, both[n], hurt, hurt_count, doubles);
    }
    /* Modifications come before weights are finished or not. */
    add(&tests, finishes_weights, pairs, pair_count, doubles);
    named_tests_add(&tests, "exponential", exponential, &f32);
    named_tests_add(&tests, "a long sum", long_sum, &f32);
    if (doubles) {
        named_tests_add(&tests, "exponential of f64", exponential, &f64);
        named_tests_add(&tests, "a long sum of f64", long_sum, &f64);
    }
    return named_tests_run(&tests, tuning->family, NULL, NULL);
}

int main(void)
{
    size_t count;
    int failures = 0;
    const clattn__tuning *rows = clattn__tuning_rows(&count);
    device = kernel_device_open();
    real_info = device->info;
    /* Doubles with every third tuning: a program takes about a second to compile. */
    for (size_t t = 0; t < count; t++)
        failures += run_with(&rows[t], t % 3 == 0);
    for (size_t t = 0; t < sizeof others / sizeof *others; t++)
        failures += run_with(&others[t], t % 3 == 0);
    kernel_device_close(device);
    return failures;
}
