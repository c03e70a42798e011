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
}

clattn__split clattn__split_of(const clattn_device *device, int64_t T, int64_t groups)
{
    const clattn_int chunks = clattn__ceil_div(T, CLATTN__CHUNK),
                     wanted =
                         clattn__ceil_div(ITEMS_PER_UNIT * (clattn_int)device->info.compute_units,
                                          groups > 0 ? groups : 1);
    clattn__split split = {.chunks = chunks};
    split.item_chunks = chunks > wanted ? clattn__ceil_div(chunks, wanted) : 1;
    split.items = clattn__ceil_div(chunks, split.item_chunks);
    if (split.items < 2)
        split.items = 1, split.item_chunks = chunks;
    return split;
}

/* The largest size that splitting may need. */
static uint64_t parts_bytes(const clattn__call *call)
{
    const int64_t rows = call->B * call->Hq * call->S,
                  chunks = clattn__ceil_div(call->T, CLATTN__CHUNK);
    return (uint64_t)(rows * chunks * (call->Dv + 2)) * clattn__sum_size(call->value.dtype);
}

bool clattn__parts_fit(const clattn_device *device, const clattn__call *call)
{
    return parts_bytes(call) <= device->info.max_allocation;
}

clattn_status clattn__parts_reserve(clattn__chunked *chunked, clattn_device *device,
                                    const clattn__call *call, const clattn__split *split,
                                    cl_mem *parts)
{
    clattn_status status = CLATTN_OK;
    *parts = call->query.buffer;
    if (split->items > 1) {
        TRY(clattn__scratch_reserve(&chunked->parts, device, (size_t)parts_bytes(call)));
        *parts = chunked->parts.memory;
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
