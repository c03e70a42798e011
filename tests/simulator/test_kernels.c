/* Every kernel file on a simulated device that checks each access to memory: small calls through the
 * public API, with each variant and each row of the tuning table. Results are held to the reference, and
 * the simulator has nothing to say. */
#include "device.h"
#include "kernels.h"
#include "ops/fused.h"
#include "problem.h"
#include "support/backward_call.h"
#include "support/device_runs.h"
#include "tuning/tuning.h"
#include "watched.h"

#include <clattn/decoder.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A new kernel is a name here. A new variant is a row, a name in tests/CMakeLists.txt, which makes a
 * CTest test of each, and maybe a case below for its tiles. */
#define KERNELS 7  /* of one variant, at most: a process answers in the eight bits of its status */
#define TIMINGS 32 /* other variants' kernels take part in a run */
#define ONE_PASS (CLATTN_OUTPUT | CLATTN_LSE)
static const struct {
    const char *name;
    const char *kernels[KERNELS];
    uint32_t outputs; /* of a variant that makes them in one pass, of scores of its own; 0: all */
    bool takes_last_row; /* of the tuning table alone, which makes most of work-groups */
    bool takes_packed;
    bool is_decoder;      /* no variant: a step of a decoder, whose own kernels these are */
    const char *backward; /* the name of a variant of the backward pass */
} variants[] = {
    {"lanes", {"lanes", "pack", "unit_rows"}, .outputs = ONE_PASS, .takes_packed = true},
    {"decode", {"decode", "decode_merge", "column_sums"}, .outputs = ONE_PASS | CLATTN__OF_WEIGHTS},
    {"additive",
     {"additive", "decode_merge", "column_sums", "location_features", "unit_rows"},
     .outputs = ONE_PASS | CLATTN__OF_WEIGHTS},
    {"tiles",
     {"tiles", "merge_parts"},
     .outputs = ONE_PASS,
     .takes_last_row = true,
     .takes_packed = true},
    {.name = "staged",
     .kernels = {"pack", "product_lanes", "product_tiles", "softmax_rows", "hidden_values",
                 "additive_scores", "rbf_scores"}},
    {"decoder",
     {"accumulate", "key_forms"},
     .outputs = ONE_PASS,
     .takes_last_row = true,
     .is_decoder = true},
    {"lanes-backward",
     {"lanes_backward", "row_deltas"},
     .outputs = ONE_PASS,
     .takes_last_row = true,
     .backward = "lanes"},
    {"tiles-backward",
     {"tiles_backward", "row_deltas"},
     .outputs = ONE_PASS,
     .takes_last_row = true,
     .backward = "tiles"},
    {"staged-backward",
     {"score_gradients", "sum_up", "pair_gradients", "unit_rows_gradients",
      "location_filter_gradients", "location_weight_gradients"},
     .takes_last_row = true,
     .backward = "staged"},
#ifdef CLATTN_WITH_CLBLAST
    {"staged-clblast", {"pack", "softmax_rows", "hidden_values", "unpack"}, .takes_last_row = true},
#endif
};
enum { VARIANTS = sizeof variants / sizeof *variants };

/* The simulator is a thousand times slower than a device: the fewest elements that take every way
 * through a kernel, and from the fifth on a device's smallest tiles, of a sixteenth of the time. */
