/* pair_gradients.cl: gradients of what pairs are made of against plain loops in long double.
 *
 * The error may be twice that of plain loops in the type of the sums, which add up in blocks, or a few roundings
 * of the terms' magnitudes where those err by less. */
#include "ops/pair_gradients.h"
#include "support/checks.h"
#include "support/device_limits.h"
#include "support/kernel_runs.h"
#include "support/named_tests.h"

#include <math.h>
#include <stdlib.h>

/* Which pairs have gradients; beside them ds is 0. */
typedef enum pairs_hidden {
    HIDDEN_SOME = 0, /* one of seven */
    HIDDEN_LATER,    /* as causal scores have them */
    HIDDEN_ENDS,     /* all of the last query and of the last key */
    HIDDEN_ALL
} pairs_hidden;

enum { WANTS_ALL = 0, WANTS_QUERY, WANTS_HIDDEN, WANTS_UNITS };

typedef struct pairs_case {
    const char *name;
    clattn_dtype dtype;
    int64_t B, Hq, heads, S, T, N; /* heads of keys; 0: Hq */
    bool rbf, bias, of_heads;      /* each head has its own parameters */
    int64_t features;
    bool features_of_heads;
    double spread;  /* of queries and keys; 0: 1 */
    double shift;   /* what queries have more and keys less; of rbf both more */
    bool mixed;     /* every second unit is a thousandth of that */
    double spoiled; /* what the last query and key of each head are */
    double ds;      /* largest gradient; 0: 1 */
    pairs_hidden hidden;
    int wanted;
    host_strides strides;
} pairs_case;

#define NOT_A_NUMBER (double)NAN
#define INFINITE (double)INFINITY

