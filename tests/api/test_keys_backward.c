/* Gradients of projected keys: on the device against the reference, and the reference against that of the keys
 * themselves, which a projection's own gradients make of them. */
#include "support/backward_call.h"
#include "support/device_runs.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SMALL .B = 2, .Hq = 4, .Hkv = 2, .S = 3, .T = 19, .D = 12
#define OF_UNITS SMALL, .A = 33, .score = CLATTN_SCORE_ADDITIVE
#define PROJECTED_QUERY                                                                            \
    .D = 33, .A = 33, .score = CLATTN_SCORE_ADDITIVE, .flags = CLATTN_PROJECTED_QUERY

/* clang-format off: one row, one case */
static const clattn_case cases[] = {
    {"general", SMALL, .Dk = 20, .score = CLATTN_SCORE_GENERAL, .flags = CLATTN_CAUSAL},
    {"general of heads", .B = 2, .Hq = 2, .S = 40, .T = 19, .D = 20, .Dk = 12,
     .score = CLATTN_SCORE_GENERAL, .params = PARAMS_OF_HEADS},
    {"general, halves", .dtype = CLATTN_F16, SMALL, .Dk = 20, .score = CLATTN_SCORE_GENERAL,
     .strides = STRIDES_PADDED},
    {"general, rank 2", .rank = 2, .S = 5, .T = 7, .D = 12, .Dk = 20,
     .score = CLATTN_SCORE_GENERAL},
    {"cosine", SMALL, .score = CLATTN_SCORE_COSINE, .params = PARAM_OF_ROWS},
    {"cosine, all modifications", SMALL, .score = CLATTN_SCORE_COSINE, .layout = CLATTN_BSHD,
     ALL_MODIFICATIONS(2, 1)},
    {"additive", OF_UNITS, .Dk = 20, .params = PARAM_BIAS | PARAM_G},
    {"additive, dense, of one head", .B = 2, .S = 40, .T = 19, .D = 12, .A = 33,
     .score = CLATTN_SCORE_ADDITIVE, .rank = 3},
    {"additive, bshd", OF_UNITS, .layout = CLATTN_BSHD},
    {"additive, bf16", .dtype = CLATTN_BF16, OF_UNITS, .flags = CLATTN_CAUSAL},
    {"additive of heads", OF_UNITS, .params = PARAMS_OF_HEADS, .strides = STRIDES_PADDED},
    {"additive of heads, bshd", OF_UNITS, .params = PARAMS_OF_HEADS, .layout = CLATTN_BSHD,
     .normalizer = CLATTN_NORMALIZER_SPARSEMAX},
    {"additive, queries projected, too", .B = 2, .Hq = 2, .S = 3, .T = 19, .Dk = 20,
     PROJECTED_QUERY},
    {"additive, queries projected, with a bias", .B = 2, .Hq = 2, .S = 3, .T = 19, PROJECTED_QUERY,
     .params = PARAM_BIAS},
    {"NaN behind lengths", OF_UNITS, .fill = FILL_NAN_LAST, .flags = CLATTN_KV_LENGTHS},
    {"general, NaN behind lengths", SMALL, .fill = FILL_NAN_LAST, .score = CLATTN_SCORE_GENERAL,
     .flags = CLATTN_KV_LENGTHS},
    {"cosine, NaN behind lengths", SMALL, .fill = FILL_NAN_LAST, .score = CLATTN_SCORE_COSINE,
     .flags = CLATTN_KV_LENGTHS},
    {"dropout", OF_UNITS, .dropout = 0.25},
    {"no keys", .B = 2, .S = 2, .T = -1, .score = CLATTN_SCORE_ADDITIVE},
    {"no queries", .B = 2, .S = -1, .T = 5, .score = CLATTN_SCORE_ADDITIVE},
    {"location-sensitive", .B = 2, .Hq = 2, .S = 2, .T = 19, .D = 12, .A = 20,
     .score = CLATTN_SCORE_LOCATION_SENSITIVE, .params = PARAM_CUMULATIVE},
    {"coverage", SMALL, .A = 33, .score = CLATTN_SCORE_COVERAGE},
    {"coverage of heads", SMALL, .A = 33, .score = CLATTN_SCORE_COVERAGE,
     .params = PARAMS_OF_HEADS},
    {"additive, doubles", .dtype = CLATTN_F64, OF_UNITS, .layout = CLATTN_BSHD},
    {"general, doubles", .dtype = CLATTN_F64, SMALL, .Dk = 20, .score = CLATTN_SCORE_GENERAL},
};
/* clang-format on */
/* The first ones are a device's: what doubles add takes drivers long to build, and whole calls of keys have it. */
#define OF_REFERENCE 2

