/* convert.c: element types of NumPy and of the library, and the way from one to the other. */
#include "convert.h"

#include "text.h"

#include <stdlib.h>
#include <string.h>

/* One integer of an array as i64; 0 where it does not fit. */
static int load_integer(int64_t *out, const npy_array *array, size_t index)
{
    const unsigned char *at = (const unsigned char *)array->data + index * array->size;
    uint64_t bits = 0;
    switch (array->size) {
    case 1:
        bits = *at;
        break;
    case 2: {
        uint16_t half;
        memcpy(&half, at, sizeof half);
        bits = half;
        break;
    }
    case 4: {
        uint32_t word;
        memcpy(&word, at, sizeof word);
        bits = word;
        break;
    }
    default:
        memcpy(&bits, at, sizeof bits);
        break;
    }
    if (array->kind == 'i' && array->size < 8) {
        uint64_t sign = (uint64_t)1 << (8 * array->size - 1);
        bits = (bits ^ sign) - sign; /* spreads the sign over the upper bits */
    }
    memcpy(out, &bits, sizeof *out);
    return array->kind == 'i' || bits <= (uint64_t)INT64_MAX;
}

static int widen_integers(clattn_tensor *out, const npy_array *array, const char *argument,
                          const char *path)
{
    int result = cli_tensor_new(out, CLATTN_I64, array->rank, array->shape, argument);
    if (result)
        return result;
    for (size_t i = 0; i < array->count; i++) {
        if (!load_integer((int64_t *)out->host + i, array, i)) {
            free(out->host);
            memset(out, 0, sizeof *out);
            return CLI_FAIL(CLI_BAD_INPUT,
                            "--%s: %s: element %zu is beyond 63 bits; expected a signed integer",
                            argument, path, i);
        }
    }
    return CLI_DONE;
}

int cli_tensor_from_npy(clattn_tensor *out, npy_array *array, int allowed, const char *argument,
                        const char *path)
{
    int found = array->kind == 'f' || array->kind == 'w' ? CLI_FLOATS
                : array->kind == 'b'                     ? CLI_BOOLS
                                                         : CLI_INTEGERS;
    memset(out, 0, sizeof *out);
    if (!(found & allowed)) {
        return CLI_FAIL(CLI_BAD_INPUT, "--%s: %s: %s elements; expected %s", argument, path,
                        npy_type_name(array->kind, array->size),
                        allowed & CLI_INTEGERS ? "integers"
                        : allowed & CLI_BOOLS  ? "bool, float16, float32 or float64"
                                               : "float16, float32 or float64");
    }
    if (array->rank == 0) {
        return CLI_FAIL(CLI_BAD_INPUT, "--%s: %s: shape (); expected at least one axis", argument,
                        path);
    }
    if (found == CLI_INTEGERS) {
        int result = widen_integers(out, array, argument, path);
        npy_free(array);
        return result;
    }
    clattn_dtype dtype = found == CLI_BOOLS   ? CLATTN_BOOL
                         : array->kind == 'w' ? CLATTN_BF16
                         : array->size == 2   ? CLATTN_F16
                         : array->size == 4   ? CLATTN_F32
                                              : CLATTN_F64;
    *out = clattn_tensor_host(dtype, array->data, array->rank, array->shape);
    array->data = NULL; /* now the tensor's */
    return CLI_DONE;
}

char cli_npy_kind(clattn_dtype dtype)
{
    return dtype == CLATTN_I32 || dtype == CLATTN_I64 ? 'i' : 'f';
}

int cli_tensor_new(clattn_tensor *out, clattn_dtype dtype, uint32_t rank, const int64_t *shape,
                   const char *argument)
{
    size_t bytes = clattn_dtype_size(dtype);
    memset(out, 0, sizeof *out);
    for (uint32_t i = 0; i < rank; i++) {
        if (shape[i] > 0 && bytes > (size_t)PTRDIFF_MAX / (size_t)shape[i])
            return CLI_FAIL(CLI_BAD_INPUT,
                            "--%s: larger than memory can be; expected smaller sizes", argument);
        bytes *= (size_t)shape[i];
    }
    void *memory = calloc(1, bytes ? bytes : 1);
    if (!memory)
        return CLI_FAIL(CLI_SYSTEM, "--%s: no memory for %zu bytes", argument, bytes);
    *out = clattn_tensor_host(dtype, memory, rank, shape);
    out->host = memory; /* written to; clattn_tensor_host() takes data that is only read, too */
    return CLI_DONE;
}

int cli_tensor_convert(clattn_tensor *tensor, clattn_dtype dtype, const char *argument)
{
    clattn_tensor made;
    size_t count = clattn_tensor_count(tensor);
    if (tensor->dtype == dtype)
        return CLI_DONE;
    int result = cli_tensor_new(&made, dtype, tensor->rank, tensor->shape, argument);
    if (result)
        return result;
    for (size_t i = 0; i < count; i++)
        clattn_element_store(dtype, made.host, i,
                             clattn_element_load(tensor->dtype, tensor->host, i));
    free(tensor->host);
    *tensor = made;
    return CLI_DONE;
}
