/* arrays.c: which reader a path is for. */
#include "arrays.h"

#include "safetensors.h"

#include <string.h>

int cli_array_read(npy_array *out, const char *argument, const char *path)
{
    return safetensors_file_length(path) ? safetensors_read(out, argument, path)
                                         : npy_read(out, argument, path);
}

char *cli_array_file(const char *path)
{
    const size_t length = safetensors_file_length(path);
    return strndup(path, length ? length : strlen(path));
}
