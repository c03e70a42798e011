/* hidden_values.cl: values that are NaN or infinite, added to the rows that see them and to no other.
 *
 * Whatever is added is NaN or infinite, so that every element is compared exactly: with what the rule
 * gives in double, or with the finite number that was there before. */
#include "ops/hidden_values.h"
#include "ops/pack.h"
#include "support/device_runs.h"
#include "support/kernel_runs.h"

#include <math.h>

/* Which values are not finite; beside them lie ordinary ones. */
typedef enum spoiled {
    SPOILED_SOME = 0, /* every 7th element: NaN, infinity, -infinity in turn */
    SPOILED_NONE,
    SPOILED_LAST, /* the last element alone, which only the last head sees */
    SPOILED_ENDS /* of each head the first and the last, but every second flag says there are none */
} spoiled;

typedef struct hidden_case {
    const char *name;
    int64_t width; /* of the panels that flags are about */
    spoiled spoiled;
    clattn_case of;
} hidden_case;

/* clang-format off: one row, one case */
static const hidden_case cases[] = {
    {"one of all", 8, .of = {.S = 1, .D = 1, .flags = CLATTN_CAUSAL}},
    {"causal", 8, .of = {.Hq = 2, .S = 33, .D = 9, .flags = CLATTN_CAUSAL}},
    {"nothing to add", 8, SPOILED_NONE, .of = {.Hq = 2, .S = 33, .D = 9, .flags = CLATTN_CAUSAL}},
    {"what has no flag is not looked at", 8, SPOILED_ENDS,
     .of = {.Hq = 2, .S = 70, .D = 5, .flags = CLATTN_CAUSAL}},
    {"the last element alone", 8, SPOILED_LAST,
     .of = {.Hq = 2, .S = 131, .D = 9, .flags = CLATTN_CAUSAL}},
    {"no keys", 8, .of = {.S = 3, .T = -1, .flags = CLATTN_CAUSAL}},
    {"no queries", 8, .of = {.S = -1, .T = 3, .flags = CLATTN_CAUSAL}},
    {"one past a work-item's rows", 8,
     .of =
         {.S = 65, .T = 9, .D = 3, .flags = CLATTN_WINDOW, .window_left = 60, .window_right = -1}},
    {"one past two flags' keys", 8,
     .of = {.S = 5, .T = 129, .D = 3, .flags = CLATTN_CAUSAL, .alignment = CLATTN_BOTTOM_RIGHT}},
    {"one past a panel", 8, .of = {.S = 5, .T = 9, .D = 17, .flags = CLATTN_CAUSAL}},
    {"a panel is wider than the values", 32, .of = {.S = 9, .D = 3, .flags = CLATTN_CAUSAL}},
    {"panels of one column", 1, .of = {.Hq = 2, .S = 9, .T = 70, .D = 5, .flags = CLATTN_CAUSAL}},
    {"grouped heads", 8,
     .of = {.B = 2, .Hq = 6, .Hkv = 2, .S = 17, .D = 9, .flags = CLATTN_CAUSAL}},
    {"one key head", 8, .of = {.B = 2, .Hq = 5, .Hkv = 1, .S = 17, .D = 9, .flags = CLATTN_CAUSAL}},
    {"bshd", 8,
     .of = {.B = 2,
            .Hq = 4,
            .Hkv = 2,
            .S = 11,
            .D = 5,
            .layout = CLATTN_BSHD,
            .flags = CLATTN_CAUSAL}},
    {"a window", 8,
     .of = {.Hq = 2,
            .S = 17,
            .T = 40,
            .D = 5,
            .flags = CLATTN_WINDOW,
            .window_left = 3,
            .window_right = 2}},
    {"lengths", 8, .of = {.B = 3, .Hq = 2, .S = 5, .T = 70, .D = 5, .flags = CLATTN_KV_LENGTHS}},
    {"lengths of i64", 8,
     .of = {.B = 3,
            .Hq = 2,
            .S = 5,
            .T = 70,
            .D = 5,
            .lengths = LENGTHS_RAGGED_I64,
            .flags = CLATTN_KV_LENGTHS}},
    {"lengths, causal from the last key", 8,
     .of = {.B = 4,
            .S = 5,
            .T = 17,
            .D = 5,
            .alignment = CLATTN_BOTTOM_RIGHT,
            .flags = CLATTN_KV_LENGTHS | CLATTN_CAUSAL}},
    {"all hidden by lengths", 8,
     .of = {.B = 2,
            .Hq = 2,
            .S = 5,
            .T = 9,
            .D = 5,
            .lengths = LENGTHS_NONE,
            .flags = CLATTN_KV_LENGTHS}},
    {"a mask", 8, .of = {.B = 2, .Hq = 2, .S = 9, .T = 40, .D = 5, .flags = CLATTN_MASK}},
    {"a mask of keys", 8,
     .of = {.B = 2, .Hq = 2, .S = 9, .T = 40, .D = 5, .mask = MASK_KEYS, .flags = CLATTN_MASK}},
    {"a mask that hides rows", 8,
     .of = {.B = 2,
            .Hq = 2,
            .S = 9,
            .T = 40,
            .D = 5,
            .mask = MASK_NONE_VISIBLE,
            .flags = CLATTN_MASK}},
    {"a float mask", 8,
     .of =
         {.B = 2, .Hq = 2, .S = 9, .T = 40, .D = 5, .mask = MASK_FLOAT_FULL, .flags = CLATTN_MASK}},
    {"the lowest float hides nothing", 8,
     .of = {.B = 2, .S = 9, .T = 40, .D = 5, .mask = MASK_FLOAT_LOWEST, .flags = CLATTN_MASK}},
    {"a bias that hides", 8,
     .of = {.B = 2, .Hq = 2, .S = 9, .T = 40, .D = 5, .flags = CLATTN_BIAS}},
    {"a bias of heads and a mask", 8,
     .of = {.B = 2,
            .Hq = 4,
            .Hkv = 2,
            .S = 9,
            .T = 40,
            .D = 5,
            .bias = BIAS_HEADS,
            .flags = CLATTN_BIAS | CLATTN_MASK}},
    {"padded", 8,
     .of = {.B = 2,
            .Hq = 2,
            .S = 11,
            .T = 14,
            .D = 9,
            .strides = STRIDES_PADDED,
            .flags = CLATTN_CAUSAL}},
    {"transposed", 8,
     .of = {.B = 2,
            .Hq = 2,
            .S = 11,
            .T = 14,
            .D = 9,
            .strides = STRIDES_TRANSPOSED,
            .flags = CLATTN_CAUSAL}},
    {"f16", 8,
     .of = {.dtype = CLATTN_F16,
            .B = 2,
            .Hq = 2,
            .S = 11,
            .T = 70,
            .D = 9,
            .strides = STRIDES_PADDED,
            .flags = CLATTN_MASK}},
    {"bf16", 8,
     .of = {.dtype = CLATTN_BF16,
            .B = 2,
            .Hq = 2,
            .S = 11,
            .T = 70,
            .D = 9,
            .strides = STRIDES_TRANSPOSED,
            .flags = CLATTN_CAUSAL | CLATTN_KV_LENGTHS}},
    {"f64", 8,
     .of = {.dtype = CLATTN_F64,
            .B = 2,
            .Hq = 2,
            .S = 11,
            .T = 70,
            .D = 9,
            .flags = CLATTN_MASK | CLATTN_CAUSAL}},
};
/* clang-format on */

