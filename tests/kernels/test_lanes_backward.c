/* lanes_backward.cl and row_deltas.cl: gradients against plain loops in double, which start from the same output
 * and lse; every case of the table, with every row of the tuning table, whole and in pieces. What a gradient may
 * err by is a few roundings of each of its terms. */
#include "device.h"
#include "problem.h"
#include "support/device_runs.h"
#include "tuning/tuning.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off: one row, one case */
static const clattn_case own[] = {
    {"one of all", .S = 1, .T = 1, .D = 1},
    {"one key", .Hq = 2, .S = 7, .T = 1, .D = 7},
    {"one query", .Hq = 4, .Hkv = 2, .S = 1, .T = 201, .D = 64},
    {"around a block of both", .S = 95, .T = 97, .D = 64},
    {"one past two blocks", .S = 193, .T = 193, .D = 65, .Dv = 63},
    {"primes", .B = 2, .Hq = 3, .S = 101, .T = 211, .D = 17, .Dv = 5},
    {"no queries", .Hq = 2, .S = -1, .T = 9},
    {"no keys", .Hq = 2, .S = 9, .T = -1},
    {"no batches", .B = -1, .Hq = 2, .S = 3, .T = 9},
    {"large heads", .Hq = 2, .S = 50, .T = 100, .D = 320, .Dv = 512},
    {"heads share a block", .B = 2, .Hq = 6, .Hkv = 2, .S = 31, .T = 47, .D = 24,
     .flags = CLATTN_CAUSAL, .alignment = CLATTN_BOTTOM_RIGHT},
    {"two splits", .Hq = 2, .Hkv = 1, .S = 70, .T = 1100, .D = 16},
    {"all splits", .S = 20, .T = 4200, .D = 4, .flags = CLATTN_CAUSAL,
     .alignment = CLATTN_BOTTOM_RIGHT},
    {"causal, many blocks", .Hq = 2, .S = 500, .T = 500, .D = 20, .flags = CLATTN_CAUSAL},
    {"causal, more queries", .S = 300, .T = 100, .D = 20, .flags = CLATTN_CAUSAL},
    {"causal, rows that see nothing", .S = 300, .T = 100, .D = 20, .flags = CLATTN_CAUSAL,
     .alignment = CLATTN_BOTTOM_RIGHT},
    {"a narrow window", .Hq = 2, .S = 400, .T = 400, .D = 12, .window_left = 3, .window_right = 2,
     .flags = CLATTN_WINDOW},
    {"a window over lengths", .B = 3, .Hq = 4, .Hkv = 2, .S = 150, .T = 250, .D = 12,
     .window_left = 40, .window_right = -1,
     .flags = CLATTN_WINDOW | CLATTN_CAUSAL | CLATTN_KV_LENGTHS, .alignment = CLATTN_BOTTOM_RIGHT},
    {"everything", .B = 2, .Hq = 4, .Hkv = 2, .S = 70, .T = 110, .D = 12,
     ALL_MODIFICATIONS(60, 70)},
    {"everything, f16", .dtype = CLATTN_F16, .B = 2, .Hq = 4, .Hkv = 2, .S = 70, .T = 110, .D = 12,
     ALL_MODIFICATIONS(60, 70)},
    {"everything, bf16", .dtype = CLATTN_BF16, .B = 2, .Hq = 4, .Hkv = 2, .S = 70, .T = 110,
     .D = 33, ALL_MODIFICATIONS(60, 70)},
    {"everything, f64", .dtype = CLATTN_F64, .B = 2, .Hq = 4, .Hkv = 2, .S = 70, .T = 110, .D = 12,
     ALL_MODIFICATIONS(60, 70)},
    {"f16", .dtype = CLATTN_F16, .Hq = 2, .S = 130, .T = 140, .D = 128},
    {"bf16, transposed", .dtype = CLATTN_BF16, .Hq = 2, .S = 130, .T = 140, .D = 40,
     .strides = STRIDES_TRANSPOSED},
    {"f64, padded", .dtype = CLATTN_F64, .Hq = 2, .S = 130, .T = 140, .D = 37,
     .strides = STRIDES_PADDED},
    {"huge logits", .Hq = 2, .S = 120, .T = 130, .D = 64, .fill = FILL_HUGE},
    {"NaN behind causal", .Hq = 4, .Hkv = 2, .S = 120, .T = 121, .D = 33, .fill = FILL_NAN_LAST,
     .flags = CLATTN_CAUSAL},
    {"NaN seen by a few", .Hq = 4, .Hkv = 2, .S = 120, .T = 118, .D = 33, .fill = FILL_NAN_LAST,
     .flags = CLATTN_CAUSAL},
    {"NaN behind a mask, f16", .dtype = CLATTN_F16, .B = 2, .Hq = 2, .S = 120, .T = 118, .D = 33,
     .fill = FILL_NAN_LAST, .mask = MASK_KEYS, .flags = CLATTN_MASK},
    {"infinity behind a mask", .B = 2, .Hq = 2, .S = 120, .T = 118, .D = 33, .fill = FILL_INF_LAST,
     .mask = MASK_ROWS, .flags = CLATTN_MASK},
    {"half of the rows see nothing", .B = 2, .Hq = 2, .S = 120, .T = 118, .D = 33,
     .mask = MASK_NONE_VISIBLE, .flags = CLATTN_MASK},
};
/* clang-format on */

