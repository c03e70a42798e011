/* vectors.h: reads tests/data/vectors.txt, whose format tests/data/make_vectors.py describes. */
#ifndef TESTS_SUPPORT_VECTORS_H
#define TESTS_SUPPORT_VECTORS_H

#include "host_call.h"
#include "named_tests.h"

typedef struct vector_tensor {
    char name[32];
    clattn_dtype dtype; /* F64, BOOL or I32: a float type, a mask, lengths or an argmax */
    uint32_t rank;
    int64_t shape[CLATTN_MAX_RANK];
    size_t count;
    double *values; /* row-major */
} vector_tensor;

typedef struct vector {
    char name[128];
    clattn_attention_desc desc; /* without dtype */
    vector_tensor tensors[HOST_CALL_TENSORS];
    size_t tensor_count;
} vector;

typedef struct vectors {
    vector *list;
    size_t count;
} vectors;

/* Reads vectors.txt of the folder that the environment variable CLATTN_TEST_DATA names. Ends the
 * program with a sentence when it cannot. */
void vectors_read(vectors *out);
void vectors_free(vectors *all);

/* The tensor of that name, or NULL. */
const vector_tensor *vector_find(const vector *from, const char *name);

/* Makes the call of a vector on `dtype`, with all outputs that it has wanted and still zero. */
void vector_make_call(host_call *out, const vector *from, clattn_dtype dtype);

/* Some vectors have gradients, too: "grad." before the name of a result or of an input. Of those, makes the call
 * backward, with forward's results and the gradients that come in, and all that can go out of NaN still. */
bool vector_has_gradients(const vector *from);
void vector_make_backward(host_call *out, const vector *from, clattn_dtype dtype);

/* Tests of each vector, or of those that have gradients. */
typedef struct vector_group {
    const char *name;
    CMUnitTestFunction test;
    bool backward;
} vector_group;

/* Reads all vectors and runs the groups; how many tests failed. */
int vectors_run(const vector_group *groups, size_t count);

#endif
