/* npy.c: reads what NumPy writes, whatever order it was
 * written in, and survives what NumPy would not write. */
#include "npy.h"

#include "npy_header.h"
#include "text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* NumPy's own headers of simple types are under 200 bytes;
 * a longer one than this is an attack or an accident. */
#define HEADER_LIMIT ((size_t)1 << 20)

static int machine_is_little(void)
{
    const uint16_t one = 1;
    unsigned char first = 0;
    memcpy(&first, &one, 1);
    return first == 1;
}

const char *npy_type_name(char kind, size_t size)
{
    static char text[16];
    const char *word = kind == 'f' ? "float" : kind == 'i' ? "int" : kind == 'u' ? "uint" : "bool";
    if (kind == 'b' || kind == 'w')
        snprintf(text, sizeof text, "%s", kind == 'b' ? "bool" : "bfloat16");
    else
        snprintf(text, sizeof text, "%s%zu", word, 8 * size);
    return text;
}

const char *npy_shape_text(char text[NPY_SHAPE_TEXT], uint32_t rank, const int64_t *shape)
{
    size_t used = (size_t)snprintf(text, NPY_SHAPE_TEXT, "(");
    for (uint32_t i = 0; i < rank; i++) {
        used += (size_t)snprintf(text + used, NPY_SHAPE_TEXT - used, "%s%" PRId64, i ? ", " : "",
                                 shape[i]);
    }
    snprintf(text + used, NPY_SHAPE_TEXT - used, rank == 1 ? ",)" : ")");
    return text;
}

size_t npy_header(char header[NPY_HEADER_MAX], char kind, size_t size, uint32_t rank,
                  const int64_t *shape)
{
    char shape_text[NPY_SHAPE_TEXT];
    const char *order = size == 1 ? "|" : machine_is_little() ? "<" : ">";
    const unsigned char magic[8] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0};
    memcpy(header, magic, sizeof magic);
    int dict = snprintf(header + 10, NPY_HEADER_MAX - 10,
                        "{'descr': '%s%c%zu', 'fortran_order': False, 'shape': %s, }", order, kind,
                        size, npy_shape_text(shape_text, rank, shape));
    size_t length = (10 + (size_t)dict + 1 + 63) / 64 * 64;
    memset(header + 10 + dict, ' ', length - 11 - (size_t)dict);
    header[length - 1] = '\n';
    header[8] = (char)((length - 10) & 255);
    header[9] = (char)((length - 10) >> 8);
    return length;
}

void npy_free(npy_array *array)
{
    free(array->data);
    memset(array, 0, sizeof *array);
}

static void swap_bytes(unsigned char *data, size_t count, size_t size)
{
    for (size_t i = 0; i < count; i++, data += size) {
        for (size_t low = 0, high = size - 1; low < high; low++, high--) {
            unsigned char kept = data[low];
            data[low] = data[high];
            data[high] = kept;
        }
    }
}

/* From column-major to row-major: walks the target in order
 * and steps through the source by its strides. */
static void *to_row_major(const npy_description *d, const unsigned char *source)
{
    unsigned char *target = malloc(d->bytes ? d->bytes : 1);
    size_t stride[NPY_MAX_RANK];
    int64_t index[NPY_MAX_RANK] = {0};
    size_t from = 0;
    size_t step = 1;
    for (uint32_t i = 0; i < d->rank; i++) {
        stride[i] = step;
        step *= (size_t)d->shape[i];
    }
    for (size_t to = 0; target && to < d->count; to++) {
        memcpy(target + to * d->size, source + from * d->size, d->size);
        for (uint32_t i = d->rank; i-- > 0;) {
            from += stride[i];
            if (++index[i] < d->shape[i])
                break;
            from -= stride[i] * (size_t)d->shape[i];
            index[i] = 0;
        }
    }
    return target;
}

