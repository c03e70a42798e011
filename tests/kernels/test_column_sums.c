/* column_sums.cl: sums of rows against plain loops in double, whole and of one piece of rows after the other.
 * What a compensated sum errs by does not grow with the number of rows. */
#include "ops/column_sums.h"
#include "support/checks.h"
#include "support/device_limits.h"
#include "support/kernel_runs.h"
#include "support/named_tests.h"

#include <math.h>

typedef struct sums_case {
    const char *name;
    clattn_dtype dtype;
    int64_t B, Hq, S, T;
    bool deferred, constant, infinite, huge, hidden;
    host_strides strides;
} sums_case;

/* clang-format off: one row, one case */
static const sums_case cases[] = {
    {"one of all", .B = 1, .Hq = 1, .S = 1, .T = 1},
    {"no queries", .B = 2, .Hq = 2, .S = 0, .T = 5},
    {"no keys", .B = 2, .Hq = 2, .S = 3, .T = 0},
    {"primes", .B = 2, .Hq = 3, .S = 7, .T = 19},
    {"one past a vector", .B = 1, .Hq = 2, .S = 5, .T = 17},
    {"one past a work-item", .B = 1, .Hq = 2, .S = 5, .T = 129},
    {"factors", .B = 2, .Hq = 3, .S = 33, .T = 40, .deferred = true},
    {"padded", .B = 2, .Hq = 3, .S = 9, .T = 23, .strides = STRIDES_PADDED},
    {"transposed", .B = 2, .Hq = 3, .S = 9, .T = 23, .strides = STRIDES_TRANSPOSED},
    {"many rows", .B = 1, .Hq = 1, .S = 20000, .T = 3},
    {"many rows alike", .B = 1, .Hq = 1, .S = 20000, .T = 3, .constant = true},
    {"an infinite weight", .B = 1, .Hq = 2, .S = 9, .T = 5, .infinite = true},
    {"sums beyond the range", .B = 1, .Hq = 1, .S = 9, .T = 5, .huge = true},
    {"hidden from a row of NaN", .B = 1, .Hq = 2, .S = 9, .T = 21, .deferred = true,
     .hidden = true},
    {"f64", .dtype = CLATTN_F64, .B = 2, .Hq = 3, .S = 33, .T = 40, .deferred = true},
    {"f64, many rows alike", .dtype = CLATTN_F64, .B = 1, .Hq = 1, .S = 20000, .T = 3,
     .constant = true},
};
/* clang-format on */

static clattn_device *device;

typedef struct sums_tensors {
    host_call memory;
    clattn_tensor weights, factors, sums;
    int64_t stride;
} sums_tensors;

static void make(sums_tensors *t, const sums_case *c)
{
    *t = (sums_tensors){.stride = clattn__round_up(c->T, 16) + 16};
    const int64_t rows = c->B * c->Hq * c->S;
    t->weights =
        host_call_tensor(&t->memory, c->dtype, 2, (int64_t[]){rows, t->stride}, STRIDES_DENSE);
    t->factors = host_call_tensor(&t->memory, c->dtype, 1, &rows, STRIDES_DENSE);
    t->sums = host_call_tensor(&t->memory, c->dtype, 3, (int64_t[]){c->B, c->Hq, c->T}, c->strides);
    for (int64_t r = 0; r < rows; r++) {
        host_tensor_set(&t->factors, (size_t)r, c->deferred ? 1.0 / (double)(r % 7 + 1) : 1);
        for (int64_t j = 0; j < c->T; j++)
            host_tensor_set(&t->weights, (size_t)(r * t->stride + j),
                            c->huge       ? -0x1.fffffep127
                            : c->constant ? 1.0 / 3
                                          : 1.0 / (double)((r * 31 + j * 17) % 101 + 1));
    }
    if (c->infinite)
        host_tensor_set(&t->weights, 2, (double)INFINITY);
    for (int64_t j = 0; c->hidden && j < c->T; j += 2)
        host_tensor_set(&t->weights, (size_t)(3 * t->stride + j), -0.0);
    if (c->hidden)
        host_tensor_set(&t->factors, 3, (double)NAN);
    for (size_t i = 0; i < clattn_tensor_count(&t->sums); i++)
        host_tensor_set(&t->sums, i, (double)NAN);
}

