/* Host tensors that share memory, or lie in it with gaps: what is in place on one device and copied
 * on another must give the same, and what is not a tensor's own must stay as it was. */
#include "device.h"
#include "support/checks.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { B = 2, H = 3, S = 37, D = 8, PACKED = 3 * H * D };

static clattn_device *device;
static float packed[B][S][3][H][D], output[B][S][H][D], woven[B][S][2][H][D];

static void fill(void)
{
    float *at = &packed[0][0][0][0][0];
    for (size_t i = 0; i < sizeof packed / sizeof *at; i++)
        at[i] = 0.01f * (float)(i * 7919 % 251) - 1.25f;
}

/* Query, key or value of one packed array, as a projection of all three leaves them. */
static clattn_tensor part(int which)
{
    clattn_tensor t = clattn_tensor_host(CLATTN_F32, packed, 4, (int64_t[]){B, S, H, D});
    t.strides[1] = PACKED;
    t.strides[0] = (int64_t)S * PACKED;
    t.offset = (int64_t)which * H * D;
    return t;
}

static void run_and_judge(const clattn_tensor *query, const clattn_tensor *key,
                          const clattn_tensor *value, const clattn_tensor *out)
{
    clattn_attention_desc desc = {
        .struct_size = sizeof desc, .query_heads = H, .head_size = D, .layout = CLATTN_BSHD};
    clattn_attention_args args = {
        .struct_size = sizeof args, .query = *query, .key = *key, .value = *value, .output = *out};
    clattn_plan *plan = NULL;
    clattn_report report;
    assert_status(CLATTN_OK, clattn_plan_create(&plan, device, &desc));
    for (int n = 0; n < 2; n++) {
        assert_status(CLATTN_OK, clattn_plan_run(plan, &args));
        assert_status(CLATTN_OK, clattn_device_finish(device));
    }
    clattn_plan_destroy(plan);
    assert_status(CLATTN_OK, clattn_verify(&report, &desc, &args, 0));
    assert_verified(&report, "host tensors that share memory");
}

static void packed_inputs(void **state)
{
    const clattn_tensor q = part(0), k = part(1), v = part(2),
                        o = clattn_tensor_host(CLATTN_F32, output, 4, (int64_t[]){B, S, H, D});
    (void)state;
    run_and_judge(&q, &k, &v, &o);
}

static void one_tensor_for_all_inputs(void **state)
{
    const clattn_tensor all = part(1),
                        o = clattn_tensor_host(CLATTN_F32, output, 4, (int64_t[]){B, S, H, D});
    (void)state;
    run_and_judge(&all, &all, &all, &o);
}

/* The output fills the place of one part of the packed array, between the inputs. */
static void output_between_inputs(void **state)
{
    const clattn_tensor q = part(0), k = part(2), o = part(1);
    (void)state;
    run_and_judge(&q, &k, &k, &o);
    fill();
}

/* Every second row is another's. */
static void gaps_of_an_output(void **state)
{
    const clattn_tensor q = part(0), k = part(1), v = part(2);
    clattn_tensor o = clattn_tensor_host(CLATTN_F32, woven, 4, (int64_t[]){B, S, H, D});
    (void)state;
    o.strides[1] *= 2, o.strides[0] *= 2;
    for (size_t i = 0; i < sizeof woven / sizeof(float); i++)
        (&woven[0][0][0][0][0])[i] = 7.5f;
    run_and_judge(&q, &k, &v, &o);
    for (int b = 0; b < B; b++)
        for (int s = 0; s < S; s++)
            for (int i = 0; i < H * D; i++)
                assert_true((&woven[b][s][1][0][0])[i] == 7.5f);
}

