/* operands.c: see operands.h. */
#include "operands.h"

#include "pack.h"
#include "scores.h"
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
    *operands = (clattn__operands){.dtype = problem->desc.dtype};
}

void clattn__operands_release(clattn__operands *o)
{
    clattn__scratch *const scratch[] = {&o->rows, &o->matrix,      &o->query,   &o->key,
                                        &o->v,    &o->filter_rows, &o->features};
    if (o->multiplier)
        o->multiplier->release(o->product);
    if (o->shared_multiplier && o->shared_multiplier != o->multiplier)
        o->shared_multiplier->release(o->shared_product);
    clattn__kernel_release(&o->pack);
    clattn__kernel_release(&o->unit_rows);
    clattn__kernel_release(&o->location_features);
    for (size_t i = 0; i < sizeof scratch / sizeof *scratch; i++)
        clattn__scratch_release(scratch[i]);
}

/* Whose products: CLBlast's on GPU-like devices, of one matrix for all; else ours. */
static clattn_status build_products(clattn__operands *o, clattn_device *device)
{
    clattn_status status = CLATTN_OK;
    const bool cpu_like = clattn__is_cpu_like(device);
    const clattn__multiplier *own = clattn__own_multiplier(device, o->dtype), *shared = own;
#ifdef CLATTN_WITH_CLBLAST
    if (!cpu_like && device->in_order)
        shared = &clattn__multiplier_clblast;
#endif
    void *product = NULL, *shared_product = NULL;
    if (o->multiplier)
        return CLATTN_OK;
    TRY(clattn__pack_create(&o->pack, device, o->dtype));
    TRY(own->create(&product, device, o->dtype));
    if (shared != own)
        TRY(shared->create(&shared_product, device, o->dtype));
    o->multiplier = own, o->product = product;
    o->shared_multiplier = shared, o->shared_product = shared == own ? product : shared_product;
    return CLATTN_OK;
done:
    /* The next call tries again. */
    clattn__kernel_release(&o->pack);
    own->release(product);
    shared->release(shared_product);
    return status;
}

/* A tensor of heads that are all alike, with one of them; and back. */
static clattn_tensor one_of_alike(const clattn_tensor *tensor)
{
    clattn_tensor one = *tensor;
    if (one.strides[1] == 0)
        one.shape[1] = 1;
    return one;
}

static void as_heads(clattn_tensor *tensor, int64_t heads)
{
    if (tensor->shape[1] == 1)
        tensor->shape[1] = heads, tensor->strides[1] = 0;
}

/* A projection: (B, H, rows, D) by the matrix of each head, or the one of all heads, to (B, heads of the
 * matrix, rows, N). Where the matrix has more heads than the rows, as query heads that share a key head
 * have, those rows are multiplied by each of them. */
typedef struct projection {
    const clattn_tensor *rows;
    clattn_tensor matrix;     /* (1, heads, N, D), or its transpose */
    clattn__pack_lanes lanes; /* the axis of the matrix that N is */
    int64_t N;
    double alpha;
    clattn__scratch *to;
} projection;

/* Packs the rows of the product where it cannot read them as they are. */
static clattn_status take_rows(clattn__operands *o, clattn_device *device,
                               clattn__timeline *timeline, const clattn_tensor *rows,
                               bool any_memory, clattn__product *product)
{
    clattn_status status = CLATTN_OK;
    const clattn__packing dense = {CLATTN__LANES_ARE_ROWS, 1, rows->shape[3], rows->shape[2]};
    product->a = rows->buffer;
    product->a_offset = rows->offset;
    product->lda = rows->strides[2];
    if (any_memory && clattn__rows_are_ready(rows, clattn__sum_dtype(o->dtype)))
        return CLATTN_OK;
    TRY(clattn__scratch_reserve(&o->rows, device,
                                clattn__packed_count(rows, &dense) * clattn__sum_size(o->dtype)));
    TRY(clattn__pack_run(&o->pack, device, timeline, rows, &dense, o->rows.memory, NULL));
    product->a = o->rows.memory;
    product->a_offset = 0;
    product->lda = rows->shape[3];
done:
    return status;
}