/* clang-format off: one row, one case */
static const clattn_case of_many_rows[] = {
    {"in pieces", .B = 2, .Hq = 2, .S = 300, .T = 20, .D = 8},
    {"in pieces, causal, f16", .dtype = CLATTN_F16, .Hq = 4, .Hkv = 2, .S = 300, .T = 40, .D = 8,
     .flags = CLATTN_CAUSAL, .alignment = CLATTN_BOTTOM_RIGHT},
    {"in pieces, everything", .B = 2, .Hq = 4, .Hkv = 2, .S = 200, .T = 30, .D = 12, .Dv = 7,
     ALL_MODIFICATIONS(60, 70)},
};
/* clang-format on */

/* Beside the tuning table; half as wide for doubles, so that 1 is both. */
static const clattn__tuning others[] = {
    {"VW 1, NV 1", .vector = 1, .tile_rows = 4, .tile_vectors = 1, .backward_rows = 16,
     .backward_keys = 24},
    {"VW 4, NV 3", .vector = 4, .tile_rows = 4, .tile_vectors = 3, .backward_rows = 24,
     .backward_keys = 48},
    {"VW 16, NV 2", .vector = 16, .tile_rows = 12, .tile_vectors = 2, .backward_rows = 48,
     .backward_keys = 128},
};

static clattn_device *device;
static const clattn__tuning *real_tuning;
static uint64_t real_allocation;

/* A number, and what it may err by: enough roundings of each of its terms. */
typedef struct sum {
    double value, error;
} sum;

static void add(sum *to, double value, double error)
{
    to->value += value;
    to->error += error;
}

typedef struct plain {
    const clattn__problem *problem;
    const clattn__call *call;
    double u; /* of the type of the sums */
    sum *query, *key, *value, *sinks;
} plain;

static double at(const clattn_tensor *t, int64_t b, int64_t h, int64_t i, int64_t j)
{
    return clattn_element_load(t->dtype, t->host, (size_t)clattn__at(t, b, h, i, j));
}

/* What is added to a score; false where the key is hidden. */
static bool sees(const plain *p, int64_t b, int64_t h, int64_t i, int64_t j, double *added)
{
    const clattn__call *call = p->call;
    const clattn_attention_desc *desc = &p->problem->desc;
    const int64_t length =
        clattn__has(&call->kv_lengths) ? (int64_t)at(&call->kv_lengths, b, 0, 0, 0) : call->T;
    const int64_t place = i + (desc->alignment == CLATTN_BOTTOM_RIGHT ? length - call->S : 0);
    const int64_t far = call->S + call->T, left = desc->window_left > far ? far : desc->window_left,
                  right = desc->window_right > far ? far : desc->window_right;
    *added = 0;
    if (j >= length || (desc->flags & CLATTN_CAUSAL && j > place) ||
        (left >= 0 && j < place - left) || (right >= 0 && j > place + right))
        return false;
    if (clattn__has(&call->alibi_slopes))
        *added -= at(&call->alibi_slopes, 0, h, 0, 0) * fabs((double)(place - j));
    if (clattn__has(&call->bias))
        *added += at(&call->bias, b, h, i, j);
    if (clattn__has(&call->mask) && call->mask.dtype == CLATTN_BOOL)
        return at(&call->mask, b, h, i, j) != 0;
    if (clattn__has(&call->mask))
        *added += at(&call->mask, b, h, i, j);
    return *added != -(double)INFINITY;
}

