/* operands.c: see operands.h. */
#include "operands.h"

#include "pack.h"
#include "try.h"

/* Rows of a work-item of unit_rows.cl. */
#define ITEM_ROWS 16
/* Filters of location_features.cl whose sums are kept in registers. */
#define FILTERS 8

bool clattn__has_operands(const clattn__problem *problem)
{
    const clattn_score score = problem->desc.score;
    return score == CLATTN_SCORE_GENERAL || score == CLATTN_SCORE_COSINE ||
           score == CLATTN_SCORE_LOCATION || clattn__is_additive(score);
}

clattn__problem clattn__problem_of_operands(const clattn__problem *problem)
{
    clattn__problem left = *problem;
    clattn_attention_desc *desc = &left.desc;
    if (!clattn__has_operands(problem))
        return left;
    left.query_dtype = left.key_dtype = clattn__sum_dtype(desc->dtype);
    switch (desc->score) {
    case CLATTN_SCORE_GENERAL:
        /* One side is as the caller's. */
        if (desc->flags & CLATTN_PROJECTED_KEYS)
            left.query_dtype = desc->dtype, desc->key_size = desc->head_size;
        else
            left.key_dtype = desc->dtype, desc->head_size = desc->key_size;
        desc->score = CLATTN_SCORE_DOT;
        break;
    case CLATTN_SCORE_COSINE:
        desc->score = CLATTN_SCORE_DOT;
        break;
    case CLATTN_SCORE_LOCATION:
        desc->head_size = desc->key_size = 1;
        desc->score = CLATTN_SCORE_GIVEN;
        break;
    default:
        desc->head_size = desc->key_size = desc->hidden_size;
        desc->score = CLATTN_SCORE_ADDITIVE;
        break;
    }
    return left;
}

void clattn__operands_init(clattn__operands *operands, const clattn__problem *problem)
{
    *operands = (clattn__operands){.dtype = problem->desc.dtype,
                                   .projector = {.dtype = problem->desc.dtype}};
}

void clattn__operands_release(clattn__operands *o)
{
    clattn__scratch *const scratch[] = {&o->query, &o->key, &o->v, &o->filter_rows, &o->features};
    clattn__projector_release(&o->projector);
    clattn__kernel_release(&o->unit_rows);
    clattn__kernel_release(&o->location_features);
    for (size_t i = 0; i < sizeof scratch / sizeof *scratch; i++)
        clattn__scratch_release(scratch[i]);
}

static clattn_status make_units(clattn__operands *o, clattn_device *device,
                                clattn__timeline *timeline, const clattn_tensor *x,
                                const clattn_tensor *lengths, clattn__scratch *to,
                                clattn_tensor *out)
{
    clattn_status status = CLATTN_OK;
    char options[CLATTN__OPTIONS_MAX];
    const int64_t *n = x->shape;
    if (!o->unit_rows.handle) {
        clattn__options(options, device, o->dtype, " -DITEM_ROWS=%d", ITEM_ROWS);
        TRY(clattn__kernel_create(&o->unit_rows, device, "unit_rows", options));
    }
    TRY(clattn__scratch_reserve(to, device,
                                (size_t)(n[0] * n[1] * n[2] * n[3]) * clattn__sum_size(o->dtype)));
    const clattn_view of_x = clattn__view(x), of_lengths = clattn__view(lengths);
    const cl_mem memory = clattn__memory_of(x, to->memory),
                 of_rows = clattn__memory_of(lengths, to->memory);
    const clattn__arg args[] = {
        CLATTN__ARG(memory),     CLATTN__ARG(of_x), CLATTN__ARG(of_rows), CLATTN__ARG(of_lengths),
        CLATTN__ARG(to->memory), CLATTN__ARG(n[2]), CLATTN__ARG(n[3]),
    };
    const size_t global[3] = {(size_t)clattn__ceil_div(n[2], ITEM_ROWS), (size_t)n[1],
                              (size_t)n[0]},
                 local[3] = {1, 1, 1};
    TRY(clattn__launch(device, timeline, &o->unit_rows, global, local, args,
                       sizeof args / sizeof *args));
    *out = clattn__dense(clattn__sum_dtype(o->dtype), to->memory, n[0], n[1], n[2], n[3]);
done:
    return status;
}

