/* safetensors.h: one entry of a file of tensors.
 *
 * The format: eight bytes of header length, little endian; a JSON object that gives each name its
 * dtype, shape and data_offsets; the elements, row-major and little endian.
 * https://huggingface.co/docs/safetensors */
#ifndef CLI_SAFETENSORS_H
#define CLI_SAFETENSORS_H

#include "npy.h"

/* Length of the file's name in "FILE.safetensors:NAME", or
 * in "FILE.safetensors"; 0 for other paths. */
size_t safetensors_file_length(const char *path);

/* Reads the entry that such a path names; a failure is a sentence that begins with "--argument:
 * path" and leaves `*out` empty. */
int safetensors_read(npy_array *out, const char *argument, const char *path);

#endif