static clattn_status project(clattn__operands *o, clattn_device *device, clattn__timeline *timeline,
                             const projection *p, clattn_tensor *out)
{
    clattn_status status = CLATTN_OK;
    const clattn_dtype sums = clattn__sum_dtype(o->dtype);
    const int64_t B = p->rows->shape[0], H = p->rows->shape[1], R = p->rows->shape[2];
    const clattn_tensor matrix = one_of_alike(&p->matrix);
    TRY(build_products(o, device));
    const bool shared = matrix.shape[1] == 1;
    const int64_t heads = shared ? H : matrix.shape[1], group = heads / H;
    const clattn__multiplier *by = shared ? o->shared_multiplier : o->multiplier;
    void *state = shared ? o->shared_product : o->product;
    const int64_t panel = by->panel(state, device, o->dtype);
    const clattn__packing panels = {p->lanes, panel, p->rows->shape[3],
                                    clattn__round_up(p->N, panel)};
    TRY(clattn__scratch_reserve(p->to, device,
                                (size_t)(B * heads * R * p->N) * clattn__sum_size(o->dtype)));
    *out = clattn__dense(sums, p->to->memory, B, heads, R, p->N);
    clattn__product product = {.c = p->to->memory,
                               .c_is_scratch = true,
                               .N = p->N,
                               .K = p->rows->shape[3],
                               .alpha = p->alpha};
    TRY(take_rows(o, device, timeline, p->rows, by->takes_any_memory, &product));
    /* With one matrix all rows are those of one head. */
    clattn__call call = {.B = 1, .Hq = 1, .Hkv = 1, .S = B * H * R};
    if (!shared)
        call = (clattn__call){.B = B, .Hq = H, .Hkv = H, .S = R};
    for (int64_t r = 0; r < group; r++) {
        clattn_tensor of_heads = matrix;
        of_heads.shape[1] /= group;
        of_heads.strides[1] *= group;
        of_heads.offset += r * matrix.strides[1];
        TRY(clattn__scratch_reserve(&o->matrix, device,
                                    clattn__packed_count(&of_heads, &panels) *
                                        clattn__sum_size(o->dtype)));
        TRY(clattn__pack_run(&o->pack, device, timeline, &of_heads, &panels, o->matrix.memory,
                             NULL));
        product.b = o->matrix.memory;
        product.b_heads = of_heads.shape[1];
        product.c_view = (clattn_view){.offset = r * R * p->N,
                                       .batch = heads * R * p->N,
                                       .head = group * R * p->N,
                                       .row = p->N,
                                       .column = 1,
                                       .kind = (clattn_int)sums};
        TRY(by->run(state, device, timeline, o->dtype, &call, &product));
    }
done:
    return status;
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
    as_heads(features, call->Hq);
done:
    return status;
}

/* w_location (1, Hq, A, C) as rows (1, Hq, C, A), vectors of which are side by side. */
static clattn_status make_filter_rows(clattn__operands *o, clattn_device *device,
                                      clattn__timeline *timeline, clattn__call *call)
{
    clattn_status status = CLATTN_OK;
    clattn_tensor *rows = &call->params[CLATTN__W_LOCATION];
    const clattn_tensor matrix = one_of_alike(rows);
    const int64_t heads = matrix.shape[1], A = matrix.shape[2], C = matrix.shape[3];
    const clattn__packing columns = {CLATTN__LANES_ARE_COLUMNS, 1, A, C};
    TRY(clattn__scratch_reserve(&o->filter_rows, device,
                                clattn__packed_count(&matrix, &columns) *
                                    clattn__sum_size(o->dtype)));
    TRY(clattn__pack_run(&o->pack, device, timeline, &matrix, &columns, o->filter_rows.memory,
                         NULL));
    *rows = clattn__dense(clattn__sum_dtype(o->dtype), o->filter_rows.memory, 1, heads, C, A);
    as_heads(rows, call->Hq);
done:
    return status;
}

clattn_status clattn__operands_of_keys(clattn__operands *o, clattn_device *device,
                                       clattn__timeline *timeline, const clattn__problem *problem,
                                       const clattn__call *call, clattn__scratch *to,
                                       clattn_tensor *out)
{
    const clattn_tensor none = {0}, *params = call->params;
    const projection by_weight = {&call->key,
                                  params[CLATTN__WEIGHT],
                                  CLATTN__LANES_ARE_ROWS,
                                  call->D,
                                  1.0,
                                  to},
                     by_w_key = {&call->key,
                                 params[CLATTN__W_KEY],
                                 CLATTN__LANES_ARE_ROWS,
                                 (int64_t)problem->desc.hidden_size,
                                 1.0,
                                 to};
    switch (problem->desc.score) {
    case CLATTN_SCORE_COSINE:
        return make_units(o, device, timeline, &call->key, &none, to, out);
    case CLATTN_SCORE_GENERAL:
        return project(o, device, timeline, &by_weight, out);
    default:
        return project(o, device, timeline, &by_w_key, out);
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
    const projection of_query = {
        &call->query, params[CLATTN__W_QUERY], CLATTN__LANES_ARE_ROWS, A, 1.0, &o->query};
    if (!(problem->desc.flags & CLATTN_PROJECTED_QUERY))
        TRY(project(o, device, timeline, &of_query, &query));
    TRY(take_keys(o, device, timeline, problem, call));
    call->query = query;
    call->D = call->Dk = A;
    if (clattn__has(&params[CLATTN__G])) {
        const clattn_tensor of_heads = params[CLATTN__G].strides[1] == 0 ? one_of_alike(v) : *v;
        TRY(make_units(o, device, timeline, &of_heads, &params[CLATTN__G], &o->v, v));
        as_heads(v, call->Hq);
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
    const projection of_query = {
        &call->query, call->params[CLATTN__WEIGHT], CLATTN__LANES_ARE_COLUMNS, call->Dk, 1.0,
        &o->query};
    clattn_tensor query;
    if (problem->desc.flags & CLATTN_PROJECTED_KEYS) {
        call->Dk = call->D;
        return CLATTN_OK;
    }
    TRY(project(o, device, timeline, &of_query, &query));
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
    projection of_query = {&call->query,           call->params[CLATTN__WEIGHT],
                           CLATTN__LANES_ARE_ROWS, call->T,
                           problem->scale,         &o->query};
    of_query.matrix.shape[2] = call->T;
    TRY(project(o, device, timeline, &of_query, &call->given_scores));
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