/* sum of a.b, and of the sizes of its terms */
static double product(const clattn_tensor *a, int64_t ha, int64_t ia, const clattn_tensor *b,
                      int64_t hb, int64_t ib, int64_t batch, double *size)
{
    double total = 0;
    *size = 0;
    for (int64_t d = 0; d < a->shape[3]; d++) {
        const double term = at(a, batch, ha, ia, d) * at(b, batch, hb, ib, d);
        total += term, *size += fabs(term);
    }
    return total;
}

/* Beyond this, sums of a plain pass overflow. */
static double much(const plain *p)
{
    return p->u > 0x1p-30 ? 0x1p124 : 0x1p1020;
}

static void add_pair(const plain *p, int64_t b, int64_t h, int64_t i, int64_t j, double delta,
                     double delta_size, double added)
{
    const clattn__call *call = p->call;
    const clattn_attention_desc *desc = &p->problem->desc;
    const int64_t g = h / (call->Hq / call->Hkv);
    const double scale = p->problem->scale, cap = desc->softcap, u = p->u;
    double x_size, dw_size, x = scale * product(&call->query, h, i, &call->key, g, j, b, &x_size),
                            dw = product(&call->grad.output, h, i, &call->value, g, j, b, &dw_size);
    double w, slope, error, of_cap = 1;
    x_size = x_size * fabs(scale) + fabs(added);
    if (cap > 0) {
        x = cap * tanh(x / cap);
        of_cap = 1 - x / cap * (x / cap);
    }
    x += added;
    error = u * (16 + 4 * x_size);
    if (desc->normalizer == CLATTN_NORMALIZER_SOFTMAX) {
        const double lse = at(&call->lse, b, h, i, 0);
        error += 4 * u * fabs(lse);
        w = slope = exp(x - lse);
        error *= w;
    } else if (desc->normalizer == CLATTN_NORMALIZER_SIGMOID) {
        w = 1 / (1 + exp(-x));
        slope = w / (1 + exp(x));
        error = error * w * (1 + exp(-fabs(x))) + 8 * u * w;
    } else {
        w = x, slope = 1;
    }
    if (x == -(double)INFINITY)
        w = slope = 0;
    if (dw_size + delta_size > much(p))
        dw_size = (double)INFINITY;
    if (fabs(w) > much(p))
        error = (double)INFINITY;
    const double ds = slope * (dw - delta) * of_cap * scale,
                 ds_error = ((desc->normalizer == CLATTN_NORMALIZER_NONE ? 0 : error) +
                             16 * u * (slope + (cap > 0 ? x_size + 1 : 0))) *
                            (dw_size + delta_size) * 4 * fabs(scale);
    for (int64_t d = 0; d < call->D; d++) {
        const double q = at(&call->query, b, h, i, d), k = at(&call->key, b, g, j, d);
        add(&p->query[((b * call->Hq + h) * call->S + i) * call->D + d], ds * k,
            (ds_error + 32 * u * fabs(ds)) * fabs(k));
        add(&p->key[((b * call->Hkv + g) * call->T + j) * call->D + d], ds * q,
            (ds_error + 32 * u * fabs(ds)) * fabs(q));
    }
    for (int64_t d = 0; d < call->Dv; d++) {
        const double o = at(&call->grad.output, b, h, i, d);
        add(&p->value[((b * call->Hkv + g) * call->T + j) * call->Dv + d], w * o,
            (error + 32 * u * fabs(w)) * fabs(o));
    }
}

