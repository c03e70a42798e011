/* staged_backward.c: the variant `staged` of the backward pass: gradients of scores for all pairs, and what they
 * and the weights make of the rest.
 *
 *   scores ---------------------------+--> score_gradients --+--> weights --> gradients of value
 *   gradient of output x value^T -----+                      +--> ds -------> gradients of query and key
 *
 * Weights that forward saved stand in place of scores.
 *
 * Products that sum over queries take ds and the weights turned round; scores that no product makes have a kernel
 * of their own for that. Rows may come in pieces: what is summed over them is kept between.
 */
#include "hidden_values.h"
#include "pack.h"
#include "pair_gradients.h"
#include "pairs.h"
#include "score_gradients.h"
#include "scores.h"
#include "sum_up.h"
#include "try.h"
#include "variant.h"

#include <stdlib.h>

typedef struct staged {
    clattn__scores scores;
    clattn__kernel score_gradients, sum_up, hidden_values, pair_gradients;
    /* Of a piece: values as panels, gradients of output as rows, ds, dx, a row's part of slopes and sinks. */
    clattn__scratch value, rows, products, modified, slopes, sinks;
    /* For one product at a time: panels of it, rows of it, what either is made from, flags of panels, the product. */
    clattn__scratch panels, turned, dense, flags, product;
    /* What pairs make of queries, of keys, and of v or gamma. */
    clattn__scratch of_pairs[3];
    /* Sums over pieces. */
    clattn__scratch of_key, of_hidden, of_value, of_bias, of_slopes, of_sinks, of_units;
} staged;

static bool accepts(const clattn_device *device, const clattn__problem *problem, bool forced,
                    char *reason, size_t size)
{
    const char *why = NULL;
    (void)forced;
    if (clattn__is_reference(device))
        why = "the reference device runs no kernels";
    else if (problem->desc.dtype == CLATTN_F64 && !device->info.fp64)
        why = "the device has no doubles (cl_khr_fp64)";
    else if (clattn__is_packed(problem))
        why = "sequences are packed, and it takes those of one length";
    if (why)
        (void)snprintf(reason, size, "%s", why);
    return !why;
}

static void release(void *state)
{
    staged *s = state;
    if (!s)
        return;
    clattn__scratch *const scratch[] = {
        &s->value,     &s->rows,     &s->products, &s->modified,  &s->slopes,   &s->sinks,
        &s->panels,    &s->turned,   &s->dense,    &s->flags,     &s->product,  &s->of_key,
        &s->of_hidden, &s->of_value, &s->of_bias,  &s->of_slopes, &s->of_sinks, &s->of_units};
    clattn__scores_release(&s->scores);
    clattn__kernel_release(&s->score_gradients);
    clattn__kernel_release(&s->sum_up);
    clattn__kernel_release(&s->hidden_values);
    clattn__kernel_release(&s->pair_gradients);
    for (size_t i = 0; i < sizeof s->of_pairs / sizeof *s->of_pairs; i++)
        clattn__scratch_release(&s->of_pairs[i]);
    for (size_t i = 0; i < sizeof scratch / sizeof *scratch; i++)
        clattn__scratch_release(scratch[i]);
    free(s);
}

/* A score of -infinity hides a key, too. */
static bool can_hide(const clattn__problem *problem)
{
    return clattn__problem_hides_keys(problem) || problem->desc.score == CLATTN_SCORE_GIVEN;
}

static clattn_status prepare(void **state, clattn_device *device, const clattn__problem *problem)
{
    clattn_status status = CLATTN_OK;
    const clattn_dtype dtype = problem->desc.dtype;
    staged *s = calloc(1, sizeof *s);
    FAIL_IF(!s, CLATTN_E_MEMORY, "staged: no host memory for %zu bytes", sizeof *s);
    *state = s;
    TRY(clattn__scores_create(&s->scores, clattn__own_multiplier(device, dtype), device, problem));
    TRY(clattn__score_gradients_create(&s->score_gradients, device, dtype));
    TRY(clattn__sum_up_create(&s->sum_up, device, dtype));
    if (clattn__is_of_pairs(problem->desc.score))
        TRY(clattn__pair_gradients_create(&s->pair_gradients, device, problem));
    if (!clattn__is_of_pairs(problem->desc.score) || can_hide(problem))
        TRY(clattn__hidden_values_create(&s->hidden_values, device, dtype));
done:
    return status;
}

