/* safetensors.c: trusts no number of a header before it has been held against the file. */
#include "safetensors.h"

#include "npy_header.h"
#include "text.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char suffix[] = ".safetensors";

/* The format's own limit. */
#define HEADER_LIMIT ((uint64_t)100000000)

/* Beyond it doubles, which cJSON makes of all numbers, skip integers. */
#define LARGEST_INTEGER 0x1p53

static const struct {
    const char *name;
    char kind;
    size_t size;
} types[] = {
    {"F32", 'f', 4}, {"F16", 'f', 2}, {"BF16", 'w', 2}, {"F64", 'f', 8}, {"BOOL", 'b', 1},
    {"I32", 'i', 4}, {"I64", 'i', 8}, {"I16", 'i', 2},  {"I8", 'i', 1},  {"U8", 'u', 1},
    {"U16", 'u', 2}, {"U32", 'u', 4}, {"U64", 'u', 8},
};

/* A file that is being read. */
typedef struct source {
    const char *argument, *path, *name; /* as they were given; the entry's name, "" for none */
    FILE *file;
    cJSON *header;
    uint64_t data, end; /* of the file's elements, in bytes */
} source;

/* Refuses the file, printf style. */
#define REFUSE(s, format, ...)                                                                     \
    CLI_FAIL(CLI_BAD_INPUT, "--%s: %s: " format, (s)->argument, (s)->path, __VA_ARGS__)

size_t safetensors_file_length(const char *path)
{
    const size_t length = strlen(suffix);
    for (const char *at = strstr(path, suffix); at; at = strstr(at + 1, suffix)) {
        if (at[length] == ':' || at[length] == '\0')
            return (size_t)(at - path) + length;
    }
    return 0;
}

static int open_file(source *s, const char *argument, const char *path)
{
    struct stat status;
    const size_t length = safetensors_file_length(path);
    memset(s, 0, sizeof *s);
    s->argument = argument;
    s->path = path;
    s->name = path + length + (path[length] == ':');
    char *file_name = strndup(path, length);
    if (!file_name)
        return CLI_FAIL(CLI_SYSTEM, "--%s: %s: no memory for its name", argument, path);
    s->file = fopen(file_name, "rb");
    free(file_name);
    if (!s->file || fstat(fileno(s->file), &status) != 0)
        return REFUSE(s, "%s; expected a .safetensors file", strerror(errno));
    if (!S_ISREG(status.st_mode))
        return REFUSE(s, "%s", "is no regular file; expected a .safetensors file");
    s->end = (uint64_t)status.st_size;
    return CLI_DONE;
}

/* The JSON object between the length and the elements; blanks may fill it up. */
static int parse_header(source *s, const char *text, size_t length)
{
    const char *end = text;
    s->header = cJSON_ParseWithLengthOpts(text, length, &end, 0);
    if (!cJSON_IsObject(s->header))
        return REFUSE(s, "%s", "its header is no JSON object");
    for (; end < text + length; end++) {
        if (*end != ' ')
            return REFUSE(s, "%s", "its header goes on behind the JSON object");
    }
    return CLI_DONE;
}

static int read_header(source *s)
{
    unsigned char start[8];
    uint64_t length = 0;
    if (fread(start, 1, sizeof start, s->file) != sizeof start)
        return REFUSE(s, "%s",
                      s->end ? "ends within its first 8 bytes, the length of its header"
                             : "is empty; expected a .safetensors file");
    for (int i = 7; i >= 0; i--)
        length = length << 8 | start[i];
    if (length > HEADER_LIMIT)
        return REFUSE(s,
                      "a header of %" PRIu64 " bytes; expected at most %" PRIu64
                      ", so that this is no .safetensors file",
                      length, HEADER_LIMIT);
    if (length > s->end - sizeof start)
        return REFUSE(s, "is cut: %" PRIu64 " bytes of header; expected %" PRIu64,
                      s->end - sizeof start, length);
    s->data = sizeof start + length;
    char *text = malloc(length ? length : 1);
    if (!text)
        return CLI_FAIL(CLI_SYSTEM, "--%s: %s: no memory for its header", s->argument, s->path);
    int result = fread(text, 1, length, s->file) == length
                     ? parse_header(s, text, length)
                     : REFUSE(s, "%s", "ends within its header");
    free(text);
    return result;
}