static clattn_device *device, *reference;

/* Keys of a call, made on a device. */
static clattn_keys *keys_of(clattn_device *on, const host_call *call)
{
    clattn_keys *keys = NULL;
    host_call with_keys = *call;
    with_keys.desc.flags |= CLATTN_PROJECTED_KEYS;
    with_keys.desc.gradients &= ~(uint32_t)CLATTN_GRAD_PARAMS;
    clattn_plan *plan = plan_of(on, &with_keys, NULL);
    assert_status(CLATTN_OK, clattn_keys_create(&keys, plan, &with_keys.args));
    clattn_plan_destroy(plan);
    return keys;
}

/* A case backward, with keys as they are; its gradients are those of the reference. */
static void make_plain(host_call *call, const clattn_case *from, uint32_t results)
{
    clattn_case forward = *from;
    forward.outputs = CLATTN_OUTPUT | CLATTN_LSE | CLATTN_WEIGHTS;
    case_make(call, &forward);
    if (from->flags & CLATTN_PROJECTED_QUERY)
        call->args.params.w_query = (clattn_tensor){0};
    for (int64_t d = 0; from->score == CLATTN_SCORE_COSINE && d < from->D; d++)
        host_tensor_set(&call->args.key, (size_t)d, 0); /* has no direction */
    assert_status(CLATTN_OK, clattn_reference_run(&call->desc, &call->args));
    backward_call_turn(call, results, from->strides);
    assert_status(CLATTN_OK, clattn_reference_run(&call->desc, &call->args));
}

static void wipe_gradients(host_call *call)
{
    backward_gradient each;
    for (size_t n = 0; backward_call_gradient(call, n, &each); n++)
        for (size_t i = 0; i < clattn_tensor_count(each.gradient); i++)
            host_tensor_set(each.gradient, i, (double)NAN);
}

static void run_and_judge(const clattn_case *c, uint32_t results, uint32_t gradients,
                          const char *variant)
{
    host_call call;
    clattn_report report;
    if (!device_takes_case(device, c))
        skip();
    make_plain(&call, c, results);
    backward_call_keep(&call, gradients);
    const host_call plain = call; /* memory is shared, but for gradients of what meets keys */
    clattn_keys *keys = keys_of(device, &call), *judges = keys_of(reference, &call);
    backward_call_project(&call, keys, c->strides);
    wipe_gradients(&call);
    clattn_plan *plan = plan_of(device, &call, variant);
    for (int n = 0; n < 2; n++)
        run_to_end(device, plan, &call.args);
    clattn_plan_destroy(plan);
    assert_true(call.args.grad.key.rank == 0 ||
                host_tensor_gaps_untouched(&call, &call.args.grad.key));
    call.args.projected_keys = judges;
    assert_status(CLATTN_OK, clattn_verify(&report, &call.desc, &call.args, 0));
    assert_verified(&report, c->name);
    assert_status(CLATTN_OK, clattn_verify(&report, &plain.desc, &plain.args, 0));
    assert_verified(&report, c->name);
    clattn_keys_destroy(keys);
    clattn_keys_destroy(judges);
    host_call_free(&call);
}

static void of_all_results(void **state)
{
    run_and_judge(*state, 0, UINT32_MAX, "staged");
}

static void of_the_output(void **state)
{
    const uint32_t tensors = CLATTN_GRAD_QUERY | CLATTN_GRAD_KEY | CLATTN_GRAD_VALUE;
    const clattn_case *c = *state;
    const bool fused = c->score == CLATTN_SCORE_GENERAL || c->score == CLATTN_SCORE_COSINE;
    run_and_judge(c, CLATTN_OUTPUT, tensors, fused ? "lanes" : "staged");
}

