/* Packed sequences on the device: the same bits as each sequence on its own, whatever lies beside it, in
 * pieces and with lengths in device memory; and what the memory of a device may hold in their place. */
#include "device.h"
#include "support/cases.h"
#include "support/device_runs.h"
#include "tuning/tuning.h"

#include <stdio.h>
#include <string.h>

static clattn_device *device;
static clattn_device_info real_info;
static const char *variant; /* asked for by name, or NULL */

static void free_pair(case_pair *p)
{
    case_pair_free(p);
    device->info = real_info;
}

/* Of all outputs, and of the gaps between their elements. */
static void assert_same_bits(const case_pair *p, const char *about)
{
    if (!host_call_equal(&p->first, &p->second))
        fail_msg("%s: other bits", about);
}

/* Rows [first, end) of a packed tensor as one entry of a batch in CLATTN_BSHD. */
static clattn_tensor entry_of(const clattn_tensor *packed, int64_t first, int64_t end)
{
    clattn_tensor entry = *packed;
    if (packed->rank == 0)
        return entry;
    entry.rank = 4;
    entry.offset += first * packed->strides[0];
    entry.shape[0] = 1, entry.strides[0] = 0;
    for (int axis = 0; axis < 3; axis++)
        entry.shape[axis + 1] = packed->shape[axis],
                           entry.strides[axis + 1] = packed->strides[axis];
    entry.shape[1] = end - first;
    return entry;
}

static clattn_tensor lse_entry_of(const clattn_tensor *packed, int64_t first, int64_t end)
{
    clattn_tensor entry = *packed;
    if (packed->rank == 0)
        return entry;
    entry.rank = 3;
    entry.offset += first * packed->strides[1];
    entry.shape[0] = 1, entry.strides[0] = 0;
    entry.shape[1] = packed->shape[0], entry.strides[1] = packed->strides[0];
    entry.shape[2] = end - first, entry.strides[2] = packed->strides[1];
    return entry;
}

/* Sequence b of a packed call, as a call that is not. */
static clattn_attention_args alone(const clattn_attention_args *args, size_t b)
{
    clattn_attention_args one = *args;
    const int64_t row = (int64_t)host_tensor_get(&args->cu_seqlens_q, b),
                  end = (int64_t)host_tensor_get(&args->cu_seqlens_q, b + 1),
                  key = (int64_t)host_tensor_get(&args->cu_seqlens_k, b),
                  key_end = (int64_t)host_tensor_get(&args->cu_seqlens_k, b + 1);
    one.query = entry_of(&args->query, row, end);
    one.output = entry_of(&args->output, row, end);
    one.lse = lse_entry_of(&args->lse, row, end);
    one.key = entry_of(&args->key, key, key_end);
    one.value = entry_of(&args->value, key, key_end);
    one.cu_seqlens_q = one.cu_seqlens_k = (clattn_tensor){0};
    return one;
}

static void as_each_alone(void **state)
{
    case_pair p;
    clattn_plan *of_one = NULL;
    case_pair_make(&p, device, *state, variant);
    clattn_attention_desc desc = p.first.desc;
    desc.flags &= ~(uint32_t)CLATTN_PACKED;
    desc.layout = CLATTN_BSHD;
    desc.variant = clattn_plan_variant(p.plan);
    assert_status(CLATTN_OK, clattn_plan_create(&of_one, device, &desc));
    for (size_t b = 0; b + 1 < clattn_tensor_count(&p.second.args.cu_seqlens_q); b++) {
        const clattn_attention_args one = alone(&p.second.args, b);
        run_to_end(device, of_one, &one);
    }
    clattn_plan_destroy(of_one);
    assert_same_bits(&p, "each sequence alone");
    free_pair(&p);
}

/* Ever smaller ones, down to where not even a row fits; cut along heads and rows. */
static void in_pieces(void **state)
{
    clattn_status status = CLATTN_OK;
    size_t cuts = 0;
    case_pair p;
    case_pair_make(&p, device, *state, variant);
    const bool empty = clattn_tensor_count(&p.first.args.query) == 0;
    uint64_t limit = 16 * (clattn_tensor_count(&p.first.args.query) +
                           clattn_tensor_count(&p.first.args.value) + 16);
    for (; limit && status == CLATTN_OK; limit /= 2, cuts++) {
        device->info.max_allocation = limit;
        device->info.unified_memory = cuts % 2;
        wipe_outputs(&p.second);
        status = clattn_plan_run(p.plan, &p.second.args);
        assert_status(CLATTN_OK, clattn_device_finish(device));
        if (status == CLATTN_OK)
            assert_same_bits(&p, "pieces");
    }
    assert_int_equal(status, empty ? CLATTN_OK : CLATTN_E_UNSUPPORTED);
    assert_true(cuts > 2);
    free_pair(&p);
}