/* What filters find in the weights of earlier steps: (B, heads, C, T), with heads 1 where all are alike. */
static clattn_status make_features(clattn__operands *o, clattn_device *device,
                                   clattn__timeline *timeline, clattn__call *call)
{
    clattn_status status = CLATTN_OK;
    char options[CLATTN__OPTIONS_MAX];
    const clattn_dtype sums = clattn__sum_dtype(o->dtype);
    const clattn_tensor *p = call->params,
                        *used[] = {&p[CLATTN__CONV], &p[CLATTN__PREVIOUS_WEIGHTS],
                                   &p[CLATTN__CONV_CUMULATIVE], &p[CLATTN__CUMULATIVE_WEIGHTS]};
    const int64_t C = used[0]->shape[2], K = used[0]->shape[3],
                  stride = clattn__round_up(call->T, clattn__vector_width(device, o->dtype));
    int64_t heads = 1;
    for (size_t i = 0; i < sizeof used / sizeof *used; i++)
        if (clattn__has(used[i]) && used[i]->strides[1] != 0)
            heads = call->Hq;
    if (!o->location_features.handle) {
        clattn__options(options, device, o->dtype, " -DFILTERS=%d", FILTERS);
        TRY(clattn__kernel_create(&o->location_features, device, "location_features", options));
    }
    TRY(clattn__scratch_reserve(
        &o->features, device, (size_t)(call->B * heads * C * stride) * clattn__sum_size(o->dtype)));
    const clattn_view views[] = {clattn__view(used[0]), clattn__view(used[1]),
                                 clattn__view(used[2]), clattn__view(used[3])};
    const cl_mem memory[] = {used[0]->buffer, clattn__memory_of(used[1], used[0]->buffer),
                             clattn__memory_of(used[2], used[0]->buffer),
                             clattn__memory_of(used[3], used[0]->buffer)};
    const clattn__arg args[] = {
        CLATTN__ARG(memory[0]), CLATTN__ARG(views[0]),  CLATTN__ARG(memory[1]),
        CLATTN__ARG(views[1]),  CLATTN__ARG(memory[2]), CLATTN__ARG(views[2]),
        CLATTN__ARG(memory[3]), CLATTN__ARG(views[3]),  CLATTN__ARG(C),
        CLATTN__ARG(K),         CLATTN__ARG(call->T),   CLATTN__ARG(o->features.memory),
        CLATTN__ARG(stride),
    };
    const size_t global[3] = {(size_t)(stride / clattn__vector_width(device, o->dtype)),
                              (size_t)heads, (size_t)call->B},
                 local[3] = {1, 1, 1};
    TRY(clattn__launch(device, timeline, &o->location_features, global, local, args,
                       sizeof args / sizeof *args));
    clattn_tensor *features = &call->params[CLATTN__COVERAGE];
    *features = clattn__dense(sums, o->features.memory, call->B, heads, C, stride);
    features->shape[3] = call->T;
    clattn__as_heads(features, call->Hq);
done:
    return status;
}

