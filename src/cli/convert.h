/* convert.h: between arrays of files and tensors of the library. */
#ifndef CLI_CONVERT_H
#define CLI_CONVERT_H

#include "npy.h"

#include <clattn/tensor.h>

/* What a file may hold for one argument. */
enum { CLI_FLOATS = 1, CLI_BOOLS = 2, CLI_INTEGERS = 4 };

/* Turns an array into a dense host tensor and takes its memory, which
 * `free(tensor->host)` gives back. Integers become i64. An array of a
 * kind that is not in `allowed` is refused in the name of --argument. */
int cli_tensor_from_npy(clattn_tensor *out, npy_array *array, int allowed, const char *argument,
                        const char *path);

/* The kind of npy_array that a tensor of floats or integers is written as; bf16 is no type of NumPy's. */
char cli_npy_kind(clattn_dtype dtype);

/* A dense host tensor of float elements becomes one of another float type, in new memory. */
int cli_tensor_convert(clattn_tensor *tensor, clattn_dtype dtype, const char *argument);

/* A dense host tensor of a shape, in new memory, all zero. */
int cli_tensor_new(clattn_tensor *out, clattn_dtype dtype, uint32_t rank, const int64_t *shape,
                   const char *argument);

#endif