/* clang-format off: one row, one case */
static const pairs_case cases[] = {
    {"one of all", .B = 1, .Hq = 1, .S = 1, .T = 1, .N = 1},
    {"one key", .B = 2, .Hq = 1, .S = 9, .T = 1, .N = 8},
    {"one query", .B = 2, .Hq = 1, .S = 1, .T = 9, .N = 8},
    {"no keys", .B = 2, .Hq = 2, .S = 3, .T = 0, .N = 5},
    {"no queries", .B = 2, .Hq = 2, .S = 0, .T = 3, .N = 5},
    {"primes", .B = 2, .Hq = 3, .S = 7, .T = 19, .N = 13},
    {"one past a tile and a chunk", .B = 1, .Hq = 2, .S = 65, .T = 65, .N = 65},
    {"many units", .B = 9, .Hq = 8, .S = 5, .T = 6, .N = 531},
    {"many units of one head", .B = 1, .Hq = 1, .S = 5, .T = 70, .N = 531},
    {"many queries", .B = 1, .Hq = 1, .S = 401, .T = 3, .N = 5},
    {"many keys", .B = 1, .Hq = 1, .S = 3, .T = 401, .N = 5},
    {"tiles", .B = 1, .Hq = 1, .S = 150, .T = 200, .N = 7},
    {"tiles, causal", .B = 1, .Hq = 1, .S = 150, .T = 140, .N = 7, .hidden = HIDDEN_LATER},
    {"all hidden", .B = 1, .Hq = 2, .S = 5, .T = 70, .N = 7, .hidden = HIDDEN_ALL},
    {"padded", .B = 2, .Hq = 3, .S = 9, .T = 10, .N = 11, .bias = true, .strides = STRIDES_PADDED},
    {"transposed", .B = 2, .Hq = 3, .S = 9, .T = 10, .N = 11, .strides = STRIDES_TRANSPOSED},
    {"bias", .B = 2, .Hq = 2, .S = 9, .T = 10, .N = 11, .bias = true},
    {"parameters of heads", .B = 2, .Hq = 3, .S = 9, .T = 10, .N = 11, .bias = true,
     .of_heads = true},
    {"shared keys", .B = 2, .Hq = 6, .heads = 2, .S = 9, .T = 10, .N = 11},
    {"one key head", .B = 2, .Hq = 5, .heads = 1, .S = 9, .T = 10, .N = 11, .of_heads = true},
    {"features", .B = 2, .Hq = 2, .S = 9, .T = 18, .N = 11, .features = 3, .bias = true},
    {"features of heads", .B = 2, .Hq = 2, .S = 9, .T = 75, .N = 11, .features = 5,
     .features_of_heads = true, .of_heads = true},
    {"small sums", .B = 1, .Hq = 2, .S = 20, .T = 30, .N = 11, .spread = 1e-3},
    {"small sums beside others", .B = 1, .Hq = 2, .S = 20, .T = 30, .N = 11, .mixed = true},
    {"large sums", .B = 1, .Hq = 2, .S = 20, .T = 30, .N = 11, .spread = 10},
    {"factors near the end of their range", .B = 1, .Hq = 2, .S = 20, .T = 30, .N = 11,
     .shift = 19},
    {"factors out of range", .B = 1, .Hq = 2, .S = 20, .T = 30, .N = 11, .shift = 60},
    {"huge", .B = 1, .Hq = 2, .S = 20, .T = 30, .N = 11, .spread = 1e4},
    {"huge, that cancel", .B = 1, .Hq = 2, .S = 20, .T = 30, .N = 11, .shift = 1e4},
    {"small gradients", .B = 1, .Hq = 2, .S = 20, .T = 30, .N = 11, .ds = 1e-25, .shift = 15},
    {"small gradients of large sums", .B = 1, .Hq = 2, .S = 20, .T = 30, .N = 11, .ds = 1e-25,
     .spread = 10},
    {"large gradients", .B = 1, .Hq = 2, .S = 20, .T = 30, .N = 11, .ds = 1e25, .shift = 15},
    {"NaN hidden", .B = 2, .Hq = 2, .S = 9, .T = 18, .N = 11, .spoiled = NOT_A_NUMBER,
     .hidden = HIDDEN_ENDS},
    {"infinities hidden", .B = 2, .Hq = 2, .S = 70, .T = 130, .N = 5, .spoiled = INFINITE,
     .hidden = HIDDEN_ENDS},
    {"NaN hidden from some", .B = 2, .Hq = 1, .S = 50, .T = 70, .N = 5, .spoiled = NOT_A_NUMBER,
     .hidden = HIDDEN_LATER},
    {"query alone", .B = 2, .Hq = 2, .S = 9, .T = 70, .N = 11, .wanted = WANTS_QUERY},
    {"hidden alone", .B = 2, .Hq = 2, .S = 9, .T = 10, .N = 11, .wanted = WANTS_HIDDEN},
    {"units alone", .B = 2, .Hq = 2, .S = 9, .T = 10, .N = 11, .wanted = WANTS_UNITS},
    {"f16", .dtype = CLATTN_F16, .B = 2, .Hq = 2, .S = 9, .T = 10, .N = 11, .bias = true,
     .features = 2},
    {"f64", .dtype = CLATTN_F64, .B = 2, .Hq = 3, .S = 70, .T = 19, .N = 37, .bias = true},
    {"f64, small sums", .dtype = CLATTN_F64, .B = 1, .Hq = 1, .S = 9, .T = 10, .N = 5,
     .spread = 1e-6},
    {"f64, factors out of range", .dtype = CLATTN_F64, .B = 1, .Hq = 1, .S = 9, .T = 10, .N = 5,
     .shift = 400},
    {"f64, NaN hidden", .dtype = CLATTN_F64, .B = 2, .Hq = 1, .S = 9, .T = 18, .N = 5,
     .spoiled = NOT_A_NUMBER, .hidden = HIDDEN_ENDS},
    {"rbf, one of all", .rbf = true, .B = 1, .Hq = 1, .S = 1, .T = 1, .N = 1},
    {"rbf, primes", .rbf = true, .B = 2, .Hq = 3, .S = 7, .T = 19, .N = 13},
    {"rbf, tiles", .rbf = true, .B = 1, .Hq = 1, .S = 150, .T = 200, .N = 7},
    {"rbf, no keys", .rbf = true, .B = 2, .Hq = 2, .S = 3, .T = 0, .N = 5},
    {"rbf, gamma of heads, shared keys", .rbf = true, .B = 2, .Hq = 6, .heads = 2, .S = 9, .T = 10,
     .N = 65, .of_heads = true},
    {"rbf, huge", .rbf = true, .B = 1, .Hq = 2, .S = 20, .T = 30, .N = 11, .spread = 1e4},
    {"rbf, squares past the largest number", .rbf = true, .B = 1, .Hq = 1, .S = 5, .T = 9, .N = 3,
     .spread = 1e13, .shift = 2e19},
    {"rbf, infinities hidden", .rbf = true, .B = 2, .Hq = 2, .S = 70, .T = 130, .N = 5,
     .spoiled = INFINITE, .hidden = HIDDEN_ENDS},
    {"rbf, NaN hidden from some", .rbf = true, .B = 2, .Hq = 1, .S = 50, .T = 70, .N = 5,
     .spoiled = NOT_A_NUMBER, .hidden = HIDDEN_LATER},
    {"rbf, f16", .rbf = true, .dtype = CLATTN_F16, .B = 2, .Hq = 2, .S = 9, .T = 10, .N = 11},
    {"rbf, f64", .rbf = true, .dtype = CLATTN_F64, .B = 2, .Hq = 3, .S = 70, .T = 19, .N = 37},
};
/* clang-format on */

