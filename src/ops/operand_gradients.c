/* operand_gradients.c: see operand_gradients.h. */
#include "operand_gradients.h"

#include "sum_up.h"
#include "try.h"

/* Rows of a work-item of unit_rows_gradients.cl. */
#define ITEM_ROWS 16

/* One way back: what goes along with every step of it. */
typedef struct way {
    clattn__operand_gradients *to;
    clattn__operands *operands;
    clattn_device *device;
    clattn__timeline *timeline;
    const clattn__problem *problem;
    const clattn__call *call, *of_operands;
} way;

void clattn__operand_gradients_init(clattn__operand_gradients *g, const clattn__problem *problem)
{
    *g = (clattn__operand_gradients){.dtype = problem->desc.dtype};
}

void clattn__operand_gradients_release(clattn__operand_gradients *g)
{
    clattn__kernel *const kernels[] = {&g->sum_up, &g->unit_rows, &g->filters, &g->weights};
    clattn__scratch *const scratch[] = {&g->query, &g->key,     &g->scores, &g->v,
                                        &g->made,  &g->lengths, &g->keys,   &g->of_features};
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
        clattn__kernel_release(kernels[i]);
    for (size_t i = 0; i < sizeof scratch / sizeof *scratch; i++)
        clattn__scratch_release(scratch[i]);
    for (size_t p = 0; p < CLATTN__PARAMS; p++)
        clattn__scratch_release(&g->partial[p]);
}

bool clattn__operand_gradients_fit(const clattn_device *device, const clattn__problem *problem,
                                   const clattn__call *call)
{
    const uint64_t most = device->info.max_allocation / clattn__sum_size(problem->desc.dtype);
    const int64_t A = (int64_t)problem->desc.hidden_size, of_query = A > call->Dk ? A : call->Dk,
                  of_key = A > call->Dk ? A : call->Dk,
                  of_scores = problem->desc.score == CLATTN_SCORE_LOCATION ? call->T : 0,
                  of_row = of_query > of_scores ? of_query : of_scores;
    return (uint64_t)(call->B * call->Hq * call->S * of_row) <= most &&
           (uint64_t)(call->B * call->Hq * call->T * of_key) <= most;
}

/* A place for the gradient of an operand of this shape. */
static clattn_status place(clattn__operand_gradients *g, clattn_device *device, clattn__scratch *to,
                           const int64_t shape[4], clattn_tensor *out)
{
    clattn_status status = CLATTN_OK;
    TRY(clattn__scratch_reserve(to, device,
                                (size_t)(shape[0] * shape[1] * shape[2] * shape[3]) *
                                    clattn__sum_size(g->dtype)));
    *out = clattn__dense(clattn__sum_dtype(g->dtype), to->memory, shape[0], shape[1], shape[2],
                         shape[3]);
done:
    return status;
}

static bool any_has(const clattn_tensor *params, const clattn__param *of, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (clattn__has(&params[of[i]]))
            return true;
    return false;
}

static bool needs_query(const clattn__call *call)
{
    static const clattn__param of[] = {CLATTN__WEIGHT, CLATTN__W_QUERY, CLATTN__BIAS, CLATTN__BETA};
    return clattn__has(&call->grad.query) || any_has(call->grad.params, of, sizeof of / sizeof *of);
}

static bool needs_features(const clattn__call *call)
{
    static const clattn__param of[] = {CLATTN__CONV, CLATTN__CONV_CUMULATIVE,
                                       CLATTN__PREVIOUS_WEIGHTS, CLATTN__CUMULATIVE_WEIGHTS,
                                       CLATTN__COVERAGE};
    return any_has(call->grad.params, of, sizeof of / sizeof *of);
}

static bool has_projected_keys(const clattn__problem *problem)
{
    return problem->desc.flags & CLATTN_PROJECTED_KEYS;
}

/* Projected queries are what meets a key. The gradient of a bias is a sum over theirs, in the type of the sums. */
static bool is_query_made_in_place(const clattn__problem *problem, const clattn__call *call)
{
    return problem->desc.flags & CLATTN_PROJECTED_QUERY &&
           !clattn__has(&call->grad.params[CLATTN__BIAS]);
}

