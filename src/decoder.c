/* decoder.c: a plan, run once per step on tensors that stay on the device. */
#include "bind.h"
#include "device.h"
#include "ops/op.h"
#include "problem.h"
#include "try.h"

#include <clattn/decoder.h>
#include <clattn/plan.h>

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Without alignments there is room for this step's weights and for those of the step before. */
#define LEAST_SLOTS 2
/* value, mask, bias, lengths, sinks, key and each parameter. */
#define MOST_KEPT (6 + CLATTN__PARAMS)

struct clattn_decoder {
    clattn_device *device;
    clattn_attention_desc desc; /* of the plan */
    clattn_plan *plan;
    clattn__kernel accumulate;
    uint32_t flags;
    size_t max_steps, steps;
    bool begun;
    clattn_attention_args args; /* what steps share */
    clattn_keys *keys;
    clattn_tensor kept[MOST_KEPT]; /* copies in the device's memory */
    size_t kept_count;
    int64_t B, T;
    clattn_tensor
        weights; /* (B, Hq, slots, T), step s in slot s % slots; absent where nobody wants them */
    clattn_tensor first; /* (B, Hq, T): what the first step sees of one before */
    clattn_tensor sums;  /* (B, Hq, T): of all weights so far */
};

static bool looks_back(const clattn_decoder *d)
{
    return d->desc.score == CLATTN_SCORE_LOCATION_SENSITIVE;
}

static bool sums_up(const clattn_decoder *d)
{
    return d->desc.score == CLATTN_SCORE_COVERAGE || d->flags & CLATTN_DECODER_CUMULATIVE;
}

static clattn_status check_desc(const clattn_attention_desc *desc, uint32_t flags)
{
    clattn_status status = CLATTN_OK;
    FAIL_IF(
        desc->flags & (CLATTN_CAUSAL | CLATTN_WINDOW | CLATTN_ALIBI), CLATTN_E_ARGUMENT,
        "desc.flags: causal, window or ALiBi, expected none of them: a step's query has no place "
        "among the keys");
    FAIL_IF(
        desc->flags & (CLATTN_PACKED | CLATTN_PROJECTED_KEYS) || desc->score == CLATTN_SCORE_GIVEN,
        CLATTN_E_ARGUMENT,
        "desc: packed sequences, projected keys or given scores, expected none of them: a decoder "
        "makes its own");
    FAIL_IF(desc->dropout != 0.0, CLATTN_E_ARGUMENT,
            "desc.dropout: %g, expected 0: a decoder drops no weights", desc->dropout);
    FAIL_IF(desc->direction != CLATTN_FORWARD, CLATTN_E_ARGUMENT,
            "desc.direction: %d, expected CLATTN_FORWARD", (int)desc->direction);
    FAIL_IF(flags & ~(uint32_t)CLATTN_DECODER_CUMULATIVE, CLATTN_E_ARGUMENT,
            "flags: 0x%x has bits without a meaning, expected CLATTN_DECODER_CUMULATIVE or 0",
            (unsigned)flags);
    FAIL_IF(flags && desc->score != CLATTN_SCORE_LOCATION_SENSITIVE, CLATTN_E_ARGUMENT,
            "flags: CLATTN_DECODER_CUMULATIVE with another score, expected location-sensitive");
done:
    return status;
}

/* Where keys are worth being projected once. */
static bool projects_keys(const clattn_attention_desc *desc)
{
    return clattn__is_additive(desc->score) || desc->score == CLATTN_SCORE_COSINE ||
           (desc->score == CLATTN_SCORE_GENERAL && desc->query_heads == desc->kv_heads);
}