/* Cumulative lengths in device memory in place of the host's. */
static void move_lengths(clattn_attention_args *args, const void *q, const void *k)
{
    clattn_tensor *const starts[] = {&args->cu_seqlens_q, &args->cu_seqlens_k};
    const void *const data[] = {q, k};
    for (size_t t = 0; t < 2; t++) {
        const clattn_tensor host = *starts[t];
        assert_status(CLATTN_OK, clattn_tensor_alloc(starts[t], device, host.dtype, 1, host.shape));
        assert_status(CLATTN_OK,
                      clattn_tensor_write(starts[t], device, data[t] ? data[t] : host.host));
    }
}

static void free_lengths(clattn_attention_args *args)
{
    clattn_tensor_free(&args->cu_seqlens_q, device);
    clattn_tensor_free(&args->cu_seqlens_k, device);
}

static void with_lengths_on_the_device(void **state)
{
    case_pair p;
    case_pair_make(&p, device, *state, variant);
    clattn_attention_args args = p.second.args;
    move_lengths(&args, NULL, NULL);
    run_to_end(device, p.plan, &args);
    free_lengths(&args);
    assert_same_bits(&p, "lengths in device memory");
    free_pair(&p);
}

#define SEQUENCES 4
static const clattn_case odd = {.name = "odd lengths",
                                .Hq = 4,
                                .Hkv = 2,
                                .D = 16,
                                .packed = PACKED({5, 9}, {30, 20}, {1, 17}, {20, 4}),
                                .flags = CLATTN_CAUSAL};

/* What a device's memory holds, and what it is taken for. */
typedef struct odd_lengths {
    const char *name;
    int32_t q[SEQUENCES + 1], k[SEQUENCES + 1];
} odd_lengths;

/* Ends beyond the totals are the totals. */
static void beyond_the_totals_is_clamped(void **state)
{
    static const int32_t q[] = {-7, 5, 35, 36, 999}, k[] = {INT32_MIN, 9, 29, 46, INT32_MAX};
    case_pair p;
    (void)state;
    case_pair_make(&p, device, &odd, variant);
    clattn_attention_args args = p.second.args;
    move_lengths(&args, q, k);
    run_to_end(device, p.plan, &args);
    free_lengths(&args);
    assert_same_bits(&p, "lengths beyond the totals");
    free_pair(&p);
}

/* Nothing is read or written beyond the tensors, whose memory ends at a page that nobody may touch;
 * whatever the numbers, and where a call is cut. */
static void any_numbers_stay_within_the_tensors(void **state)
{
    const odd_lengths *lengths = *state;
    case_pair p;
    case_pair_make(&p, device, &odd, variant);
    clattn_attention_args args = p.second.args;
    move_lengths(&args, lengths->q, lengths->k);
    run_to_end(device, p.plan, &args);
    device->info.max_allocation = sizeof(float[50][16]);
    if (strcmp(variant, "staged") == 0) /* which needs room for scores, too */
        device->info.max_allocation *= 8;
    run_to_end(device, p.plan, &args);
    free_lengths(&args);
    assert_true(host_tensor_gaps_untouched(&p.second, &args.output));
    free_pair(&p);
}

static const odd_lengths table[] = {
    {"lengths that fall", {0, 40, 10, 30, 56}, {0, 40, 10, 30, 50}},
    {"lengths that begin late and end early", {3, 9, 20, 30, 40}, {7, 8, 9, 10, 11}},
    {"lengths that are all the totals", {56, 56, 56, 56, 56}, {50, 50, 50, 50, 50}},
    {"lengths that are all 0", {0}, {0}},
    {"lengths the wrong way round", {56, 40, 30, 10, 0}, {50, 40, 30, 10, 0}},
    {"lengths of no sense", {-1, INT32_MAX, INT32_MIN, 7, 12345}, {INT32_MAX, -1, 3, INT32_MIN, 9}},
};

/* Rows that no sequence has are nobody's; those of a sequence are right beside them. */
static void rows_of_sequences_are_right_beside_rows_of_none(void **state)
{
    static const int32_t q[] = {5, 35, 36, 36, 36}, k[] = {9, 29, 46, 46, 46};
    case_pair p;
    (void)state;
    case_pair_make(&p, device, &odd, variant);
    clattn_attention_args args = p.second.args;
    wipe_outputs(&p.second);
    move_lengths(&args, q, k);
    run_to_end(device, p.plan, &args);
    free_lengths(&args);
    const clattn_tensor *wanted = &p.first.args.output, *got = &p.second.args.output;
    const size_t row = clattn_tensor_count(got) / 56;
    for (size_t i = 5 * row; i < 36 * row; i++)
        assert_true(host_tensor_get(got, i) == host_tensor_get(wanted, i));
    free_pair(&p);
}