/* Element (b, h, t, n) of a tensor that has the axes of keys. */
static double element(const clattn_attention_desc *desc, const clattn_tensor *tensor, int64_t b,
                      int64_t h, int64_t t, int64_t n)
{
    const uint32_t rank = tensor->rank;
    const bool swapped = rank == 4 && desc->layout == CLATTN_BSHD;
    const int64_t H = rank == 4 ? tensor->shape[swapped ? 2 : 1] : 1,
                  T = tensor->shape[swapped ? 1 : rank - 2], N = tensor->shape[rank - 1];
    return host_tensor_get(tensor,
                           (size_t)((swapped ? (b * T + t) * H + h : (b * H + h) * T + t) * N + n));
}

/* Element (n, d) of the matrix that key heads, or query heads, are multiplied by. */
static double of_matrix(const clattn_tensor *matrix, int64_t head, int64_t n, int64_t d)
{
    const int64_t rows = matrix->shape[matrix->rank - 2], columns = matrix->shape[matrix->rank - 1],
                  first = matrix->rank == 3 ? head * rows : 0;
    return host_tensor_get(matrix, (size_t)((first + n) * columns + d));
}

/* The gradient of key (b, g, t), from d of what it was projected to; `magnitude` becomes the sum of its terms'. */
static void unproject(const clattn_attention_desc *desc, const clattn_attention_args *plain,
                      const clattn_tensor *d, int64_t b, int64_t g, int64_t t, int64_t column,
                      double *sum, double *magnitude)
{
    const int64_t heads = d->rank == 4 ? d->shape[desc->layout == CLATTN_BSHD ? 2 : 1] : 1,
                  folds = heads / (int64_t)desc->kv_heads, N = d->shape[d->rank - 1];
    const clattn_tensor *matrix =
        desc->score == CLATTN_SCORE_GENERAL ? &plain->params.weight : &plain->params.w_key;
    *sum = *magnitude = 0;
    if (desc->score == CLATTN_SCORE_COSINE) { /* (d - (d . n) n) / |k|, n = k / |k| */
        double along = 0, square = 0, terms = 0;
        for (int64_t n = 0; n < N; n++) {
            const double k = element(desc, &plain->key, b, g, t, n),
                         of_unit = element(desc, d, b, g, t, n);
            square += k * k, along += k * of_unit, terms += fabs(of_unit);
        }
        const double k = element(desc, &plain->key, b, g, t, column);
        if (!(square > 0)) /* no direction, and no gradient */
            return;
        *sum = (element(desc, d, b, g, t, column) - along * k / square) / sqrt(square);
        *magnitude = 2 * terms / sqrt(square);
        return;
    }
    for (int64_t fold = 0; fold < folds; fold++)
        for (int64_t n = 0; n < N; n++) {
            const double term = of_matrix(matrix, g * folds + fold, n, column) *
                                element(desc, d, b, g * folds + fold, t, n);
            *sum += term, *magnitude += fabs(term);
        }
}

/* The reference rounds both gradients once; a hidden key's is 0 either way. */
static void leads_to_that_of_keys(void **state)
{
    static const double rounding[] = {[CLATTN_F32] = 0x1p-23,
                                      [CLATTN_F64] = 0x1p-50,
                                      [CLATTN_F16] = 0x1p-10,
                                      [CLATTN_BF16] = 0x1p-7};
    const clattn_case *c = *state;
    host_call call;
    make_plain(&call, c, 0);
    const host_call plain = call;
    clattn_keys *keys = keys_of(reference, &call);
    backward_call_project(&call, keys, c->strides);
    clattn_plan *plan = plan_of(reference, &call, NULL);
    run_to_end(reference, plan, &call.args);
    const clattn_tensor *d = &call.args.grad.key, *wanted = &plain.args.grad.key,
                        *key = &plain.args.key;
    const bool swapped = key->rank == 4 && c->layout == CLATTN_BSHD;
    const int64_t B = key->rank == 2 ? 1 : key->shape[0],
                  T = key->shape[swapped ? 1 : key->rank - 2], size = key->shape[key->rank - 1];
    for (int64_t b = 0; b < B; b++)
        for (int64_t g = 0; g < (int64_t)plain.desc.kv_heads; g++)
            for (int64_t t = 0; t < T; t++)
                for (int64_t column = 0; column < size; column++) {
                    double sum, magnitude;
                    const double want = element(&plain.desc, wanted, b, g, t, column);
                    unproject(&plain.desc, &plain.args, d, b, g, t, column, &sum, &magnitude);
                    assert_close(sum, want,
                                 rounding[c->dtype] * (magnitude + fabs(want)) +
                                     1e-6 * (c->dtype == CLATTN_F16),
                                 "key", (size_t)((b * T + t) * size + column));
                }
    clattn_plan_destroy(plan);
    clattn_keys_destroy(keys);
    host_call_free(&call);
}

