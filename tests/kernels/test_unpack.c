/* unpack.cl: every element where its tensor wants it, rounded once. A
 * rounding to nearest even is an exact operation of IEEE 754, so every
 * element is compared exactly with what the host makes of it. */
#include "ops/pack.h"
#include "support/device_limits.h"
#include "support/kernel_runs.h"
#include "support/named_tests.h"

#include <math.h>
#include <string.h>

typedef enum unpack_fill {
    FILL_PLAIN = 0,
    FILL_STEPS,  /* quarters of a last place of the stored type: below, on and above each tie */
    FILL_SPECIAL /* of the list below */
} unpack_fill;

typedef struct unpack_case {
    const char *name;
    clattn_dtype to, sums;
    int64_t B, Hq, Hkv, S, columns; /* 0: 1 */
    host_strides strides;
    unpack_fill fill;
} unpack_case;

/* clang-format off: one row, one case */
static const unpack_case cases[] = {
    {"one of all", .S = 1},
    {"no rows", .S = -1, .columns = 3},
    {"primes", .B = 2, .Hq = 3, .Hkv = 3, .S = 7, .columns = 19},
    {"grouped heads", .B = 3, .Hq = 6, .Hkv = 2, .S = 5, .columns = 9},
    {"one key head", .B = 2, .Hq = 5, .S = 3, .columns = 65},
    {"f32 padded", .Hq = 2, .S = 5, .columns = 9, .strides = STRIDES_PADDED},
    {"f32 transposed", .Hq = 2, .S = 5, .columns = 9, .strides = STRIDES_TRANSPOSED},
    {"f16 padded", .to = CLATTN_F16, .Hq = 2, .S = 5, .columns = 9, .strides = STRIDES_PADDED},
    {"f16 transposed", .to = CLATTN_F16, .B = 2, .Hq = 2, .S = 5, .columns = 9,
     .strides = STRIDES_TRANSPOSED},
    {"bf16 padded", .to = CLATTN_BF16, .B = 2, .Hq = 2, .S = 5, .columns = 9,
     .strides = STRIDES_PADDED},
    {"bf16 transposed", .to = CLATTN_BF16, .Hq = 2, .S = 5, .columns = 9,
     .strides = STRIDES_TRANSPOSED},
    {"f64 padded", .to = CLATTN_F64, .sums = CLATTN_F64, .B = 2, .Hq = 4, .Hkv = 2, .S = 5,
     .columns = 9, .strides = STRIDES_PADDED},
    {"f64 transposed", .to = CLATTN_F64, .sums = CLATTN_F64, .Hq = 2, .S = 5, .columns = 9,
     .strides = STRIDES_TRANSPOSED},
    {"f16 steps and ties", .to = CLATTN_F16, .S = 8, .columns = 1021, .fill = FILL_STEPS},
    {"bf16 steps and ties", .to = CLATTN_BF16, .S = 8, .columns = 1021, .fill = FILL_STEPS},
    {"f32 special numbers", .S = 3, .columns = 11, .fill = FILL_SPECIAL},
    {"f16 special numbers", .to = CLATTN_F16, .S = 3, .columns = 11, .fill = FILL_SPECIAL},
    {"bf16 special numbers", .to = CLATTN_BF16, .S = 3, .columns = 11, .fill = FILL_SPECIAL},
};
/* clang-format on */

/* NaNs whose payload lies where a bf16 has no bits, infinities, zeros, and what is nearest to
 * overflowing a bf16 or a half. */
static const uint32_t special[] = {0x7fc00000, 0x7f800001, 0x7fffffff, 0xffffffff, 0x7f800000,
                                   0xff800000, 0x00000000, 0x80000000, 0x7f7fffff, 0x7f7f8000,
                                   0x7f7f7fff, 0x477fefff, 0x477ff000, 0xc77fe000, 0x33800001};

static clattn_device *device;