/* Projected keys are what a key adds to the units, so their gradient is made where it belongs. */
static bool needs_hidden(const clattn__problem *problem, const clattn__call *call)
{
    static const clattn__param of[] = {CLATTN__W_KEY, CLATTN__W_LOCATION, CLATTN__W_COVERAGE};
    return (clattn__has(&call->grad.key) && !has_projected_keys(problem)) || needs_features(call) ||
           any_has(call->grad.params, of, sizeof of / sizeof *of);
}

clattn_status clattn__operand_gradients_place(clattn__operand_gradients *g, clattn_device *device,
                                              const clattn__problem *problem,
                                              const clattn__call *call, clattn__call *of_operands)
{
    clattn_status status = CLATTN_OK;
    clattn__gradients *grad = &of_operands->grad;
    const clattn_tensor none = {0};
    const clattn_score score = problem->desc.score;
    const int64_t B = call->B, Hq = call->Hq, A = (int64_t)problem->desc.hidden_size;
    const bool projected = has_projected_keys(problem),
               in_place = is_query_made_in_place(problem, call);
    if (score == CLATTN_SCORE_GENERAL && projected) /* queries and keys meet as they come */
        goto done;
    if (!in_place)
        grad->query = none;
    if (score == CLATTN_SCORE_LOCATION) {
        if (needs_query(call))
            TRY(place(g, device, &g->scores, (int64_t[]){B, Hq, call->S, call->T},
                      &grad->given_scores));
        goto done;
    }
    if (needs_query(call) && !in_place)
        TRY(place(g, device, &g->query, of_operands->query.shape, &grad->query));
    if (score == CLATTN_SCORE_COSINE && clattn__has(&call->grad.key) && !projected)
        TRY(place(g, device, &g->key, of_operands->key.shape, &grad->key));
    if (!clattn__is_additive(score))
        goto done;
    if (!projected)
        grad->key = none;
    if (needs_hidden(problem, call))
        TRY(place(g, device, &g->key, (int64_t[]){B, Hq, call->T, A}, &grad->hidden));
    if (clattn__has(&call->params[CLATTN__G]) && (clattn__has(&call->grad.params[CLATTN__V]) ||
                                                  clattn__has(&call->grad.params[CLATTN__G]))) {
        /* It is a sum over all but heads, and over those too where they share it. */
        const clattn_tensor *v = &of_operands->params[CLATTN__V];
        const bool alike = v->strides[1] == 0;
        TRY(place(g, device, &g->v, (int64_t[]){1, alike ? 1 : Hq, 1, A},
                  &grad->params[CLATTN__V]));
        grad->params[CLATTN__V].strides[0] = 0;
        if (alike)
            grad->params[CLATTN__V].shape[1] = Hq, grad->params[CLATTN__V].strides[1] = 0;
    }
done:
    return status;
}

/* Adds up to a gradient of the caller's, which may be absent; of a parameter, or else of one that comes in one
 * piece. */
static clattn_status give(const way *w, const clattn_tensor *from, int64_t folds, int64_t fold_step,
                          const clattn_tensor *to, clattn__sum_over over, clattn__scratch *partial)
{
    clattn_status status = CLATTN_OK;
    const clattn__sum sum = {from, folds, fold_step, to, over, partial};
    if (!clattn__has(to))
        return CLATTN_OK;
    if (!w->to->sum_up.handle)
        TRY(clattn__sum_up_create(&w->to->sum_up, w->device, w->to->dtype));
    TRY(clattn__sum_up_run(&w->to->sum_up, w->device, w->timeline, w->call, &sum));
done:
    return status;
}

static clattn_status give_param(const way *w, const clattn_tensor *from, clattn__param param)
{
    return give(w, from, 1, 0, &w->call->grad.params[param], CLATTN__SUM_OVER_ALL,
                &w->to->partial[param]);
}

/* What the operands were made with, beside the parameters. */
static double alpha_of(const way *w)
{
    return w->problem->desc.score == CLATTN_SCORE_LOCATION ? w->problem->scale : 1.0;
}

/* A tensor of query heads as that of key heads, each with its first one. */
static clattn_tensor of_key_heads(const clattn_tensor *tensor, int64_t group)
{
    clattn_tensor out = *tensor;
    out.shape[1] /= group;
    out.strides[1] *= group;
    return out;
}

