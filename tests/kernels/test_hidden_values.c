/* hidden_values.cl: values that are not finite, added to the rows that may see them and to no
 * other.
 *
  * Which rows see a key is taken from the reference's modified scores; what is added is exact: a
  * NaN, an infinity, or nothing. */
#include "ops/hidden_values.h"
#include "ops/pack.h"
#include "support/cases.h"
#include "support/kernel_runs.h"
#include "support/named_tests.h"

#include <math.h>

typedef enum marks {
    MARKS_TRUE = 0, /* the blocks that hold what is not finite */
    MARKS_ALL,      /* every block, as if each held some */
    MARKS_NONE      /* no block: then nothing may be looked for */
} marks;

typedef struct hidden_case {
    clattn_case problem; /* on given scores; its name is the test's */
    int64_t width;       /* of a panel */
    size_t every;        /* every how many elements of the values one is not finite; 0: none */
    marks marks;
} hidden_case;

#define PROBLEM .score = CLATTN_SCORE_GIVEN, .outputs = CLATTN_OUTPUT | CLATTN_SCORES, .D = 1
/* clang-format off: one row, one case */
static const hidden_case cases[] = {
    {{"one of all", PROBLEM, .S = 1, .T = 1, .Dv = 1}, .width = 1, .every = 1},
    {{"all finite", PROBLEM, .Hq = 2, .S = 9, .T = 70, .Dv = 9, .flags = CLATTN_CAUSAL},
     .width = 8,
     .marks = MARKS_ALL},
    {{"no flag", PROBLEM, .Hq = 2, .S = 9, .T = 70, .Dv = 9},
     .width = 8,
     .every = 5,
     .marks = MARKS_NONE},
    {{"causal", PROBLEM, .Hq = 2, .S = 33, .T = 33, .Dv = 17, .flags = CLATTN_CAUSAL},
     .width = 16,
     .every = 13},
    {{"causal, bottom-right, grouped", PROBLEM, .B = 2, .Hq = 6, .Hkv = 2, .S = 7, .T = 131,
      .Dv = 33, .flags = CLATTN_CAUSAL, .alignment = CLATTN_BOTTOM_RIGHT},
     .width = 32,
     .every = 97},
    {{"one past a work-item's rows", PROBLEM, .Hq = 5, .Hkv = 1, .S = 13, .T = 65, .Dv = 3,
      .flags = CLATTN_CAUSAL},
     .width = 32,
     .every = 7},
    {{"lengths", PROBLEM, .B = 3, .Hq = 2, .S = 5, .T = 129, .Dv = 5, .flags = CLATTN_KV_LENGTHS},
     .width = 4,
     .every = 11},
    {{"window", PROBLEM, .S = 40, .T = 90, .Dv = 2, .flags = CLATTN_WINDOW, .window_left = 5,
      .window_right = 3},
     .width = 1,
     .every = 9},
    {{"bool mask", PROBLEM, .B = 2, .Hq = 2, .S = 9, .T = 67, .Dv = 7, .flags = CLATTN_MASK},
     .width = 16,
     .every = 10},
    {{"float mask", PROBLEM, .B = 2, .Hq = 2, .S = 9, .T = 67, .Dv = 7, .flags = CLATTN_MASK,
      .mask = MASK_FLOAT_FULL},
     .width = 16,
     .every = 10},
    {{"every second row masked", PROBLEM, .B = 2, .S = 18, .T = 17, .Dv = 3, .flags = CLATTN_MASK,
      .mask = MASK_NONE_VISIBLE},
     .width = 8,
     .every = 4},
    {{"f16 padded", PROBLEM, .dtype = CLATTN_F16, .Hq = 2, .S = 9, .T = 21, .Dv = 7,
      .flags = CLATTN_CAUSAL, .strides = STRIDES_PADDED},
     .width = 8,
     .every = 6},
    {{"bf16 transposed", PROBLEM, .dtype = CLATTN_BF16, .Hq = 2, .S = 9, .T = 21, .Dv = 7,
      .flags = CLATTN_CAUSAL, .strides = STRIDES_TRANSPOSED},
     .width = 8,
     .every = 6},
    {{"f32 bshd", PROBLEM, .B = 2, .Hq = 4, .Hkv = 2, .S = 9, .T = 21, .Dv = 7,
      .layout = CLATTN_BSHD, .flags = CLATTN_CAUSAL},
     .width = 8,
     .every = 6},
    {{"f64", PROBLEM, .dtype = CLATTN_F64, .Hq = 2, .S = 9, .T = 70, .Dv = 9,
      .flags = CLATTN_CAUSAL},
     .width = 8,
     .every = 6},
};
/* clang-format on */

static clattn_device *device;

typedef struct hidden_tensors {
    host_call memory;
    clattn__problem problem;
    clattn__call call;
    int64_t stride;
    clattn_tensor weights, flags, before; /* the output as the product left it */
} hidden_tensors;

static double value_at(const hidden_tensors *t, int64_t b, int64_t g, int64_t j, int64_t d)
{
    const clattn_tensor *value = &t->call.value;
    return clattn_element_load(value->dtype, value->host, (size_t)clattn__at(value, b, g, j, d));
}