#define SCALE 0.75
#define GAP 5 /* elements between rows of ds */

static clattn_device *device;

enum { TO_QUERY, TO_HIDDEN, TO_UNITS, OUTPUTS };
static const char *const output_names[OUTPUTS] = {"query", "hidden", "units"};

typedef struct pairs_tensors {
    host_call memory;
    clattn__problem problem;
    clattn__call call;
    clattn_tensor ds, outputs[OUTPUTS];
    int64_t stride;
} pairs_tensors;

static double uniform(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(*seed >> 11) * 0x1p-52 - 1;
}

/* Of a tensor of queries or keys. */
static void shrink(const clattn_tensor *tensor)
{
    for (size_t i = 0; i < clattn_tensor_count(tensor); i++)
        if ((int64_t)i % tensor->shape[3] % 2 == 1)
            host_tensor_set(tensor, i, host_tensor_get(tensor, i) / 1000);
}

/* A view of rank 4 that broadcasts along the axes where `shape` has 1 and `n` has more. */
static clattn_tensor filled(pairs_tensors *t, clattn_dtype dtype, const int64_t shape[4],
                            const int64_t n[4], host_strides strides, double spread, double shift,
                            uint64_t *seed)
{
    clattn_tensor made = host_call_tensor(&t->memory, dtype, 4, shape, strides);
    for (size_t i = 0; i < clattn_tensor_count(&made); i++)
        host_tensor_set(&made, i, uniform(seed) * spread + shift);
    for (int axis = 0; axis < 4; axis++)
        if (made.shape[axis] != n[axis])
            made.shape[axis] = n[axis], made.strides[axis] = 0;
    return made;
}

static bool is_hidden(const pairs_case *c, int64_t i, int64_t j)
{
    switch (c->hidden) {
    case HIDDEN_LATER:
        return j > i;
    case HIDDEN_ENDS:
        return i == c->S - 1 || j == c->T - 1;
    case HIDDEN_ALL:
        return true;
    default:
        return (i * 3 + j) % 7 == 3;
    }
}

static void spoil(const pairs_case *c, const clattn_tensor *tensor)
{
    const int64_t *n = tensor->shape;
    for (int64_t h = 0; h < n[0] * n[1]; h++)
        for (int64_t a = 0; a < n[3]; a++)
            host_tensor_set(tensor, (size_t)(((h + 1) * n[2] - 1) * n[3] + a), c->spoiled);
}