static clattn_device *device;

typedef struct hidden_tensors {
    host_call memory;
    clattn__problem problem;
    clattn__call call; /* its tensors, still in host memory */
    int64_t stride, panels, blocks, width;
    clattn_tensor weights, flags;
} hidden_tensors;

static double get(const clattn_tensor *t, int64_t a, int64_t b, int64_t c, int64_t d)
{
    return clattn_element_load(t->dtype, t->host, (size_t)clattn__at(t, a, b, c, d));
}

static void set(const clattn_tensor *t, int64_t a, int64_t b, int64_t c, int64_t d, double value)
{
    clattn_element_store(t->dtype, t->host, (size_t)clattn__at(t, a, b, c, d), value);
}

static bool is_spoiled(const clattn__call *call, spoiled how, int64_t n)
{
    const int64_t head = call->T * call->Dv, all = call->B * call->Hkv * head;
    switch (how) {
    case SPOILED_SOME:
        return n % 7 == 0;
    case SPOILED_NONE:
        return false;
    case SPOILED_LAST:
        return n == all - 1;
    case SPOILED_ENDS:
        return n % head == 0 || n % head == head - 1;
    }
    return false;
}

static void spoil(const hidden_tensors *t, spoiled how)
{
    const double not_finite[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    const clattn__call *call = &t->call;
    int64_t n = 0;
    for (int64_t b = 0; b < call->B; b++)
        for (int64_t h = 0; h < call->Hkv; h++)
            for (int64_t j = 0; j < call->T; j++)
                for (int64_t d = 0; d < call->Dv; d++, n++)
                    if (is_spoiled(call, how, n))
                        set(&call->value, b, h, j, d, not_finite[n / 7 % 3]);
}

/* The rules of docs/numerics.md and clattn/attention.h, for one pair of a query and a key. */
static bool sees(const hidden_tensors *t, int64_t b, int64_t h, int64_t i, int64_t j)
{
    const clattn_attention_desc *desc = &t->problem.desc;
    const clattn__call *call = &t->call;
    const clattn_tensor *mask = &call->mask;
    const int64_t length =
        clattn__has(&call->kv_lengths) ? (int64_t)get(&call->kv_lengths, b, 0, 0, 0) : call->T;
    const int64_t place = desc->alignment == CLATTN_BOTTOM_RIGHT ? i + length - call->S : i;
    if (j >= length || (desc->flags & CLATTN_CAUSAL && j > place))
        return false;
    if (desc->flags & CLATTN_WINDOW &&
        ((desc->window_left >= 0 && j < place - desc->window_left) ||
         (desc->window_right >= 0 && j > place + desc->window_right)))
        return false;
    if (clattn__has(mask) &&
        get(mask, b, h, i, j) == (mask->dtype == CLATTN_BOOL ? 0 : -(double)INFINITY))
        return false;
    return !clattn__has(&call->bias) || get(&call->bias, b, h, i, j) != -(double)INFINITY;
}

static size_t row_of(const hidden_tensors *t, int64_t b, int64_t h, int64_t i)
{
    return (size_t)((b * t->call.Hq + h) * t->call.S + i);
}

static size_t flag_at(const hidden_tensors *t, int64_t b, int64_t h, int64_t j, int64_t d)
{
    return (size_t)(((b * t->call.Hkv + h) * t->panels + d / t->width) * t->blocks +
                    j / CLATTN__PACK_DEPTHS);
}

/* Weights of keys that a row does not see are NaN: none of them may be used. */
static void fill_weights(const hidden_tensors *t)
{
    const clattn__call *call = &t->call;
    for (size_t i = 0; i < clattn_tensor_count(&t->weights); i++)
        host_tensor_set(&t->weights, i, (double)NAN);
    for (int64_t b = 0; b < call->B; b++)
        for (int64_t h = 0; h < call->Hq; h++)
            for (int64_t i = 0; i < call->S; i++)
                for (int64_t j = 0; j < call->T; j++)
                    if (sees(t, b, h, i, j))
                        host_tensor_set(&t->weights,
                                        row_of(t, b, h, i) * (size_t)t->stride + (size_t)j,
                                        (double)((i + j) % 4) / 4);
}

static void fill_flags(const hidden_tensors *t, spoiled how)
{
    const clattn__call *call = &t->call;
    for (int64_t b = 0; b < call->B; b++)
        for (int64_t h = 0; h < call->Hkv; h++)
            for (int64_t j = 0; j < call->T; j++)
                for (int64_t d = 0; d < call->Dv; d++)
                    if (!isfinite(get(&call->value, b, h, j, d)) &&
                        (how != SPOILED_ENDS || flag_at(t, b, h, j, d) % 2 == 0))
                        host_tensor_set(&t->flags, flag_at(t, b, h, j, d), 1);
}

static void make(hidden_tensors *t, const hidden_case *from)
{
    clattn_case c = from->of;
    c.outputs = CLATTN_OUTPUT;
    *t = (hidden_tensors){.width = from->width};
    case_make(&t->memory, &c);
    assert_status(CLATTN_OK, clattn__problem_init(&t->problem, &t->memory.desc));
    assert_status(CLATTN_OK, clattn__call_init(&t->call, &t->problem, &t->memory.args));
    const clattn_dtype sums = c.dtype == CLATTN_F64 ? CLATTN_F64 : CLATTN_F32;
    const int64_t rows = t->call.B * t->call.Hq * t->call.S, heads = t->call.B * t->call.Hkv;
    t->stride = t->call.T + 3;
    t->panels = clattn__ceil_div(t->call.Dv, t->width);
    t->blocks = clattn__ceil_div(t->call.T, CLATTN__PACK_DEPTHS);
    t->weights = host_call_tensor(&t->memory, sums, 2, (int64_t[]){rows, t->stride}, STRIDES_DENSE);
    t->flags = host_call_tensor(&t->memory, CLATTN_BOOL, 3,
                                (int64_t[]){heads, t->panels, t->blocks}, STRIDES_DENSE);
    const clattn_tensor *bias = &t->memory.args.bias, *output = &t->memory.args.output;
    for (size_t i = 0; clattn__has(bias) && i < clattn_tensor_count(bias); i += 5)
        host_tensor_set(bias, i, -(double)INFINITY);
    for (size_t i = 0; i < clattn_tensor_count(output); i++)
        host_tensor_set(output, i, (double)(i % 13) - 6);
    spoil(t, from->spoiled);
    fill_weights(t);
    fill_flags(t, from->spoiled);
}

static void run(hidden_tensors *t, bool skips_zero)
{
    clattn__kernel kernel;
    lent_memory lent;
    clattn__call call = t->call;
    lend(&lent, device, &t->memory);
    lend_call(&lent, &call);
    const clattn_tensor weights = lent_tensor(&lent, &t->weights),
                        flags = lent_tensor(&lent, &t->flags);
    assert_status(CLATTN_OK, clattn__hidden_values_create(&kernel, device, t->memory.desc.dtype));
    assert_status(CLATTN_OK, clattn__hidden_values_run(&kernel, device, NULL, &t->problem, &call,
                                                       weights.buffer, t->stride, flags.buffer,
                                                       t->width, skips_zero));
    take_back(&lent);
    clattn__kernel_release(&kernel);
}

/* `before` is the same call, not run. */
static void compare(const hidden_tensors *t, const hidden_tensors *before, bool skips_zero)
{
    const clattn__call *call = &t->call;
    size_t at = 0;
    for (int64_t b = 0; b < call->B; b++)
        for (int64_t h = 0; h < call->Hq; h++)
            for (int64_t i = 0; i < call->S; i++)
                for (int64_t d = 0; d < call->Dv; d++, at++) {
                    const int64_t kv_head = h / (call->Hq / call->Hkv);
                    double wanted = get(&before->call.output, b, h, i, d);
                    for (int64_t j = 0; j < call->T; j++) {
                        const double value = get(&call->value, b, kv_head, j, d),
                                     weight = host_tensor_get(
                                         &t->weights,
                                         row_of(t, b, h, i) * (size_t)t->stride + (size_t)j);
                        if (!isfinite(value) && sees(t, b, h, i, j) &&
                            (!skips_zero || weight != 0) &&
                            host_tensor_get(&t->flags, flag_at(t, b, kv_head, j, d)) != 0)
                            wanted += value * weight;
                    }
                    assert_close(get(&call->output, b, h, i, d), wanted, 0, "output", at);
                }
    assert_true(host_tensor_gaps_untouched(&t->memory, &t->memory.args.output));
}

static void adds(void **state)
{
    const hidden_case *c = *state;
    hidden_tensors before, first, second;
    if (!device_takes(device, c->of.dtype))
        skip();
    for (int skips_zero = 0; skips_zero < 2; skips_zero++) {
        make(&before, c);
        make(&first, c);
        run(&first, skips_zero);
        compare(&first, &before, skips_zero);
        make(&second, c);
        run(&second, skips_zero);
        assert_true(host_call_equal(&first.memory, &second.memory));
        host_call_free(&before.memory);
        host_call_free(&first.memory);
        host_call_free(&second.memory);
    }
}

int main(void)
{
    named_tests tests = {0};
    hidden_case pairs[64];
    size_t count;
    const clattn_case *all = cases_of_pairs(&count);
    device = kernel_device_open();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        named_tests_add(&tests, cases[i].name, adds, &cases[i]);
    for (size_t i = 0; i < count && i < sizeof pairs / sizeof *pairs; i++) {
        pairs[i] = (hidden_case){.name = all[i].name, .width = 8, .of = all[i]};
        named_tests_add(&tests, pairs[i].name, adds, &pairs[i]);
    }
    const int failures = named_tests_run(&tests, "hidden values", NULL, NULL);
    kernel_device_close(device);
    return failures;
}
