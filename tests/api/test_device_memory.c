/* Calls whose tensors lie in device memory: every dense case against the reference, whole and in
 * pieces; and tensors that reach beyond their buffers, which no kernel would notice. */
#include "device.h"
#include "support/cases.h"
#include "support/device_runs.h"
#include "support/named_tests.h"

#include <stdio.h>
#include <string.h>

enum { TENSORS = 18, OUTPUT = 11 /* the first of them */ };

static clattn_device *device;
static clattn_device_info real_info;

static clattn_tensor *tensor_of(clattn_attention_args *args, int index)
{
    clattn_tensor *const all[TENSORS] = {&args->query,         &args->key,          &args->value,
                                         &args->given_scores,  &args->mask,         &args->bias,
                                         &args->kv_lengths,    &args->alibi_slopes, &args->sinks,
                                         &args->weights_heads, &args->weights_rows, &args->output,
                                         &args->weights,       &args->scores,       &args->lse,
                                         &args->column_sums,   &args->argmax,       &args->entropy};
    return all[index];
}

/* A made call, and the same in device memory. */
typedef struct device_call {
    host_call made;
    clattn_attention_args args;
} device_call;

static void move(device_call *call, const clattn_case *from)
{
    case_make(&call->made, from);
    call->args = call->made.args;
    for (int t = 0; t < TENSORS; t++) {
        const clattn_tensor *host = tensor_of(&call->made.args, t);
        clattn_tensor *there = tensor_of(&call->args, t);
        if (host->rank == 0)
            continue;
        assert_status(CLATTN_OK,
                      clattn_tensor_alloc(there, device, host->dtype, host->rank, host->shape));
        assert_status(CLATTN_OK, clattn_tensor_write(there, device, host->host));
    }
}

static void leave(device_call *call)
{
    for (int t = 0; t < TENSORS; t++)
        clattn_tensor_free(tensor_of(&call->args, t), device);
    host_call_free(&call->made);
    device->info = real_info;
}

static void fetch_outputs(device_call *call)
{
    for (int t = OUTPUT; t < TENSORS; t++)
        if (tensor_of(&call->args, t)->rank)
            assert_status(CLATTN_OK, clattn_tensor_read(tensor_of(&call->args, t), device,
                                                        tensor_of(&call->made.args, t)->host));
}

/* Small enough to cut most cases, large enough for one head's keys and values. */
static void allocate_little(const host_call *call)
{
    const size_t heads = call->desc.kv_heads ? call->desc.kv_heads : 1;
    device->info.max_allocation = (clattn_tensor_count(&call->args.value) * 16 / heads + 4096) * 8;
}

static void run_in_buffers(const clattn_case *from, bool in_pieces)
{
    device_call call;
    clattn_plan *plan = NULL;
    clattn_report report;
    if (!device_takes_case(device, from))
        skip();
    move(&call, from);
    if (in_pieces)
        allocate_little(&call.made);
    assert_status(CLATTN_OK, clattn_plan_create(&plan, device, &call.made.desc));
    assert_status(CLATTN_OK, clattn_plan_run(plan, &call.args));
    fetch_outputs(&call);
    clattn_plan_destroy(plan);
    assert_status(CLATTN_OK, clattn_verify(&report, &call.made.desc, &call.made.args, 0));
    assert_verified(&report, from->name);
    leave(&call);
}

static void is_right(void **state)
{
    run_in_buffers(*state, false);
}

static void is_right_in_pieces(void **state)
{
    run_in_buffers(*state, true);
}

/* One tensor whose buffer ends too early, or begins too late. */
typedef struct misplaced {
    const char *words; /* that the sentence must hold; also the test's name */
    int tensor;
    int64_t offset;
} misplaced;