#define IN_LARGE_TILES 4
/* clang-format off: one row, one case */
static const clattn_case calls[] = {
    {"one of all", .S = 1, .D = 1},
    {"primes", .B = 1, .Hq = 2, .S = 5, .T = 7, .D = 3, .Dv = 5},
    {"grouped heads, causal, f16", .dtype = CLATTN_F16, .Hq = 4, .Hkv = 2, .S = 3, .T = 9, .D = 5,
     .alignment = CLATTN_BOTTOM_RIGHT, .flags = CLATTN_CAUSAL},
    {"all modifications", .B = 2, .Hq = 4, .Hkv = 2, .S = 3, .T = 21, .D = 5, .Dv = 9,
     .alignment = CLATTN_BOTTOM_RIGHT, .stage = CLATTN_SCORES_MODIFIED, ALL_MODIFICATIONS(20, 9)},
    {"all modifications, bf16", .dtype = CLATTN_BF16, .B = 2, .Hq = 2, .S = 3, .T = 21, .D = 4,
     .mask = MASK_FLOAT_FULL, .stage = CLATTN_SCORES_MODIFIED, ALL_MODIFICATIONS(20, 9)},
    {"all modifications, f64", .dtype = CLATTN_F64, .B = 2, .Hq = 2, .S = 3, .T = 21, .D = 4,
     .bias = BIAS_HEADS, .mask = MASK_KEYS, .stage = CLATTN_SCORES_MODIFIED,
     ALL_MODIFICATIONS(20, 9)},
    {"bshd, padded", .B = 2, .Hq = 2, .S = 3, .T = 10, .D = 8, .layout = CLATTN_BSHD,
     .strides = STRIDES_PADDED, .flags = CLATTN_MASK},
    {"transposed", .Hq = 2, .S = 3, .T = 10, .strides = STRIDES_TRANSPOSED, .flags = CLATTN_BIAS},
    {"NaN behind lengths", .B = 3, .S = 3, .T = 10, .fill = FILL_NAN_LAST,
     .flags = CLATTN_KV_LENGTHS, .stage = CLATTN_SCORES_MODIFIED},
    {"NaN shown to the last query", .S = 12, .D = 4, .fill = FILL_NAN_LAST, .flags = CLATTN_CAUSAL,
     .stage = CLATTN_SCORES_MODIFIED},
    {"NaN for all to see", .S = 3, .T = 10, .fill = FILL_NAN_LAST},
    {"sums of weights and values beyond f32", .S = 3, .T = 37, .D = 4, .fill = FILL_HUGE_VALUES},
    {"rows all masked", .B = 2, .S = 6, .T = 5, .mask = MASK_NONE_VISIBLE, .flags = CLATTN_MASK},
    {"given scores", .Hq = 2, .S = 3, .T = 10, .score = CLATTN_SCORE_GIVEN, .flags = CLATTN_CAUSAL},
    {"without normalizer", .S = 3, .T = 10, .normalizer = CLATTN_NORMALIZER_NONE,
     .flags = CLATTN_CAUSAL},
    {"lse alone", .S = 3, .T = 10, .outputs = CLATTN_LSE},
    {"blocks of queries, and of keys", .Hq = 2, .S = 35, .T = 131, .D = 3, .flags = CLATTN_CAUSAL},
    {"sums over blocks of elements", .S = 2, .T = 5, .D = 257, .Dv = 2},
    {"chunks of keys, over several work-items", .S = 1, .T = 523, .D = 5, .Dv = 3},
    {"splits of keys", .S = 1, .T = 1030, .D = 2, .Dv = 1},
    {"weights", .B = 2, .Hq = 2, .S = 1, .T = 21, .D = 5, .Dv = 3, .flags = CLATTN_KV_LENGTHS,
     .outputs = CLATTN_OUTPUT | CLATTN__OF_WEIGHTS},
    {"weights of chosen heads and rows", .Hq = 2, .S = 3, .T = 10, .D = 3,
     .weights_heads = CHOSEN(1), .weights_rows = CHOSEN(0, 2), .flags = CLATTN_SINKS,
     .outputs = CLATTN_OUTPUT | CLATTN_WEIGHTS | CLATTN_ARGMAX},
    {"told of weights", .Hq = 2, .S = 3, .T = 10, .D = 3, .strides = STRIDES_PADDED,
     .outputs = CLATTN_OUTPUT | CLATTN_COLUMN_SUMS | CLATTN_ENTROPY},
    {"general", .B = 2, .Hq = 2, .S = 3, .T = 10, .D = 5, .Dk = 7, .score = CLATTN_SCORE_GENERAL,
     .params = PARAMS_OF_HEADS},
    {"location", .B = 2, .S = 3, .T = 10, .D = 5, .score = CLATTN_SCORE_LOCATION},
    {"cosine", .Hq = 2, .S = 3, .T = 10, .D = 5, .score = CLATTN_SCORE_COSINE,
     .params = PARAM_OF_ROWS},
    {"rbf", .Hq = 4, .Hkv = 2, .S = 3, .T = 18, .D = 5, .score = CLATTN_SCORE_RBF,
     .params = PARAMS_OF_HEADS},
    {"additive", .B = 2, .Hq = 4, .Hkv = 2, .S = 3, .T = 18, .D = 5, .Dk = 4, .A = 7,
     .score = CLATTN_SCORE_ADDITIVE, .params = PARAMS_OF_HEADS | PARAM_BIAS | PARAM_G,
     .flags = CLATTN_CAUSAL},
    {"additive, wide sums", .S = 2, .T = 3, .D = 3, .A = 5, .score = CLATTN_SCORE_ADDITIVE,
     .param_spread = 12},
    {"additive, small sums and a rest of units", .S = 2, .T = 3, .D = 2, .A = 70,
     .score = CLATTN_SCORE_ADDITIVE, .param_spread = 0.01,
     .outputs = CLATTN_OUTPUT | CLATTN__OF_WEIGHTS},
    {"additive, NaN behind lengths", .B = 3, .S = 3, .T = 10, .fill = FILL_NAN_LAST,
     .score = CLATTN_SCORE_ADDITIVE, .flags = CLATTN_KV_LENGTHS, .stage = CLATTN_SCORES_MODIFIED},
    {"additive, chunks of keys", .S = 1, .T = 523, .D = 2, .A = 3, .Dv = 2,
     .score = CLATTN_SCORE_ADDITIVE},
    {"location-sensitive", .B = 2, .S = 1, .T = 10, .D = 3, .A = 5, .C = 2, .K = 3,
     .score = CLATTN_SCORE_LOCATION_SENSITIVE, .params = PARAM_CUMULATIVE},
    {"coverage", .B = 2, .S = 1, .T = 10, .D = 3, .A = 5, .score = CLATTN_SCORE_COVERAGE},
    {"sigmoid", .S = 3, .T = 18, .normalizer = CLATTN_NORMALIZER_SIGMOID},
    {"sigmoid, weights", .S = 1, .T = 21, .D = 5, .normalizer = CLATTN_NORMALIZER_SIGMOID,
     .flags = CLATTN_KV_LENGTHS, .outputs = CLATTN_OUTPUT | CLATTN_WEIGHTS},
    {"sigmoid of additive scores", .S = 3, .T = 18, .D = 2, .A = 3, .score = CLATTN_SCORE_ADDITIVE,
     .normalizer = CLATTN_NORMALIZER_SIGMOID, .outputs = CLATTN_OUTPUT | CLATTN_WEIGHTS},
    {"sparsemax", .S = 3, .T = 18, .normalizer = CLATTN_NORMALIZER_SPARSEMAX},
    {"entmax15", .S = 3, .T = 18, .normalizer = CLATTN_NORMALIZER_ENTMAX15, .flags = CLATTN_CAUSAL},
    {"dropout", .B = 2, .Hq = 4, .Hkv = 2, .S = 3, .T = 21, .D = 3, .flags = CLATTN_CAUSAL,
     .alignment = CLATTN_BOTTOM_RIGHT, .dropout = 0.3},
    {"packed", .Hq = 4, .Hkv = 2, .D = 5,
     .packed = PACKED({3, 5}, {0, 2}, {19, 70}, {2, 0}, {1, 1}), .flags = CLATTN_CAUSAL},
    {"packed, NaN in the neighbours", .D = 4, .fill = FILL_NAN_SEQUENCES,
     .packed = PACKED({2, 3}, {3, 9}, {1, 2})},
};
/* clang-format on */
enum { CALLS = sizeof calls / sizeof *calls, ROWS_MAX = 16 };