typedef struct unpack_tensors {
    host_call memory;
    clattn_tensor packed, target;
} unpack_tensors;

static int64_t size_or_1(int64_t size)
{
    return size < 0 ? 0 : size ? size : 1;
}

static void fill_packed(const clattn_tensor *packed, const unpack_case *c)
{
    const double step = c->to == CLATTN_F16 ? 0x1p-12 : 0x1p-9;
    for (size_t i = 0; i < clattn_tensor_count(packed); i++) {
        if (c->fill == FILL_SPECIAL)
            memcpy((float *)packed->host + i, &special[i % (sizeof special / sizeof *special)],
                   sizeof *special);
        else if (c->fill == FILL_STEPS)
            host_tensor_set(packed, i, (i % 2 ? -1 : 1) * (1 + (double)i * step));
        else
            host_tensor_set(packed, i, (double)i / 7 - 30);
    }
}

static void make(unpack_tensors *t, const unpack_case *c)
{
    const int64_t B = size_or_1(c->B), Hq = size_or_1(c->Hq), S = size_or_1(c->S),
                  columns = size_or_1(c->columns);
    *t = (unpack_tensors){0};
    t->packed =
        host_call_tensor(&t->memory, c->sums, 2, (int64_t[]){B * Hq * S, columns}, STRIDES_DENSE);
    t->target = host_call_tensor(&t->memory, c->to, 4, (int64_t[]){B, Hq, S, columns}, c->strides);
    fill_packed(&t->packed, c);
    for (size_t i = 0; i < clattn_tensor_count(&t->target); i++)
        host_tensor_set(&t->target, i, (double)NAN);
}

static void run(unpack_tensors *t, const unpack_case *c)
{
    clattn__kernel kernel;
    lent_memory lent;
    make(t, c);
    lend(&lent, device, &t->memory);
    const clattn__call call = {.B = t->target.shape[0],
                               .Hq = t->target.shape[1],
                               .Hkv = size_or_1(c->Hkv),
                               .S = t->target.shape[2]};
    const clattn_tensor packed = lent_tensor(&lent, &t->packed),
                        target = lent_tensor(&lent, &t->target);
    const clattn_view view = clattn__view(&target);
    assert_status(CLATTN_OK, clattn__unpack_create(&kernel, device, c->sums));
    assert_status(CLATTN_OK, clattn__unpack_run(&kernel, device, NULL, packed.buffer, &call,
                                                target.shape[3], target.buffer, &view));
    take_back(&lent);
    clattn__kernel_release(&kernel);
}

/* The rows of all query heads of a key head lie together, and so do those of the tensor. */
static void compare(const unpack_tensors *t, const unpack_case *c)
{
    for (size_t i = 0; i < clattn_tensor_count(&t->target); i++) {
        double wanted = host_tensor_get(&t->packed, i);
        unsigned char stored[sizeof(double)];
        clattn_element_store(c->to, stored, 0, wanted);
        wanted = clattn_element_load(c->to, stored, 0);
        const double got = host_tensor_get(&t->target, i);
        assert_close(got, wanted, 0, "target", i);
        assert_true(isnan(wanted) || !signbit(wanted) == !signbit(got));
    }
    assert_true(host_tensor_gaps_untouched(&t->memory, &t->target));
}

static void unpacks(void **state)
{
    const unpack_case *c = *state;
    unpack_tensors first, second;
    if (!device_takes(device, c->sums))
        skip();
    run(&first, c);
    compare(&first, c);
    run(&second, c);
    assert_true(host_call_equal(&first.memory, &second.memory));
    host_call_free(&first.memory);
    host_call_free(&second.memory);
}

int main(void)
{
    named_tests tests = {0};
    device = kernel_device_open();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        named_tests_add(&tests, cases[i].name, unpacks, &cases[i]);
    const int failures = named_tests_run(&tests, "unpack", NULL, NULL);
    kernel_device_close(device);
    return failures;
}
