/* arrays.h: arrays in files, whatever the format: .npy, or an entry of a .safetensors file. */
#ifndef CLI_ARRAYS_H
#define CLI_ARRAYS_H

#include "npy.h"

/* Reads what `path` names, "FILE.npy" or "FILE.safetensors:NAME"; a failure is a sentence that
 * begins with "--argument: path" and leaves `*out` empty. */
int cli_array_read(npy_array *out, const char *argument, const char *path);

/* The file itself of such a path, in new memory; NULL when that runs out. */
char *cli_array_file(const char *path);

#endif