/* One case, made by a variant with a row of the tuning table. */
typedef struct run {
    const clattn_case *call;
    const clattn__tuning *tuning;
    size_t variant;
    char name[128];
} run;

/* An answer of a process: what it computed is right; and from this bit on, which kernels ran. */
enum { IS_RIGHT = 1, FIRST_KERNEL = 2 };

static int kernels_that_ran;

static int bits_of(size_t variant, const clattn_timing *timings, size_t count)
{
    int bits = 0;
    for (size_t k = 0; k < KERNELS && variants[variant].kernels[k]; k++)
        for (size_t t = 0; t < count; t++)
            if (strcmp(timings[t].kernel, variants[variant].kernels[k]) == 0)
                bits |= FIRST_KERNEL << k;
    return bits;
}

/* The query or output of one step: (B, Hq, 1, size) without its row. */
static clattn_tensor row_of_step(const clattn_tensor *from)
{
    clattn_tensor row = *from;
    row.rank = 3;
    row.shape[2] = from->shape[3], row.strides[2] = from->strides[3];
    return row;
}

/* The first step of a decoder that begins with the call's coverage. */
static clattn_status step_once(clattn_device *device, const host_call *call)
{
    clattn_decoder *decoder = NULL;
    clattn_attention_args shared = call->args;
    const clattn_tensor none = {0}, query = row_of_step(&call->args.query),
                        output = row_of_step(&call->args.output);
    shared.query = shared.output = none;
    clattn_status status = clattn_decoder_create(&decoder, device, &call->desc, 0, 0);
    if (status == CLATTN_OK)
        status = clattn_decoder_begin(decoder, &shared);
    if (status == CLATTN_OK)
        status = clattn_decoder_step(decoder, &query, &output);
    if (status == CLATTN_OK)
        status = clattn_device_finish(device);
    clattn_decoder_destroy(decoder);
    return status;
}

