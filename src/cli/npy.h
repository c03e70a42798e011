/* npy.h: NumPy's array files, format versions 1.0 to 3.0.
 *
 * The format: "\x93NUMPY", two bytes of version, the length of the header (2 bytes in version 1,
 * else 4, little endian), a Python dict as text with the keys descr, fortran_order and shape, then
 * the elements. https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
#ifndef CLI_NPY_H
#define CLI_NPY_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define NPY_MAX_RANK 4

/* An array in memory: row-major, in the machine's byte order, whatever the file had. */
typedef struct npy_array {
    char kind; /* 'f' float, 'w' bfloat16, which NumPy lacks, 'i' signed, 'u' unsigned, 'b' bool */
    size_t size; /* bytes of an element: f 2 4 8, w 2, i and u 1 2 4 8, b 1 */
    uint32_t rank;
    int64_t shape[NPY_MAX_RANK];
    size_t count;
    void *data;
} npy_array;

/* Reads `path`; a failure is a sentence that begins with
 * "--argument: path" and leaves `*out` empty. */
int npy_read(npy_array *out, const char *argument, const char *path);

/* Frees the elements. An array of all zero is fine. */
void npy_free(npy_array *array);

/* "float32", "int64", "bool", ...; the text lives until the next call. */
const char *npy_type_name(char kind, size_t size);

/* "(8, 12, 34, 32)", as NumPy writes it, into `text`. */
#define NPY_SHAPE_TEXT 96
const char *npy_shape_text(char text[NPY_SHAPE_TEXT], uint32_t rank, const int64_t *shape);

/* The header of a row-major array in the machine's byte
 * order, padded to whole 64 bytes; returns its length. */
#define NPY_HEADER_MAX 256
size_t npy_header(char header[NPY_HEADER_MAX], char kind, size_t size, uint32_t rank,
                  const int64_t *shape);

#endif
