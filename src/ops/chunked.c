/* chunked.c: see chunked.h. */
#include "chunked.h"

#include "column_sums.h"
#include "try.h"

#include <stdlib.h>

/* Work-items for each compute unit, so that one that is late does not matter. */
#define ITEMS_PER_UNIT 4

void clattn__chunked_release(void *state)
{
    clattn__chunked *s = state;
    if (!s)
        return;
    clattn__kernel_release(&s->kernel);
    clattn__kernel_release(&s->merge);
    clattn__kernel_release(&s->column_sums);
    clattn__scratch_release(&s->parts);
    clattn__scratch_release(&s->kept);
    free(s);
}

clattn_status clattn__chunked_prepare(void **state, clattn_device *device,
                                      const clattn__problem *problem, const char *name,
                                      const char *own, size_t capacity)
{
    clattn_status status = CLATTN_OK;
    const clattn_dtype dtype = problem->desc.dtype;
    char options[CLATTN__OPTIONS_MAX];
    clattn__chunked *s = calloc(1, sizeof *s);
    FAIL_IF(!s, CLATTN_E_MEMORY, "%s: no host memory for %zu bytes", name, sizeof *s);
    *state = s;
    s->capacity = capacity, s->dtype = dtype;
    clattn__options(options, device, dtype, " -DMOST=%zu -DKIND=%d -DCHUNK=%d%s", capacity,
                    (int)dtype, CLATTN__CHUNK, own);
    TRY(clattn__kernel_create(&s->kernel, device, name, options));
    if (problem->desc.outputs & CLATTN_COLUMN_SUMS)
        TRY(clattn__column_sums_create(&s->column_sums, device, dtype));
done:
    return status;
}

/* The largest size that splitting may need. */
static uint64_t parts_bytes(const clattn__call *call)
{
    const int64_t rows = call->B * call->Hq * call->S,
                  chunks = clattn__ceil_div(call->T, CLATTN__CHUNK);
    return (uint64_t)(rows * chunks * (call->Dv + 2)) * clattn__sum_size(call->value.dtype);
}

/* Scores that are kept of a row: whole vectors of any width, also where there is no key. */
static int64_t kept_step(const clattn__call *call)
{
    return clattn__round_up(call->T + 1, 16);
}

static uint64_t kept_bytes(const clattn__call *call)
{
    return (uint64_t)(call->B * call->Hq * call->S * kept_step(call)) *
           clattn__sum_size(call->value.dtype);
}

bool clattn__chunked_fits(const void *state, const clattn_device *device, const clattn__call *call)
{
    (void)state;
    const uint64_t most = device->info.max_allocation;
    return parts_bytes(call) <= most &&
           (!clattn__looks_at_weights(call) || kept_bytes(call) <= most);
}

clattn_status clattn__split_init(clattn__split *split, clattn__chunked *chunked,
                                 clattn_device *device, const clattn__call *call, int64_t groups)
{
    clattn_status status = CLATTN_OK;
    const bool looks = clattn__looks_at_weights(call);
    const clattn_int chunks = clattn__ceil_div(call->T, CLATTN__CHUNK),
                     wanted =
                         clattn__ceil_div(ITEMS_PER_UNIT * (clattn_int)device->info.compute_units,
                                          groups > 0 ? groups : 1);
    const cl_mem other = call->query.buffer;
    clattn_split *shared = &split->shared;
    *split = (clattn__split){.chunks = chunks, .parts = other, .kept = other};
    shared->kept_step = looks ? kept_step(call) : 0;
    shared->keeps_weights = clattn__has(&call->column_sums);
    shared->item_chunks = chunks > wanted ? clattn__ceil_div(chunks, wanted) : 1;
    shared->items = clattn__ceil_div(chunks, shared->item_chunks);
    /* Who tells of weights has seen all of a row. */
    if (shared->items < 2 || looks)
        shared->items = 1, shared->item_chunks = chunks;
    if (looks) {
        TRY(clattn__scratch_reserve(&chunked->kept, device, (size_t)kept_bytes(call)));
        split->kept = chunked->kept.memory;
    }
    if (split->shared.items > 1) {
        TRY(clattn__scratch_reserve(&chunked->parts, device, (size_t)parts_bytes(call)));
        split->parts = chunked->parts.memory;
    }
done:
    return status;
}

void clattn__split_add(clattn__arg_list *list, clattn__split *split, const clattn__call *call)
{
    const clattn__arg args[] = {
        CLATTN__ARG(split->parts),
        CLATTN__ARG(split->kept),
        CLATTN__ARG(split->shared),
    };
    clattn__args_add(list, args, sizeof args / sizeof *args);
    clattn__row_outputs_add(list, &split->row_outputs, call, call->query.buffer);
}

/* Built when it is first wanted: most plans never have more than one work-item for the same rows. */
static clattn_status merge_parts(clattn__chunked *chunked, clattn_device *device,
                                 clattn__timeline *timeline, const clattn__problem *problem,
                                 const clattn__call *call, const clattn__split *split,
                                 clattn_int heads, clattn_int M)
{
    clattn_status status = CLATTN_OK;
    char options[CLATTN__OPTIONS_MAX];
    const cl_mem parts = chunked->parts.memory, sinks = clattn__memory_of(&call->sinks, parts),
                 output = clattn__memory_of(&call->output, parts),
                 lse = clattn__memory_of(&call->lse, parts);
    const clattn_view of_sinks = clattn__view(&call->sinks),
                      of_output = clattn__view(&call->output), of_lse = clattn__view(&call->lse);
    const cl_int Dv = (cl_int)call->Dv, normalizer = (cl_int)problem->desc.normalizer;
    const clattn__arg args[] = {
        CLATTN__ARG(parts),      CLATTN__ARG(split->chunks), CLATTN__ARG(heads),
        CLATTN__ARG(M),          CLATTN__ARG(call->S),       CLATTN__ARG(Dv),
        CLATTN__ARG(normalizer), CLATTN__ARG(sinks),         CLATTN__ARG(of_sinks),
        CLATTN__ARG(output),     CLATTN__ARG(of_output),     CLATTN__ARG(lse),
        CLATTN__ARG(of_lse),
    };
    const size_t global[3] = {(size_t)(call->B * heads), 1, 1}, local[3] = {1, 1, 1};
    clattn__options(options, device, chunked->dtype, " -DMOST=%zu -DKIND=%d", chunked->capacity,
                    (int)chunked->dtype);
    if (!chunked->merge.handle)
        TRY(clattn__kernel_create(&chunked->merge, device, "decode_merge", options));
    TRY(clattn__launch(device, timeline, &chunked->merge, global, local, args,
                       sizeof args / sizeof *args));
done:
    return status;
}

clattn_status clattn__chunked_finish(clattn__chunked *chunked, clattn_device *device,
                                     clattn__timeline *timeline, const clattn__problem *problem,
                                     const clattn__call *call, const clattn__split *split,
                                     clattn_int heads, clattn_int M)
{
    clattn_status status = CLATTN_OK;
    if (split->shared.items > 1)
        TRY(merge_parts(chunked, device, timeline, problem, call, split, heads, M));
    if (clattn__has(&call->column_sums))
        TRY(clattn__column_sums_run(&chunked->column_sums, device, timeline, call, split->kept,
                                    split->shared.kept_step, NULL));
done:
    return status;
}