/* Once: a second run would find its scratch memory written. */
static clattn_status run_once(const run *r, const host_call *call, int *answer)
{
    clattn_device *device = NULL;
    clattn_plan *plan = NULL;
    clattn_timing timings[TIMINGS];
    size_t count = 0;
    clattn_status status = clattn_device_open(&device, NULL, CLATTN_DEVICE_PROFILE);
    if (status == CLATTN_OK) {
        if (!strstr(device->info.platform, "Oclgrind"))
            (void)fprintf(stderr, "found %s, expected Oclgrind\n", device->info.platform);
        device->tuning = r->tuning;
        /* The simulator says that it is of every kind; the row says which one it is for. */
        device->info.kind = r->tuning->cpu_like ? CLATTN_DEVICE_CPU : CLATTN_DEVICE_GPU_DISCRETE;
        if (variants[r->variant].is_decoder) {
            status = step_once(device, call);
            /* The one after each step with coverage, the other before steps without features. */
            *answer = r->call->score == CLATTN_SCORE_COVERAGE ? FIRST_KERNEL : FIRST_KERNEL << 1;
            clattn_device_close(device);
            return status;
        }
        status = clattn_plan_create(&plan, device, &call->desc);
    }
    if (status == CLATTN_OK)
        status = clattn_plan_run(plan, &call->args);
    if (status == CLATTN_OK)
        status = clattn_device_finish(device);
    if (status == CLATTN_OK)
        status = clattn_plan_timing(plan, timings, TIMINGS, &count);
    *answer = bits_of(r->variant, timings, count);
    clattn_plan_destroy(plan);
    clattn_device_close(device);
    return status;
}

