/* plan.c: a description made ready for a device, and its runs. */
#include "plan.h"

#include "bind.h"
#include "dispatch.h"
#include "keys.h"
#include "starts.h"
#include "try.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Builds what a variant needs, the first time that it is wanted. */
static clattn_status get_ready(clattn_plan *plan, struct chosen *chosen)
{
    clattn_status status = CLATTN_OK;
    plan->current = chosen;
    if (chosen->ready)
        return CLATTN_OK;
    TRY(chosen->variant->prepare(&chosen->state, plan->device, &plan->left));
    chosen->ready = true;
done:
    if (status != CLATTN_OK) {
        chosen->variant->release(chosen->state);
        chosen->state = NULL;
    }
    return status;
}

/* The variant for a call. */
static clattn_status choose(clattn_plan *plan, const clattn__call *call)
{
    const clattn__variant *some = plan->some.variant;
    if (some && some->takes(call, plan->any.variant == NULL))
        return get_ready(plan, &plan->some);
    if (plan->any.variant)
        return get_ready(plan, &plan->any);
    return FAIL(CLATTN_E_UNSUPPORTED, 0,
                "variant %s: %lld queries of %lld heads share a key head, expected fewer; another "
                "variant, or none by name, takes them",
                some ? some->name : "", (long long)call->S, (long long)(call->Hq / call->Hkv));
}

static clattn_status explain_more(clattn_plan *plan, const char *name, const char *remark)
{
    clattn_status status = CLATTN_OK;
    const size_t size = strlen(plan->explain) + strlen(name) + strlen(remark) + 4;
    char *longer = malloc(size);
    FAIL_IF(!longer, CLATTN_E_MEMORY, "plan: no host memory for %zu bytes", size);
    (void)snprintf(longer, size, "%s%s: %s\n", plan->explain, name, remark);
    free(plan->explain);
    plan->explain = longer;
done:
    return status;
}

/* Adds what the variant says of itself, now that it is built, and how it is used. */
static clattn_status add_remarks(clattn_plan *plan)
{
    clattn_status status = CLATTN_OK;
    const clattn__variant *variant = plan->current->variant;
    const char *remark = variant->remark ? variant->remark(plan->current->state) : NULL;
    if (remark)
        TRY(explain_more(plan, variant->name, remark));
    if (plan->by_sequence)
        TRY(explain_more(plan, variant->name,
                         "packed sequences come one after the other, as a call each"));
done:
    return status;
}

/* The variants of the plan. Packed sequences that none takes together are left to those for one. */
static clattn_status dispatch(clattn_plan *plan, clattn__choice *choice)
{
    const char *forced = plan->left.desc.variant;
    const clattn_status status =
        clattn__dispatch(choice, &plan->explain, plan->device, &plan->left, forced);
    if (status != CLATTN_E_UNSUPPORTED || !clattn__is_packed(&plan->left))
        return status;
    plan->left.desc.flags &= ~(uint32_t)CLATTN_PACKED;
    plan->by_sequence = true;
    return clattn__dispatch(choice, &plan->explain, plan->device, &plan->left, forced);
}

clattn_status clattn_plan_create(clattn_plan **out, clattn_device *device,
                                 const clattn_attention_desc *desc)
{
    clattn_status status = CLATTN_OK;
    clattn_plan *plan = NULL;
    clattn__choice choice;
    if (out)
        *out = NULL;
    FAIL_IF(!out || !device || !desc, CLATTN_E_ARGUMENT,
            "clattn_plan_create: out, device and desc are required, found NULL");
    plan = calloc(1, sizeof *plan);
    FAIL_IF(!plan, CLATTN_E_MEMORY, "plan: no host memory for %zu bytes", sizeof *plan);
    plan->device = device;
    TRY(clattn__problem_init(&plan->problem, desc));
    /* The reference takes scores as they are. */
    plan->left =
        clattn__is_reference(device) ? plan->problem : clattn__problem_of_operands(&plan->problem);
    clattn__operands_init(&plan->operands, &plan->problem);
    clattn__operand_gradients_init(&plan->operand_gradients, &plan->problem);
    TRY(dispatch(plan, &choice));
    /* The caller's string may go now. */
    plan->problem.desc.variant = plan->left.desc.variant = NULL;
    plan->some.variant = choice.some;
    plan->any.variant = choice.any;
    TRY(get_ready(plan, plan->any.variant ? &plan->any : &plan->some));
    TRY(add_remarks(plan));
    *out = plan;
    plan = NULL; /* now the caller's */
done:
    clattn_plan_destroy(plan);
    return status;
}

/* Cutting a call: what fits in one piece, and what is done with it. */
typedef struct knife {
    bool (*fits)(const clattn_plan *plan, clattn__call *piece);
    clattn_status (*run)(clattn_plan *plan, clattn__call *piece);
} knife;