clattn_status clattn_decoder_create(clattn_decoder **out, clattn_device *device,
                                    const clattn_attention_desc *desc, size_t max_steps,
                                    uint32_t flags)
{
    clattn_status status = CLATTN_OK;
    clattn_decoder *d = NULL;
    clattn__problem problem;
    char options[CLATTN__OPTIONS_MAX];
    if (out)
        *out = NULL;
    FAIL_IF(!out || !device || !desc, CLATTN_E_ARGUMENT,
            "clattn_decoder_create: out, device and desc are required, found NULL");
    FAIL_IF(max_steps > (size_t)INT64_MAX / 8, CLATTN_E_ARGUMENT,
            "max_steps: %zu, expected a number that memory can hold", max_steps);
    TRY(clattn__problem_init(&problem, desc));
    TRY(check_desc(&problem.desc, flags));
    d = calloc(1, sizeof *d);
    FAIL_IF(!d, CLATTN_E_MEMORY, "decoder: no host memory for %zu bytes", sizeof *d);
    d->device = device;
    d->desc = problem.desc;
    d->flags = flags;
    d->max_steps = max_steps;
    d->desc.outputs = CLATTN_OUTPUT;
    if (max_steps || looks_back(d) || sums_up(d))
        d->desc.outputs |= CLATTN_WEIGHTS;
    if (projects_keys(&d->desc))
        d->desc.flags |= CLATTN_PROJECTED_KEYS;
    TRY(clattn_plan_create(&d->plan, device, &d->desc));
    if (sums_up(d) && !clattn__is_reference(device)) {
        clattn__options(options, device, d->desc.dtype, "%s", "");
        TRY(clattn__kernel_create(&d->accumulate, device, "accumulate", options));
    }
    *out = d;
    d = NULL; /* now the caller's */
done:
    clattn_decoder_destroy(d);
    return status;
}

/* Ends what begin made. */
static void forget(clattn_decoder *d)
{
    d->begun = false;
    d->steps = 0;
    clattn_keys_destroy(d->keys);
    d->keys = NULL;
    clattn_tensor_free(&d->weights, d->device);
    clattn_tensor_free(&d->first, d->device);
    clattn_tensor_free(&d->sums, d->device);
    while (d->kept_count)
        clattn_tensor_free(&d->kept[--d->kept_count], d->device);
    memset(&d->args, 0, sizeof d->args);
}

/* Element `index` of a tensor in row-major order. */
static int64_t place_of(const clattn_tensor *tensor, size_t index)
{
    int64_t at = tensor->offset, rest = (int64_t)index;
    for (uint32_t n = tensor->rank; n-- > 0; rest /= tensor->shape[n])
        at += rest % tensor->shape[n] * tensor->strides[n];
    return at;
}

/* Copies a tensor of host memory to one of the device, which `to` becomes. */
static clattn_status copy_in(clattn_tensor *to, clattn_decoder *d, const clattn_tensor *from)
{
    clattn_status status = CLATTN_OK;
    const size_t count = clattn_tensor_count(from), size = clattn_dtype_size(from->dtype);
    char *dense = malloc(count ? count * size : 1);
    FAIL_IF(!dense, CLATTN_E_MEMORY, "decoder: no host memory for %zu elements", count);
    clattn__copy_elements(from, dense, false);
    TRY(clattn_tensor_alloc(to, d->device, from->dtype, from->rank, from->shape));
    if (count)
        TRY(clattn_tensor_write(to, d->device, dense));
done:
    free(dense);
    return status;
}

static clattn_status keep(clattn_decoder *d, clattn_tensor *tensor)
{
    clattn_status status = CLATTN_OK;
    if (!clattn__has(tensor) || tensor->buffer)
        return CLATTN_OK;
    clattn_tensor *copy = &d->kept[d->kept_count];
    TRY(copy_in(copy, d, tensor));
    d->kept_count++;
    *tensor = *copy;
done:
    return status;
}