static void make(pairs_tensors *t, const pairs_case *c)
{
    const clattn_dtype sums = clattn__sum_dtype(c->dtype);
    const int64_t heads = c->heads ? c->heads : c->Hq, own = c->of_heads ? c->Hq : 1,
                  pairs = c->B * c->Hq * c->S;
    const double spread = c->spread != 0 ? c->spread : 1, ds = c->ds != 0 ? c->ds : 1;
    uint64_t seed = 7;
    *t = (pairs_tensors){.stride = c->T + GAP};
    t->problem =
        (clattn__problem){.desc = {.dtype = c->dtype,
                                   .head_size = (size_t)c->N,
                                   .score = c->rbf ? CLATTN_SCORE_RBF : CLATTN_SCORE_ADDITIVE},
                          .scale = SCALE};
    clattn__call *call = &t->call;
    *call = (clattn__call){.B = c->B, .Hq = c->Hq, .Hkv = heads, .S = c->S, .T = c->T, .D = c->N};
    const int64_t of_query[4] = {c->B, c->Hq, c->S, c->N}, of_key[4] = {c->B, heads, c->T, c->N},
                  of_v[4] = {1, c->Hq, 1, c->rbf ? 1 : c->N},
                  of_rows[4] = {1, c->Hq, c->features, c->N},
                  of_features[4] = {c->B, c->Hq, c->features, c->T};
    call->query = filled(t, sums, of_query, of_query, c->strides, spread, c->shift, &seed);
    call->key =
        filled(t, sums, of_key, of_key, c->strides, spread, c->rbf ? c->shift : -c->shift, &seed);
    call->params[c->rbf ? CLATTN__GAMMA : CLATTN__V] =
        filled(t, c->dtype, (int64_t[]){1, own, 1, of_v[3]}, of_v, STRIDES_DENSE, 1, c->rbf, &seed);
    if (c->bias)
        call->params[CLATTN__BIAS] = filled(t, c->dtype, (int64_t[]){1, own, 1, c->N}, of_v,
                                            STRIDES_DENSE, spread, 0, &seed);
    if (c->features) {
        call->params[CLATTN__W_LOCATION] =
            filled(t, c->dtype, (int64_t[]){1, own, c->features, c->N}, of_rows, STRIDES_DENSE, 0.5,
                   0, &seed);
        call->params[CLATTN__COVERAGE] =
            filled(t, sums, (int64_t[]){c->B, c->features_of_heads ? c->Hq : 1, c->features, c->T},
                   of_features, c->strides, 1, 0, &seed);
    }
    t->ds = host_call_tensor(&t->memory, sums, 2, (int64_t[]){pairs, t->stride}, STRIDES_DENSE);
    for (int64_t r = 0; r < pairs; r++)
        for (int64_t j = 0; j < t->stride; j++)
            host_tensor_set(&t->ds, (size_t)(r * t->stride + j),
                            j >= c->T                   ? (double)NAN
                            : is_hidden(c, r % c->S, j) ? 0
                                                        : uniform(&seed) * ds);
    if (c->mixed)
        shrink(&call->query), shrink(&call->key);
    if (c->spoiled != 0)
        spoil(c, &call->query), spoil(c, &call->key);
    const int64_t rows[OUTPUTS] = {c->S, c->T, 1};
    for (int o = 0; o < OUTPUTS; o++) {
        t->outputs[o] = host_call_tensor(&t->memory, sums, 4,
                                         (int64_t[]){c->B, c->Hq, rows[o], c->N}, STRIDES_DENSE);
        for (size_t i = 0; i < clattn_tensor_count(&t->outputs[o]); i++)
            host_tensor_set(&t->outputs[o], i, (double)NAN);
    }
}

static bool is_wanted(const pairs_case *c, int output)
{
    return c->wanted == WANTS_ALL || c->wanted == output + 1;
}

static void run(pairs_tensors *t, const pairs_case *c)
{
    clattn__kernel kernel;
    lent_memory lent;
    clattn__call call = t->call;
    cl_mem to[OUTPUTS] = {NULL};
    lend(&lent, device, &t->memory);
    lend_call(&lent, &call);
    for (int o = 0; o < OUTPUTS; o++)
        if (is_wanted(c, o))
            to[o] = lent_tensor(&lent, &t->outputs[o]).buffer;
    const clattn__pair_gradients of = {to[TO_QUERY], to[TO_HIDDEN], to[TO_UNITS]};
    /* There is memory even where it has no elements. */
    const cl_mem ds = lent_tensor(&lent, &t->ds).buffer;
    assert_status(CLATTN_OK, clattn__pair_gradients_create(&kernel, device, &t->problem));
    assert_status(CLATTN_OK, clattn__pair_gradients_run(&kernel, device, NULL, &t->problem, &call,
                                                        ds ? ds : to[TO_HIDDEN], t->stride, &of));
    take_back(&lent);
    clattn__kernel_release(&kernel);
}