static void what_does_not_fit_is_refused(void **state)
{
    static const clattn_case of_additive = {OF_UNITS, .Dk = 20},
                             of_general = {SMALL, .Dk = 20, .score = CLATTN_SCORE_GENERAL};
    (void)state;
    host_call call;
    clattn_plan *none = NULL;
    make_plain(&call, &of_additive, 0);
    const host_call plain = call;
    clattn_keys *keys = keys_of(device, &call);
    backward_call_project(&call, keys, STRIDES_DENSE);
    clattn_plan *plan = plan_of(device, &call, NULL);
    const clattn_attention_args right = call.args;
    call.args.grad.key = plain.args.grad.key;
    assert_argument_refused(clattn_plan_run(plan, &call.args),
                            "grad.key: shape (2, 2, 19, 20), expected (B=2, Hkv=2, T=19, A=33)");
    call.args = right;
    call.args.grad.key = (clattn_tensor){0};
    assert_argument_refused(clattn_plan_run(plan, &call.args), "grad.key: missing");
    call.args = right;
    call.args.grad.key.strides[3] = 0;
    assert_argument_refused(clattn_plan_run(plan, &call.args), "grad.key: its strides");
    call.args = right;
    call.args.grad.params.w_key = plain.args.grad.params.w_key;
    assert_argument_refused(clattn_plan_run(plan, &call.args),
                            "grad.params.w_key: given, but keys come projected; expected none, as "
                            "grad.key is the gradient of what they are projected to");
    call.args = right;
    call.args.projected_keys = NULL;
    assert_argument_refused(clattn_plan_run(plan, &call.args), "projected_keys: missing");
    call.args = right;
    call.args.key = plain.args.key;
    assert_argument_refused(clattn_plan_run(plan, &call.args), "key: given");
    clattn_plan_destroy(plan);
    clattn_keys_destroy(keys);
    host_call_free(&call);
    make_plain(&call, &of_general, 0);
    call.desc.flags |= CLATTN_PROJECTED_KEYS;
    assert_argument_refused(clattn_plan_create(&none, device, &call.desc),
                            "desc.gradients: CLATTN_GRAD_PARAMS, expected it only with keys that "
                            "have not met the weight before");
    host_call_free(&call);
}

int main(void)
{
    static const struct {
        const char *group;
        CMUnitTestFunction test;
        device_played as;
        bool doubles;
    } groups[] = {{"staged, of all results", of_all_results, {false, false}, false},
                  {"staged, in pieces", of_all_results, {.little_scratch = true}, false},
                  {"of the output, copied memory", of_the_output, {.copies = true}, false},
                  {"reference", leads_to_that_of_keys, {false, false}, true}};
    int failures = 0;
    named_tests more = {0};
    if (clattn_device_open(&device, NULL, 0) != CLATTN_OK ||
        clattn_device_open(&reference, "reference", 0) != CLATTN_OK) {
        (void)fprintf(stderr, "%s\n", clattn_last_error());
        return 1;
    }
    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
        named_tests tests = {0};
        const size_t count = sizeof cases / sizeof *cases;
        for (size_t i = 0; i < count - (groups[g].doubles ? 0 : OF_REFERENCE); i++)
            named_tests_add(&tests, cases[i].name, groups[g].test, &cases[i]);
        failures += run_on_played(device, groups[g].as, &tests, groups[g].group);
    }
    named_tests_add(&more, "what does not fit is refused", what_does_not_fit_is_refused, NULL);
    failures += named_tests_run(&more, "gradients of projected keys, more", NULL, NULL);
    clattn_device_close(device);
    clattn_device_close(reference);
    return failures;
}