/* (B, Hq, T) in the type of the sums: what is given in host memory, (B, T) or (B, Hq, T), or zeros. */
static clattn_status make_state(clattn_tensor *to, clattn_decoder *d, const clattn_tensor *given,
                                const char *name)
{
    clattn_status status = CLATTN_OK;
    const int64_t shape[] = {d->B, (int64_t)d->desc.query_heads, d->T};
    const clattn_dtype sums = clattn__sum_dtype(d->desc.dtype);
    const size_t count = (size_t)(shape[0] * shape[1] * shape[2]), size = clattn_dtype_size(sums);
    char *dense = calloc(count ? count : 1, size);
    FAIL_IF(!dense, CLATTN_E_MEMORY, "decoder: no host memory for %zu elements", count);
    FAIL_IF(given->buffer, CLATTN_E_ARGUMENT, "%s: lies in device memory, expected host memory",
            name);
    for (size_t i = 0; i < count && clattn__has(given); i++) {
        const size_t t = i % (size_t)d->T, row = i / (size_t)d->T,
                     index = given->rank == 3 ? i : row / (size_t)shape[1] * (size_t)d->T + t;
        clattn_element_store(
            sums, dense, i,
            clattn_element_load(given->dtype, given->host, (size_t)place_of(given, index)));
    }
    TRY(clattn_tensor_alloc(to, d->device, sums, 3, shape));
    if (count)
        TRY(clattn_tensor_write(to, d->device, dense));
done:
    free(dense);
    return status;
}

/* A step's row (B, N) or (B, Hq, N) as a call has it, of one query. */
static clattn_status as_call(clattn_tensor *out, const clattn_decoder *d, const clattn_tensor *row,
                             const char *name)
{
    clattn_status status = CLATTN_OK;
    const uint32_t rank = d->args.value.rank;
    const bool heads = row->rank == 3, bshd = d->desc.layout == CLATTN_BSHD;
    FAIL_IF(row->rank != 3 && !(row->rank == 2 && d->desc.query_heads == 1), CLATTN_E_ARGUMENT,
            "%s: rank %u, expected %s", name, row->rank,
            d->desc.query_heads == 1 ? "2 or 3: (B, size) or (B, Hq=1, size)" : "3: (B, Hq, size)");
    const int64_t H = heads ? row->shape[1] : 1, of_heads = heads ? row->strides[1] : 0;
    *out = *row;
    out->rank = rank;
    const int64_t shapes[][4] = {{row->shape[0], bshd ? 1 : H, bshd ? H : 1,
                                  row->shape[row->rank - 1]},
                                 {row->shape[0], H, row->shape[row->rank - 1], 0},
                                 {row->shape[0] * H, row->shape[row->rank - 1], 0, 0}},
                  strides[][4] = {{row->strides[0], bshd ? 0 : of_heads, bshd ? of_heads : 0,
                                   row->strides[row->rank - 1]},
                                  {row->strides[0], 0, row->strides[row->rank - 1], 0},
                                  {0, row->strides[row->rank - 1], 0, 0}};
    memcpy(out->shape, shapes[4 - rank], sizeof out->shape);
    memcpy(out->strides, strides[4 - rank], sizeof out->strides);
done:
    return status;
}

/* A slot of the weights: (B, Hq, 1, T) as a call has it, or (B, Hq, T). */
static clattn_tensor slot_of(const clattn_decoder *d, size_t step, bool of_call)
{
    clattn_tensor slot = d->weights;
    const int64_t slots = slot.shape[2], T = d->T;
    const uint32_t rank = of_call ? d->args.value.rank : 3;
    slot.offset += (int64_t)(step % (size_t)slots) * T;
    slot.rank = rank;
    const int64_t shapes[][4] = {{d->B, slot.shape[1], 1, T}, {d->B, 1, T, 0}, {1, T, 0, 0}},
                  strides[][4] = {{slot.strides[0], slot.strides[1], 0, 1},
                                  {slot.strides[0], 0, 1, 0},
                                  {0, 1, 0, 0}};
    const int64_t state_shape[4] = {d->B, slot.shape[1], T, 0},
                  state_strides[4] = {slot.strides[0], slot.strides[1], 1, 0};
    memcpy(slot.shape, of_call ? shapes[4 - rank] : state_shape, sizeof slot.shape);
    memcpy(slot.strides, of_call ? strides[4 - rank] : state_strides, sizeof slot.strides);
    return slot;
}

