/* lanes.c: the variant `lanes`, one fused pass for CPU-like devices; host side of lanes.cl. */
#include "fused.h"
#include "pack.h"
#include "try.h"
#include "variant.h"

#include <stdlib.h>

typedef struct lanes {
    clattn__kernel kernel, pack;
    clattn__scratch key, value; /* where they are not as the kernel reads them */
} lanes;

/* What a work-item keeps of a block of queries is D + 2 Dv vectors of them; beyond this it is more
 * than a core's caches hold. */
#define MOST_ELEMENTS 2048

static bool accepts(const clattn_device *device, const clattn__problem *problem, bool forced,
                    char *reason, size_t size)
{
    const char *why = clattn__why_not_fused(device, problem, forced, CLATTN__DROPOUT);
    if (!why &&
        (problem->desc.head_size > MOST_ELEMENTS || problem->desc.value_size > MOST_ELEMENTS))
        why = "keys and values are larger than what a work-item keeps";
    if (why)
        (void)snprintf(reason, size, "%s", why);
    return !why;
}

static void release(void *state)
{
    lanes *s = state;
    if (!s)
        return;
    clattn__kernel_release(&s->kernel);
    clattn__kernel_release(&s->pack);
    clattn__scratch_release(&s->key);
    clattn__scratch_release(&s->value);
    free(s);
}

static clattn_status prepare(void **state, clattn_device *device, const clattn__problem *problem)
{
    clattn_status status = CLATTN_OK;
    const clattn_attention_desc *desc = &problem->desc;
    const clattn__tuning *tuning = device->tuning;
    char options[CLATTN__OPTIONS_MAX];
    lanes *s = calloc(1, sizeof *s);
    FAIL_IF(!s, CLATTN_E_MEMORY, "lanes: no host memory for %zu bytes", sizeof *s);
    *state = s;
    clattn__options(
        options, device, desc->dtype,
        " -DMOST=%zu -DKIND=%d -DQUERY_KIND=%d -DNV=%d -DMK=%d -DMD=%d -DBK=%d -DGENERAL=%d "
        "-DDROPOUT=%d",
        clattn__fused_capacity(desc->head_size, desc->value_size), (int)desc->dtype,
        (int)problem->query_dtype, tuning->lanes_vectors, tuning->lanes_keys, tuning->lanes_values,
        tuning->lanes_block, clattn__fused_is_general(problem), desc->dropout > 0);
    TRY(clattn__kernel_create(&s->kernel, device, "lanes", options));
    TRY(clattn__pack_create(&s->pack, device, desc->dtype));
done:
    return status;
}

/* Keys or values as the kernel reads them: where they lie, or a copy in the type of the sums with
 * columns side by side. */
static clattn_status as_rows(clattn_tensor *out, clattn__scratch *scratch, lanes *s,
                             clattn_device *device, clattn__timeline *timeline,
                             const clattn_tensor *given, bool is_new)
{
    clattn_status status = CLATTN_OK;
    const clattn_dtype sums = given->dtype == CLATTN_F64 ? CLATTN_F64 : CLATTN_F32;
    const clattn__packing rows = {CLATTN__LANES_ARE_ROWS, 1, given->shape[3], given->shape[2]};
    *out = *given;
    if (given->dtype == sums && (given->shape[3] <= 1 || given->strides[3] == 1))
        return CLATTN_OK;
    if (is_new) {
        TRY(clattn__scratch_reserve(scratch, device,
                                    clattn__packed_count(given, &rows) * clattn__sum_size(sums)));
        TRY(clattn__pack_run(&s->pack, device, timeline, given, &rows, scratch->memory, NULL));
    }
    out->dtype = sums;
    out->buffer = scratch->memory;
    out->offset = 0;
    for (int64_t axis = 3, step = 1; axis >= 0; step *= given->shape[axis--])
        out->strides[axis] = step;
done:
    return status;
}

static bool fits(const void *state, const clattn_device *device, const clattn__call *call)
{
    const uint64_t most = device->info.max_allocation / clattn__sum_size(call->value.dtype);
    (void)state;
    return clattn_tensor_count(&call->key) <= most && clattn_tensor_count(&call->value) <= most;
}

static clattn_status run(void *state, clattn_device *device, const clattn__problem *problem,
                         const clattn__call *call, clattn__timeline *timeline)
{
    clattn_status status = CLATTN_OK;
    const clattn_attention_desc *desc = &problem->desc;
    lanes *s = state;
    clattn_tensor key, value;
    /* Pieces of the same heads come in the order of their rows. */
    TRY(as_rows(&key, &s->key, s, device, timeline, &call->key, call->first_row == 0));
    TRY(as_rows(&value, &s->value, s, device, timeline, &call->value, call->first_row == 0));
    clattn__fused_args args;
    clattn__fused_args_init(&args, problem, call, &key, &value);
    const clattn_int rows = (clattn_int)clattn__vector_width(device, desc->dtype) *
                            device->tuning->lanes_vectors,
                     blocks = clattn__ceil_div(args.M, rows);
    const cl_int pair_blocks = (desc->flags & (CLATTN_CAUSAL | CLATTN_KV_LENGTHS)) != 0;
    const clattn__packed_order order = clattn__packed_order_of(call, rows);
    clattn__arg_add(&args.all, sizeof blocks, &blocks);
    clattn__arg_add(&args.all, sizeof pair_blocks, &pair_blocks);
    clattn__fused_args_add_packed(&args, call);
    clattn__arg_add(&args.all, sizeof order.run, &order.run);
    clattn__arg_add(&args.all, sizeof order.step, &order.step);
    clattn__arg_add(&args.all, sizeof call->dropout, &call->dropout);
    const size_t items =
        clattn__is_packed(problem) ? order.items : (size_t)(blocks * call->B * call->Hkv);
    const size_t global[3] = {items, 1, 1}, local[3] = {1, 1, 1};
    TRY(clattn__launch(device, timeline, &s->kernel, global, local, args.all.args, args.all.count));
done:
    return status;
}

const clattn__variant clattn__variant_lanes = {"lanes", accepts, NULL, prepare,
                                               release, fits,    run,  NULL};
