/* params.c: the parameters of scores: which score takes which, and of what shape they are. */
#include "dtype.h"
#include "rules.h"
#include "try.h"

#include <stddef.h>
#include <string.h>

#define BIT(score) (1u << CLATTN_SCORE_##score)
#define ADDITIVE (BIT(ADDITIVE) | BIT(LOCATION_SENSITIVE) | BIT(COVERAGE))

/* Shapes, with the axis of heads that may stand in front. */
typedef enum shape {
    MATRIX,  /* (rows, columns) */
    VECTOR,  /* (columns) */
    SCALAR,  /* (1), or (Hq) */
    OF_ROWS, /* a scalar, or (B, S), (B, Hq, S) */
    OF_KEYS, /* (B, T), (B, Hq, T) */
    FILTERS  /* (C, K), or (C, 2, K) with cumulative weights */
} shape;

/* Sizes by their letters; C is told by the filters. */
typedef enum size { ONE, D, DK, A, C, K, T } size;
static const char *const letters[] = {"", "D", "Dk", "A", "C", "K", "T"};

static const struct {
    const char *gradient;        /* its name, and behind "grad." that of the parameter */
    size_t offset;               /* in clattn_score_params */
    uint32_t required, optional; /* by which scores */
    shape shape;
    size rows, columns;
} params[CLATTN__PARAMS] = {
#define PARAM(name) "grad.params." #name, offsetof(clattn_score_params, name)
    [CLATTN__WEIGHT] = {PARAM(weight), BIT(GENERAL) | BIT(LOCATION), 0, MATRIX, D, DK},
    [CLATTN__W_QUERY] = {PARAM(w_query), ADDITIVE, 0, MATRIX, A, D},
    [CLATTN__W_KEY] = {PARAM(w_key), ADDITIVE, 0, MATRIX, A, DK},
    [CLATTN__V] = {PARAM(v), ADDITIVE, 0, VECTOR, ONE, A},
    [CLATTN__BIAS] = {PARAM(bias), 0, ADDITIVE, VECTOR, ONE, A},
    [CLATTN__G] = {PARAM(g), 0, ADDITIVE, SCALAR, ONE, ONE},
    [CLATTN__CONV] = {PARAM(conv), BIT(LOCATION_SENSITIVE), 0, FILTERS, C, K},
    [CLATTN__CONV_CUMULATIVE] = {PARAM(conv), 0, BIT(LOCATION_SENSITIVE), FILTERS, C, K},
    [CLATTN__W_LOCATION] = {PARAM(w_location), BIT(LOCATION_SENSITIVE), 0, MATRIX, A, C},
    [CLATTN__W_COVERAGE] = {PARAM(w_coverage), BIT(COVERAGE), 0, VECTOR, ONE, A},
    [CLATTN__BETA] = {PARAM(beta), BIT(COSINE), 0, OF_ROWS, ONE, ONE},
    [CLATTN__GAMMA] = {PARAM(gamma), BIT(RBF), 0, SCALAR, ONE, ONE},
    [CLATTN__PREVIOUS_WEIGHTS] = {PARAM(previous_weights), BIT(LOCATION_SENSITIVE), 0, OF_KEYS, ONE,
                                  T},
    [CLATTN__CUMULATIVE_WEIGHTS] = {PARAM(cumulative_weights), 0, BIT(LOCATION_SENSITIVE), OF_KEYS,
                                    ONE, T},
    [CLATTN__COVERAGE] = {PARAM(coverage), BIT(COVERAGE), 0, OF_KEYS, ONE, T},
#undef PARAM
};

const char *clattn__param_gradient_name(clattn__param param)
{
    return params[param].gradient;
}

const char *clattn__param_name(clattn__param param)
{
    return params[param].gradient + strlen("grad.");
}

const clattn_tensor *clattn__param_given(const clattn_score_params *given, clattn__param param)
{
    return (const clattn_tensor *)(const void *)((const char *)given + params[param].offset);
}

