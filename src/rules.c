/* rules.c: holds a caller's tensor against a rule. */
#include "rules.h"

#include "try.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of a tensor, from its first to its last: their bytes can still be counted in 64 bits. */
#define MOST_ELEMENTS ((uint64_t)INT64_MAX / 8)

/* "(2, 8, 7, 64)" */
static void print_found(char *text, size_t size, const clattn_tensor *tensor)
{
    size_t used = 0;
    for (uint32_t i = 0; i < tensor->rank && i < CLATTN_MAX_RANK && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%lld", i ? ", " : "(",
                                 (long long)tensor->shape[i]);
    if (used < size)
        (void)snprintf(text + used, size - used, ")");
}

/* "(B=2, Hkv=8, T, D=64)": a letter alone where the length is free. */
static void print_expected(char *text, size_t size, const clattn__rule *expected)
{
    size_t used = 0;
    for (uint32_t i = 0; i < expected->rank && used < size; i++) {
        const int axis = expected->axes[i];
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "(",
                                 expected->letters[axis]);
        if (expected->shape[axis] != CLATTN__ANY && used < size)
            used += (size_t)snprintf(text + used, size - used, "=%lld",
                                     (long long)expected->shape[axis]);
    }
    if (used < size)
        (void)snprintf(text + used, size - used, ")");
}

static clattn_status wrong_shape(const clattn_tensor *tensor, const clattn__rule *expected)
{
    char found[128], wanted[160];
    print_found(found, sizeof found, tensor);
    print_expected(wanted, sizeof wanted, expected);
    return FAIL(CLATTN_E_ARGUMENT, 0, "%s: shape %s, expected %s%s", expected->name, found,
                expected->broadcast ? "what broadcasts to " : "", wanted);
}

/* What `factor` steps of `stride` add to `*sum`; false where no number holds it. */
static bool add_reach(uint64_t *sum, int64_t stride, uint64_t factor)
{
    const uint64_t length = stride < 0 ? 0 - (uint64_t)stride : (uint64_t)stride;
    uint64_t reach;
    return !__builtin_mul_overflow(length, factor, &reach) &&
           !__builtin_add_overflow(*sum, reach, sum) && *sum <= MOST_ELEMENTS;
}

/* Everything below multiplies and adds these numbers without a look at overflow. A dimension of 0
 * must not hide what the others do: strides are products of those too. */
static clattn_status check_memory(const clattn_tensor *tensor, const char *name)
{
    clattn_status status = CLATTN_OK;
    uint64_t count = 1, reach = 0;
    bool empty = false;
    for (uint32_t i = 0; i < tensor->rank; i++) {
        FAIL_IF(tensor->shape[i] < 0, CLATTN_E_ARGUMENT,
                "%s: dimension %u is %lld, expected a number from 0", name, i,
                (long long)tensor->shape[i]);
        empty = empty || tensor->shape[i] == 0;
    }
    for (uint32_t i = 0; i < tensor->rank; i++)
        FAIL_IF(tensor->shape[i] != 0 &&
                    (__builtin_mul_overflow(count, (uint64_t)tensor->shape[i], &count) ||
                     count > MOST_ELEMENTS),
                CLATTN_E_ARGUMENT,
                "%s: dimension %u is %lld, expected a shape of fewer elements than memory can hold",
                name, i, (long long)tensor->shape[i]);
    FAIL_IF(!empty && !tensor->host && !tensor->buffer, CLATTN_E_ARGUMENT,
            "%s: neither host nor buffer is set, expected one of them", name);
    FAIL_IF(tensor->host && tensor->buffer, CLATTN_E_ARGUMENT,
            "%s: host and buffer are both set, expected one of them", name);
    FAIL_IF(!empty && !add_reach(&reach, tensor->offset, 1), CLATTN_E_ARGUMENT,
            "%s: offset %lld, expected one that memory can hold", name, (long long)tensor->offset);
    for (uint32_t i = 0; i < tensor->rank && !empty; i++)
        FAIL_IF(!add_reach(&reach, tensor->strides[i], (uint64_t)tensor->shape[i] - 1),
                CLATTN_E_ARGUMENT,
                "%s: stride %u is %lld, expected strides whose elements memory can hold", name, i,
                (long long)tensor->strides[i]);
done:
    return status;
}

/* True when two indices may name one element: no axis may
 * step into the extent of the finer ones. */
static bool overlaps_itself(const clattn_tensor *tensor)
{
    bool used[CLATTN_MAX_RANK] = {false};
    int64_t extent = 1;
    for (uint32_t n = 0; n < tensor->rank; n++) {
        uint32_t finest = CLATTN_MAX_RANK;
        for (uint32_t i = 0; i < tensor->rank; i++)
            if (!used[i] && (finest == CLATTN_MAX_RANK ||
                             llabs(tensor->strides[i]) < llabs(tensor->strides[finest])))
                finest = i;
        used[finest] = true;
        if (tensor->shape[finest] <= 1)
            continue;
        if (llabs(tensor->strides[finest]) < extent)
            return true;
        extent += llabs(tensor->strides[finest]) * (tensor->shape[finest] - 1);
    }
    return false;
}

