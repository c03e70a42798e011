/* scores.c: see scores.h. */
#include "scores.h"

#include "pack.h"
#include "pairs.h"
#include "try.h"

const clattn__multiplier *clattn__own_multiplier(const clattn_device *device, clattn_dtype dtype)
{
    return !clattn__is_cpu_like(device) && clattn__product_tiles_hold(device, dtype)
               ? &clattn__multiplier_tiles
               : &clattn__multiplier_lanes;
}

clattn_status clattn__scores_create(clattn__scores *s, const clattn__multiplier *multiplier,
                                    clattn_device *device, const clattn__problem *problem)
{
    clattn_status status = CLATTN_OK;
    const clattn_dtype dtype = problem->desc.dtype;
    s->multiplier = multiplier;
    TRY(multiplier->create(&s->product, device, dtype));
    s->panel = multiplier->panel(s->product, device, dtype);
    TRY(clattn__pack_create(&s->pack, device, dtype));
    if (clattn__is_of_pairs(problem->desc.score))
        TRY(clattn__pairs_create(&s->pairs, device, problem));
done:
    return status;
}

void clattn__scores_release(clattn__scores *s)
{
    if (s->multiplier)
        s->multiplier->release(s->product);
    clattn__kernel_release(&s->pack);
    clattn__kernel_release(&s->pairs);
    clattn__scratch_release(&s->query);
    clattn__scratch_release(&s->key);
    clattn__scratch_release(&s->scores);
}

static clattn__packing key_packing(const clattn__scores *s, const clattn__call *call, int64_t size)
{
    return (clattn__packing){CLATTN__LANES_ARE_ROWS, s->panel, size,
                             clattn__round_up(call->T, s->panel)};
}

int64_t clattn__scores_stride(const clattn__scores *s, const clattn_device *device,
                              const clattn__call *call)
{
    const int64_t step = s->panel > device->tuning->vector ? s->panel : device->tuning->vector,
                  whole = clattn__round_up(call->T, step);
    return whole % 256 == 0 ? whole + step : whole;
}

uint64_t clattn__scores_bytes(const clattn__scores *s, const clattn_device *device,
                              const clattn__call *call)
{
    return (uint64_t)(call->B * call->Hq * call->S * clattn__scores_stride(s, device, call)) *
           clattn__sum_size(call->value.dtype);
}

bool clattn__scores_fit(const clattn__scores *s, const clattn_device *device,
                        const clattn__call *call)
{
    const uint64_t size = clattn__sum_size(call->value.dtype), limit = device->info.max_allocation;
    const clattn__packing key = key_packing(s, call, call->D);
    return (uint64_t)(call->B * call->Hkv * key.lanes_padded * call->D) * size <= limit &&
           (uint64_t)(call->B * call->Hq * call->S * call->D) * size <= limit &&
           clattn__scores_bytes(s, device, call) <= limit;
}

clattn_status clattn__scores_multiply(clattn__scores *s, clattn_device *device,
                                      clattn__timeline *timeline, const clattn__call *call,
                                      clattn__product rows, const clattn_tensor *keys,
                                      clattn__scratch *panels, int64_t stride)
{
    clattn_status status = CLATTN_OK;
    const clattn_dtype sums = clattn__sum_dtype(keys->dtype);
    const clattn__packing packing = key_packing(s, call, keys->shape[3]);
    if (call->first_row == 0) {
        TRY(clattn__scratch_reserve(panels, device,
                                    clattn__packed_count(keys, &packing) * clattn__sum_size(sums)));
        TRY(clattn__pack_run(&s->pack, device, timeline, keys, &packing, panels->memory, NULL));
    }
    rows.b = panels->memory;
    rows.b_heads = call->B * call->Hkv;
    rows.c_is_scratch = true;
    rows.c_view = (clattn_view){.batch = call->Hq * call->S * stride,
                                .head = call->S * stride,
                                .row = stride,
                                .column = 1,
                                .kind = (clattn_int)sums};
    rows.N = packing.lanes_padded;
    rows.K = keys->shape[3];
    TRY(s->multiplier->run(s->product, device, timeline, sums, call, &rows));
done:
    return status;
}

clattn_status clattn__scores_reserve(clattn__scores *s, clattn_device *device,
                                     const clattn__call *call, int64_t stride)
{
    const size_t count = (size_t)(call->B * call->Hq * call->S * stride);
    return clattn__scratch_reserve(&s->scores, device, count * clattn__sum_size(call->value.dtype));
}

clattn_status clattn__scores_run(clattn__scores *s, clattn_device *device,
                                 clattn__timeline *timeline, const clattn__problem *problem,
                                 const clattn__call *call, int64_t stride)
{
    clattn_status status = CLATTN_OK;
    const clattn_dtype sums = clattn__sum_dtype(problem->desc.dtype);
    clattn_tensor query;
    TRY(clattn__scores_reserve(s, device, call, stride));
    if (problem->desc.score == CLATTN_SCORE_GIVEN) {
        const clattn__packing rows = {CLATTN__LANES_ARE_ROWS, 1, stride, call->S};
        return clattn__pack_run(&s->pack, device, timeline, &call->given_scores, &rows,
                                s->scores.memory, NULL);
    }
    if (clattn__is_of_pairs(problem->desc.score))
        return clattn__pairs_run(&s->pairs, device, timeline, problem, call, s->scores.memory,
                                 stride);
    TRY(clattn__join_rows(&s->pack, device, timeline, sums, &call->query,
                          s->multiplier->takes_any_memory, &s->query, &query));
    const clattn__product product = {.a = query.buffer,
                                     .a_offset = query.offset,
                                     .lda = query.strides[2],
                                     .c = s->scores.memory,
                                     .alpha = problem->scale};
    TRY(clattn__scores_multiply(s, device, timeline, call, product, &call->key, &s->key, stride));
done:
    return status;
}