static void run_plain(const plain *p)
{
    const clattn__call *call = p->call;
    const bool softmax = p->problem->desc.normalizer == CLATTN_NORMALIZER_SOFTMAX;
    for (int64_t b = 0; b < call->B; b++)
        for (int64_t h = 0; h < call->Hq; h++)
            for (int64_t i = 0; i < call->S; i++) {
                double delta = 0, size = 0, added;
                if (softmax)
                    delta = product(&call->grad.output, h, i, &call->output, h, i, b, &size);
                if (clattn__has(&call->grad.lse)) {
                    const double of_lse = at(&call->grad.lse, b, h, i, 0);
                    delta -= of_lse, size += fabs(of_lse);
                }
                if (clattn__has(&call->sinks)) {
                    const double lse = at(&call->lse, b, h, i, 0),
                                 w = exp(at(&call->sinks, 0, h, 0, 0) - lse);
                    add(&p->sinks[h], -w * delta,
                        size > much(p) ? (double)INFINITY : w * size * p->u * (32 + 8 * fabs(lse)));
                }
                for (int64_t j = 0; j < call->T; j++)
                    if (sees(p, b, h, i, j, &added))
                        add_pair(p, b, h, i, j, delta, size, added);
            }
}

/* Of a type in memory: a rounding, and the largest number. */
static double unit_of(clattn_dtype dtype)
{
    return dtype == CLATTN_F64   ? 0x1p-53
           : dtype == CLATTN_F32 ? 0x1p-24
           : dtype == CLATTN_F16 ? 0x1p-11
                                 : 0x1p-8;
}

static double largest_of(clattn_dtype dtype)
{
    return dtype == CLATTN_F64 ? DBL_MAX : dtype == CLATTN_F16 ? 65504.0 : 0x1.fep127;
}

static void verify(const clattn_tensor *got, const sum *want, const char *what)
{
    const double u = unit_of(got->dtype), largest = largest_of(got->dtype);
    int64_t n = 0;
    for (int64_t b = 0; b < got->shape[0]; b++)
        for (int64_t h = 0; h < got->shape[1]; h++)
            for (int64_t i = 0; i < got->shape[2]; i++)
                for (int64_t j = 0; j < got->shape[3]; j++, n++) {
                    const double value = at(got, b, h, i, j);
                    if (!isfinite(want[n].value)) {
                        assert_true(!isfinite(value));
                        continue;
                    }
                    if (!isfinite(want[n].error) || fabs(want[n].value) > largest / 2)
                        continue;
                    assert_close(value, want[n].value,
                                 want[n].error + 2 * u * fabs(want[n].value) +
                                     (got->dtype == CLATTN_F16 ? 0x1p-24 : 64 * (double)FLT_MIN),
                                 what, (size_t)n);
                }
}

static sum *sums_for(const clattn_tensor *gradient)
{
    sum *made = calloc(clattn_tensor_count(gradient) + 1, sizeof *made);
    assert_non_null(made);
    return made;
}

static clattn_tensor like(host_call *call, const clattn_tensor *tensor, host_strides strides)
{
    return host_call_tensor(call, tensor->dtype, tensor->rank, tensor->shape, strides);
}

static void fill(const clattn_tensor *tensor, double spread)
{
    for (size_t i = 0; i < clattn_tensor_count(tensor); i++)
        host_tensor_set(tensor, i, spread * ((double)(i * 7919 % 1009) / 504 - 1));
}