/* w_location (1, Hq, A, C) as rows (1, Hq, C, A), vectors of which are side by side. */
static clattn_status make_filter_rows(clattn__operands *o, clattn_device *device,
                                      clattn__timeline *timeline, clattn__call *call)
{
    clattn_status status = CLATTN_OK;
    clattn_tensor *rows = &call->params[CLATTN__W_LOCATION];
    const clattn_tensor matrix = clattn__one_of_alike(rows);
    const int64_t heads = matrix.shape[1], A = matrix.shape[2], C = matrix.shape[3];
    const clattn__packing columns = {CLATTN__LANES_ARE_COLUMNS, 1, A, C};
    TRY(clattn__scratch_reserve(&o->filter_rows, device,
                                clattn__packed_count(&matrix, &columns) *
                                    clattn__sum_size(o->dtype)));
    TRY(clattn__pack_run(&o->projector.pack, device, timeline, &matrix, &columns,
                         o->filter_rows.memory, NULL));
    *rows = clattn__dense(clattn__sum_dtype(o->dtype), o->filter_rows.memory, 1, heads, C, A);
    clattn__as_heads(rows, call->Hq);
done:
    return status;
}

clattn_status clattn__operands_of_keys(clattn__operands *o, clattn_device *device,
                                       clattn__timeline *timeline, const clattn__problem *problem,
                                       const clattn__call *call, clattn__scratch *to,
                                       clattn_tensor *out)
{
    const clattn_tensor none = {0}, *params = call->params;
    const clattn__projection by_weight = {&call->key,
                                          params[CLATTN__WEIGHT],
                                          CLATTN__LANES_ARE_ROWS,
                                          call->D,
                                          1.0,
                                          to,
                                          NULL},
                             by_w_key = {&call->key,
                                         params[CLATTN__W_KEY],
                                         CLATTN__LANES_ARE_ROWS,
                                         (int64_t)problem->desc.hidden_size,
                                         1.0,
                                         to,
                                         NULL};
    switch (problem->desc.score) {
    case CLATTN_SCORE_COSINE:
        return make_units(o, device, timeline, &call->key, &none, to, out);
    case CLATTN_SCORE_GENERAL:
        return clattn__project(&o->projector, device, timeline, &by_weight, out);
    default:
        return clattn__project(&o->projector, device, timeline, &by_w_key, out);
    }
}

/* The same for the keys of a call, unless they come projected, or were made for the piece before: those of
 * the same heads come in the order of their rows. */
static clattn_status take_keys(clattn__operands *o, clattn_device *device,
                               clattn__timeline *timeline, const clattn__problem *problem,
                               clattn__call *call)
{
    clattn_status status = CLATTN_OK;
    if (problem->desc.flags & CLATTN_PROJECTED_KEYS)
        return CLATTN_OK;
    if (call->first_row == 0)
        TRY(clattn__operands_of_keys(o, device, timeline, problem, call, &o->key,
                                     &o->projected_key));
    call->key = o->projected_key;
done:
    return status;
}

static clattn_status make_additive(clattn__operands *o, clattn_device *device,
                                   clattn__timeline *timeline, const clattn__problem *problem,
                                   clattn__call *call)
{
    clattn_status status = CLATTN_OK;
    clattn_tensor *params = call->params, *v = &params[CLATTN__V], query = call->query;
    const int64_t A = v->shape[3];
    const clattn__projection of_query = {
        &call->query, params[CLATTN__W_QUERY], CLATTN__LANES_ARE_ROWS, A, 1.0, &o->query, NULL};
    if (!(problem->desc.flags & CLATTN_PROJECTED_QUERY))
        TRY(clattn__project(&o->projector, device, timeline, &of_query, &query));
    TRY(take_keys(o, device, timeline, problem, call));
    call->query = query;
    call->D = call->Dk = A;
    if (clattn__has(&params[CLATTN__G])) {
        const clattn_tensor of_heads =
            params[CLATTN__G].strides[1] == 0 ? clattn__one_of_alike(v) : *v;
        TRY(make_units(o, device, timeline, &of_heads, &params[CLATTN__G], &o->v, v));
        clattn__as_heads(v, call->Hq);
    }
    if (clattn__has(&params[CLATTN__CONV])) {
        TRY(make_features(o, device, timeline, call));
        TRY(make_filter_rows(o, device, timeline, call));
    } else if (clattn__has(&params[CLATTN__W_COVERAGE])) {
        params[CLATTN__W_LOCATION] = params[CLATTN__W_COVERAGE];
    }
done:
    return status;
}