static int64_t half_of(int64_t n)
{
    return (n + 1) / 2;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Cuts the call into pieces that fit, along batch first, then key heads, then rows. */
static clattn_status cut(clattn_plan *plan, const clattn__call *call, const knife *with)
{
    clattn_status status = CLATTN_OK;
    int64_t batches = call->B, heads = call->Hkv, rows = call->S;
    /* Without a query nothing is left to do but column sums, of zero; gradients of what batches or queries
     * share are sums over none of them. */
    if (!call->backward && (call->B == 0 || (call->S == 0 && !clattn__has(&call->column_sums))))
        return CLATTN_OK;
    for (;;) {
        clattn__call piece = clattn__call_slice(call, 0, batches, 0, heads, 0, rows);
        if (with->fits(plan, &piece))
            break;
        FAIL_IF(batches * heads == 1 && rows <= 1, CLATTN_E_UNSUPPORTED,
                "plan: one row of one head needs a buffer beyond the %llu bytes that %s allocates "
                "at a time",
                (unsigned long long)plan->device->info.max_allocation, plan->device->info.name);
        if (batches > 1)
            batches = half_of(batches);
        else if (heads > 1)
            heads = half_of(heads);
        else
            rows = half_of(rows);
    }
    int64_t b = 0;
    do {
        for (int64_t h = 0; h < call->Hkv; h += heads) {
            int64_t i = 0;
            do {
                clattn__call piece =
                    clattn__call_slice(call, b, least(batches, call->B - b), h,
                                       least(heads, call->Hkv - h), i, least(rows, call->S - i));
                TRY(with->run(plan, &piece));
                i += rows;
            } while (i < call->S);
        }
        b += batches;
    } while (b < call->B);
done:
    return status;
}

static bool variant_fits(const clattn_plan *plan, clattn__call *piece)
{
    const struct chosen *chosen = plan->current;
    return !chosen->variant->fits || chosen->variant->fits(chosen->state, plan->device, piece);
}

static clattn_status run_variant(clattn_plan *plan, clattn__call *piece)
{
    const struct chosen *chosen = plan->current;
    return chosen->variant->run(chosen->state, plan->device, &plan->left, piece, &plan->timeline);
}

bool clattn__plan_tensors_fit(const clattn_plan *plan, clattn__call *piece)
{
    clattn_tensor *tensors[CLATTN__CALL_TENSORS];
    const size_t inputs = clattn__call_tensors(piece, tensors, NULL);
    for (size_t i = 0; i < CLATTN__CALL_TENSORS; i++)
        if (tensors[i]->host && clattn__bound_bytes(tensors[i], i >= inputs, plan->device) >
                                    plan->device->info.max_allocation)
            return false;
    return clattn__operands_fit(plan->device, &plan->problem, piece) &&
           (!piece->backward || !clattn__has_operands(&plan->problem) ||
            clattn__operand_gradients_fit(plan->device, &plan->problem, piece));
}

/* Host tensors come and go once for all the pieces that the variant needs. */
static clattn_status run_bound(clattn_plan *plan, clattn__call *piece)
{
    static const knife by_variant = {variant_fits, run_variant};
    clattn_status status = CLATTN_OK;
    clattn__binding binding = {.count = 0};
    TRY(clattn__bind(&binding, plan->device, piece));
    clattn__call call = *piece;
    const bool operands = clattn__has_operands(&plan->problem);
    if (operands)
        TRY(clattn__operands_run(&plan->operands, plan->device, &plan->timeline, &plan->problem,
                                 &call));
    if (operands && piece->backward)
        TRY(clattn__operand_gradients_place(&plan->operand_gradients, plan->device, &plan->problem,
                                            piece, &call));
    TRY(cut(plan, &call, &by_variant));
    if (operands && piece->backward)
        TRY(clattn__operand_gradients_run(&plan->operand_gradients, &plan->operands, plan->device,
                                          &plan->timeline, &plan->problem, piece, &call));
    TRY(clattn__fetch(&binding, plan->device));
done:
    clattn__unbind(&binding);
    return status;
}

/* A call, or each of its packed sequences, by the variant for it. */
static clattn_status enqueue_calls(clattn_plan *plan, const clattn__call *call)
{
    static const knife by_tensors = {clattn__plan_tensors_fit, run_bound};
    clattn_status status = CLATTN_OK;
    clattn__starts starts = {NULL};
    clattn__call packed = *call;
    if (plan->by_sequence)
        TRY(clattn__starts_bring(&starts, plan->device, &packed));
    /* Gradients of what sequences share are sums, also over none of them. */
    const int64_t sequences = plan->by_sequence ? clattn__sequences(&packed) : 1,
                  calls = sequences || !packed.backward ? sequences : 1;
    for (int64_t b = 0; b < calls; b++) {
        const clattn__call one = plan->by_sequence ? clattn__call_sequence(&packed, b) : packed;
        TRY(choose(plan, &one));
        TRY(cut(plan, &one, &by_tensors));
    }
done:
    clattn__starts_free(&starts);
    return status;
}

static clattn_status enqueue(clattn_plan *plan, const clattn__call *call, cl_uint wait_count,
                             const cl_event *wait_list, cl_event *event)
{
    clattn_status status = CLATTN_OK;
    cl_command_queue queue = plan->device->queue;
    if (wait_count)
        TRY_CL("wait list: clEnqueueBarrierWithWaitList",
               clEnqueueBarrierWithWaitList(queue, wait_count, wait_list, NULL));
    TRY(clattn__order(plan->device));
    TRY(enqueue_calls(plan, call));
    if (event)
        TRY_CL("event: clEnqueueMarkerWithWaitList",
               clEnqueueMarkerWithWaitList(queue, 0, NULL, event));
    TRY_CL("queue: clFlush", clFlush(queue));
done:
    /* Commands that are under way use memory of the caller,
     * who may free it on seeing the failure. */
    if (status != CLATTN_OK) {
        (void)clFinish(queue);
        if (event && *event)
            (void)clReleaseEvent(*event), *event = NULL;
    }
    return status;
}

static clattn_status run(clattn_plan *plan, const clattn_attention_args *args, cl_uint wait_count,
                         const cl_event *wait_list, cl_event *event)
{
    clattn_status status = CLATTN_OK;
    clattn__call call;
    clattn_device *device = plan->device;
    TRY(clattn__call_init(&call, &plan->problem, args));
    FAIL_IF(plan->problem.desc.flags & CLATTN_PROJECTED_KEYS &&
                args->projected_keys->device != device,
            CLATTN_E_ARGUMENT, "projected_keys: of another device, expected the plan's");
    clattn__timeline_clear(&plan->timeline);
    if (clattn__is_reference(device)) {
        TRY(choose(plan, &call));
        status = run_variant(plan, &call);
        goto done;
    }
    TRY(clattn__check_tensors(device, &call));
    TRY(enqueue(plan, &call, wait_count, wait_list, event));
done:
    return status;
}

clattn_status clattn_plan_run(clattn_plan *plan, const clattn_attention_args *args)
{
    if (!plan || !args)
        return FAIL(CLATTN_E_ARGUMENT, 0,
                    "clattn_plan_run: plan and args are required, found NULL");
    return run(plan, args, 0, NULL, NULL);
}

clattn_status clattn_plan_run_cl(clattn_plan *plan, const clattn_attention_args *args,
                                 cl_uint wait_count, const cl_event *wait_list, cl_event *event)
{
    clattn_status status = CLATTN_OK;
    if (event)
        *event = NULL;
    FAIL_IF(!plan || !args, CLATTN_E_ARGUMENT,
            "clattn_plan_run_cl: plan and args are required, found NULL");
    FAIL_IF(wait_count && !wait_list, CLATTN_E_ARGUMENT,
            "clattn_plan_run_cl: wait_list is NULL, expected %u events", wait_count);
    FAIL_IF(clattn__is_reference(plan->device), CLATTN_E_ARGUMENT,
            "clattn_plan_run_cl: the plan's device is the reference, expected an OpenCL device");
    status = run(plan, args, wait_count, wait_list, event);
done:
    return status;
}

const char *clattn_plan_variant(const clattn_plan *plan)
{
    return plan ? plan->current->variant->name : "";
}

const char *clattn_plan_explain(const clattn_plan *plan)
{
    return plan ? plan->explain : "";
}

double clattn_plan_flops(const clattn_plan *plan, const clattn_attention_args *args)
{
    clattn__call call;
    if (!plan || !args || clattn__call_init(&call, &plan->problem, args) != CLATTN_OK)
        return 0;
    /* Forward makes scores and the output; backward scores again, and gradients of weights, value, query and
     * key. Of given scores there is nothing to make. */
    const double of_scores = call.backward ? 3 : 1, of_values = call.backward ? 2 : 1,
                 D = plan->problem.desc.score == CLATTN_SCORE_GIVEN ? 0 : (double)call.D,
                 sizes = of_scores * D + of_values * (double)call.Dv;
    double pairs = 0;
    if (call.cu_seqlens_q.buffer || call.cu_seqlens_k.buffer)
        return 0;
    for (int64_t b = 0; b < clattn__sequences(&call); b++) {
        const clattn__call one = clattn__call_sequence(&call, b);
        pairs += (double)one.B * (double)one.S * (double)one.T;
    }
    return 2 * sizes * (double)call.Hq * pairs;
}

clattn_status clattn_plan_timing(clattn_plan *plan, clattn_timing *timings, size_t capacity,
                                 size_t *count)
{
    clattn_status status = CLATTN_OK;
    FAIL_IF(!plan || !count || (!timings && capacity), CLATTN_E_ARGUMENT,
            "clattn_plan_timing: plan, timings and count are required, found NULL");
    TRY(clattn__timeline_read(&plan->timeline, timings, capacity, count));
done:
    return status;
}

void clattn_plan_destroy(clattn_plan *plan)
{
    if (!plan)
        return;
    struct chosen *const both[] = {&plan->some, &plan->any};
    for (size_t i = 0; i < sizeof both / sizeof *both; i++)
        if (both[i]->ready)
            both[i]->variant->release(both[i]->state);
    clattn__operands_release(&plan->operands);
    clattn__operand_gradients_release(&plan->operand_gradients);
    clattn__timeline_clear(&plan->timeline);
    free(plan->explain);
    free(plan);
}
