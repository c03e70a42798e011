/* The same plan, device and input give the same bits: every time, in a new plan, after other
 * problems, beside other threads, in pieces, and whatever the rest of the batch is. */
#include "device.h"
#include "support/device_runs.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const clattn_case all_cases[] = {
    {"f32", .B = 2, .Hq = 4, .Hkv = 2, .S = 65, .T = 129, .D = 33},
    {"f16", .dtype = CLATTN_F16, .B = 2, .Hq = 4, .Hkv = 2, .S = 65, .T = 129, .D = 33},
    {"bf16", .dtype = CLATTN_BF16, .B = 2, .Hq = 4, .Hkv = 2, .S = 65, .T = 129, .D = 33},
    {"output alone", .B = 2, .Hq = 4, .S = 65, .T = 129, .D = 33, .outputs = CLATTN_OUTPUT},
    {"sums beyond f32 in some rows", .B = 2, .Hq = 2, .S = 61, .T = 61, .D = 8,
     .fill = FILL_HUGE_LAST, .flags = CLATTN_CAUSAL, .outputs = CLATTN_OUTPUT},
    {"NaN behind causal", .B = 1, .Hq = 4, .Hkv = 1, .S = 61, .T = 61, .D = 8,
     .fill = FILL_NAN_LAST, .flags = CLATTN_CAUSAL, .outputs = CLATTN_OUTPUT},
    {"f16, many queries of a key head", .dtype = CLATTN_F16, .B = 1, .Hq = 16, .Hkv = 2, .S = 61,
     .T = 31, .strides = STRIDES_PADDED},
    {"many keys", .B = 2, .Hq = 2, .S = 17, .T = 1031, .D = 16, .flags = CLATTN_CAUSAL},
    {"all modifications", .B = 3, .Hq = 4, .Hkv = 2, .S = 37, .T = 53, .D = 19, .Dv = 23,
     ALL_MODIFICATIONS(40, 9)},
    {"all modifications, bottom-right", .B = 3, .Hq = 4, .Hkv = 2, .S = 37, .T = 53, .D = 19,
     .alignment = CLATTN_BOTTOM_RIGHT, .dtype = CLATTN_F16, ALL_MODIFICATIONS(40, 9)},
    {"NaN behind lengths", .B = 3, .Hq = 2, .S = 37, .T = 53, .fill = FILL_NAN_LAST,
     .flags = CLATTN_KV_LENGTHS, .stage = CLATTN_SCORES_MODIFIED},
    {"given scores", .B = 2, .Hq = 4, .Hkv = 2, .S = 37, .T = 53, .score = CLATTN_SCORE_GIVEN},
    {"without normalizer", .B = 2, .Hq = 4, .S = 37, .T = 53, .normalizer = CLATTN_NORMALIZER_NONE},
    {"sigmoid", .B = 2, .Hq = 4, .Hkv = 2, .S = 37, .T = 53,
     .normalizer = CLATTN_NORMALIZER_SIGMOID, .flags = CLATTN_KV_LENGTHS},
    {"bshd, padded", .B = 2, .Hq = 4, .S = 37, .T = 53, .layout = CLATTN_BSHD,
     .strides = STRIDES_PADDED},
    /* The last: a device without doubles leaves it out. */
    {"f64", .dtype = CLATTN_F64, .B = 2, .Hq = 4, .Hkv = 2, .S = 65, .T = 129, .D = 33},
};
enum { CASES = sizeof all_cases / sizeof *all_cases };

/* What is being tested, whatever a device would choose, and the cases that it takes. */
static const char *variant;
static clattn_case cases[CASES];
static size_t cases_taken;

static clattn_device *device;
static clattn_device_info real_info;

static void take_cases(const char *name)
{
    const bool few = strcmp(name, "decode") == 0, fused = strcmp(name, "staged") != 0,
               additive = strcmp(name, "additive") == 0;
    variant = name;
    cases_taken = 0;
    for (size_t c = 0; c < (device_takes(device, CLATTN_F64) ? CASES : CASES - 1); c++) {
        if (fused && all_cases[c].score == CLATTN_SCORE_GIVEN)
            continue;
        if (few && all_cases[c].Hkv && all_cases[c].Hq / all_cases[c].Hkv > 2)
            continue;
        cases[cases_taken] = all_cases[c];
        if (fused)
            cases[cases_taken].outputs = CLATTN_OUTPUT | CLATTN_LSE;
        if (additive) { /* some rows of sums that want another form than their neighbours */
            cases[cases_taken].score = CLATTN_SCORE_ADDITIVE, cases[cases_taken].A = 40;
            cases[cases_taken].param_spread = 0.1;
        }
        if (few) /* queries of a key head, and keys enough to split */
            cases[cases_taken].S = 3, cases[cases_taken].T *= 7;
        cases_taken++;
    }
}