/* Reads magic, version and dict. */
static int read_description(npy_description *d, FILE *file, const char *argument, const char *path)
{
    unsigned char start[12];
    char *text = NULL;
    int result = CLI_DONE;
    size_t got = fread(start, 1, 10, file);
    if (ferror(file)) {
        result = CLI_FAIL(CLI_BAD_INPUT, "--%s: %s: %s; expected an .npy file", argument, path,
                          strerror(errno));
        goto done;
    }
    if (got < 10 || memcmp(start, "\x93NUMPY", 6) != 0) {
        result = CLI_FAIL(CLI_BAD_INPUT, "--%s: %s: %s; expected an .npy file", argument, path,
                          got == 0 ? "is empty" : "does not begin with \\x93NUMPY");
        goto done;
    }
    if (start[6] < 1 || start[6] > 3 || start[7] != 0) {
        result = CLI_FAIL(CLI_BAD_INPUT, "--%s: %s: .npy version %d.%d; expected 1.0, 2.0 or 3.0",
                          argument, path, start[6], start[7]);
        goto done;
    }
    size_t length = start[8] | (size_t)start[9] << 8;
    if (start[6] > 1) {
        if (fread(start + 10, 1, 2, file) != 2)
            length = 0;
        else
            length |= (size_t)start[10] << 16 | (size_t)start[11] << 24;
    }
    if (length > HEADER_LIMIT) {
        result = CLI_FAIL(CLI_BAD_INPUT, "--%s: %s: a header of %zu bytes; expected at most %zu",
                          argument, path, length, HEADER_LIMIT);
        goto done;
    }
    text = malloc(length + 1);
    if (!text) {
        result = CLI_FAIL(CLI_SYSTEM, "--%s: %s: no memory for its header", argument, path);
        goto done;
    }
    if (fread(text, 1, length, file) != length) {
        result =
            CLI_FAIL(CLI_BAD_INPUT, "--%s: %s: ends within its header; expected %zu bytes of it",
                     argument, path, length);
        goto done;
    }
    const char *failure = npy_header_parse(d, text, length);
    if (failure)
        result = CLI_FAIL(CLI_BAD_INPUT, "--%s: %s: %s", argument, path, failure);
done:
    free(text);
    return result;
}

int npy_read_elements(npy_array *out, FILE *file, const npy_description *d, const char *argument,
                      const char *path)
{
    unsigned char *data = NULL;
    struct stat status;
    int result = CLI_DONE;
    memset(out, 0, sizeof *out);
    /* A header can claim any size: look at the file before memory is asked for. A pipe has no size
     * to look at. */
    off_t at = ftello(file);
    if (fstat(fileno(file), &status) == 0 && S_ISREG(status.st_mode) && at >= 0 &&
        (status.st_size < at || (uint64_t)(status.st_size - at) < d->bytes)) {
        result = CLI_FAIL(
            CLI_BAD_INPUT,
            "--%s: %s: is cut: %" PRId64 " bytes of elements; its header promises %zu", argument,
            path, status.st_size < at ? 0 : (int64_t)(status.st_size - at), d->bytes);
        goto done;
    }
    data = malloc(d->bytes ? d->bytes : 1);
    if (!data) {
        result =
            CLI_FAIL(CLI_SYSTEM, "--%s: %s: no memory for its %zu bytes", argument, path, d->bytes);
        goto done;
    }
    if (fread(data, 1, d->bytes, file) != d->bytes) {
        result =
            CLI_FAIL(CLI_BAD_INPUT, "--%s: %s: is cut; its header promises %zu bytes of elements",
                     argument, path, d->bytes);
        goto done;
    }
    if ((d->order == '<' && !machine_is_little()) || (d->order == '>' && machine_is_little()))
        swap_bytes(data, d->count, d->size);
    if (d->fortran && d->rank > 1) {
        void *turned = to_row_major(d, data);
        if (!turned) {
            result = CLI_FAIL(CLI_SYSTEM, "--%s: %s: no memory for its %zu bytes", argument, path,
                              d->bytes);
            goto done;
        }
        free(data);
        data = turned;
    }
    out->kind = d->kind;
    out->size = d->size;
    out->rank = d->rank;
    memcpy(out->shape, d->shape, sizeof out->shape);
    out->count = d->count;
    out->data = data;
    data = NULL;
done:
    free(data);
    return result;
}

int npy_read(npy_array *out, const char *argument, const char *path)
{
    npy_description d;
    memset(out, 0, sizeof *out);
    FILE *file = fopen(path, "rb");
    if (!file)
        return CLI_FAIL(CLI_BAD_INPUT, "--%s: %s: %s; expected an .npy file", argument, path,
                        strerror(errno));
    int result = read_description(&d, file, argument, path);
    if (!result)
        result = npy_read_elements(out, file, &d, argument, path);
    fclose(file);
    return result;
}
