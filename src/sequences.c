/* sequences.c: packed sequences: what their cumulative lengths must be, and each as a call. */
#include "dtype.h"
#include "problem.h"
#include "try.h"

#include <string.h>

static int64_t start_of(const clattn_tensor *starts, int64_t b)
{
    return clattn__integer_load(starts->dtype, starts->host,
                                (size_t)clattn__at(starts, b, 0, 0, 0));
}

/* Lengths in device memory are clamped by the kernels. */
clattn_status clattn__check_cu_seqlens(const clattn_tensor *starts, const char *name, int64_t total,
                                       const char *of)
{
    clattn_status status = CLATTN_OK;
    const int64_t last = starts->shape[0] - 1;
    int64_t before = 0;
    FAIL_IF(last < 0, CLATTN_E_ARGUMENT, "%s: shape (0), expected (B + 1), from 0 to %lld", name,
            (long long)total);
    for (int64_t b = 0; starts->host && b <= last; b++) {
        const int64_t start = start_of(starts, b);
        FAIL_IF(b == 0 && start != 0, CLATTN_E_ARGUMENT, "%s: element 0 is %lld, expected 0", name,
                (long long)start);
        FAIL_IF(start < before, CLATTN_E_ARGUMENT,
                "%s: element %lld is %lld after %lld, expected numbers that never fall", name,
                (long long)b, (long long)start, (long long)before);
        FAIL_IF(b == last && start != total, CLATTN_E_ARGUMENT,
                "%s: element %lld, the last one, is %lld, expected %lld, the rows of %s", name,
                (long long)b, (long long)start, (long long)total, of);
        before = start;
    }
done:
    return status;
}

int64_t clattn__sequences(const clattn__call *call)
{
    return clattn__has(&call->cu_seqlens_q) ? call->cu_seqlens_q.shape[0] - 1 : 1;
}

clattn__call clattn__call_sequence(const clattn__call *call, int64_t b)
{
    if (!clattn__has(&call->cu_seqlens_q))
        return *call;
    const int64_t count = clattn__sequences(call), end = b < count ? b + 1 : b,
                  row = start_of(&call->cu_seqlens_q, b), key = start_of(&call->cu_seqlens_k, b);
    clattn__call one =
        clattn__call_slice(call, 0, 1, 0, call->Hkv, row, start_of(&call->cu_seqlens_q, end) - row);
    clattn_tensor *const of_keys[] = {&one.key, &one.value, &one.grad.key, &one.grad.value};
    one.T = start_of(&call->cu_seqlens_k, end) - key;
    for (size_t n = 0; n < sizeof of_keys / sizeof *of_keys; n++) {
        if (!clattn__has(of_keys[n]))
            continue;
        of_keys[n]->offset += key * of_keys[n]->strides[2];
        of_keys[n]->shape[2] = one.T;
    }
    memset(&one.cu_seqlens_q, 0, sizeof one.cu_seqlens_q);
    memset(&one.cu_seqlens_k, 0, sizeof one.cu_seqlens_k);
    one.first_row = 0, one.all_rows = one.S;
    one.first_batch = b, one.all_batches = count ? count : 1;
    return one;
}