/* A device that allocates less than two overlapping inputs together, but more than each. */
static void a_union_beyond_an_allocation(void **state)
{
    const clattn_device_info real = device->info;
    clattn_tensor q = part(0), k = part(0),
                  o = clattn_tensor_host(CLATTN_F32, output, 4, (int64_t[]){1, S, H, D});
    (void)state;
    q.shape[0] = k.shape[0] = 1;
    k.offset += (int64_t)30 * PACKED; /* from query 30 on */
    device->info.max_allocation = 12000;
    assert_true(sizeof(float) * PACKED * (S + 30) > device->info.max_allocation);
    run_and_judge(&q, &k, &k, &o);
    device->info = real;
}

/* Masks and biases woven into records: elements of one byte, whose memory begins between two of the
 * other's elements. */
static void records_of_two_types(void **state)
{
    static struct record {
        unsigned char pad[3], mask;
        float bias;
    } records[S][S];
    static float out[S][D], weights[S][S];
    clattn_attention_desc desc = {.struct_size = sizeof desc,
                                  .head_size = D,
                                  .flags = CLATTN_MASK | CLATTN_BIAS,
                                  .outputs = CLATTN_OUTPUT | CLATTN_WEIGHTS};
    clattn_attention_args args = {.struct_size = sizeof args};
    clattn_plan *plan = NULL;
    clattn_report report;
    (void)state;
    for (int i = 0; i < S; i++)
        for (int j = 0; j < S; j++)
            records[i][j] =
                (struct record){.mask = (i + j) % 3 != 0, .bias = 0.25f * (float)(i - j)};
    args.query = args.key = args.value =
        clattn_tensor_host(CLATTN_F32, packed, 2, (int64_t[]){S, D});
    args.output = clattn_tensor_host(CLATTN_F32, out, 2, (int64_t[]){S, D});
    args.weights = clattn_tensor_host(CLATTN_F32, weights, 2, (int64_t[]){S, S});
    args.mask = clattn_tensor_host(CLATTN_BOOL, &records[0][0].mask, 2, (int64_t[]){S, S});
    args.bias = clattn_tensor_host(CLATTN_F32, &records[0][0].bias, 2, (int64_t[]){S, S});
    const int64_t bytes = sizeof(struct record), floats = bytes / (int64_t)sizeof(float);
    args.mask.strides[0] = S * bytes, args.mask.strides[1] = bytes;
    args.bias.strides[0] = S * floats, args.bias.strides[1] = floats;
    assert_status(CLATTN_OK, clattn_plan_create(&plan, device, &desc));
    assert_status(CLATTN_OK, clattn_plan_run(plan, &args));
    assert_status(CLATTN_OK, clattn_device_finish(device));
    clattn_plan_destroy(plan);
    assert_status(CLATTN_OK, clattn_verify(&report, &desc, &args, 0));
    assert_verified(&report, "records of two types");
}

/* A device that allocates less than the span of one head, but more than its elements. */
static void spans_beyond_an_allocation(void **state)
{
    const clattn_device_info real = device->info;
    device->info.max_allocation = 9000;
    assert_true(sizeof packed / B > device->info.max_allocation);
    packed_inputs(state);
    device->info.unified_memory = 0;
    packed_inputs(state);
    gaps_of_an_output(state);
    device->info = real;
}

static void copied(void **state)
{
    const clattn_device_info real = device->info;
    device->info.unified_memory = 0;
    packed_inputs(state);
    one_tensor_for_all_inputs(state);
    output_between_inputs(state);
    gaps_of_an_output(state);
    device->info = real;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packed_inputs),
        cmocka_unit_test(one_tensor_for_all_inputs),
        cmocka_unit_test(output_between_inputs),
        cmocka_unit_test(gaps_of_an_output),
        cmocka_unit_test(spans_beyond_an_allocation),
        cmocka_unit_test(a_union_beyond_an_allocation),
        cmocka_unit_test(records_of_two_types),
        cmocka_unit_test(copied),
    };
    int failures;
    if (clattn_device_open(&device, NULL, 0) != CLATTN_OK) {
        (void)fprintf(stderr, "%s\n", clattn_last_error());
        return 1;
    }
    fill();
    failures = cmocka_run_group_tests_name("host tensors in memory", tests, NULL, NULL);
    clattn_device_close(device);
    return failures;
}