/* Scores and their gradients are what grows as a square. */
static bool fits(const void *state, const clattn_device *device, const clattn__call *call)
{
    const staged *s = state;
    const uint64_t bytes = clattn__scores_bytes(&s->scores, device, call),
                   limit = device->info.max_allocation / clattn__sum_size(call->value.dtype);
    const int64_t size = call->Dv > call->D ? call->Dv : call->D,
                  keys = clattn__round_up(call->T, s->scores.panel);
    const bool one_row = call->B * call->Hkv * call->S <= 1;
    return clattn__scores_fit(&s->scores, device, call) &&
           (uint64_t)(call->B * call->Hq * (keys + s->scores.panel) * size) <= limit &&
           (uint64_t)(call->B * call->Hq * call->S * (size + s->scores.panel)) <= limit &&
           (one_row || bytes <= device->tuning->scratch);
}

/* One gradient of a piece, and how long it takes: see sum_up.h. */
static clattn_status add_up(staged *s, clattn_device *device, clattn__timeline *timeline,
                            const clattn__call *call, const clattn_tensor *from,
                            const clattn_tensor *to, clattn__sum_over over,
                            clattn__scratch *partial)
{
    const clattn__sum sum = {.from = from, .folds = 1, .to = to, .over = over, .partial = partial};
    return clattn__sum_up_run(&s->sum_up, device, timeline, call, &sum);
}

/* Rows of queries, those of the heads that share a key head one behind the other: (B, Hkv, group * S, columns), in
 * the type of the sums; as they lie, where a product may read them so. */
static clattn_status take_rows(staged *s, clattn_device *device, clattn__timeline *timeline,
                               const clattn__call *call, const clattn_tensor *rows,
                               clattn__scratch *to, clattn_tensor *out)
{
    clattn_status status = CLATTN_OK;
    const int64_t R = call->Hq / call->Hkv * call->S;
    TRY(clattn__join_rows(&s->scores.pack, device, timeline, rows->dtype, rows,
                          s->scores.multiplier->takes_any_memory, to, out));
    out->shape[0] = call->B, out->shape[1] = call->Hkv, out->shape[2] = R;
    out->strides[1] = R * out->strides[2], out->strides[0] = call->Hkv * out->strides[1];
done:
    return status;
}

/* The gradient of keys or values: sum over rows r of pairs[r][j] * rows[r], for all keys j, and over all pieces. What
 * is hidden has a pair of 0, which would make NaN of a row that is not finite: `clean` rows are multiplied without such
 * numbers, and where the pairs themselves do not say so (`shown`) what may be seen is added. */
static clattn_status sum_over_queries(staged *s, clattn_device *device, clattn__timeline *timeline,
                                      const clattn__problem *problem, const clattn__call *call,
                                      cl_mem pairs, int64_t stride, const clattn_tensor *rows,
                                      bool clean, bool shown, double alpha, const clattn_tensor *to,
                                      clattn__scratch *partial)
{
    clattn_status status = CLATTN_OK;
    const clattn_dtype sums = rows->dtype;
    const size_t size = clattn__sum_size(sums);
    const int64_t M = rows->shape[2], N = rows->shape[3], T = call->T;
    clattn_tensor of_pairs = clattn__dense(sums, pairs, call->B, call->Hkv, M, T), made;
    of_pairs.strides[2] = stride;
    of_pairs.strides[1] = M * stride;
    of_pairs.strides[0] = call->Hkv * M * stride;
    const clattn__packing turned = {CLATTN__LANES_ARE_COLUMNS, 1, M, T},
                          panels = {CLATTN__LANES_ARE_COLUMNS, s->scores.panel, M,
                                    clattn__round_up(N, s->scores.panel)};
    TRY(clattn__scratch_reserve(&s->turned, device,
                                clattn__packed_count(&of_pairs, &turned) * size));
    TRY(clattn__pack_run(&s->scores.pack, device, timeline, &of_pairs, &turned, s->turned.memory,
                         NULL));
    TRY(clattn__scratch_reserve(&s->panels, device, clattn__packed_count(rows, &panels) * size));
    if (clean)
        TRY(clattn__scratch_reserve(&s->flags, device, clattn__packed_flags(rows, &panels)));
    TRY(clattn__pack_run(&s->scores.pack, device, timeline, rows, &panels, s->panels.memory,
                         clean ? s->flags.memory : NULL));
    TRY(clattn__sum_target(&made, &s->product, device, call, to));
    const clattn__call of_keys = {.B = call->B, .Hq = call->Hkv, .Hkv = call->Hkv, .S = T};
    const clattn__product product = {.a = s->turned.memory,
                                     .lda = M,
                                     .b = s->panels.memory,
                                     .b_heads = call->B * call->Hkv,
                                     .c = made.buffer,
                                     .c_view = clattn__view(&made),
                                     .N = N,
                                     .K = M,
                                     .alpha = alpha};
    TRY(s->scores.multiplier->run(s->scores.product, device, timeline, sums, &of_keys, &product));
    if (clean && shown)
        TRY(clattn__hidden_rows_run(&s->hidden_values, device, timeline, problem, call, pairs,
                                    stride, s->flags.memory, s->scores.panel, rows, &made));
    if (made.buffer != to->buffer)
        TRY(add_up(s, device, timeline, call, &made, to, CLATTN__SUM_OVER_ROWS, partial));
done:
    return status;
}

