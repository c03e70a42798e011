/* on_device.c: see on_device.h. */
#include "on_device.h"

#include <string.h>

clattn_status bench_upload(clattn_attention_args *args, clattn_device *device, const bench_case *c)
{
    const int64_t queries[4] = {c->B, c->H, c->S, c->D}, keys[4] = {c->B, c->Hkv, c->T, c->D},
                  packed[3] = {c->S, c->H, c->D}, starts[1] = {c->B + 1};
    const float *const data[] = {c->query, c->key, c->value, NULL};
    clattn_tensor *const tensors[] = {&args->query, &args->key, &args->value, &args->output};
    clattn_status status = CLATTN_OK;
    memset(args, 0, sizeof *args);
    args->struct_size = sizeof *args;
    for (int i = 0; i < 4 && status == CLATTN_OK; i++) {
        const int64_t *shape = c->starts ? packed : (i == 1 || i == 2 ? keys : queries);
        status = clattn_tensor_alloc(tensors[i], device, CLATTN_F32, c->starts ? 3 : 4, shape);
        if (status == CLATTN_OK && data[i])
            status = clattn_tensor_write(tensors[i], device, data[i]);
    }
    if (c->starts)
        args->cu_seqlens_q = args->cu_seqlens_k =
            clattn_tensor_host(CLATTN_I32, c->starts, 1, starts);
    return status;
}

void bench_unload(clattn_attention_args *args, clattn_device *device)
{
    clattn_tensor_free(&args->query, device);
    clattn_tensor_free(&args->key, device);
    clattn_tensor_free(&args->value, device);
    clattn_tensor_free(&args->output, device);
}