clattn_status clattn__view_init(clattn_tensor *out, const clattn_tensor *tensor,
                                clattn__rule *expected)
{
    clattn_status status = CLATTN_OK;
    const int *axes = expected->axes;
    memset(out, 0, sizeof *out);
    FAIL_IF(tensor->rank > CLATTN_MAX_RANK, CLATTN_E_ARGUMENT, "%s: rank %u, expected at most %d",
            expected->name, tensor->rank, CLATTN_MAX_RANK);
    FAIL_IF(
        tensor->dtype != expected->dtypes[0] && tensor->dtype != expected->dtypes[1] &&
            tensor->dtype != expected->dtypes[2],
        CLATTN_E_ARGUMENT, "%s: dtype %s, expected %s%s%s%s%s", expected->name,
        clattn_dtype_name(tensor->dtype), clattn_dtype_name(expected->dtypes[0]),
        expected->dtypes[1] == expected->dtypes[0] ? "" : " or ",
        expected->dtypes[1] == expected->dtypes[0] ? "" : clattn_dtype_name(expected->dtypes[1]),
        expected->dtypes[2] == expected->dtypes[1] ? "" : " or ",
        expected->dtypes[2] == expected->dtypes[1] ? "" : clattn_dtype_name(expected->dtypes[2]));
    TRY(check_memory(tensor, expected->name));
    if (tensor->rank > expected->rank || (!expected->broadcast && tensor->rank != expected->rank)) {
        status = wrong_shape(tensor, expected);
        goto done;
    }
    axes += expected->rank - tensor->rank;
    *out = *tensor;
    out->rank = 4;
    for (int axis = 0; axis < 4; axis++) {
        out->shape[axis] = expected->shape[axis];
        out->strides[axis] = 0;
    }
    for (uint32_t i = 0; i < tensor->rank; i++) {
        int64_t *length = &out->shape[axes[i]];
        if (*length == CLATTN__ANY)
            *length = tensor->shape[i];
        if (tensor->shape[i] == *length) {
            out->strides[axes[i]] = *length == 1 ? 0 : tensor->strides[i];
            if (*length == 0 && tensor->strides[i] == 0) /* it does not broadcast */
                out->strides[axes[i]] = 1;
        } else if (!expected->broadcast || tensor->shape[i] != 1) {
            status = wrong_shape(tensor, expected);
            goto done;
        }
    }
    FAIL_IF(expected->written && clattn_tensor_count(tensor) > 0 && overlaps_itself(tensor),
            CLATTN_E_ARGUMENT,
            "%s: its strides let elements overlap, expected an own place for each", expected->name);
    memcpy(expected->shape, out->shape, sizeof expected->shape);
done:
    return status;
}

clattn_status clattn__gradient_view(clattn_tensor *out, const clattn_tensor *tensor,
                                    const clattn_tensor *of, clattn__rule rule)
{
    clattn_status status = CLATTN_OK;
    char found[128], wanted[128];
    print_found(found, sizeof found, tensor);
    print_found(wanted, sizeof wanted, of);
    FAIL_IF(tensor->rank > CLATTN_MAX_RANK || strcmp(found, wanted) != 0, CLATTN_E_ARGUMENT,
            "%s: shape %s, expected %s as what it is the gradient of", rule.name, found, wanted);
    rule.written = true;
    TRY(clattn__view_init(out, tensor, &rule));
done:
    return status;
}

clattn_status clattn__check_presence(const clattn_tensor *tensor, bool wanted, const char *name,
                                     const char *reason)
{
    clattn_status status = CLATTN_OK;
    FAIL_IF(wanted && !clattn__has(tensor), CLATTN_E_ARGUMENT,
            "%s: missing, but the description asks for it (%s)", name, reason);
    FAIL_IF(!wanted && clattn__has(tensor), CLATTN_E_ARGUMENT,
            "%s: given, but the description does not ask for it (%s)", name, reason);
done:
    return status;
}

clattn_status clattn__check_finite(const clattn_tensor *view, const char *name, clattn_dtype dtype)
{
    clattn_status status = CLATTN_OK;
    const bool wide = dtype == CLATTN_F64;
    int64_t n[4], count = view->host != NULL;
    for (int axis = 0; axis < 4; axis++) {
        /* What is broadcast is looked at once. */
        n[axis] = view->strides[axis] == 0 && view->shape[axis] > 1 ? 1 : view->shape[axis];
        count *= n[axis];
    }
    for (int64_t e = 0; e < count; e++) {
        const int64_t at = clattn__at(view, e / (n[3] * n[2] * n[1]), e / (n[3] * n[2]) % n[1],
                                      e / n[3] % n[2], e % n[3]);
        const double value = clattn_element_load(view->dtype, view->host, (size_t)at);
        FAIL_IF(!isfinite(wide ? value : (double)(float)value), CLATTN_E_ARGUMENT,
                "%s: element %lld is %g, expected a finite number of %s", name, (long long)e, value,
                wide ? "f64" : "f32");
    }
done:
    return status;
}