/* A gradient that is x times a matrix of a parameter, (B, H, rows, N), of which groups of heads may share one. */
static clattn_status give_projected(const way *w, const clattn_tensor *x, clattn_tensor matrix,
                                    clattn__pack_lanes lanes, int64_t N, const clattn_tensor *to)
{
    clattn_status status = CLATTN_OK;
    const clattn__projection by = {x, matrix, lanes, N, alpha_of(w), &w->to->made, to};
    clattn_tensor made;
    if (!clattn__has(to))
        return CLATTN_OK;
    TRY(clattn__project(&w->operands->projector, w->device, w->timeline, &by, &made));
    if (made.buffer == to->buffer)
        return CLATTN_OK;
    const int64_t folds = made.shape[1] / to->shape[1];
    const clattn_tensor of_heads = of_key_heads(&made, folds);
    TRY(give(w, &of_heads, folds, made.strides[1], to, CLATTN__SUM_OVER_NOTHING, NULL));
done:
    return status;
}

/* A matrix's gradient, d^T y, or y^T d; what is not finite counts for nothing in y alone. */
static clattn_status give_outer(const way *w, const clattn_tensor *d, const clattn_tensor *y,
                                bool turn, clattn__param param)
{
    clattn_status status = CLATTN_OK;
    const clattn_tensor *to = &w->call->grad.params[param];
    const clattn__outer outer = {d, y, to->strides[1] != 0, alpha_of(w), &w->to->made};
    clattn_tensor made;
    if (!clattn__has(to))
        return CLATTN_OK;
    TRY(clattn__sum_outer(&w->operands->projector, w->device, w->timeline, &outer, &made));
    made = turn ? clattn__transposed(&made) : made;
    TRY(give_param(w, &made, param));
done:
    return status;
}

/* From the gradients d of unit rows, times lengths, to those of x and the lengths. */
static clattn_status unmake_units(const way *w, const clattn_tensor *x,
                                  const clattn_tensor *lengths, const clattn_tensor *d,
                                  bool keeps_zero, clattn_tensor *of_x, clattn_tensor *of_lengths)
{
    clattn_status status = CLATTN_OK;
    clattn__operand_gradients *g = w->to;
    char options[CLATTN__OPTIONS_MAX];
    const int64_t *n = x->shape;
    const cl_int keeps = keeps_zero;
    if (!g->unit_rows.handle) {
        clattn__options(options, w->device, g->dtype, " -DITEM_ROWS=%d", ITEM_ROWS);
        TRY(clattn__kernel_create(&g->unit_rows, w->device, "unit_rows_gradients", options));
    }
    TRY(place(g, w->device, &g->made, n, of_x));
    TRY(place(g, w->device, &g->lengths, (int64_t[]){n[0], n[1], n[2], 1}, of_lengths));
    const clattn_view view_of_x = clattn__view(x), view_of_lengths = clattn__view(lengths);
    const cl_mem memory = clattn__memory_of(x, g->made.memory),
                 memory_of_lengths = clattn__memory_of(lengths, g->made.memory);
    const clattn__arg args[] = {
        CLATTN__ARG(memory),
        CLATTN__ARG(view_of_x),
        CLATTN__ARG(memory_of_lengths),
        CLATTN__ARG(view_of_lengths),
        CLATTN__ARG(d->buffer),
        CLATTN__ARG(g->made.memory),
        CLATTN__ARG(g->lengths.memory),
        CLATTN__ARG(n[2]),
        CLATTN__ARG(n[3]),
        CLATTN__ARG(keeps),
    };
    const size_t global[3] = {(size_t)clattn__ceil_div(n[2], ITEM_ROWS), (size_t)n[1],
                              (size_t)n[0]},
                 local[3] = {1, 1, 1};
    TRY(clattn__launch(w->device, w->timeline, &g->unit_rows, global, local, args,
                       sizeof args / sizeof *args));
done:
    return status;
}