static clattn_status make_general(clattn__operands *o, clattn_device *device,
                                  clattn__timeline *timeline, const clattn__problem *problem,
                                  clattn__call *call)
{
    clattn_status status = CLATTN_OK;
    const clattn__projection of_query = {&call->query,
                                         call->params[CLATTN__WEIGHT],
                                         CLATTN__LANES_ARE_COLUMNS,
                                         call->Dk,
                                         1.0,
                                         &o->query,
                                         NULL};
    clattn_tensor query;
    if (problem->desc.flags & CLATTN_PROJECTED_KEYS) {
        call->Dk = call->D;
        return CLATTN_OK;
    }
    TRY(clattn__project(&o->projector, device, timeline, &of_query, &query));
    call->query = query;
    call->D = call->Dk;
done:
    return status;
}

static clattn_status make_scores(clattn__operands *o, clattn_device *device,
                                 clattn__timeline *timeline, const clattn__problem *problem,
                                 clattn__call *call)
{
    clattn_status status = CLATTN_OK;
    const clattn_tensor none = {0};
    clattn__projection of_query = {&call->query,
                                   call->params[CLATTN__WEIGHT],
                                   CLATTN__LANES_ARE_ROWS,
                                   call->T,
                                   problem->scale,
                                   &o->query,
                                   NULL};
    of_query.matrix.shape[2] = call->T;
    TRY(clattn__project(&o->projector, device, timeline, &of_query, &call->given_scores));
    call->query = call->key = none;
    call->D = call->Dk = 1;
done:
    return status;
}

static clattn_status make_directions(clattn__operands *o, clattn_device *device,
                                     clattn__timeline *timeline, const clattn__problem *problem,
                                     clattn__call *call)
{
    clattn_status status = CLATTN_OK;
    clattn_tensor query;
    TRY(make_units(o, device, timeline, &call->query, &call->params[CLATTN__BETA], &o->query,
                   &query));
    call->query = query;
    TRY(take_keys(o, device, timeline, problem, call));
done:
    return status;
}

clattn_status clattn__operands_run(clattn__operands *o, clattn_device *device,
                                   clattn__timeline *timeline, const clattn__problem *problem,
                                   clattn__call *call)
{
    switch (problem->desc.score) {
    case CLATTN_SCORE_GENERAL:
        return make_general(o, device, timeline, problem, call);
    case CLATTN_SCORE_LOCATION:
        return make_scores(o, device, timeline, problem, call);
    case CLATTN_SCORE_COSINE:
        return make_directions(o, device, timeline, problem, call);
    default:
        return make_additive(o, device, timeline, problem, call);
    }
}

bool clattn__operands_fit(const clattn_device *device, const clattn__problem *problem,
                          const clattn__call *call)
{
    const uint64_t most = device->info.max_allocation / clattn__sum_size(problem->desc.dtype);
    const clattn_tensor *per_head = &call->params[CLATTN__W_KEY];
    const int64_t A = (int64_t)problem->desc.hidden_size, rows = call->B * call->Hq * call->S,
                  keys = call->B * call->T *
                         (clattn__has(per_head) && per_head->strides[1] ? call->Hq : call->Hkv);
    int64_t of_query = call->D > call->Dk ? call->D : call->Dk, of_key = call->Dk;
    if (!clattn__has_operands(problem))
        return true;
    if (problem->desc.score == CLATTN_SCORE_LOCATION)
        of_query = call->T > call->D ? call->T : call->D, of_key = 0;
    if (A)
        of_query = A > call->D ? A : call->D, of_key = A > call->Dk ? A : call->Dk;
    return (uint64_t)(rows * of_query) <= most && (uint64_t)(keys * of_key) <= most;
}