static void spoil(const clattn_tensor *value, size_t every)
{
    static const double not_finite[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    for (size_t i = every; every && i <= clattn_tensor_count(value); i += every)
        host_tensor_set(value, i - 1, not_finite[i / every % 3]);
}

/* A flag for each panel of columns and block of keys, [B*Hkv][panels][blocks]. */
static void set_flags(hidden_tensors *t, const hidden_case *c)
{
    const clattn__call *call = &t->call;
    const int64_t panels = clattn__ceil_div(call->Dv, c->width),
                  blocks = clattn__ceil_div(call->T, CLATTN__PACK_DEPTHS),
                  count = call->B * call->Hkv * panels * blocks;
    t->flags = host_call_tensor(&t->memory, CLATTN_BOOL, 1, &count, STRIDES_DENSE);
    for (int64_t g = 0; g < call->B * call->Hkv; g++)
        for (int64_t j = 0; j < call->T; j++)
            for (int64_t d = 0; d < call->Dv; d++) {
                const double v = value_at(t, g / call->Hkv, g % call->Hkv, j, d);
                if (c->marks == MARKS_ALL || (c->marks == MARKS_TRUE && !isfinite(v)))
                    host_tensor_set(
                        &t->flags,
                        (size_t)((g * panels + d / c->width) * blocks + j / CLATTN__PACK_DEPTHS),
                        1);
            }
}

static void make(hidden_tensors *t, const hidden_case *c)
{
    clattn_case problem = c->problem;
    problem.stage = CLATTN_SCORES_MODIFIED;
    *t = (hidden_tensors){0};
    case_make(&t->memory, &problem);
    clattn_attention_args *args = &t->memory.args;
    assert_status(CLATTN_OK, clattn_reference_run(&t->memory.desc, args));
    spoil(&args->value, c->every);
    assert_status(CLATTN_OK, clattn__problem_init(&t->problem, &t->memory.desc));
    assert_status(CLATTN_OK, clattn__call_init(&t->call, &t->problem, args));
    const clattn_dtype sums = problem.dtype == CLATTN_F64 ? CLATTN_F64 : CLATTN_F32;
    const int64_t rows = t->call.B * t->call.Hq * t->call.S;
    t->stride = t->call.T + 3;
    t->weights = host_call_tensor(&t->memory, sums, 2, (int64_t[]){rows, t->stride}, STRIDES_DENSE);
    for (size_t i = 0; i < clattn_tensor_count(&t->weights); i++)
        host_tensor_set(&t->weights, i, (double)(i % 5) / 8); /* one of five is 0 */
    set_flags(t, c);
    t->before = host_call_tensor(&t->memory, args->output.dtype, args->output.rank,
                                 args->output.shape, STRIDES_DENSE);
    for (size_t i = 0; i < clattn_tensor_count(&t->before); i++) {
        host_tensor_set(&t->before, i, (double)(i % 17) / 4);
        host_tensor_set(&args->output, i, (double)(i % 17) / 4);
    }
}

static void run(hidden_tensors *t, const hidden_case *c)
{
    clattn__kernel kernel;
    lent_memory lent;
    make(t, c);
    lend(&lent, device, &t->memory);
    clattn__call call = t->call;
    lend_call(&lent, &call);
    const clattn_tensor weights = lent_tensor(&lent, &t->weights),
                        flags = lent_tensor(&lent, &t->flags);
    assert_status(CLATTN_OK, clattn__hidden_values_create(&kernel, device, c->problem.dtype));
    assert_status(CLATTN_OK,
                  clattn__hidden_values_run(&kernel, device, NULL, &t->problem, &call,
                                            weights.buffer, t->stride, flags.buffer, c->width));
    take_back(&lent);
    clattn__kernel_release(&kernel);
}

/* What row (b, h, i) gets for column d. */
static double wanted_at(const hidden_tensors *t, const hidden_case *c, int64_t b, int64_t h,
                        int64_t i, int64_t d, double before)
{
    const clattn__call *call = &t->call;
    const int64_t row = (b * call->Hq + h) * call->S + i;
    for (int64_t j = 0; j < call->T && c->marks != MARKS_NONE; j++) {
        const double v = value_at(t, b, h / (call->Hq / call->Hkv), j, d),
                     score = clattn_element_load(call->scores.dtype, call->scores.host,
                                                 (size_t)clattn__at(&call->scores, b, h, i, j));
        if (score != -(double)INFINITY && !isfinite(v))
            before += host_tensor_get(&t->weights, (size_t)(row * t->stride + j)) * v;
    }
    return before;
}

static void compare(const hidden_tensors *t, const hidden_case *c)
{
    const clattn__call *call = &t->call;
    clattn_tensor before = t->before;
    const bool bshd = c->problem.layout == CLATTN_BSHD;
    for (int64_t b = 0; b < call->B; b++)
        for (int64_t h = 0; h < call->Hq; h++)
            for (int64_t i = 0; i < call->S; i++)
                for (int64_t d = 0; d < call->Dv; d++) {
                    const size_t at = (size_t)((bshd ? (b * call->S + i) * call->Hq + h
                                                     : (b * call->Hq + h) * call->S + i) *
                                                   call->Dv +
                                               d);
                    assert_close(host_tensor_get(&t->memory.args.output, at),
                                 wanted_at(t, c, b, h, i, d, host_tensor_get(&before, at)), 0,
                                 "output", at);
                }
    assert_true(host_tensor_gaps_untouched(&t->memory, &t->memory.args.output));
}

static void adds(void **state)
{
    const hidden_case *c = *state;
    hidden_tensors t;
    if (c->problem.dtype == CLATTN_F64 && !device->info.fp64)
        skip();
    run(&t, c);
    compare(&t, c);
    host_call_free(&t.memory);
}

int main(void)
{
    named_tests tests = {0};
    device = kernel_device_open();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        named_tests_add(&tests, cases[i].problem.name, adds, &cases[i]);
    const int failures = named_tests_run(&tests, "hidden_values", NULL, NULL);
    kernel_device_close(device);
    return failures;
}
