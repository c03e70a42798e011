/* host_call.h: one call with all its tensors in host memory, which it owns. */
#ifndef TESTS_SUPPORT_HOST_CALL_H
#define TESTS_SUPPORT_HOST_CALL_H

#include <clattn/clattn.h>

#include <stdbool.h>

/* All that a description can ask for, and what a single kernel wants beside it. */
#define HOST_CALL_TENSORS 64

typedef struct host_call {
    clattn_attention_desc desc;
    clattn_attention_args args;
    struct host_memory {
        void *data;
        size_t bytes;
    } owned[HOST_CALL_TENSORS];
    size_t owned_count;
} host_call;

/* How the elements of a tensor lie in memory. */
typedef enum host_strides {
    STRIDES_DENSE = 0,
    STRIDES_PADDED,    /* three elements between rows, seven before the first */
    STRIDES_TRANSPOSED /* the last two axes swapped */
} host_strides;

/* A tensor of zeros, freed by host_call_free(). Elements that no index reaches hold NaN. Ends the
 * program when memory is out: no test can go on. */
clattn_tensor host_call_tensor(host_call *call, clattn_dtype dtype, uint32_t rank,
                               const int64_t *shape, host_strides strides);
void host_call_free(host_call *call);

/* True when the memory of two calls that were made alike is the same, bit for bit. */
bool host_call_equal(const host_call *a, const host_call *b);

/* Element number `index` of a tensor in row-major order,
 * whatever its strides: where it lies, its value. */
size_t host_tensor_at(const clattn_tensor *tensor, size_t index);
double host_tensor_get(const clattn_tensor *tensor, size_t index);
void host_tensor_set(const clattn_tensor *tensor, size_t index, double value);

/* False when something was written between the elements of a tensor, before them or behind them. */
bool host_tensor_gaps_untouched(const host_call *call, const clattn_tensor *tensor);

/* The outputs that a desc can ask for, "output" first, in the order of their bits; NULL past the last. */
const clattn_tensor *host_call_output(const host_call *call, size_t index, const char **name);

#endif
