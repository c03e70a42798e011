/* chunked.c: see chunked.h. */
#include "chunked.h"

#include "try.h"

/* Work-items for each compute unit, so that one that is late does not matter. */
#define ITEMS_PER_UNIT 4

clattn_status clattn__chunked_create(clattn__chunked *chunked, clattn_device *device,
                                     const clattn_attention_desc *desc, size_t capacity)
{
    char options[CLATTN__OPTIONS_MAX];
    clattn__options(options, device, desc->dtype, " -DMOST=%zu -DKIND=%d", capacity,
                    (int)desc->dtype);
    return clattn__kernel_create(&chunked->merge, device, "decode_merge", options);
}

void clattn__chunked_release(clattn__chunked *chunked)
{
    clattn__kernel_release(&chunked->merge);
    clattn__scratch_release(&chunked->parts);
    clattn__scratch_release(&chunked->kept);
}

/* The largest size that splitting may need. */
static uint64_t parts_bytes(const clattn__call *call)
{
    const int64_t rows = call->B * call->Hq * call->S,
                  chunks = clattn__ceil_div(call->T, CLATTN__CHUNK);
    return (uint64_t)(rows * chunks * (call->Dv + 2)) * clattn__sum_size(call->value.dtype);
}

/* Scores that are kept of a row: whole vectors of any width. */
static int64_t kept_step(const clattn__call *call)
{
    return clattn__round_up(call->T, 16);
}

static uint64_t kept_bytes(const clattn__call *call)
{
    return (uint64_t)(call->B * call->Hq * call->S * kept_step(call)) *
           clattn__sum_size(call->value.dtype);
}

bool clattn__chunked_fit(const clattn_device *device, const clattn__call *call)
{
    const uint64_t most = device->info.max_allocation;
    return parts_bytes(call) <= most && (!clattn__has(&call->weights) || kept_bytes(call) <= most);
}

clattn_status clattn__split_init(clattn__split *split, clattn__chunked *chunked,
                                 clattn_device *device, const clattn__call *call, int64_t groups)
{
    clattn_status status = CLATTN_OK;
    const bool weights = clattn__has(&call->weights);
    const clattn_int chunks = clattn__ceil_div(call->T, CLATTN__CHUNK),
                     wanted =
                         clattn__ceil_div(ITEMS_PER_UNIT * (clattn_int)device->info.compute_units,
                                          groups > 0 ? groups : 1);
    const cl_mem other = call->query.buffer;
    *split = (clattn__split){.chunks = chunks,
                             .kept_step = kept_step(call),
                             .parts = other,
                             .kept = other,
                             .weights = clattn__memory_of(&call->weights, other),
                             .of_weights = clattn__view(&call->weights)};
    split->item_chunks = chunks > wanted ? clattn__ceil_div(chunks, wanted) : 1;
    split->items = clattn__ceil_div(chunks, split->item_chunks);
    /* Who writes weights has seen all of a row. */
    if (split->items < 2 || weights)
        split->items = 1, split->item_chunks = chunks;
    if (weights) {
        TRY(clattn__scratch_reserve(&chunked->kept, device, (size_t)kept_bytes(call)));
        split->kept = chunked->kept.memory;
    }
    if (split->items > 1) {
        TRY(clattn__scratch_reserve(&chunked->parts, device, (size_t)parts_bytes(call)));
        split->parts = chunked->parts.memory;
    }
done:
    return status;
}

clattn_status clattn__parts_merge(clattn__chunked *chunked, clattn_device *device,
                                  clattn__timeline *timeline, const clattn__problem *problem,
                                  const clattn__call *call, const clattn__split *split,
                                  clattn_int heads, clattn_int M)
{
    const cl_mem parts = chunked->parts.memory, sinks = clattn__memory_of(&call->sinks, parts),
                 output = clattn__memory_of(&call->output, parts),
                 lse = clattn__memory_of(&call->lse, parts);
    const clattn_view of_sinks = clattn__view(&call->sinks),
                      of_output = clattn__view(&call->output), of_lse = clattn__view(&call->lse);
    const cl_int Dv = (cl_int)call->Dv,
                 normalize = problem->desc.normalizer == CLATTN_NORMALIZER_SOFTMAX;
    const clattn__arg args[] = {
        CLATTN__ARG(parts),     CLATTN__ARG(split->chunks), CLATTN__ARG(heads),
        CLATTN__ARG(M),         CLATTN__ARG(call->S),       CLATTN__ARG(Dv),
        CLATTN__ARG(normalize), CLATTN__ARG(sinks),         CLATTN__ARG(of_sinks),
        CLATTN__ARG(output),    CLATTN__ARG(of_output),     CLATTN__ARG(lse),
        CLATTN__ARG(of_lse),
    };
    const size_t global[3] = {(size_t)(call->B * heads), 1, 1}, local[3] = {1, 1, 1};
    if (split->items < 2)
        return CLATTN_OK;
    return clattn__launch(device, timeline, &chunked->merge, global, local, args,
                          sizeof args / sizeof *args);
}