/* One unit of one head. */
typedef struct unit {
    double *x, *y; /* rows and keys, each with all that is added to it */
    double factor; /* v, or gamma */
} unit;

static double get(const clattn_tensor *t, int64_t b, int64_t h, int64_t row, int64_t column)
{
    return clattn__has(t)
               ? clattn_element_load(t->dtype, t->host, (size_t)clattn__at(t, b, h, row, column))
               : 0;
}

static double rounded(const pairs_case *c, double x)
{
    return c->dtype == CLATTN_F64 ? x : (double)(float)x;
}

static unit take_unit(const pairs_tensors *t, const pairs_case *c, int64_t b, int64_t h, int64_t a)
{
    const clattn__call *call = &t->call;
    const clattn_tensor *params = call->params;
    const int64_t key_head = h / (c->Hq / call->Hkv);
    unit u = {
        malloc((size_t)(c->S + 1) * sizeof(double)), malloc((size_t)(c->T + 1) * sizeof(double)),
        c->rbf ? get(&params[CLATTN__GAMMA], 0, h, 0, 0) : get(&params[CLATTN__V], 0, h, 0, a)};
    assert_true(u.x && u.y);
    /* What is added rounds once each time, as it may. */
    for (int64_t i = 0; i < c->S; i++)
        u.x[i] = rounded(c, get(&call->query, b, h, i, a) + get(&params[CLATTN__BIAS], 0, h, 0, a));
    for (int64_t j = 0; j < c->T; j++) {
        u.y[j] = get(&call->key, b, key_head, j, a);
        for (int64_t f = 0; f < c->features; f++)
            u.y[j] = rounded(c, fma(get(&params[CLATTN__COVERAGE], b, h, f, j),
                                    get(&params[CLATTN__W_LOCATION], 0, h, f, a), u.y[j]));
    }
    return u;
}

/* What one pair has for its query, its key, and v or gamma: by the formula, and by plain code in the type of
 * the sums. */
static void exact_parts(const pairs_case *c, long double x, long double y, long double g,
                        long double factor, long double part[OUTPUTS])
{
    const long double t = (long double)SCALE * g, apart = x - y, e = expl(-2 * fabsl(x + y));
    const long double slope = 4 * e / ((1 + e) * (1 + e));
    part[TO_QUERY] = c->rbf ? -2 * factor * t * apart : factor * t * slope;
    part[TO_HIDDEN] = c->rbf ? 2 * factor * t * apart : factor * t * slope;
    part[TO_UNITS] = c->rbf ? -t * apart * apart : t * tanhl(x + y);
}

#define DEFINE_PLAIN(REAL, name, tanh_of)                                                          \
    static void name(const pairs_case *c, REAL x, REAL y, REAL g, REAL factor,                     \
                     double part[OUTPUTS])                                                         \
    {                                                                                              \
        const REAL t = (REAL)SCALE * g, apart = x - y, z = x + y, th = tanh_of(z),                 \
                   square = th * th, slope = 1 - square;                                           \
        part[TO_QUERY] = (double)(REAL)(c->rbf ? -2 * factor * t * apart : factor * t * slope);    \
        part[TO_HIDDEN] = (double)(REAL)(c->rbf ? 2 * factor * t * apart : factor * t * slope);    \
        part[TO_UNITS] = (double)(REAL)(c->rbf ? -t * apart * apart : t * th);                     \
    }
DEFINE_PLAIN(float, plain_parts, tanhf)
DEFINE_PLAIN(double, plain_wide_parts, tanh)

/* Sums of blocks, each step of which is rounded. */
#define BLOCK 32
typedef struct plain_sum {
    double total, block;
    int count;
} plain_sum;

static void add(const pairs_case *c, plain_sum *sum, double part)
{
    sum->block = rounded(c, sum->block + part);
    if (++sum->count % BLOCK == 0) {
        sum->total = rounded(c, sum->total + sum->block);
        sum->block = 0;
    }
}

typedef struct wanted_sum {
    long double exact, magnitude;
    plain_sum plain;
} wanted_sum;