/* The gradient of queries: ds times keys; of a key that is not finite only what may be seen. */
static clattn_status sum_over_keys(staged *s, clattn_device *device, clattn__timeline *timeline,
                                   const clattn__problem *problem, const clattn__call *call,
                                   int64_t stride)
{
    clattn_status status = CLATTN_OK;
    const clattn_dtype dtype = problem->desc.dtype;
    const size_t size = clattn__sum_size(dtype);
    const clattn__packing panels = {CLATTN__LANES_ARE_COLUMNS, s->scores.panel, call->T,
                                    clattn__round_up(call->D, s->scores.panel)};
    TRY(clattn__scratch_reserve(&s->panels, device,
                                clattn__packed_count(&call->key, &panels) * size));
    TRY(clattn__scratch_reserve(&s->flags, device, clattn__packed_flags(&call->key, &panels)));
    TRY(clattn__pack_run(&s->scores.pack, device, timeline, &call->key, &panels, s->panels.memory,
                         s->flags.memory));
    const clattn__product product = {.a = s->products.memory,
                                     .lda = stride,
                                     .b = s->panels.memory,
                                     .b_heads = call->B * call->Hkv,
                                     .c = call->grad.query.buffer,
                                     .c_view = clattn__view(&call->grad.query),
                                     .N = call->D,
                                     .K = call->T,
                                     .alpha = problem->scale};
    TRY(s->scores.multiplier->run(s->scores.product, device, timeline, dtype, call, &product));
    clattn__call of_keys = *call;
    of_keys.value = call->key, of_keys.output = call->grad.query, of_keys.Dv = call->D;
    TRY(clattn__hidden_values_run(&s->hidden_values, device, timeline, problem, &of_keys,
                                  s->products.memory, stride, s->flags.memory, s->scores.panel,
                                  true));
done:
    return status;
}

/* Whether a kernel that makes dense sums may write a gradient where it belongs. */
static bool holds_sums(const clattn_tensor *to, clattn_dtype sums)
{
    return clattn__has(to) && to->offset == 0 && to->strides[2] == to->shape[3] &&
           clattn__rows_are_ready(to, sums);
}