/* In pieces of `piece` rows, where there is one head. */
static void run(sums_tensors *t, const sums_case *c, int64_t piece)
{
    clattn__kernel kernel;
    lent_memory lent;
    lend(&lent, device, &t->memory);
    const clattn_tensor weights = lent_tensor(&lent, &t->weights),
                        factors = lent_tensor(&lent, &t->factors);
    const clattn_tensor dense = lent_tensor(&lent, &t->sums);
    clattn__call call = {.B = c->B, .Hq = c->Hq, .T = c->T};
    call.column_sums = dense;
    call.column_sums.rank = 4;
    call.column_sums.shape[2] = 1, call.column_sums.strides[2] = 0;
    call.column_sums.shape[3] = c->T, call.column_sums.strides[3] = dense.strides[2];
    assert_status(CLATTN_OK, clattn__column_sums_create(&kernel, device, c->dtype));
    for (int64_t first = 0; first == 0 || first < c->S; first += piece) {
        cl_mem rows = weights.buffer;
        call.first_row = first;
        call.S = c->S - first < piece ? c->S - first : piece;
        cl_buffer_region region = {(size_t)(first * t->stride) * clattn_dtype_size(c->dtype),
                                   (size_t)(call.S * t->stride) * clattn_dtype_size(c->dtype)};
        cl_int error = CL_SUCCESS;
        if (first > 0)
            rows = clCreateSubBuffer(weights.buffer, CL_MEM_READ_ONLY, CL_BUFFER_CREATE_TYPE_REGION,
                                     &region, &error);
        assert_int_equal(error, CL_SUCCESS);
        if (clattn_tensor_count(&t->sums))
            assert_status(CLATTN_OK, clattn__column_sums_run(&kernel, device, NULL, &call,
                                                             rows ? rows : dense.buffer, t->stride,
                                                             c->deferred ? factors.buffer : NULL));
        if (first > 0)
            (void)clReleaseMemObject(rows);
    }
    take_back(&lent);
    clattn__kernel_release(&kernel);
}

static void verify(const sums_tensors *t, const sums_case *c, double places)
{
    const double unit = c->dtype == CLATTN_F64 ? 0x1p-53 : 0x1p-24;
    for (int64_t h = 0; h < c->B * c->Hq; h++)
        for (int64_t j = 0; j < c->T; j++) {
            long double sum = 0;
            for (int64_t r = h * c->S; r < (h + 1) * c->S; r++) {
                const double w = host_tensor_get(&t->weights, (size_t)(r * t->stride + j));
                if (w != 0 || !signbit(w)) /* else the key is hidden */
                    sum += (long double)w * (long double)host_tensor_get(&t->factors, (size_t)r);
            }
            const size_t at = (size_t)(h * c->T + j);
            assert_close(host_tensor_get(&t->sums, at), c->huge ? -(double)INFINITY : (double)sum,
                         (double)fabsl(sum) * unit * places, c->name, at);
        }
    assert_true(host_tensor_gaps_untouched(&t->memory, &t->sums));
}

/* A product with a factor rounds once, a compensated sum twice. */
static void sums_columns(void **state)
{
    const sums_case *c = *state;
    sums_tensors t;
    if (!device_takes(device, c->dtype) || !device_loops(device, c->S))
        skip();
    make(&t, c);
    run(&t, c, c->S ? c->S : 1);
    verify(&t, c, 3.5);
    host_call_free(&t.memory);
    if (c->B * c->Hq > 1 || c->deferred)
        return;
    /* And each piece once. */
    make(&t, c);
    run(&t, c, 8192);
    verify(&t, c, 6);
    host_call_free(&t.memory);
}

int main(void)
{
    named_tests tests = {0};
    device = kernel_device_open();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        named_tests_add(&tests, cases[i].name, sums_columns, &cases[i]);
    const int failures = named_tests_run(&tests, "column_sums", NULL, NULL);
    kernel_device_close(device);
    return failures;
}