/* Turns it round: of all gradients, but those that a variant of one pass does not make. */
static void turn_backward(host_call *call, size_t variant)
{
    const uint32_t others = CLATTN_GRAD_BIAS | CLATTN_GRAD_ALIBI_SLOPES;
    backward_gradient each;
    if (clattn_reference_run(&call->desc, &call->args) != CLATTN_OK)
        (void)fprintf(stderr, "%s\n", clattn_last_error());
    uint32_t results = variants[variant].outputs;
    if (call->desc.normalizer != CLATTN_NORMALIZER_SOFTMAX && results)
        results = CLATTN_OUTPUT;
    backward_call_turn(call, results, STRIDES_DENSE);
    for (size_t n = 0; variants[variant].outputs && backward_call_gradient(call, n, &each); n++)
        if (each.bit & others)
            *each.gradient = (clattn_tensor){0};
    call->desc.gradients &= variants[variant].outputs ? ~others : UINT32_MAX;
}

static int run_and_judge(const void *argument)
{
    const run *r = argument;
    clattn_case c = *r->call;
    host_call call;
    clattn_report report = {0};
    int answer = 0;
    if (variants[r->variant].outputs)
        c.outputs = c.outputs ? c.outputs & variants[r->variant].outputs : ONE_PASS;
    if (variants[r->variant].is_decoder)
        c.outputs = CLATTN_OUTPUT;
    if (variants[r->variant].backward)
        c.outputs = ONE_PASS | (c.packed ? 0 : CLATTN_WEIGHTS);
    c.weights_heads = variants[r->variant].backward ? NULL : c.weights_heads;
    c.weights_rows = variants[r->variant].backward ? NULL : c.weights_rows;
    case_make(&call, &c);
    if (variants[r->variant].backward)
        turn_backward(&call, r->variant);
    if (!variants[r->variant].is_decoder)
        call.desc.variant = variants[r->variant].backward ? variants[r->variant].backward
                                                          : variants[r->variant].name;
    if (run_once(r, &call, &answer) != CLATTN_OK ||
        clattn_verify(&report, &call.desc, &call.args, 0) != CLATTN_OK)
        (void)fprintf(stderr, "%s\n", clattn_last_error());
    else if (!report.ok)
        print_verdicts(&report, c.name);
    host_call_free(&call);
    return answer | (report.ok ? IS_RIGHT : 0);
}

static void is_right_and_clean(void **state)
{
    char *said = NULL;
    const int answer = watched(run_and_judge, *state, &said);
    const bool is_clean = !*said;
    if (!is_clean)
        print_error("%s\n", said);
    free(said);
    assert_true(is_clean);
    assert_true(answer & IS_RIGHT);
    kernels_that_ran |= answer;
}

static void all_its_kernels_have_run(void **state)
{
    const size_t variant = ((const run *)*state)->variant;
    for (size_t k = 0; k < KERNELS && variants[variant].kernels[k]; k++)
        if (!(kernels_that_ran & FIRST_KERNEL << k))
            fail_msg("no case runs %s", variants[variant].kernels[k]);
}

static bool is_listed(const char *kernel)
{
    for (size_t v = 0; v < VARIANTS; v++)
        for (size_t k = 0; k < KERNELS && variants[v].kernels[k]; k++)
            if (strcmp(variants[v].kernels[k], kernel) == 0)
                return true;
    return false;
}

static void every_kernel_file_is_listed(void **state)
{
    (void)state;
    for (size_t i = 0; i < clattn__kernel_source_count; i++) {
        char kernel[64];
        (void)snprintf(kernel, sizeof kernel, "%s", clattn__kernel_sources[i].name);
        char *dot = strrchr(kernel, '.');
        if (!dot || strcmp(dot, ".cl") != 0)
            continue;
        *dot = '\0';
        if (!is_listed(kernel))
            fail_msg("kernels/%s.cl has no row in this test", kernel);
    }
}