static clattn_status of_general(const way *w)
{
    clattn_status status = CLATTN_OK;
    const clattn__call *call = w->call;
    const clattn_tensor *d = &w->of_operands->grad.query;
    if (!clattn__has(d) || has_projected_keys(w->problem))
        return CLATTN_OK;
    TRY(give_projected(w, d, call->params[CLATTN__WEIGHT], CLATTN__LANES_ARE_ROWS, call->D,
                       &call->grad.query));
    TRY(give_outer(w, d, &call->query, true, CLATTN__WEIGHT));
done:
    return status;
}

static clattn_status of_cosine(const way *w)
{
    clattn_status status = CLATTN_OK;
    const clattn__call *call = w->call;
    const clattn__gradients *grad = &w->of_operands->grad;
    const clattn_tensor none = {0};
    clattn_tensor of_rows, of_lengths;
    if (clattn__has(&grad->query)) {
        TRY(unmake_units(w, &call->query, &call->params[CLATTN__BETA], &grad->query, false,
                         &of_rows, &of_lengths));
        TRY(give(w, &of_rows, 1, 0, &call->grad.query, CLATTN__SUM_OVER_NOTHING, NULL));
        TRY(give(w, &of_lengths, 1, 0, &call->grad.params[CLATTN__BETA], CLATTN__SUM_OVER_PLACES,
                 &w->to->partial[CLATTN__BETA]));
    }
    if (clattn__has(&grad->key) && !has_projected_keys(w->problem)) {
        TRY(unmake_units(w, &call->key, &none, &grad->key, false, &of_rows, &of_lengths));
        TRY(give(w, &of_rows, 1, 0, &call->grad.key, CLATTN__SUM_OVER_NOTHING, NULL));
    }
done:
    return status;
}

static clattn_status of_location(const way *w)
{
    clattn_status status = CLATTN_OK;
    clattn__call of_keys = *w->call;
    const clattn_tensor *d = &w->of_operands->grad.given_scores;
    clattn_tensor matrix = of_keys.params[CLATTN__WEIGHT],
                  *to = &of_keys.grad.params[CLATTN__WEIGHT], rest = *to;
    way to_keys = *w;
    if (!clattn__has(d))
        return CLATTN_OK;
    matrix.shape[2] = of_keys.T;
    TRY(give_projected(w, d, matrix, CLATTN__LANES_ARE_COLUMNS, of_keys.D, &of_keys.grad.query));
    if (!clattn__has(to))
        return CLATTN_OK;
    to_keys.call = &of_keys;
    to->shape[2] = of_keys.T;
    TRY(give_outer(&to_keys, d, &of_keys.query, false, CLATTN__WEIGHT));
    /* Its rows that no key has. */
    rest.offset += of_keys.T * rest.strides[2];
    rest.shape[2] -= of_keys.T;
    TRY(give(w, d, 0, 0, &rest, CLATTN__SUM_OVER_NOTHING, NULL));
done:
    return status;
}

/* w_query, bias, and the query. */
static clattn_status of_query(const way *w)
{
    clattn_status status = CLATTN_OK;
    const clattn__call *call = w->call;
    const clattn_tensor *d = &w->of_operands->grad.query;
    if (!clattn__has(d) || is_query_made_in_place(w->problem, call))
        return CLATTN_OK;
    TRY(give_param(w, d, CLATTN__BIAS));
    if (w->problem->desc.flags & CLATTN_PROJECTED_QUERY)
        return give(w, d, 1, 0, &call->grad.query, CLATTN__SUM_OVER_NOTHING, NULL);
    TRY(give_projected(w, d, call->params[CLATTN__W_QUERY], CLATTN__LANES_ARE_COLUMNS, call->D,
                       &call->grad.query));
    TRY(give_outer(w, d, &call->query, false, CLATTN__W_QUERY));
done:
    return status;
}

