/* npy_header.h: the dict in the header of an .npy file, from text to numbers. */
#ifndef CLI_NPY_HEADER_H
#define CLI_NPY_HEADER_H

#include "npy.h"

typedef struct npy_description {
    char order; /* of bytes: '<' little, '>' big, '|' or '=' the machine's */
    char kind;
    size_t size;
    int fortran;
    uint32_t rank;
    int64_t shape[NPY_MAX_RANK];
    size_t count, bytes; /* of the elements; both fit into PTRDIFF_MAX */
} npy_description;

/* Parses `length` bytes of dict. Returns NULL, or what is wrong with it (a text that lives until
 * the next call). */
const char *npy_header_parse(npy_description *out, const char *text, size_t length);

/* Fills count and bytes from shape and size; NULL, or what is wrong with them, as above. */
const char *npy_count_elements(npy_description *d);

/* Reads the described elements from where `file` stands; a
 * failure is a sentence as npy_read()'s. */
int npy_read_elements(npy_array *out, FILE *file, const npy_description *d, const char *argument,
                      const char *path);

#endif