/* A call backward, behind a call forward by the reference. */
static void make_backward(host_call *call, const clattn_case *c, bool of_lse)
{
    clattn_case forward = *c;
    forward.outputs = CLATTN_OUTPUT | CLATTN_LSE;
    case_make(call, &forward);
    assert_status(CLATTN_OK, clattn_reference_run(&call->desc, &call->args));
    const bool softmax = c->normalizer == CLATTN_NORMALIZER_SOFTMAX;
    clattn_attention_args *args = &call->args;
    call->desc.direction = CLATTN_BACKWARD;
    call->desc.outputs = CLATTN_OUTPUT | (softmax && of_lse ? (uint32_t)CLATTN_LSE : 0);
    call->desc.gradients = CLATTN_GRAD_QUERY | CLATTN_GRAD_KEY | CLATTN_GRAD_VALUE;
    args->grad.output = like(call, &args->output, c->strides);
    fill(&args->grad.output, 1);
    if (call->desc.outputs & CLATTN_LSE) {
        args->grad.lse = like(call, &args->lse, STRIDES_DENSE);
        fill(&args->grad.lse, 0.5);
    }
    if (!softmax)
        args->output = args->lse = (clattn_tensor){0};
    args->grad.query = like(call, &args->query, c->strides);
    args->grad.key = like(call, &args->key, c->strides);
    args->grad.value = like(call, &args->value, c->strides);
    if (c->flags & CLATTN_SINKS) {
        call->desc.gradients |= CLATTN_GRAD_SINKS;
        args->grad.sinks = like(call, &args->sinks, STRIDES_DENSE);
    }
}

static void spoil(const clattn_attention_args *args)
{
    const clattn_tensor *const made[] = {&args->grad.query, &args->grad.key, &args->grad.value,
                                         &args->grad.sinks};
    for (size_t t = 0; t < sizeof made / sizeof *made; t++)
        for (size_t i = 0; i < clattn_tensor_count(made[t]); i++)
            host_tensor_set(made[t], i, 12345);
}

static void run_and_compare(host_call *call, const char *name)
{
    clattn__problem problem;
    clattn__call views;
    assert_status(CLATTN_OK, clattn__problem_init(&problem, &call->desc));
    assert_status(CLATTN_OK, clattn__call_init(&views, &problem, &call->args));
    const plain p = {&problem,
                     &views,
                     call->desc.dtype == CLATTN_F64 ? 0x1p-53 : 0x1p-24,
                     sums_for(&views.grad.query),
                     sums_for(&views.grad.key),
                     sums_for(&views.grad.value),
                     sums_for(&views.sinks)};
    run_plain(&p);
    clattn_plan *plan = plan_of(device, call, "lanes");
    assert_string_equal(clattn_plan_variant(plan), "lanes");
    /* Twice: what the first run leaves in scratch memory must not matter. */
    for (int n = 0; n < 2; n++) {
        spoil(&call->args);
        run_to_end(device, plan, &call->args);
    }
    clattn_plan_destroy(plan);
    verify(&views.grad.query, p.query, name);
    verify(&views.grad.key, p.key, name);
    verify(&views.grad.value, p.value, name);
    if (clattn__has(&views.grad.sinks))
        verify(&views.grad.sinks, p.sinks, name);
    const clattn_tensor *const made[] = {&call->args.grad.query, &call->args.grad.key,
                                         &call->args.grad.value};
    for (size_t t = 0; t < sizeof made / sizeof *made; t++)
        assert_true(host_tensor_gaps_untouched(call, made[t]));
    free(p.query), free(p.key), free(p.value), free(p.sinks);
}

static bool is_taken(const clattn_case *c)
{
    return c->score <= CLATTN_SCORE_DOT && c->D <= 512 && c->Dv <= 512 && !c->packed;
}

static void run_one(const clattn_case *c, bool of_lse, uint64_t allocation)
{
    host_call call;
    device->info.max_allocation = real_allocation;
    if (!is_taken(c) || !device_takes_case(device, c))
        return;
    make_backward(&call, c, of_lse);
    device->info.max_allocation = allocation;
    run_and_compare(&call, c->name);
    device->info.max_allocation = real_allocation;
    host_call_free(&call);
}

static void by_lanes(void **state)
{
    run_one(*state, false, real_allocation);
}

static void with_lse(void **state)
{
    run_one(*state, true, real_allocation);
}

static void with_own_weights(void **state)
{
    clattn_case c = *(const clattn_case *)*state;
    c.flags &= ~(uint32_t)CLATTN_SINKS;
    c.normalizer = CLATTN_NORMALIZER_NONE;
    run_one(&c, false, real_allocation);
    c.normalizer = CLATTN_NORMALIZER_SIGMOID;
    run_one(&c, false, real_allocation);
}