/* The index of the first output element whose bits differ, and the output's name; NULL for none. */
static const char *difference(const host_call *a, const host_call *b, size_t *index)
{
    const char *name;
    for (size_t o = 0; host_call_output(a, o, &name); o++) {
        const clattn_tensor *of_a = host_call_output(a, o, &name),
                            *of_b = host_call_output(b, o, &name);
        const size_t size = clattn_dtype_size(of_a->dtype);
        for (*index = 0; *index < clattn_tensor_count(of_a); ++*index)
            if (memcmp((const char *)of_a->host + host_tensor_at(of_a, *index) * size,
                       (const char *)of_b->host + host_tensor_at(of_b, *index) * size, size) != 0)
                return name;
    }
    return NULL;
}

static void assert_same_bits(const host_call *a, const host_call *b, const char *about)
{
    size_t index;
    const char *name = difference(a, b, &index);
    if (name)
        fail_msg("%s: other bits in %s[%zu]", about, name, index);
}

static void free_pair(case_pair *p)
{
    case_pair_free(p);
    device->info = real_info;
}

static void again(void **state)
{
    case_pair p;
    case_pair_make(&p, device, *state, variant);
    for (int n = 0; n < 4; n++) {
        wipe_outputs(&p.second);
        run_to_end(device, p.plan, &p.second.args);
        assert_same_bits(&p.first, &p.second, "the same plan");
    }
    free_pair(&p);
}

static void in_a_new_plan(void **state)
{
    case_pair p;
    case_pair_make(&p, device, *state, variant);
    clattn_plan_destroy(p.plan);
    p.plan = plan_of(device, &p.second, variant);
    run_to_end(device, p.plan, &p.second.args);
    assert_same_bits(&p.first, &p.second, "a new plan");
    free_pair(&p);
}

/* Larger and smaller ones, which leave NaN wherever scratch memory is. */
static void after_other_problems(void **state)
{
    const clattn_case *from = *state;
    const int64_t sizes[][3] = {{2 * from->B, 2 * from->S, 2 * from->T},
                                {1, 1, 1},
                                {from->B, from->S - 1, from->T + 1},
                                {1, from->S + (from->S > 3 ? 16 : 2), 3}};
    case_pair p;
    case_pair_make(&p, device, from, variant);
    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++) {
        host_call other;
        clattn_case c = *from;
        c.B = sizes[n][0], c.S = sizes[n][1], c.T = sizes[n][2];
        c.fill = FILL_NAN_LAST;
        case_make(&other, &c);
        run_to_end(device, p.plan, &other.args);
        host_call_free(&other);
        wipe_outputs(&p.second);
        run_to_end(device, p.plan, &p.second.args);
        assert_same_bits(&p.first, &p.second, "after another problem");
    }
    free_pair(&p);
}

/* Column sums are rounded once for each piece of rows; weights are around 1 at most. Those of `b` become
 * those of `a`. */
static void assert_close_sums(const host_call *a, const host_call *b)
{
    const clattn_tensor *wanted = &a->args.column_sums, *got = &b->args.column_sums;
    const double unit = wanted->dtype == CLATTN_F64 ? 0x1p-52 : 0x1p-23,
                 rows = (double)a->args.lse.shape[2];
    for (size_t i = 0; i < clattn_tensor_count(wanted); i++) {
        const double sum = host_tensor_get(wanted, i);
        assert_close(host_tensor_get(got, i), sum, 2 * unit * (fabs(sum) + rows), "column_sums", i);
        host_tensor_set(got, i, sum);
    }
}

/* Ever smaller ones, down to where not even a row fits. */
static void in_pieces(void **state)
{
    const clattn_case *from = *state;
    clattn_status status = CLATTN_OK;
    case_pair p;
    case_pair_make(&p, device, from, variant);
    const uint64_t scores = (uint64_t)(from->B * from->Hq * from->S * from->T) * sizeof(float),
                   values = clattn_tensor_count(&p.first.args.value) * sizeof(double),
                   whole = scores > values ? scores : values;
    uint64_t limit = 2 * whole, least = limit;
    for (; status == CLATTN_OK; limit /= 2) {
        device->info.max_allocation = limit;
        wipe_outputs(&p.second);
        status = clattn_plan_run(p.plan, &p.second.args);
        assert_status(CLATTN_OK, clattn_device_finish(device));
        if (status == CLATTN_OK) {
            assert_close_sums(&p.first, &p.second);
            assert_same_bits(&p.first, &p.second, "pieces");
            least = limit;
        }
    }
    assert_int_equal(status, CLATTN_E_UNSUPPORTED);
    assert_true(least < whole);
    free_pair(&p);
}

static void in_copied_memory(void **state)
{
    case_pair p;
    case_pair_make(&p, device, *state, variant);
    device->info.unified_memory = !real_info.unified_memory;
    run_to_end(device, p.plan, &p.second.args);
    assert_same_bits(&p.first, &p.second, "the other kind of memory");
    free_pair(&p);
}

/* One entry of the batch, where a tensor has several. */
static void take_entry(clattn_tensor *tensor, int64_t batch, int64_t b)
{
    if (tensor->rank == 0 || tensor->shape[0] != batch)
        return;
    tensor->offset += b * tensor->strides[0];
    tensor->shape[0] = 1;
}

