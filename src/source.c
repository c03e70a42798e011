/* source.c: pastes kernel files together. */
#include "source.h"

#include "kernels.h"
#include "try.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILES 16

typedef struct assembly {
    char *text;
    size_t length, capacity;
    const clattn__kernel_source *seen[MAX_FILES];
    size_t seen_count;
} assembly;

static clattn_status append(assembly *all, const char *text, size_t length)
{
    if (all->length + length + 1 > all->capacity) {
        size_t capacity = 2 * (all->length + length + 1);
        char *more = realloc(all->text, capacity);
        if (!more)
            return FAIL(CLATTN_E_MEMORY, 0, "kernels: no host memory for %zu bytes", capacity);
        all->text = more;
        all->capacity = capacity;
    }
    memcpy(all->text + all->length, text, length);
    all->length += length;
    all->text[all->length] = '\0';
    return CLATTN_OK;
}

static clattn_status mark_line(assembly *all, const char *file, unsigned line)
{
    char mark[128];
    int length = snprintf(mark, sizeof mark, "#line %u \"kernels/%s\"\n", line, file);
    return append(all, mark, (size_t)length);
}

static const clattn__kernel_source *find(const char *name, size_t length)
{
    for (size_t i = 0; i < clattn__kernel_source_count; i++)
        if (strlen(clattn__kernel_sources[i].name) == length &&
            memcmp(clattn__kernel_sources[i].name, name, length) == 0)
            return &clattn__kernel_sources[i];
    return NULL;
}

static clattn_status paste(assembly *all, const char *name, size_t name_length)
{
    static const char directive[] = "#include \"";
    clattn_status status = CLATTN_OK;
    const clattn__kernel_source *source = find(name, name_length);
    unsigned line = 1;
    FAIL_IF(!source, CLATTN_E_BUILD, "kernels/%.*s: no such kernel file in this library",
            (int)name_length, name);
    for (size_t i = 0; i < all->seen_count; i++)
        if (all->seen[i] == source)
            return CLATTN_OK;
    FAIL_IF(all->seen_count == MAX_FILES, CLATTN_E_BUILD,
            "kernels/%s: more than %d files are included", source->name, MAX_FILES);
    all->seen[all->seen_count++] = source;
    TRY(mark_line(all, source->name, 1));
    for (const char *at = source->text; *at; line++) {
        size_t length = strcspn(at, "\n");
        if (at[length] == '\n')
            length++;
        if (strncmp(at, directive, sizeof directive - 1) == 0) {
            const char *included = at + sizeof directive - 1;
            TRY(paste(all, included, strcspn(included, "\"\n")));
            TRY(mark_line(all, source->name, line + 1));
        } else {
            TRY(append(all, at, length));
        }
        at += length;
    }
done:
    return status;
}

clattn_status clattn__source_assemble(char **out, const char *file)
{
    assembly all = {0};
    clattn_status status = paste(&all, file, strlen(file));
    *out = all.text;
    if (status != CLATTN_OK) {
        free(all.text);
        *out = NULL;
    }
    return status;
}