/* Some of the gradients alone are those of all, bit for bit. */
static void one_by_one(void **state)
{
    static const uint32_t some[] = {CLATTN_GRAD_QUERY, CLATTN_GRAD_KEY, CLATTN_GRAD_VALUE};
    const clattn_case *c = *state;
    for (size_t s = 0; s < sizeof some / sizeof *some; s++) {
        host_call all, one;
        make_backward(&all, c, false);
        make_backward(&one, c, false);
        clattn_tensor *const made[][2] = {{&all.args.grad.query, &one.args.grad.query},
                                          {&all.args.grad.key, &one.args.grad.key},
                                          {&all.args.grad.value, &one.args.grad.value}};
        one.desc.gradients = some[s];
        one.args.grad.sinks = (clattn_tensor){0};
        for (size_t t = 0; t < 3; t++)
            if (t != s)
                *made[t][1] = (clattn_tensor){0};
        clattn_plan *plan = plan_of(device, &all, "lanes");
        run_to_end(device, plan, &all.args);
        clattn_plan_destroy(plan);
        plan = plan_of(device, &one, "lanes");
        run_to_end(device, plan, &one.args);
        clattn_plan_destroy(plan);
        for (size_t i = 0; i < clattn_tensor_count(made[s][0]); i++)
            assert_true(host_tensor_get(made[s][0], i) == host_tensor_get(made[s][1], i));
        host_call_free(&all);
        host_call_free(&one);
    }
}

/* As on a device that allocates little: first batches and heads are apart, then rows. */
static void in_pieces(void **state)
{
    static const uint64_t most[] = {60000, 6000};
    for (size_t n = 0; n < sizeof most / sizeof *most; n++)
        run_one(*state, true, most[n]);
}

/* A driver builds anew for each tuning, type and size, so not all of them meet. */
static bool is_for_every_tuning(const clattn_case *c)
{
    return c->dtype == CLATTN_F32 && c->D <= 64 && c->Dv <= 64;
}

static int run_with(const clattn__tuning *tuning, bool all)
{
    size_t count;
    const clattn_case *around = cases_around_blocks(&count);
    named_tests tests = {0};
    char name[96];
    (void)snprintf(name, sizeof name, "lanes backward, %s", tuning->family);
    device->tuning = tuning;
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        if (!all && !is_for_every_tuning(&own[i]))
            continue;
        named_tests_add(&tests, own[i].name, by_lanes, &own[i]);
        named_tests_add(&tests, "its own weights", with_own_weights, &own[i]);
        if (all)
            named_tests_add(&tests, "and of lse", with_lse, &own[i]);
        if (all && i % 4 == 0)
            named_tests_add(&tests, "one by one", one_by_one, &own[i]);
    }
    for (size_t i = 0; all && i < sizeof of_many_rows / sizeof *of_many_rows; i++)
        named_tests_add(&tests, of_many_rows[i].name, in_pieces, &of_many_rows[i]);
    for (size_t i = 0; all && i < count; i++)
        named_tests_add(&tests, around[i].name, by_lanes, &around[i]);
    if (all) {
        add_all_cases(&tests, by_lanes);
        add_all_cases(&tests, with_own_weights);
    }
    const int failures = named_tests_run(&tests, name, NULL, NULL);
    device->tuning = real_tuning;
    return failures;
}

int main(void)
{
    int failures = 0;
    size_t count;
    if (clattn_device_open(&device, NULL, 0) != CLATTN_OK) {
        (void)fprintf(stderr, "%s\n", clattn_last_error());
        return 1;
    }
    real_tuning = device->tuning;
    real_allocation = device->info.max_allocation;
    const clattn__tuning *rows = clattn__tuning_rows(&count);
    failures += run_with(real_tuning, true);
    for (size_t i = 0; i < count; i++)
        if (&rows[i] != real_tuning)
            failures += run_with(&rows[i], false);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        failures += run_with(&others[i], false);
    clattn_device_close(device);
    return failures;
}