static const misplaced table[] = {
    {"query: bytes 4 to 1732, expected a place within its buffer of 1728 bytes", 0, 1},
    {"key: bytes -4 to 476, expected a place within its buffer of 480 bytes", 1, -1},
    {"value: bytes 4 to 564, expected a place within its buffer of 560 bytes", 2, 1},
    {"mask: bytes 1 to 361, expected a place within its buffer of 360 bytes", 4, 1},
    {"bias: bytes -4 to 1436, expected a place within its buffer of 1440 bytes", 5, -1},
    {"kv_lengths: bytes 4 to 12, expected a place within its buffer of 8 bytes", 6, 1},
    {"alibi_slopes: bytes 4 to 20, expected a place within its buffer of 16 bytes", 7, 1},
    {"sinks: bytes -4 to 12, expected a place within its buffer of 16 bytes", 8, -1},
    {"output: bytes 4 to 2020, expected a place within its buffer of 2016 bytes", OUTPUT, 1},
    {"output: bytes -4 to 2012, expected a place within its buffer of 2016 bytes", OUTPUT, -1},
    {"weights: bytes 4 to 604, expected a place within its buffer of 600 bytes", OUTPUT + 1, 1},
    {"scores: bytes 4 to 1444, expected a place within its buffer of 1440 bytes", OUTPUT + 2, 1},
    {"lse: bytes 4 to 292, expected a place within its buffer of 288 bytes", OUTPUT + 3, 1},
    {"column_sums: bytes -4 to 156, expected a place within its buffer of 160 bytes", OUTPUT + 4,
     -1},
    {"argmax: bytes 4 to 292, expected a place within its buffer of 288 bytes", OUTPUT + 5, 1},
    {"entropy: bytes 4 to 292, expected a place within its buffer of 288 bytes", OUTPUT + 6, 1},
    {"weights_heads: bytes 4 to 16, expected a place within its buffer of 12 bytes", OUTPUT - 2, 1},
    {"weights_rows: bytes -8 to 32, expected a place within its buffer of 40 bytes", OUTPUT - 1,
     -1},
};

static const clattn_case cut_along_every_axis = {
    .B = 2,
    .Hq = 4,
    .Hkv = 2,
    .S = 9,
    .T = 5,
    .D = 6,
    .Dv = 7,
    .weights_heads = CHOSEN(0, 1, 3),
    .weights_rows = CHOSEN(1, 2, 5, 7, 8),
    .flags = CLATTN_MASK | CLATTN_BIAS | CLATTN_KV_LENGTHS | CLATTN_ALIBI | CLATTN_SINKS};

/* Of which the first pieces alone would fit. */
static void is_refused_before_anything_is_written(void **state)
{
    const misplaced *m = *state;
    device_call call;
    host_call untouched;
    clattn_plan *plan = NULL;
    move(&call, &cut_along_every_axis);
    case_make(&untouched, &cut_along_every_axis);
    device->info.max_allocation = 4096;
    assert_status(CLATTN_OK, clattn_plan_create(&plan, device, &call.made.desc));
    tensor_of(&call.args, m->tensor)->offset = m->offset;
    assert_status(CLATTN_E_ARGUMENT, clattn_plan_run(plan, &call.args));
    if (!strstr(clattn_last_error(), m->words))
        fail_msg("\"%s\" does not say \"%s\"", clattn_last_error(), m->words);
    assert_status(CLATTN_OK, clattn_device_finish(device));
    fetch_outputs(&call);
    assert_true(host_call_equal(&call.made, &untouched));
    host_call_free(&untouched);
    clattn_plan_destroy(plan);
    leave(&call);
}

int main(void)
{
    named_tests whole = {0}, pieces = {0}, bad = {0};
    size_t count;
    const clattn_case *cases = cases_that_hurt(&count);
    int failures;
    if (clattn_device_open(&device, NULL, 0) != CLATTN_OK) {
        (void)fprintf(stderr, "%s\n", clattn_last_error());
        return 1;
    }
    real_info = device->info;
    for (size_t i = 0; i < count; i++) {
        if (cases[i].strides != STRIDES_DENSE)
            continue; /* clattn_tensor_write() takes rows without gaps */
        named_tests_add(&whole, cases[i].name, is_right, &cases[i]);
        named_tests_add(&pieces, cases[i].name, is_right_in_pieces, &cases[i]);
    }
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        named_tests_add(&bad, table[i].words, is_refused_before_anything_is_written, &table[i]);
    failures = named_tests_run(&whole, "device memory", NULL, NULL);
    failures += named_tests_run(&pieces, "device memory, in pieces", NULL, NULL);
    failures += named_tests_run(&bad, "device memory that is too small", NULL, NULL);
    clattn_device_close(device);
    return failures;
}