/* Variants that go in one pass make their own scores, of products or additive ones, decode those of few
 * queries in one type and without dropout; their normalizers are those that need no look at all
 * keys before. */
static bool takes(size_t v, const clattn_case *c)
{
    const bool additive = strcmp(variants[v].name, "additive") == 0,
               decode = strcmp(variants[v].name, "decode") == 0;
    if (c->packed && !variants[v].takes_packed)
        return false;
    if (variants[v].is_decoder)
        return c->S == 1 &&
               (c->score == CLATTN_SCORE_COVERAGE || c->score == CLATTN_SCORE_ADDITIVE);
    /* Gradients of weights are products with values, and have none in f32 there. What forward gives out makes no
     * difference. Blocks of keys, elements and units are walked by tests of the kernels: here they would take
     * minutes. */
    if (variants[v].backward &&
        (c->fill == FILL_HUGE_VALUES || c->outputs || c->T > 100 || c->D > 100 || c->A > 64))
        return false;
    if (!variants[v].outputs)
        return true;
    return c->score != CLATTN_SCORE_GIVEN && c->score != CLATTN_SCORE_RBF &&
           c->score != CLATTN_SCORE_LOCATION && c->normalizer <= CLATTN_NORMALIZER_SIGMOID &&
           clattn__is_additive(c->score) == additive &&
           (!decode || (c->S <= 16 && c->dropout == 0));
}

static int run_variant(size_t v)
{
    static run runs[ROWS_MAX * CALLS];
    static clattn__tuning of_small_tiles[ROWS_MAX];
    named_tests tests = {0};
    size_t rows, n = 0;
    const clattn__tuning *row = clattn__tuning_rows(&rows);
    assert(rows <= ROWS_MAX);
    for (size_t t = variants[v].takes_last_row ? rows - 1 : 0; t < rows; t++) {
        of_small_tiles[t] = row[t];
        of_small_tiles[t].tiles = &row[t].tiles[row[t].tile_count - 1];
        of_small_tiles[t].tile_count = 1;
        for (size_t i = 0; i < CALLS; i++) {
            run *r = &runs[n];
            if (!takes(v, &calls[i]))
                continue;
            n++;
            *r = (run){.call = &calls[i],
                       .tuning = i < IN_LARGE_TILES ? &row[t] : &of_small_tiles[t],
                       .variant = v};
            (void)snprintf(r->name, sizeof r->name, "%s, %s, %s", variants[v].name, row[t].family,
                           calls[i].name);
            named_tests_add(&tests, r->name, is_right_and_clean, r);
        }
    }
    kernels_that_ran = 0;
    named_tests_add(&tests, "all its kernels have run", all_its_kernels_have_run, runs);
    return named_tests_run(&tests, variants[v].name, NULL, NULL);
}

static void every_variant_has_a_test(void **state)
{
    (void)state;
    for (size_t v = 0; v < VARIANTS; v++) {
        char name[64];
        (void)snprintf(name, sizeof name, " %s ", variants[v].name);
        if (!strstr(" " SIMULATED_VARIANTS " ", name))
            fail_msg("%s is not in the list of tests/CMakeLists.txt", variants[v].name);
    }
}

int main(int argc, char **argv)
{
    named_tests tests = {0};
    size_t v = 0;
    while (argc == 2 && v < VARIANTS && strcmp(argv[1], variants[v].name) != 0)
        v++;
    if (argc != 2 || v == VARIANTS) {
        (void)fprintf(stderr, "usage: test_kernels VARIANT, one of " SIMULATED_VARIANTS "\n");
        return 2;
    }
    named_tests_add(&tests, "every kernel file is listed", every_kernel_file_is_listed, NULL);
    named_tests_add(&tests, "every variant has a test", every_variant_has_a_test, NULL);
    const int failures = named_tests_run(&tests, "tables", NULL, NULL);
    return failures + run_variant(v);
}