/* The arguments of the step that comes next, but for query and output. */
static clattn_attention_args next_args(const clattn_decoder *d)
{
    clattn_attention_args args = d->args;
    if (clattn__has(&d->weights))
        args.weights = slot_of(d, d->steps, true);
    if (looks_back(d))
        args.params.previous_weights = d->steps ? slot_of(d, d->steps - 1, false) : d->first;
    if (d->flags & CLATTN_DECODER_CUMULATIVE)
        args.params.cumulative_weights = d->sums;
    if (d->desc.score == CLATTN_SCORE_COVERAGE)
        args.params.coverage = d->sums;
    return args;
}

/* A call as the first step will be, while host values are there to be looked at, which a device's are not:
 * those of lengths, and the shapes of what is given of earlier steps. */
static clattn_status check_values(const clattn_decoder *d)
{
    clattn_status status = CLATTN_OK;
    clattn__problem problem;
    clattn__call call;
    clattn_attention_args args = d->args;
    clattn_attention_desc desc = d->desc;
    const int64_t Hq = (int64_t)desc.query_heads;
    const size_t queries = (size_t)(d->B * Hq) * desc.head_size,
                 outputs = (size_t)(d->B * Hq) * desc.value_size,
                 states = (size_t)(d->B * Hq * d->T);
    /* Memory that nobody looks at. */
    double *memory = calloc(queries + outputs + states + 1, sizeof *memory);
    FAIL_IF(!memory, CLATTN_E_MEMORY, "decoder: no host memory for a step of %lld rows",
            (long long)(d->B * Hq));
    const clattn_tensor query = clattn_tensor_host(desc.dtype, memory, 3,
                                                   (int64_t[]){d->B, Hq, (int64_t)desc.head_size}),
                        output =
                            clattn_tensor_host(desc.dtype, memory + queries, 3,
                                               (int64_t[]){d->B, Hq, (int64_t)desc.value_size}),
                        state = clattn_tensor_host(CLATTN_F64, memory + queries + outputs, 3,
                                                   (int64_t[]){d->B, Hq, d->T});
    desc.outputs = CLATTN_OUTPUT;
    desc.flags &= ~(uint32_t)CLATTN_PROJECTED_KEYS; /* keys are still as they came */
    FAIL_IF(clattn__has(&args.params.cumulative_weights) && !(d->flags & CLATTN_DECODER_CUMULATIVE),
            CLATTN_E_ARGUMENT,
            "params.cumulative_weights: given, expected CLATTN_DECODER_CUMULATIVE with them");
    if (looks_back(d) && !clattn__has(&args.params.previous_weights))
        args.params.previous_weights = state;
    if (d->flags & CLATTN_DECODER_CUMULATIVE && !clattn__has(&args.params.cumulative_weights))
        args.params.cumulative_weights = state;
    if (d->desc.score == CLATTN_SCORE_COVERAGE && !clattn__has(&args.params.coverage))
        args.params.coverage = state;
    TRY(as_call(&args.query, d, &query, "query"));
    TRY(as_call(&args.output, d, &output, "output"));
    TRY(clattn__problem_init(&problem, &desc));
    TRY(clattn__call_init(&call, &problem, &args));
done:
    free(memory);
    return status;
}

static clattn_status measure(clattn_decoder *d)
{
    clattn_status status = CLATTN_OK;
    const clattn_tensor *value = &d->args.value;
    const uint32_t rank = value->rank;
    int64_t states;
    FAIL_IF(rank < 2 || rank > 4, CLATTN_E_ARGUMENT, "value: rank %u, expected 2, 3 or 4", rank);
    FAIL_IF(clattn__has(&d->args.query) || clattn__has(&d->args.output) ||
                clattn__has(&d->args.weights) || clattn__has(&d->args.scores) ||
                clattn__has(&d->args.lse),
            CLATTN_E_ARGUMENT,
            "clattn_decoder_begin: query or an output is given, expected them with each step");
    d->B = rank == 2 ? 1 : value->shape[0];
    d->T = value->shape[rank == 4 && d->desc.layout == CLATTN_BSHD ? 1 : rank - 2];
    FAIL_IF(d->B < 0 || d->T < 0, CLATTN_E_ARGUMENT,
            "value: a dimension below 0, expected numbers from 0");
    FAIL_IF(__builtin_mul_overflow(d->B, (int64_t)d->desc.query_heads, &states) ||
                __builtin_mul_overflow(states, d->T, &states) || states > INT64_MAX / 8,
            CLATTN_E_ARGUMENT,
            "value: B=%lld sequences of T=%lld keys, expected weights that memory can hold",
            (long long)d->B, (long long)d->T);
done:
    return status;
}

