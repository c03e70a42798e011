/* sum_up.c: host side of sum_up.cl. */
#include "sum_up.h"

#include "try.h"

/* So many rows are work-items enough for a CPU, and finding the place of one costs more than a vector of it. */
#define LEAST_ROWS 64

clattn_status clattn__sum_up_create(clattn__kernel *kernel, clattn_device *device,
                                    clattn_dtype dtype)
{
    char options[CLATTN__OPTIONS_MAX];
    clattn__options(options, device, dtype, "%s", "");
    return clattn__kernel_create(kernel, device, "sum_up", options);
}

static bool is_summed(const clattn_tensor *to, int axis)
{
    return to->strides[axis] == 0;
}

static clattn_status add(clattn__kernel *kernel, clattn_device *device, clattn__timeline *timeline,
                         const clattn_tensor *from, int64_t folds, int64_t fold_step,
                         const clattn_tensor *to, bool to_what_is_there)
{
    clattn_int n[4], sum[4];
    for (int axis = 0; axis < 4; axis++) {
        n[axis] = is_summed(to, axis) ? 1 : to->shape[axis];
        sum[axis] = is_summed(to, axis) ? from->shape[axis] : 1;
    }
    const clattn_view of_from = clattn__view(from), of_to = clattn__view(to);
    const cl_mem source = clattn__memory_of(from, to->buffer), target = to->buffer;
    const cl_int adds = to_what_is_there;
    const int64_t width = clattn__vector_width(device, from->dtype),
                  of_row = clattn__ceil_div(n[3], width), rows = n[0] * n[1] * n[2];
    const clattn_int vectors =
        clattn__is_cpu_like(device) && rows >= LEAST_ROWS && of_row > 0 ? of_row : 1;
    const clattn__arg args[] = {
        CLATTN__ARG(source),  CLATTN__ARG(of_from), CLATTN__ARG(folds),  CLATTN__ARG(fold_step),
        CLATTN__ARG(sum[0]),  CLATTN__ARG(sum[1]),  CLATTN__ARG(sum[2]), CLATTN__ARG(sum[3]),
        CLATTN__ARG(target),  CLATTN__ARG(of_to),   CLATTN__ARG(n[1]),   CLATTN__ARG(n[3]),
        CLATTN__ARG(vectors), CLATTN__ARG(adds),
    };
    const size_t global[3] = {(size_t)clattn__ceil_div(of_row, vectors), (size_t)n[2],
                              (size_t)(n[0] * n[1])};
    return clattn__launch(device, timeline, kernel, global, NULL, args, sizeof args / sizeof *args);
}

/* Where a piece stands along an axis that calls are cut along: `first` of `all`. */
typedef struct place {
    int64_t first, count, all;
} place;

/* Whether pieces that differ along an axis add to the same elements. */
static bool is_shared(const clattn__sum *sum, int axis)
{
    switch (sum->over) {
    case CLATTN__SUM_OVER_NOTHING:
        return false;
    case CLATTN__SUM_OVER_ROWS:
        return axis == 2;
    case CLATTN__SUM_OVER_PLACES:
        return is_summed(sum->to, axis);
    case CLATTN__SUM_OVER_ALL:
        return axis == 2 || is_summed(sum->to, axis);
    }
    return false;
}

clattn_status clattn__sum_target(clattn_tensor *out, clattn__scratch *part, clattn_device *device,
                                 const clattn__call *call, const clattn_tensor *gradient)
{
    clattn_status status = CLATTN_OK;
    const clattn_dtype sums = clattn__sum_dtype(call->value.dtype);
    *out = *gradient;
    if (!clattn__has(gradient) || call->S == call->all_rows)
        goto done;
    TRY(clattn__scratch_reserve(part, device,
                                clattn_tensor_count(gradient) * clattn__sum_size(sums)));
    *out = clattn__dense(sums, part->memory, call->B, call->Hkv, call->T, gradient->shape[3]);
done:
    return status;
}

clattn_status clattn__sum_up_run(clattn__kernel *kernel, clattn_device *device,
                                 clattn__timeline *timeline, const clattn__call *call,
                                 const clattn__sum *sum)
{
    clattn_status status = CLATTN_OK;
    const clattn_tensor *to = sum->to;
    const int64_t heads = to->shape[1] ? to->shape[1] : 1;
    const place places[3] = {
        {call->first_batch, call->B, call->all_batches},
        {call->first_head * heads / call->Hq, heads, call->all_heads * heads / call->Hq},
        {call->first_row, call->S, call->all_rows}};
    const bool keeps_places =
        sum->over == CLATTN__SUM_OVER_PLACES || sum->over == CLATTN__SUM_OVER_ALL;
    bool first = true, last = true, whole = true;
    int64_t n[4], at[3] = {0};
    if (!clattn__has(to))
        goto done;
    for (int axis = 0; axis < 4; axis++)
        n[axis] = is_summed(to, axis) ? 1 : to->shape[axis];
    for (int axis = 0; axis < 3; axis++) {
        const place *p = &places[axis];
        if (is_shared(sum, axis)) {
            first = first && p->first == 0;
            last = last && p->first + p->count == p->all;
            whole = whole && p->count == p->all;
        } else if (keeps_places) { /* other pieces come in between */
            n[axis] = p->all, at[axis] = p->first;
        }
    }
    if (whole)
        return add(kernel, device, timeline, sum->from, sum->folds, sum->fold_step, to, false);
    const clattn_dtype sums = clattn__sum_dtype(sum->from->dtype);
    TRY(clattn__scratch_reserve(sum->partial, device,
                                (size_t)(n[0] * n[1] * n[2] * n[3]) * clattn__sum_size(sums)));
    clattn_tensor partial = clattn__dense(sums, sum->partial->memory, n[0], n[1], n[2], n[3]),
                  complete;
    for (int axis = 0; axis < 4; axis++) {
        if (axis < 3)
            partial.offset += at[axis] * partial.strides[axis];
        partial.shape[axis] = to->shape[axis];
        if (is_summed(to, axis))
            partial.strides[axis] = 0;
    }
    TRY(add(kernel, device, timeline, sum->from, sum->folds, sum->fold_step, &partial, !first));
    if (!last)
        goto done;
    complete = partial;
    for (int axis = 0; axis < 4; axis++)
        if (is_summed(to, axis))
            complete.shape[axis] = 1;
    TRY(add(kernel, device, timeline, &complete, 1, 0, to, false));
done:
    return status;
}