/* A rule for parameter `p` as it is given: its rank says whether heads differ. */
static clattn__rule rule_of(clattn__param p, const clattn_tensor *given, const clattn__call *call,
                            const clattn_attention_desc *desc, const int64_t sizes[])
{
    static const int matrix[] = {1, 2, 3}, vector[] = {1, 3}, scalar[] = {1}, rows[] = {0, 2},
                     head_rows[] = {0, 1, 2}, keys[] = {0, 3}, head_keys[] = {0, 1, 3};
    const clattn_dtype own = clattn__dtype_is_float(given->dtype) ? given->dtype : CLATTN_F32;
    clattn__rule rule = {
        .name = clattn__param_name(p),
        .shape = {1, call->Hq, sizes[params[p].rows], sizes[params[p].columns]},
        .letters = {"B", "Hq", letters[params[p].rows], letters[params[p].columns]},
        .dtypes = {CLATTN_F32, own, own}};
    switch (params[p].shape) {
    case MATRIX:
    case FILTERS:
        rule.rank = given->rank == 3 ? 3 : 2;
        rule.axes = matrix + 3 - rule.rank;
        break;
    case VECTOR:
        rule.rank = given->rank == 2 ? 2 : 1;
        rule.axes = vector + 2 - rule.rank;
        break;
    case OF_ROWS:
        if (given->rank > 1) {
            rule.shape[0] = call->B, rule.shape[2] = call->S;
            rule.letters[2] = "S";
            rule.rank = given->rank == 2 ? 2 : 3;
            rule.axes = given->rank == 2 ? rows : head_rows;
            break;
        }
        rule.shape[0] = call->B, rule.shape[2] = call->S;
        /* fall through */
    case SCALAR:
        rule.rank = 1, rule.axes = scalar;
        rule.broadcast = true;
        break;
    case OF_KEYS:
        rule.shape[0] = call->B;
        rule.rank = given->rank == 3 || (given->rank == 1 && call->B == 1) ? given->rank : 2;
        rule.axes = given->rank == 3 ? head_keys : keys + 2 - rule.rank;
        break;
    }
    if (p == CLATTN__WEIGHT && desc->score == CLATTN_SCORE_LOCATION) {
        rule.shape[2] = CLATTN__ANY, rule.shape[3] = call->D;
        rule.letters[2] = "M", rule.letters[3] = "D";
    }
    return rule;
}

/* One channel of filters (C, 2, K) as filters (C, K). */
static clattn_status take_channel(clattn_tensor *filters, int channel)
{
    clattn_status status = CLATTN_OK;
    const uint32_t axis = filters->rank - 2;
    FAIL_IF(filters->rank < 3 || filters->shape[axis] != 2, CLATTN_E_ARGUMENT,
            "params.conv: its axis before the last is not 2, expected (C, 2, K) with cumulative "
            "weights");
    filters->offset += channel * filters->strides[axis];
    filters->shape[axis] = filters->shape[axis + 1];
    filters->strides[axis] = filters->strides[axis + 1];
    filters->rank--;
done:
    return status;
}

/* The filters of a parameter, where it has those of two channels. */
static clattn_status take_filters(clattn_tensor *given, const clattn__call *call, clattn__param p)
{
    if (params[p].shape == FILTERS && clattn__has(&call->params[CLATTN__CUMULATIVE_WEIGHTS]))
        return take_channel(given, p == CLATTN__CONV_CUMULATIVE);
    return CLATTN_OK;
}

static clattn_status view_param(clattn__call *call, const clattn_attention_desc *desc,
                                clattn__param p, clattn_tensor given, int64_t sizes[])
{
    clattn_status status = CLATTN_OK;
    TRY(take_filters(&given, call, p));
    clattn__rule rule = rule_of(p, &given, call, desc, sizes);
    TRY(clattn__view_init(&call->params[p], &given, &rule));
    if (params[p].shape == FILTERS) {
        sizes[C] = rule.shape[2], sizes[K] = rule.shape[3];
        FAIL_IF(sizes[K] % 2 == 0, CLATTN_E_ARGUMENT,
                "params.conv: filters of width K=%lld, expected an odd one", (long long)sizes[K]);
        FAIL_IF(sizes[C] == 0, CLATTN_E_ARGUMENT, "params.conv: no filters, expected at least one");
    }
    FAIL_IF(p == CLATTN__WEIGHT && desc->score == CLATTN_SCORE_LOCATION && rule.shape[2] < call->T,
            CLATTN_E_ARGUMENT, "params.weight: M=%lld rows, expected at least T=%lld, one per key",
            (long long)rule.shape[2], (long long)call->T);
    if (params[p].shape == SCALAR || params[p].shape == OF_ROWS)
        TRY(clattn__check_finite(&call->params[p], clattn__param_name(p), desc->dtype));
done:
    return status;
}

/* True for a parameter that has met keys where those are projected. */
static bool meets_keys(clattn__param p)
{
    return p == CLATTN__W_KEY || p == CLATTN__WEIGHT;
}