static clattn_status make_states(clattn_decoder *d)
{
    clattn_status status = CLATTN_OK;
    clattn_score_params *p = &d->args.params;
    const bool coverage = d->desc.score == CLATTN_SCORE_COVERAGE;
    const clattn_tensor none = {0};
    const int64_t slots = d->max_steps ? (int64_t)d->max_steps : LEAST_SLOTS,
                  shape[] = {d->B, (int64_t)d->desc.query_heads, slots, d->T};
    if (looks_back(d))
        TRY(make_state(&d->first, d, &p->previous_weights, "params.previous_weights"));
    if (sums_up(d))
        TRY(make_state(&d->sums, d, coverage ? &p->coverage : &p->cumulative_weights,
                       coverage ? "params.coverage" : "params.cumulative_weights"));
    p->previous_weights = p->cumulative_weights = p->coverage = none;
    if (d->desc.outputs & CLATTN_WEIGHTS)
        TRY(clattn_tensor_alloc(&d->weights, d->device, d->desc.dtype, 4, shape));
done:
    return status;
}

clattn_status clattn_decoder_begin(clattn_decoder *d, const clattn_attention_args *given)
{
    clattn_status status = CLATTN_OK;
    FAIL_IF(!d || !given, CLATTN_E_ARGUMENT,
            "clattn_decoder_begin: decoder and args are required, found NULL");
    TRY(clattn_device_finish(d->device));
    forget(d);
    TRY(clattn__struct_copy(&d->args, sizeof d->args, given, given->struct_size,
                            "clattn_attention_args"));
    d->args.struct_size = sizeof d->args;
    TRY(measure(d));
    TRY(check_values(d));
    TRY(make_states(d));
    clattn_score_params *p = &d->args.params;
    if (d->desc.flags & CLATTN_PROJECTED_KEYS) {
        const clattn_tensor none = {0};
        TRY(clattn_keys_create(&d->keys, d->plan, &d->args));
        d->args.projected_keys = d->keys;
        d->args.key = p->w_key = none;
        if (d->desc.score == CLATTN_SCORE_GENERAL)
            p->weight = none;
    }
    clattn_tensor *const shared[] = {
        &d->args.key,   &d->args.value, &d->args.mask, &d->args.bias,  &d->args.kv_lengths,
        &d->args.sinks, &p->weight,     &p->w_query,   &p->w_key,      &p->v,
        &p->bias,       &p->g,          &p->conv,      &p->w_location, &p->w_coverage,
        &p->beta,       &p->gamma};
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++)
        TRY(keep(d, shared[i]));
    d->begun = true;
done:
    if (d && status != CLATTN_OK)
        forget(d);
    return status;
}

/* Adds the weights of the step to the sums. */
static clattn_status add_weights(clattn_decoder *d)
{
    clattn_status status = CLATTN_OK;
    const clattn_tensor weights = slot_of(d, d->steps, false);
    const int64_t H = (int64_t)d->desc.query_heads;
    if (clattn__is_reference(d->device)) {
        const size_t count = clattn_tensor_count(&weights);
        for (size_t i = 0; i < count; i++) {
            const double before = clattn_element_load(d->sums.dtype, d->sums.host, i);
            clattn_element_store(d->sums.dtype, d->sums.host, i,
                                 before + clattn_element_load(weights.dtype, weights.host,
                                                              (size_t)place_of(&weights, i)));
        }
        return CLATTN_OK;
    }
    clattn__timeline timeline = {0};
    const clattn_view of_weights = {.offset = weights.offset,
                                    .batch = weights.strides[0],
                                    .head = weights.strides[1],
                                    .column = 1,
                                    .kind = (clattn_int)weights.dtype};
    const clattn__arg args[] = {CLATTN__ARG(d->sums.buffer), CLATTN__ARG(weights.buffer),
                                CLATTN__ARG(of_weights)};
    const size_t global[3] = {(size_t)d->T, (size_t)H, (size_t)d->B};
    TRY(clattn__launch(d->device, &timeline, &d->accumulate, global, NULL, args,
                       sizeof args / sizeof *args));
    TRY_CL("queue: clFlush", clFlush(d->device->queue));
done:
    clattn__timeline_clear(&timeline);
    return status;
}

