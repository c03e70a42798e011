/* The files of kernels/ as text; cmake/embed_kernels.cmake generates the table at build time. */
#ifndef CLATTN_SRC_KERNELS_H
#define CLATTN_SRC_KERNELS_H

#include <stddef.h>

typedef struct clattn__kernel_source {
    const char *name; /* the file's name without its folder, as "common.clh" */
    const char *text; /* ends with a zero byte that `length` does not count */
    size_t length;
} clattn__kernel_source;

extern const clattn__kernel_source clattn__kernel_sources[];
extern const size_t clattn__kernel_source_count;

#endif