static void entry_by_entry(void **state)
{
    const clattn_case *from = *state;
    case_pair p;
    case_pair_make(&p, device, from, variant);
    for (int64_t b = 0; b < from->B; b++) {
        clattn_attention_args one = p.second.args;
        clattn_tensor *const of_batch[] = {
            &one.query,        &one.key,         &one.value,  &one.mask,    &one.bias,
            &one.given_scores, &one.kv_lengths,  &one.output, &one.weights, &one.scores,
            &one.lse,          &one.column_sums, &one.argmax, &one.entropy};
        for (size_t t = 0; t < sizeof of_batch / sizeof *of_batch; t++)
            take_entry(of_batch[t], from->B, b);
        run_to_end(device, p.plan, &one);
    }
    assert_same_bits(&p.first, &p.second, "each entry of the batch alone");
    free_pair(&p);
}

/* What one thread does: a plan of its own, some runs, and what came of it. cmocka's assertions are
 * for the main thread. */
typedef struct worker {
    pthread_t thread;
    const host_call *wanted;
    host_call call;
    clattn_status status;
    const char *differs;
    char sentence[512];
} worker;

enum { WORKERS = 4, RUNS = 5 };

static void *work(void *data)
{
    worker *w = data;
    clattn_plan *plan = NULL;
    clattn_attention_desc desc = w->call.desc;
    size_t index;
    desc.variant = variant;
    w->status = clattn_plan_create(&plan, device, &desc);
    for (int n = 0; n < RUNS && w->status == CLATTN_OK && !w->differs; n++) {
        wipe_outputs(&w->call);
        w->status = clattn_plan_run(plan, &w->call.args);
        if (w->status == CLATTN_OK)
            w->status = clattn_device_finish(device);
        w->differs = difference(w->wanted, &w->call, &index);
    }
    if (w->status != CLATTN_OK)
        (void)snprintf(w->sentence, sizeof w->sentence, "%s", clattn_last_error());
    clattn_plan_destroy(plan);
    return NULL;
}

/* Threads on one device, which has built no program yet; `step` 0 gives all the same case. */
static void beside_threads(const clattn_case *from, size_t step)
{
    case_pair pairs[WORKERS];
    worker workers[WORKERS] = {{0}};
    clattn_device *const usual = device;
    size_t started = 0;
    for (size_t n = 0; n < WORKERS; n++) {
        case_pair_make(&pairs[n], device, &cases[((size_t)(from - cases) + n * step) % cases_taken],
                       variant);
        workers[n].wanted = &pairs[n].first;
        workers[n].call = pairs[n].second;
    }
    assert_status(CLATTN_OK, clattn_device_open(&device, NULL, 0));
    while (started < WORKERS &&
           pthread_create(&workers[started].thread, NULL, work, &workers[started]) == 0)
        started++;
    for (size_t n = 0; n < started; n++)
        (void)pthread_join(workers[n].thread, NULL);
    clattn_device_close(device);
    device = usual;
    assert_int_equal(started, WORKERS);
    for (size_t n = 0; n < WORKERS; n++) {
        clattn_report report;
        if (workers[n].status != CLATTN_OK)
            fail_msg("thread %zu: %s", n, workers[n].sentence);
        if (workers[n].differs)
            fail_msg("thread %zu: other bits in %s", n, workers[n].differs);
        assert_status(CLATTN_OK,
                      clattn_verify(&report, &workers[n].call.desc, &workers[n].call.args, 0));
        assert_verified(&report, "a thread's result");
        free_pair(&pairs[n]);
    }
}

static void beside_the_same(void **state)
{
    beside_threads(*state, 0);
}

static void beside_others(void **state)
{
    beside_threads(*state, 1);
}

static int run_group(const char *name, CMUnitTestFunction test)
{
    named_tests tests = {0};
    char title[96];
    (void)snprintf(title, sizeof title, "%s, %s", variant, name);
    for (size_t c = 0; c < cases_taken; c++)
        named_tests_add(&tests, cases[c].name, test, &cases[c]);
    return named_tests_run(&tests, title, NULL, NULL);
}

int main(void)
{
    int failures = 0;
    const struct {
        const char *name;
        CMUnitTestFunction test;
    } groups[] = {
        {"again", again},
        {"in a new plan", in_a_new_plan},
        {"after other problems", after_other_problems},
        {"in pieces", in_pieces},
        {"in copied memory", in_copied_memory},
        {"each entry of the batch alone", entry_by_entry},
        {"beside threads with the same description", beside_the_same},
        {"beside threads with other descriptions", beside_others},
    };
    if (clattn_device_open(&device, NULL, 0) != CLATTN_OK) {
        (void)fprintf(stderr, "%s\n", clattn_last_error());
        return 1;
    }
    real_info = device->info;
    static const char *const variants[] = {"staged", "lanes", "decode", "additive", "tiles"};
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
        take_cases(variants[v]);
        /* Saving a binary takes PoCL as long as its first run did, most of all for work-groups. */
        if (strcmp(variant, "tiles") == 0)
            (void)setenv("CLATTN_CACHE_DIR", "", 1);
        for (size_t g = 0; g < sizeof groups / sizeof *groups; g++)
            failures += run_group(groups[g].name, groups[g].test);
    }
    clattn_device_close(device);
    return failures;
}