clattn_status clattn_decoder_step(clattn_decoder *d, const clattn_tensor *query,
                                  const clattn_tensor *output)
{
    clattn_status status = CLATTN_OK;
    FAIL_IF(!d || !query || !output, CLATTN_E_ARGUMENT,
            "clattn_decoder_step: decoder, query and output are required, found NULL");
    FAIL_IF(!d->begun, CLATTN_E_ARGUMENT,
            "clattn_decoder_step: no batch, expected clattn_decoder_begin() before");
    FAIL_IF(d->max_steps && d->steps == d->max_steps, CLATTN_E_ARGUMENT,
            "clattn_decoder_step: step %zu, expected at most max_steps, which is %zu", d->steps + 1,
            d->max_steps);
    clattn_attention_args args = next_args(d);
    TRY(as_call(&args.query, d, query, "query"));
    TRY(as_call(&args.output, d, output, "output"));
    TRY(clattn_plan_run(d->plan, &args));
    if (sums_up(d))
        TRY(add_weights(d));
    d->steps++;
done:
    return status;
}

size_t clattn_decoder_steps(const clattn_decoder *d)
{
    return d ? d->steps : 0;
}

clattn_status clattn_decoder_alignments(clattn_decoder *d, const clattn_tensor *out)
{
    clattn_status status = CLATTN_OK;
    char *all = NULL;
    FAIL_IF(!d || !out, CLATTN_E_ARGUMENT,
            "clattn_decoder_alignments: decoder and alignments are required, found NULL");
    FAIL_IF(
        !d->begun || !d->max_steps, CLATTN_E_ARGUMENT,
        "clattn_decoder_alignments: none are kept, expected max_steps and a batch that has begun");
    const int64_t H = (int64_t)d->desc.query_heads, S = (int64_t)d->steps,
                  slots = (int64_t)d->max_steps;
    const bool heads = out->rank == 4;
    FAIL_IF(
        !out->host || out->dtype != d->desc.dtype || (!heads && !(out->rank == 3 && H == 1)) ||
            out->shape[0] != d->B || (heads && out->shape[1] != H) ||
            out->shape[out->rank - 2] != S || out->shape[out->rank - 1] != d->T,
        CLATTN_E_ARGUMENT,
        "alignments: another shape, type or memory, expected %s (B=%lld, %ssteps=%lld, T=%lld) in "
        "host memory",
        clattn_dtype_name(d->desc.dtype), (long long)d->B, H == 1 ? "" : "Hq, ", (long long)S,
        (long long)d->T);
    const size_t count = clattn_tensor_count(&d->weights), size = clattn_dtype_size(out->dtype);
    all = malloc(count ? count * size : 1);
    FAIL_IF(!all, CLATTN_E_MEMORY, "decoder: no host memory for %zu elements", count);
    TRY(clattn_device_finish(d->device));
    if (count)
        TRY(clattn_tensor_read(&d->weights, d->device, all));
    for (size_t i = 0; i < clattn_tensor_count(out); i++) {
        const int64_t e = (int64_t)i, row = e / d->T, t = e % d->T, at = row / S * slots + row % S;
        memcpy((char *)out->host + (size_t)place_of(out, i) * size,
               all + (size_t)(at * d->T + t) * size, size);
    }
done:
    free(all);
    return status;
}

void clattn_decoder_destroy(clattn_decoder *d)
{
    if (!d)
        return;
    forget(d);
    clattn__kernel_release(&d->accumulate);
    clattn_plan_destroy(d->plan);
    free(d);
}