static void sum_unit(const pairs_case *c, const pairs_tensors *t, int64_t head, const unit *u,
                     wanted_sum *sums[OUTPUTS])
{
    for (int64_t i = 0; i < c->S; i++)
        for (int64_t j = 0; j < c->T; j++) {
            const double g = host_tensor_get(&t->ds, (size_t)((head * c->S + i) * t->stride + j));
            long double exact[OUTPUTS];
            double plain[OUTPUTS];
            if (g == 0)
                continue;
            exact_parts(c, (long double)u->x[i], (long double)u->y[j], (long double)g,
                        (long double)u->factor, exact);
            if (c->dtype == CLATTN_F64)
                plain_wide_parts(c, u->x[i], u->y[j], g, u->factor, plain);
            else
                plain_parts(c, (float)u->x[i], (float)u->y[j], (float)g, (float)u->factor, plain);
            for (int o = 0; o < OUTPUTS; o++) {
                wanted_sum *sum = &sums[o][o == TO_QUERY ? i : o == TO_HIDDEN ? j : 0];
                sum->exact += exact[o];
                sum->magnitude += fabsl(exact[o]);
                add(c, &sum->plain, plain[o]);
            }
        }
}

/* Of one output: how far plain code and ours are from the formula, the largest sum of magnitudes. */
typedef struct errors {
    double plain, ours, magnitude;
} errors;

static void compare(const pairs_case *c, const pairs_tensors *t, int64_t b, int64_t h, int64_t a,
                    errors found[OUTPUTS])
{
    const int64_t rows[OUTPUTS] = {c->S, c->T, 1}, head = b * c->Hq + h;
    wanted_sum *sums[OUTPUTS];
    for (int o = 0; o < OUTPUTS; o++) {
        sums[o] = calloc((size_t)rows[o] + 1, sizeof *sums[o]);
        assert_non_null(sums[o]);
    }
    const unit u = take_unit(t, c, b, h, a);
    sum_unit(c, t, head, &u, sums);
    for (int o = 0; o < OUTPUTS; o++) {
        for (int64_t r = 0; is_wanted(c, o) && r < rows[o]; r++) {
            const wanted_sum *s = &sums[o][r];
            const double exact = (double)s->exact,
                         plain = rounded(c, s->plain.total + s->plain.block),
                         got = get(&t->outputs[o], b, h, r, a);
            if (!isfinite(exact)) {
                assert_true(isnan(got) == isnan(exact));
                continue;
            }
            assert_true(isfinite(got));
            found[o].plain = fmax(found[o].plain, fabs(plain - exact));
            found[o].ours = fmax(found[o].ours, (double)fabsl((long double)got - s->exact));
            found[o].magnitude = fmax(found[o].magnitude, (double)s->magnitude);
        }
        free(sums[o]);
    }
    free(u.x);
    free(u.y);
}

/* Units are judged one by one: large ones must not hide what small ones err by. */
static void verify(const pairs_case *c, const pairs_tensors *t)
{
    const double rounding = c->dtype == CLATTN_F64 ? 0x1p-53 : 0x1p-24;
    for (int64_t a = 0; a < c->N; a++) {
        errors found[OUTPUTS] = {{0, 0, 0}};
        for (int64_t b = 0; b < c->B; b++)
            for (int64_t h = 0; h < c->Hq; h++)
                compare(c, t, b, h, a, found);
        for (int o = 0; o < OUTPUTS; o++)
            assert_close(found[o].ours, 0, 2 * found[o].plain + 4 * rounding * found[o].magnitude,
                         output_names[o], (size_t)a);
    }
    for (int o = 0; o < OUTPUTS; o++)
        for (size_t i = 0; !is_wanted(c, o) && i < clattn_tensor_count(&t->outputs[o]); i++)
            assert_true(isnan(host_tensor_get(&t->outputs[o], i)));
}

/* And the same bits once more. */
static void makes_gradients(void **state)
{
    const pairs_case *c = *state;
    pairs_tensors first, second;
    if (!device_takes(device, c->dtype) || !device_loops(device, 8 * c->S * c->T))
        skip();
    make(&first, c);
    run(&first, c);
    verify(c, &first);
    make(&second, c);
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
        named_tests_add(&tests, cases[i].name, makes_gradients, &cases[i]);
    const int failures = named_tests_run(&tests, "pair_gradients", NULL, NULL);
    kernel_device_close(device);
    return failures;
}
