/* source.h: the text of a kernel file with its includes pasted in. */
#ifndef CLATTN_SOURCE_H
#define CLATTN_SOURCE_H

#include <clattn/status.h>

/**
 * The text that a compiler gets for kernels/<file>: each `#include "name"` is replaced, once, by
 * that file between #line marks, so that a build log names the real file and line. `*out` is
 * malloc'd.
 */
clattn_status clattn__source_assemble(char **out, const char *file);

#endif