/* ... and for one that has met keys or queries before this call. */
static bool has_met(const clattn_attention_desc *desc, clattn__param p)
{
    return (desc->flags & CLATTN_PROJECTED_KEYS && meets_keys(p)) ||
           (desc->flags & CLATTN_PROJECTED_QUERY && p == CLATTN__W_QUERY);
}

clattn_status clattn__call_params(clattn__call *call, const clattn_attention_desc *desc,
                                  const clattn_score_params *given)
{
    clattn_status status = CLATTN_OK;
    int64_t sizes[] = {
        [ONE] = 1,         [D] = call->D,     [DK] = call->Dk, [A] = (int64_t)desc->hidden_size,
        [C] = CLATTN__ANY, [K] = CLATTN__ANY, [T] = call->T};
    for (clattn__param p = 0; p < CLATTN__PARAMS; p++) {
        const clattn_tensor *tensor = clattn__param_given(given, p);
        const bool met = has_met(desc, p), wanted = !met && params[p].required >> desc->score & 1,
                   allowed = wanted || params[p].optional >> desc->score & 1;
        TRY(clattn__check_presence(tensor, wanted || (allowed && clattn__has(tensor)),
                                   clattn__param_name(p), met ? "it is projected" : "score"));
        if (p == CLATTN__CONV_CUMULATIVE && !clattn__has(&call->params[CLATTN__CUMULATIVE_WEIGHTS]))
            continue;
        if (clattn__has(tensor))
            TRY(view_param(call, desc, p, *tensor, sizes));
    }
done:
    return status;
}

clattn_status clattn__call_param_gradients(clattn__call *call, const clattn_attention_desc *desc,
                                           const clattn_score_params *gradients,
                                           const clattn_score_params *given)
{
    clattn_status status = CLATTN_OK;
    const int64_t sizes[] = {
        [ONE] = 1,         [D] = call->D,     [DK] = call->Dk, [A] = (int64_t)desc->hidden_size,
        [C] = CLATTN__ANY, [K] = CLATTN__ANY, [T] = call->T};
    for (clattn__param p = 0; p < CLATTN__PARAMS; p++) {
        clattn_tensor gradient = *clattn__param_given(gradients, p),
                      of = *clattn__param_given(given, p);
        if (!clattn__has(&gradient))
            continue;
        FAIL_IF(has_met(desc, p), CLATTN_E_ARGUMENT,
                "%s: given, but %s come projected; expected none, as %s is the gradient of what "
                "they are projected to",
                clattn__param_gradient_name(p), meets_keys(p) ? "keys" : "queries",
                meets_keys(p) ? "grad.key" : "grad.query");
        FAIL_IF(!clattn__has(&of), CLATTN_E_ARGUMENT, "%s: given, but %s is not, expected both",
                clattn__param_gradient_name(p), clattn__param_name(p));
        FAIL_IF(!(desc->gradients & CLATTN_GRAD_PARAMS), CLATTN_E_ARGUMENT,
                "%s: given, but the description does not ask for it (CLATTN_GRAD_PARAMS)",
                clattn__param_gradient_name(p));
        if (!clattn__has(&call->params[p]))
            continue;
        FAIL_IF(gradient.rank != of.rank, CLATTN_E_ARGUMENT,
                "%s: rank %u, expected %u as what it is the gradient of",
                clattn__param_gradient_name(p), gradient.rank, of.rank);
        TRY(take_filters(&gradient, call, p));
        TRY(take_filters(&of, call, p));
        clattn__rule rule = rule_of(p, &of, call, desc, sizes);
        const clattn_dtype own =
            clattn__dtype_is_float(gradient.dtype) ? gradient.dtype : CLATTN_F32;
        rule.name = clattn__param_gradient_name(p);
        rule.dtypes[1] = rule.dtypes[2] = own;
        TRY(clattn__gradient_view(&call->grad.params[p], &gradient, &of, rule));
    }
done:
    return status;
}

clattn_status clattn__call_keys(clattn__call *call, const clattn_attention_desc *desc,
                                const clattn_attention_args *args)
{
    clattn_status status = CLATTN_OK;
    int64_t sizes[] = {[ONE] = 1, [D] = call->D, [DK] = call->Dk, [A] = (int64_t)desc->hidden_size};
    for (clattn__param p = 0; p < CLATTN__PARAMS; p++)
        if (meets_keys(p) && params[p].required >> desc->score & 1) {
            const clattn_tensor *tensor = clattn__param_given(&args->params, p);
            TRY(clattn__check_presence(tensor, true, clattn__param_name(p), "score"));
            TRY(view_param(call, desc, p, *tensor, sizes));
        }
done:
    return status;
}