/* The names there are, as many as a sentence bears. */
static int refuse_name(const source *s)
{
    char names[256] = "";
    size_t used = 0;
    const cJSON *entry = NULL;
    cJSON_ArrayForEach(entry, s->header)
    {
        if (strcmp(entry->string, "__metadata__") == 0)
            continue;
        size_t length = strlen(entry->string);
        if (used + length + 8 > sizeof names) {
            memcpy(names + used, ", ...", 6);
            break;
        }
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "",
                                 entry->string);
    }
    if (!used && !names[0])
        return REFUSE(s, "%s", "holds no entry; expected a tensor");
    return REFUSE(s, "%s; expected FILE%s:NAME with one of %s",
                  s->name[0] ? "has no entry of this name" : "names a file of several tensors",
                  suffix, names);
}

static int find_entry(const source *s, const cJSON **out)
{
    const cJSON *entry = NULL;
    *out = NULL;
    cJSON_ArrayForEach(entry, s->header)
    {
        if (strcmp(entry->string, s->name) != 0)
            continue;
        if (*out)
            return REFUSE(s, "%s", "its header has this name twice; expected it once");
        *out = entry;
    }
    if (!*out || !s->name[0])
        return refuse_name(s);
    return CLI_DONE;
}

/* A JSON number that is an integer from 0. */
static int take_integer(int64_t *out, const cJSON *item)
{
    const double value = cJSON_IsNumber(item) ? item->valuedouble : -1;
    if (!(value >= 0 && value <= LARGEST_INTEGER) || (double)(int64_t)value != value)
        return 0;
    *out = (int64_t)value;
    return 1;
}

static int describe_type(const source *s, npy_description *d, const cJSON *entry)
{
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(entry, "dtype"));
    if (!name)
        return REFUSE(s, "%s", "its 'dtype' is no string; expected one like F32");
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(types[i].name, name) == 0) {
            d->kind = types[i].kind;
            d->size = types[i].size;
            return CLI_DONE;
        }
    }
    return REFUSE(s, "elements of type '%.32s'; expected F16, BF16, F32, F64, BOOL or an integer",
                  name);
}

static int describe_shape(const source *s, npy_description *d, const cJSON *entry)
{
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(entry, "shape"), *length = NULL;
    if (!cJSON_IsArray(shape))
        return REFUSE(s, "%s", "its 'shape' is no list; expected one of sizes");
    const int axes = cJSON_GetArraySize(shape);
    if (axes > NPY_MAX_RANK)
        return REFUSE(s, "%d axes; expected at most %d", axes, NPY_MAX_RANK);
    cJSON_ArrayForEach(length, shape)
    {
        if (!take_integer(&d->shape[d->rank++], length))
            return REFUSE(s, "%s", "its 'shape' holds something that is no size");
    }
    const char *failure = npy_count_elements(d);
    return failure ? REFUSE(s, "%s", failure) : CLI_DONE;
}

/* From a JSON entry to numbers that fit together and into the file. */
static int describe(const source *s, npy_description *d, uint64_t *place, const cJSON *entry)
{
    const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(entry, "data_offsets");
    const uint64_t room = s->end - s->data;
    int64_t begin = 0, end = 0;
    int result = CLI_DONE;
    memset(d, 0, sizeof *d);
    d->order = '<';
    CLI_TRY(describe_type(s, d, entry));
    CLI_TRY(describe_shape(s, d, entry));
    if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2 ||
        !take_integer(&begin, cJSON_GetArrayItem(offsets, 0)) ||
        !take_integer(&end, cJSON_GetArrayItem(offsets, 1)) || begin > end) {
        result = REFUSE(s, "%s", "its 'data_offsets' are not two numbers [BEGIN, END]");
    } else if ((uint64_t)(end - begin) != d->bytes) {
        result = REFUSE(s, "%" PRId64 " bytes of elements; expected %zu for its type and shape",
                        end - begin, d->bytes);
    } else if ((uint64_t)end > room) {
        result = REFUSE(s,
                        "is cut: %" PRIu64 " bytes of elements; expected %" PRId64
                        " up to the end of this entry",
                        room, end);
    }
    *place = s->data + (uint64_t)begin;
done:
    return result;
}

int safetensors_read(npy_array *out, const char *argument, const char *path)
{
    source s;
    npy_description d;
    const cJSON *entry = NULL;
    uint64_t place = 0;
    int result = CLI_DONE;
    memset(out, 0, sizeof *out);
    CLI_TRY(open_file(&s, argument, path));
    CLI_TRY(read_header(&s));
    CLI_TRY(find_entry(&s, &entry));
    CLI_TRY(describe(&s, &d, &place, entry));
    if (fseeko(s.file, (off_t)place, SEEK_SET) != 0)
        result = REFUSE(&s, "%s; expected a .safetensors file", strerror(errno));
    else
        result = npy_read_elements(out, s.file, &d, argument, path);
done:
    cJSON_Delete(s.header);
    if (s.file)
        fclose(s.file);
    return result;
}
