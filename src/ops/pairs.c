/* pairs.c: host side of additive_scores.cl and rbf_scores.cl. */
#include "pairs.h"

#include "additive.h"

/* Queries of a work-item of rbf_scores.cl: so many vectors of sums are kept in registers. */
#define RBF_ROWS 1
/* Work-items for each compute unit, so that one that is late does not matter. */
#define ITEMS_PER_UNIT 8

bool clattn__is_of_pairs(clattn_score score)
{
    return score == CLATTN_SCORE_RBF || clattn__is_additive(score);
}

clattn_status clattn__pairs_create(clattn__kernel *kernel, clattn_device *device,
                                   const clattn__problem *problem)
{
    const clattn_dtype dtype = problem->desc.dtype;
    char options[CLATTN__OPTIONS_MAX];
    if (problem->desc.score == CLATTN_SCORE_RBF) {
        clattn__options(options, device, dtype, " -DROWS=%d", RBF_ROWS);
        return clattn__kernel_create(kernel, device, "rbf_scores", options);
    }
    char own[CLATTN__OPTIONS_MAX];
    clattn__additive_options(own, device, dtype);
    clattn__options(options, device, dtype, "%s", own);
    return clattn__kernel_create(kernel, device, "additive_scores", options);
}

/* How a head's scores are cut: blocks of `rows` queries by splits of keys. */
typedef struct cuts {
    clattn_int split_keys;
    size_t items;
} cuts;

static cuts cut(const clattn_device *device, const clattn__call *call, int64_t rows, int64_t width)
{
    const int64_t blocks = clattn__ceil_div(call->S, rows), heads = call->B * call->Hq,
                  wanted = ITEMS_PER_UNIT * (int64_t)device->info.compute_units;
    int64_t splits = blocks * heads > 0 ? clattn__ceil_div(wanted, blocks * heads) : 1;
    const int64_t vectors = clattn__ceil_div(call->T, width);
    if (splits > vectors)
        splits = vectors;
    cuts made = {.split_keys = width};
    if (splits > 0)
        made.split_keys = clattn__ceil_div(vectors, splits) * width;
    made.items = (size_t)(blocks * clattn__ceil_div(call->T, made.split_keys));
    return made;
}

clattn_status clattn__pairs_run(clattn__kernel *kernel, clattn_device *device,
                                clattn__timeline *timeline, const clattn__problem *problem,
                                const clattn__call *call, cl_mem scores, int64_t stride)
{
    const clattn_dtype dtype = problem->desc.dtype;
    const bool rbf = problem->desc.score == CLATTN_SCORE_RBF;
    const clattn_tensor *gamma = &call->params[CLATTN__GAMMA];
    const cuts by = cut(device, call, rbf ? RBF_ROWS : device->tuning->additive_rows,
                        clattn__vector_width(device, dtype));
    const clattn_view of_query = clattn__view(&call->query), of_key = clattn__view(&call->key),
                      of_gamma = clattn__view(gamma);
    const cl_mem query = clattn__memory_of(&call->query, scores),
                 key = clattn__memory_of(&call->key, scores),
                 of_heads = clattn__memory_of(gamma, scores);
    const cl_int D = (cl_int)call->D, group = (cl_int)(call->Hq / call->Hkv);
    clattn__number scale;
    clattn__additive_args of_scores;
    clattn__arg_list list = {.count = 0};
    const clattn__arg shared[] = {
        CLATTN__ARG(query),
        CLATTN__ARG(of_query),
        CLATTN__ARG(key),
        CLATTN__ARG(of_key),
        CLATTN__ARG(D),
        clattn__number_arg(&scale, dtype, problem->scale),
        CLATTN__ARG(call->S),
        CLATTN__ARG(call->T),
        CLATTN__ARG(by.split_keys),
        CLATTN__ARG(scores),
        CLATTN__ARG(stride),
    };
    clattn__args_add(&list, shared, sizeof shared / sizeof *shared);
    if (rbf) {
        clattn__arg_add(&list, sizeof of_heads, &of_heads);
        clattn__arg_add(&list, sizeof of_gamma, &of_gamma);
        clattn__arg_add(&list, sizeof group, &group);
    } else {
        clattn__additive_add(&list, &of_scores, call, scores);
    }
    const size_t global[3] = {by.items, (size_t)call->Hq, (size_t)call->B}, local[3] = {1, 1, 1};
    return clattn__launch(device, timeline, kernel, global, local, list.args, list.count);
}