/* w_key, and the key, which the query heads that share it add up to. */
static clattn_status of_key(const way *w, const clattn_tensor *hidden)
{
    clattn_status status = CLATTN_OK;
    clattn__operand_gradients *g = w->to;
    const clattn__call *call = w->call;
    const int64_t group = call->Hq / call->Hkv;
    const clattn_tensor matrix = call->params[CLATTN__W_KEY], *to = &call->grad.key;
    clattn_tensor d = *hidden;
    if (has_projected_keys(w->problem) ||
        (!clattn__has(to) && !clattn__has(&call->grad.params[CLATTN__W_KEY])))
        return CLATTN_OK;
    if (matrix.strides[1] == 0 && group > 1) {
        const clattn_tensor first = of_key_heads(hidden, group);
        TRY(place(g, w->device, &g->keys, first.shape, &d));
        TRY(give(w, &first, group, hidden->strides[1], &d, CLATTN__SUM_OVER_NOTHING, NULL));
    }
    TRY(give_outer(w, &d, &call->key, false, CLATTN__W_KEY));
    TRY(give_projected(w, &d, matrix, CLATTN__LANES_ARE_COLUMNS, call->Dk, to));
done:
    return status;
}

/* One channel of filters and the weights that it looks at, from d (B, Hq, T, C), the gradients of what it finds. */
static clattn_status of_channel(const way *w, const clattn_tensor *d, clattn__param filters,
                                clattn__param weights)
{
    clattn_status status = CLATTN_OK;
    clattn__operand_gradients *g = w->to;
    const clattn__call *call = w->call;
    const clattn_tensor *conv = &call->params[filters], *seen = &call->params[weights];
    const clattn_int C = conv->shape[2], K = conv->shape[3], T = call->T;
    const clattn_view of_conv = clattn__view(conv), of_seen = clattn__view(seen);
    const size_t width = (size_t)clattn__vector_width(w->device, g->dtype);
    char options[CLATTN__OPTIONS_MAX];
    clattn_tensor made;
    clattn__options(options, w->device, g->dtype, "%s", "");
    if (clattn__has(&call->grad.params[filters])) {
        if (!g->filters.handle)
            TRY(clattn__kernel_create(&g->filters, w->device, "location_filter_gradients",
                                      options));
        TRY(place(g, w->device, &g->made, (int64_t[]){call->B, call->Hq, C, K}, &made));
        const cl_mem memory = clattn__memory_of(seen, g->made.memory);
        const clattn__arg args[] = {
            CLATTN__ARG(d->buffer), CLATTN__ARG(memory), CLATTN__ARG(of_seen),       CLATTN__ARG(C),
            CLATTN__ARG(K),         CLATTN__ARG(T),      CLATTN__ARG(g->made.memory)};
        const size_t global[3] = {((size_t)C + width - 1) / width, (size_t)call->Hq,
                                  (size_t)call->B},
                     local[3] = {1, 1, 1};
        TRY(clattn__launch(w->device, w->timeline, &g->filters, global, local, args,
                           sizeof args / sizeof *args));
        TRY(give_param(w, &made, filters));
    }
    if (clattn__has(&call->grad.params[weights])) {
        if (!g->weights.handle)
            TRY(clattn__kernel_create(&g->weights, w->device, "location_weight_gradients",
                                      options));
        TRY(place(g, w->device, &g->made, (int64_t[]){call->B, call->Hq, 1, T}, &made));
        const clattn__arg args[] = {CLATTN__ARG(d->buffer),
                                    CLATTN__ARG(conv->buffer),
                                    CLATTN__ARG(of_conv),
                                    CLATTN__ARG(C),
                                    CLATTN__ARG(K),
                                    CLATTN__ARG(T),
                                    CLATTN__ARG(g->made.memory)};
        const size_t global[3] = {(size_t)T, (size_t)call->Hq, (size_t)call->B};
        TRY(clattn__launch(w->device, w->timeline, &g->weights, global, NULL, args,
                           sizeof args / sizeof *args));
        TRY(give_param(w, &made, weights));
    }
done:
    return status;
}

