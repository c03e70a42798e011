/* keys.c: see keys.h. */
#include "keys.h"

#include "bind.h"
#include "plan.h"
#include "try.h"

#include <stdlib.h>
#include <string.h>

clattn_status clattn__keys_check(const clattn_keys *keys, const clattn_attention_desc *desc,
                                 int64_t B)
{
    clattn_status status = CLATTN_OK;
    const clattn_attention_desc *own;
    FAIL_IF(!keys, CLATTN_E_ARGUMENT,
            "projected_keys: missing, but the description asks for it (CLATTN_PROJECTED_KEYS)");
    own = &keys->desc;
    FAIL_IF(
        own->score != desc->score || own->dtype != desc->dtype ||
            own->query_heads != desc->query_heads || own->kv_heads != desc->kv_heads ||
            own->head_size != desc->head_size || own->key_size != desc->key_size ||
            own->hidden_size != desc->hidden_size,
        CLATTN_E_ARGUMENT,
        "projected_keys: made by a plan of another score, type or size, expected one like this");
    FAIL_IF(keys->B != B, CLATTN_E_ARGUMENT,
            "projected_keys: of B=%lld sequences, expected %lld as query has", (long long)keys->B,
            (long long)B);
done:
    return status;
}

/* A dense copy in host memory, for the reference. */
static clattn_status keep_copy(clattn_tensor *tensor, void **memory)
{
    clattn_status status = CLATTN_OK;
    const size_t count = clattn_tensor_count(tensor);
    clattn_tensor to = clattn_tensor_host(tensor->dtype, NULL, tensor->rank, tensor->shape);
    if (!clattn__has(tensor))
        return CLATTN_OK;
    FAIL_IF(tensor->buffer, CLATTN_E_ARGUMENT,
            "key: lies in device memory, expected host memory for the reference");
    *memory = to.host = malloc(count ? count * clattn_dtype_size(tensor->dtype) : 1);
    FAIL_IF(!to.host, CLATTN_E_MEMORY, "keys: no host memory for %zu elements", count);
    clattn__copy_elements(tensor, to.host, false);
    *tensor = to;
done:
    return status;
}

/* Keys of a device, made at once: the caller may free its own then. */
static clattn_status project_keys(clattn_keys *keys, clattn_plan *plan, clattn__call *call)
{
    clattn_status status = CLATTN_OK;
    clattn_device *device = plan->device;
    clattn__binding binding = {.count = 0};
    clattn_tensor *matrix = &call->params[CLATTN__WEIGHT];
    FAIL_IF(
        clattn__has(matrix) && matrix->strides[1] != 0 && call->Hq != call->Hkv,
        CLATTN_E_UNSUPPORTED,
        "params.weight: of each of %lld query heads, which share %lld key heads; expected one for "
        "all to project keys by",
        (long long)call->Hq, (long long)call->Hkv);
    FAIL_IF(!clattn__plan_tensors_fit(plan, call), CLATTN_E_UNSUPPORTED,
            "key: projected it is larger than the %llu bytes that %s allocates at a time",
            (unsigned long long)device->info.max_allocation, device->info.name);
    TRY(clattn__check_tensors(device, call));
    TRY(clattn__order(device));
    TRY(clattn__bind(&binding, device, call));
    clattn__timeline_clear(&plan->timeline);
    TRY(clattn__operands_of_keys(&plan->operands, device, &plan->timeline, &plan->problem, call,
                                 &keys->memory, &keys->key));
    if (clattn__wants_key_forms(device, &keys->desc))
        TRY(clattn__key_forms_make(&keys->made, device, &plan->timeline, &keys->key,
                                   keys->desc.dtype));
    TRY_CL("keys: clFinish", clFinish(device->queue));
done:
    if (status != CLATTN_OK)
        (void)clFinish(device->queue);
    clattn__unbind(&binding);
    return status;
}

clattn_status clattn_keys_create(clattn_keys **out, clattn_plan *plan,
                                 const clattn_attention_args *args)
{
    clattn_status status = CLATTN_OK;
    clattn_keys *keys = NULL;
    clattn__call call;
    if (out)
        *out = NULL;
    FAIL_IF(!out || !plan || !args, CLATTN_E_ARGUMENT,
            "clattn_keys_create: out, plan and args are required, found NULL");
    FAIL_IF(!(plan->problem.desc.flags & CLATTN_PROJECTED_KEYS), CLATTN_E_ARGUMENT,
            "clattn_keys_create: a plan without CLATTN_PROJECTED_KEYS, expected one with it");
    TRY(clattn__call_init_keys(&call, &plan->problem, args));
    keys = calloc(1, sizeof *keys);
    FAIL_IF(!keys, CLATTN_E_MEMORY, "keys: no host memory for %zu bytes", sizeof *keys);
    keys->device = plan->device;
    keys->desc = plan->problem.desc;
    keys->B = call.B, keys->T = call.T;
    keys->param = plan->problem.desc.score == CLATTN_SCORE_GENERAL ? CLATTN__WEIGHT : CLATTN__W_KEY;
    keys->heads = call.params[keys->param].strides[1] ? call.Hq : call.Hkv;
    keys->size = clattn__is_additive(keys->desc.score) ? (int64_t)keys->desc.hidden_size : call.D;
    if (clattn__is_reference(plan->device)) {
        keys->key = call.key;
        keys->matrix = call.params[keys->param];
        TRY(keep_copy(&keys->key, &keys->copies[0]));
        TRY(keep_copy(&keys->matrix, &keys->copies[1]));
    } else {
        TRY(project_keys(keys, plan, &call));
    }
    *out = keys;
    keys = NULL; /* now the caller's */
done:
    clattn_keys_destroy(keys);
    return status;
}

void clattn_keys_destroy(clattn_keys *keys)
{
    if (!keys)
        return;
    clattn__scratch_release(&keys->memory);
    clattn__key_forms_release(&keys->made);
    for (size_t i = 0; i < sizeof keys->copies / sizeof *keys->copies; i++)
        free(keys->copies[i]);
    free(keys);
}