/* Gradients of queries, keys and parameters of scores that no product makes. */
static clattn_status give_pairs(staged *s, clattn_device *device, clattn__timeline *timeline,
                                const clattn__problem *problem, const clattn__call *call,
                                int64_t stride)
{
    clattn_status status = CLATTN_OK;
    const clattn__gradients *grad = &call->grad;
    const clattn_dtype sums = clattn__sum_dtype(problem->desc.dtype);
    const int64_t B = call->B, Hq = call->Hq, T = call->T, N = call->D,
                  key_heads = clattn__has(&grad->key) ? grad->key.shape[1] : Hq,
                  group = Hq / key_heads;
    const clattn_tensor *v = &grad->params[CLATTN__V], *gamma = &grad->params[CLATTN__GAMMA],
                        *of_keys = clattn__has(&grad->hidden) ? &grad->hidden : &grad->key;
    const bool wanted[3] = {clattn__has(&grad->query), clattn__has(of_keys),
                            clattn__has(v) || clattn__has(gamma)},
               in_place[3] = {holds_sums(&grad->query, sums),
                              holds_sums(of_keys, sums) && of_keys->shape[1] == Hq &&
                                  call->S == call->all_rows,
                              false};
    const cl_mem places[3] = {grad->query.buffer, of_keys->buffer, NULL};
    const int64_t rows[3] = {call->S, T, 1};
    cl_mem memory[3] = {NULL};
    for (int i = 0; i < 3; i++) {
        if (!wanted[i])
            continue;
        if (!in_place[i])
            TRY(clattn__scratch_reserve(&s->of_pairs[i], device,
                                        (size_t)(B * Hq * rows[i] * N) * clattn__sum_size(sums)));
        memory[i] = in_place[i] ? places[i] : s->of_pairs[i].memory;
    }
    if (!memory[0] && !memory[1] && !memory[2])
        goto done;
    const clattn__pair_gradients to = {memory[0], memory[1], memory[2]};
    TRY(clattn__pair_gradients_run(&s->pair_gradients, device, timeline, problem, call,
                                   s->products.memory, stride, &to));
    const clattn_tensor of_query = clattn__dense(sums, memory[0], B, Hq, call->S, N),
                        of_hidden = clattn__dense(sums, memory[1], B, Hq, T, N),
                        of_units = clattn__dense(sums, memory[2], B, Hq, 1, N);
    clattn_tensor of_key = of_hidden; /* those of query heads that share a key add up */
    of_key.shape[1] = key_heads;
    of_key.strides[1] *= group;
    const clattn__sum to_key = {
        &of_key, group, of_hidden.strides[1], &grad->key, CLATTN__SUM_OVER_ROWS, &s->of_key};
    if (!in_place[0])
        TRY(add_up(s, device, timeline, call, &of_query, &grad->query, CLATTN__SUM_OVER_NOTHING,
                   NULL));
    if (!in_place[1])
        TRY(add_up(s, device, timeline, call, &of_hidden, &grad->hidden, CLATTN__SUM_OVER_ROWS,
                   &s->of_hidden));
    /* Also behind the former, where features of projected keys have gradients. */
    if (memory[1] != grad->key.buffer)
        TRY(clattn__sum_up_run(&s->sum_up, device, timeline, call, &to_key));
    TRY(add_up(s, device, timeline, call, &of_units, v, CLATTN__SUM_OVER_ALL, &s->of_units));
    TRY(add_up(s, device, timeline, call, &of_units, gamma, CLATTN__SUM_OVER_ALL, &s->of_units));
done:
    return status;
}

/* Scores, from there to their gradients, and the parts of slopes and sinks. */
static clattn_status make_score_gradients(staged *s, clattn_device *device,
                                          clattn__timeline *timeline,
                                          const clattn__problem *problem, const clattn__call *call,
                                          const clattn_tensor *of_output, int64_t stride)
{
    clattn_status status = CLATTN_OK;
    const size_t size = clattn__sum_size(problem->desc.dtype),
                 rows = (size_t)(call->B * call->Hq * call->S);
    const bool modified = clattn__wants_modified_gradients(problem);
    if (clattn__takes_saved_weights(problem))
        TRY(clattn__scores_reserve(&s->scores, device, call, stride));
    else
        TRY(clattn__scores_run(&s->scores, device, timeline, problem, call, stride));
    TRY(clattn__scratch_reserve(&s->products, device, rows * (size_t)stride * size));
    TRY(clattn__scratch_reserve(&s->slopes, device, rows * size));
    TRY(clattn__scratch_reserve(&s->sinks, device, rows * size));
    if (modified)
        TRY(clattn__scratch_reserve(&s->modified, device, rows * (size_t)stride * size));
    const clattn__product of_values = {.a = of_output->buffer,
                                       .a_offset = of_output->offset,
                                       .lda = of_output->strides[2],
                                       .c = s->products.memory,
                                       .alpha = 1};
    if (clattn__has(of_output))
        TRY(clattn__scores_multiply(&s->scores, device, timeline, call, of_values, &call->value,
                                    &s->value, stride));
    const clattn__score_gradients of = {s->scores.scores.memory, s->products.memory,
                                        modified ? s->modified.memory : NULL, s->slopes.memory,
                                        s->sinks.memory};
    TRY(clattn__score_gradients_run(&s->score_gradients, device, timeline, problem, call, &of,
                                    stride));
done:
    return status;
}

