/* pair_gradients.c: host side of pair_gradients.cl. */
#include "pair_gradients.h"

#include "additive.h"

/* Units of a work-item: whole lines of a cache; and where others have work, too, rows from end to end. */
#define LEAST_BYTES 256
#define MOST_BYTES 2048
#define ITEMS_PER_UNIT 4 /* of a compute unit, before work-items have more than the least */
/* Queries of a tile, and keys: what they have in private memory stays in the nearest caches. */
#define TILE_ROWS 64
#define SMALL_TILE_ROWS 16 /* on GPU-like devices */

/* Units of a work-item at least. */
static int64_t least_units(const clattn_device *device, clattn_dtype dtype)
{
    const int64_t least = (int64_t)4 * clattn__vector_width(device, dtype),
                  lines = LEAST_BYTES / (int64_t)clattn__sum_size(dtype);
    return clattn__is_cpu_like(device) && lines > least ? lines : least;
}

/* And at most. */
static int64_t most_units(const clattn_device *device, const clattn__problem *problem)
{
    const clattn_dtype dtype = problem->desc.dtype;
    const int64_t N = (int64_t)problem->desc.head_size, least = least_units(device, dtype),
                  most = MOST_BYTES / (int64_t)clattn__sum_size(dtype),
                  wanted = clattn__is_cpu_like(device) && N > least ? N : least;
    return clattn__round_up(wanted < most ? wanted : most, least);
}

/* As many as leave work for everybody. */
static int64_t shared_units(const clattn_device *device, const clattn__problem *problem,
                            const clattn__call *call)
{
    const int64_t least = least_units(device, problem->desc.dtype),
                  wanted = ITEMS_PER_UNIT * (int64_t)device->info.compute_units;
    int64_t share = most_units(device, problem);
    while (share > least &&
           call->B * call->Hq * clattn__ceil_div(call->query.shape[3], share) < wanted)
        share -= least;
    return share;
}

clattn_status clattn__pair_gradients_create(clattn__kernel *kernel, clattn_device *device,
                                            const clattn__problem *problem)
{
    const clattn_dtype dtype = problem->desc.dtype;
    char options[CLATTN__OPTIONS_MAX];
    clattn__options(options, device, dtype, " -DUNITS=%d -DROWS=%d -DRBF=%d",
                    (int)most_units(device, problem),
                    clattn__is_cpu_like(device) ? TILE_ROWS : SMALL_TILE_ROWS,
                    problem->desc.score == CLATTN_SCORE_RBF);
    return clattn__kernel_create(kernel, device, "pair_gradients", options);
}

/* Gamma for each unit stands in the place of v. */
static clattn__call with_units(const clattn__call *call)
{
    clattn__call of_units = *call;
    if (clattn__has(&call->params[CLATTN__GAMMA])) {
        clattn_tensor *v = &of_units.params[CLATTN__V];
        *v = call->params[CLATTN__GAMMA];
        v->shape[3] = call->query.shape[3];
        v->strides[3] = 0;
    }
    return of_units;
}

clattn_status clattn__pair_gradients_run(clattn__kernel *kernel, clattn_device *device,
                                         clattn__timeline *timeline, const clattn__problem *problem,
                                         const clattn__call *call, cl_mem ds, int64_t stride,
                                         const clattn__pair_gradients *to)
{
    enum { QUERY = 1, HIDDEN = 2, UNITS = 4 };
    const clattn_dtype dtype = problem->desc.dtype;
    const clattn__call of_units = with_units(call);
    const clattn_view of_query = clattn__view(&call->query), of_key = clattn__view(&call->key);
    const cl_mem query = clattn__memory_of(&call->query, ds),
                 key = clattn__memory_of(&call->key, ds), to_query = to->query ? to->query : ds,
                 to_hidden = to->hidden ? to->hidden : ds, to_units = to->units ? to->units : ds;
    const cl_int units = (cl_int)call->query.shape[3],
                 wanted =
                     (to->query ? QUERY : 0) | (to->hidden ? HIDDEN : 0) | (to->units ? UNITS : 0),
                 share = (cl_int)shared_units(device, problem, call);
    clattn__number scale;
    clattn__additive_args of_scores;
    clattn__arg_list list = {.count = 0};
    const clattn__arg own[] = {
        CLATTN__ARG(query),    CLATTN__ARG(of_query),
        CLATTN__ARG(key),      CLATTN__ARG(of_key),
        CLATTN__ARG(units),    clattn__number_arg(&scale, dtype, problem->scale),
        CLATTN__ARG(call->S),  CLATTN__ARG(call->T),
        CLATTN__ARG(ds),       CLATTN__ARG(stride),
        CLATTN__ARG(to_query), CLATTN__ARG(to_hidden),
        CLATTN__ARG(to_units), CLATTN__ARG(wanted),
        CLATTN__ARG(share),
    };
    clattn__args_add(&list, own, sizeof own / sizeof *own);
    clattn__additive_add(&list, &of_scores, &of_units, ds);
    const size_t global[3] = {(size_t)clattn__ceil_div(units, share), (size_t)call->Hq,
                              (size_t)call->B},
                 local[3] = {1, 1, 1};
    return clattn__launch(device, timeline, kernel, global, local, list.args, list.count);
}