/* Whoever takes sequences of one length takes packed ones one after the other, if each can be taken. */
static void other_variants_take_each(void **state)
{
    host_call call;
    clattn_plan *plan = NULL;
    (void)state;
    case_make(&call, &odd);
    run_and_verify(device, &call, "staged", odd.name);
    plan = plan_of(device, &call, "staged");
    assert_non_null(strstr(clattn_plan_explain(plan), "one after the other"));
    clattn_plan_destroy(plan);
    plan = plan_of(device, &call, "decode");
    assert_status(CLATTN_E_UNSUPPORTED, clattn_plan_run(plan, &call.args));
    assert_last_error_says("decode: 30 queries");
    clattn_plan_destroy(plan);
    plan = plan_of(device, &call, NULL);
    assert_non_null(strstr(clattn_plan_explain(plan), "staged: refused: sequences are packed"));
    assert_null(strstr(clattn_plan_explain(plan), "one after the other"));
    clattn_plan_destroy(plan);
    host_call_free(&call);
}

/* By tiles, or else by what is slow there and better than nothing. */
static void gpu_like_devices_take_them_too(void **state)
{
    const clattn__tuning *real_tuning = device->tuning;
    size_t count;
    const clattn__tuning *rows = clattn__tuning_rows(&count);
    host_call call;
    (void)state;
    case_make(&call, &odd);
    device->tuning = &rows[count - 1];
    device->info.kind = CLATTN_DEVICE_GPU_DISCRETE;
    assert_false(device->tuning->cpu_like);
    run_and_verify(device, &call, "tiles", odd.name);
    device->info.max_work_group = 8; /* that is too few for any tile */
    run_and_verify(device, &call, "lanes", odd.name);
    host_call_free(&call);
    device->tuning = real_tuning;
    device->info = real_info;
}

static void operations_are_those_of_each_sequence(void **state)
{
    case_pair p;
    (void)state;
    case_pair_make(&p, device, &odd, variant);
    clattn_attention_args args = p.second.args;
    const double wanted = 2.0 * (16 + 16) * 4 * (5 * 9 + 30 * 20 + 1 * 17 + 20 * 4);
    assert_true(clattn_plan_flops(p.plan, &args) == wanted);
    move_lengths(&args, NULL, NULL);
    assert_true(clattn_plan_flops(p.plan, &args) == 0);
    free_lengths(&args);
    free_pair(&p);
}

/* Cases that the device takes; for `tiles` those of one type, as a driver builds it for long and
 * kernels/test_tiles.c has the others. */
static void add_own_cases(named_tests *tests, CMUnitTestFunction test)
{
    const bool one_type = variant && strcmp(variant, "tiles") == 0;
    size_t count;
    const clattn_case *cases = cases_packed(&count);
    for (size_t i = 0; i < count; i++)
        if (device_takes_case(device, &cases[i]) && (!one_type || cases[i].dtype == CLATTN_F32))
            named_tests_add(tests, cases[i].name, test, &cases[i]);
}

static int run_with(const char *name)
{
    int failures = 0;
    const struct {
        const char *name;
        CMUnitTestFunction test;
    } groups[] = {
        {"packed, each sequence alone", as_each_alone},
        {"packed, in pieces", in_pieces},
        {"packed, lengths in device memory", with_lengths_on_the_device},
    };
    named_tests tests = {0};
    variant = name;
    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
        add_own_cases(&tests, groups[g].test);
        failures += named_tests_run(&tests, groups[g].name, NULL, NULL);
    }
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        named_tests_add(&tests, table[i].name, any_numbers_stay_within_the_tensors, &table[i]);
    named_tests_add(&tests, "beyond the totals", beyond_the_totals_is_clamped, NULL);
    named_tests_add(&tests, "rows of none", rows_of_sequences_are_right_beside_rows_of_none, NULL);
    return failures + named_tests_run(&tests, "packed, odd lengths", NULL, NULL);
}

int main(void)
{
    int failures = 0;
    named_tests tests = {0};
    if (clattn_device_open(&device, NULL, 0) != CLATTN_OK) {
        (void)fprintf(stderr, "%s\n", clattn_last_error());
        return 1;
    }
    real_info = device->info;
    failures += run_with("lanes");
    failures += run_with("tiles");
    failures += run_with("staged"); /* which has them one after the other */
    variant = NULL;
    named_tests_add(&tests, "other variants", other_variants_take_each, NULL);
    named_tests_add(&tests, "GPU-like devices", gpu_like_devices_take_them_too, NULL);
    named_tests_add(&tests, "operations", operations_are_those_of_each_sequence, NULL);
    failures += named_tests_run(&tests, "packed", NULL, NULL);
    clattn_device_close(device);
    return failures;
}