/* What features of keys are made of, and the rows that they count with. */
static clattn_status of_features(const way *w, const clattn_tensor *hidden)
{
    clattn_status status = CLATTN_OK;
    clattn__operand_gradients *g = w->to;
    const clattn__call *call = w->call;
    const clattn_tensor *params = call->params, *grads = call->grad.params,
                        features = clattn__transposed(&w->of_operands->params[CLATTN__COVERAGE]);
    const bool filters = clattn__has(&params[CLATTN__CONV]);
    const clattn__param rows = filters ? CLATTN__W_LOCATION : CLATTN__W_COVERAGE;
    clattn_tensor made;
    TRY(give_outer(w, hidden, &features, !filters, rows));
    if (!needs_features(call))
        return CLATTN_OK;
    const clattn__projection by = {hidden,
                                   params[rows],
                                   filters ? CLATTN__LANES_ARE_COLUMNS : CLATTN__LANES_ARE_ROWS,
                                   features.shape[3],
                                   1.0,
                                   &g->of_features,
                                   NULL};
    TRY(clattn__project(&w->operands->projector, w->device, w->timeline, &by, &made));
    if (filters) {
        TRY(of_channel(w, &made, CLATTN__CONV, CLATTN__PREVIOUS_WEIGHTS));
        if (clattn__has(&params[CLATTN__CUMULATIVE_WEIGHTS]))
            TRY(of_channel(w, &made, CLATTN__CONV_CUMULATIVE, CLATTN__CUMULATIVE_WEIGHTS));
    } else if (clattn__has(&grads[CLATTN__COVERAGE])) {
        made = clattn__transposed(&made);
        TRY(give_param(w, &made, CLATTN__COVERAGE));
    }
done:
    return status;
}

static bool is_last(int64_t first, int64_t count, int64_t all)
{
    return first + count == all;
}

/* v and g, once the gradient of the v that has met g is complete. */
static clattn_status of_gain(const way *w)
{
    clattn_status status = CLATTN_OK;
    clattn__call complete = *w->call;
    const clattn_tensor *d = &w->of_operands->grad.params[CLATTN__V],
                        *v = &complete.params[CLATTN__V];
    way of_heads = *w;
    clattn_tensor of_v, of_g;
    if (!clattn__has(&complete.params[CLATTN__G]) || !clattn__has(d))
        return CLATTN_OK;
    const bool alike = w->of_operands->params[CLATTN__V].strides[1] == 0;
    if (!is_last(complete.first_batch, complete.B, complete.all_batches) ||
        !is_last(complete.first_row, complete.S, complete.all_rows) ||
        (alike && !is_last(complete.first_head, complete.Hq, complete.all_heads)))
        return CLATTN_OK;
    complete.first_batch = complete.first_row = 0;
    complete.all_batches = complete.B, complete.all_rows = complete.S;
    if (alike)
        complete.first_head = 0, complete.all_heads = complete.Hq;
    of_heads.call = &complete;
    const clattn_tensor x = alike ? clattn__one_of_alike(v) : *v;
    TRY(unmake_units(w, &x, &complete.params[CLATTN__G], d, true, &of_v, &of_g));
    TRY(give_param(&of_heads, &of_v, CLATTN__V));
    TRY(give_param(&of_heads, &of_g, CLATTN__G));
done:
    return status;
}

static clattn_status of_additive(const way *w)
{
    clattn_status status = CLATTN_OK;
    clattn__call of_keys = *w->call;
    const clattn_tensor *hidden = &w->of_operands->grad.hidden;
    way to_keys = *w;
    TRY(of_query(w));
    TRY(of_gain(w));
    /* What a key adds is summed over all rows before it comes here. */
    if (!clattn__has(hidden) || !is_last(of_keys.first_row, of_keys.S, of_keys.all_rows))
        return CLATTN_OK;
    of_keys.first_row = 0, of_keys.all_rows = of_keys.S;
    to_keys.call = &of_keys;
    TRY(of_key(&to_keys, hidden));
    if (clattn__has(&w->of_operands->params[CLATTN__COVERAGE]))
        TRY(of_features(&to_keys, hidden));
done:
    return status;
}

clattn_status clattn__operand_gradients_run(clattn__operand_gradients *g,
                                            clattn__operands *operands, clattn_device *device,
                                            clattn__timeline *timeline,
                                            const clattn__problem *problem,
                                            const clattn__call *call,
                                            const clattn__call *of_operands)
{
    const way w = {g, operands, device, timeline, problem, call, of_operands};
    switch (problem->desc.score) {
    case CLATTN_SCORE_GENERAL:
        return of_general(&w);
    case CLATTN_SCORE_COSINE:
        return of_cosine(&w);
    case CLATTN_SCORE_LOCATION:
        return of_location(&w);
    default:
        return of_additive(&w);
    }
}