/* What is made of the gradients of modified scores alone. */
static clattn_status give_modifications(staged *s, clattn_device *device,
                                        clattn__timeline *timeline, const clattn__problem *problem,
                                        const clattn__call *call, int64_t stride)
{
    clattn_status status = CLATTN_OK;
    const clattn_dtype sums = clattn__sum_dtype(problem->desc.dtype);
    const clattn__gradients *grad = &call->grad;
    clattn_tensor pairs =
        clattn__dense(sums, s->products.memory, call->B, call->Hq, call->S, call->T);
    pairs.strides[2] = stride;
    pairs.strides[1] = call->S * stride;
    pairs.strides[0] = call->Hq * call->S * stride;
    TRY(add_up(s, device, timeline, call, &pairs, &grad->given_scores, CLATTN__SUM_OVER_NOTHING,
               NULL));
    pairs.buffer = s->modified.memory;
    TRY(add_up(s, device, timeline, call, &pairs, &grad->bias, CLATTN__SUM_OVER_PLACES,
               &s->of_bias));
    const clattn_tensor slopes =
                            clattn__dense(sums, s->slopes.memory, call->B, call->Hq, call->S, 1),
                        sinks = clattn__dense(sums, s->sinks.memory, call->B, call->Hq, call->S, 1);
    TRY(add_up(s, device, timeline, call, &slopes, &grad->alibi_slopes, CLATTN__SUM_OVER_ALL,
               &s->of_slopes));
    TRY(add_up(s, device, timeline, call, &sinks, &grad->sinks, CLATTN__SUM_OVER_ALL,
               &s->of_sinks));
done:
    return status;
}

static clattn_status run(void *state, clattn_device *device, const clattn__problem *problem,
                         const clattn__call *call, clattn__timeline *timeline)
{
    staged *s = state;
    clattn_status status = CLATTN_OK;
    const clattn__gradients *grad = &call->grad;
    const int64_t stride = clattn__scores_stride(&s->scores, device, call);
    clattn_tensor of_output = {0}, query = {0};
    if (clattn__has(&grad->output))
        TRY(take_rows(s, device, timeline, call, &grad->output, &s->rows, &of_output));
    TRY(make_score_gradients(s, device, timeline, problem, call, &of_output, stride));
    TRY(give_modifications(s, device, timeline, problem, call, stride));
    if (clattn__has(&grad->value) && clattn__has(&of_output)) {
        TRY(sum_over_queries(s, device, timeline, problem, call, s->scores.scores.memory, stride,
                             &of_output, can_hide(problem), true, 1, &grad->value, &s->of_value));
    } else if (clattn__has(&grad->value)) { /* nothing comes in through the values */
        const clattn__sum nothing = {
            .from = &grad->value, .to = &grad->value, .over = CLATTN__SUM_OVER_NOTHING};
        TRY(clattn__sum_up_run(&s->sum_up, device, timeline, call, &nothing));
    }
    if (clattn__is_of_pairs(problem->desc.score)) {
        TRY(give_pairs(s, device, timeline, problem, call, stride));
        goto done;
    }
    if (clattn__has(&grad->query))
        TRY(sum_over_keys(s, device, timeline, problem, call, stride));
    if (clattn__has(&grad->key)) {
        TRY(take_rows(s, device, timeline, call, &call->query, &s->dense, &query));
        /* Of a query that is not finite pairs are NaN where it may be seen. */
        TRY(sum_over_queries(s, device, timeline, problem, call, s->products.memory, stride, &query,
                             true, false, problem->scale, &grad->key, &s->of_key));
    }
done:
    return status;
}

static const char *remark(const void *state)
{
    const clattn__scores *by = &((const staged *)state)->scores;
    return by->multiplier->remark ? by->multiplier->remark(by->product) : NULL;
}

const clattn__variant clattn__variant_staged_backward = {"staged", accepts, NULL, prepare,
                                                         release,  fits,    run,  remark};
