/* labels.c: a text file to a list of words. */
#include "labels.h"

#include "text.h"
#include "utf8.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A file of labels is small; a tensor given by mistake is not. */
#define LABELS_LIMIT ((size_t)16 << 20)

static const char blanks[] = " \t\r\v\f";

/* Cairo draws nothing at all of a text with one bad byte, and a terminal obeys some characters. What
 * parts words and lines stays. */
static void make_valid(char *text)
{
    while (*text) {
        const size_t length = *text == '\n' || strchr(blanks, *text) ? 1 : cli_utf8_length(text);
        if (length == 0)
            *text = '?';
        text += length ? length : 1;
    }
}

static int read_text(char **out, const char *argument, const char *path)
{
    int result = CLI_DONE;
    char *text = NULL;
    FILE *file = fopen(path, "rb");
    if (!file)
        return CLI_FAIL(CLI_BAD_INPUT, "--%s: %s: %s; expected a text file", argument, path,
                        strerror(errno));
    text = malloc(LABELS_LIMIT + 1);
    if (!text) {
        result = CLI_FAIL(CLI_SYSTEM, "--%s: no memory", argument);
        goto done;
    }
    size_t length = fread(text, 1, LABELS_LIMIT, file);
    text[length] = '\0';
    if (ferror(file))
        result = CLI_FAIL(CLI_BAD_INPUT, "--%s: %s: %s; expected a text file", argument, path,
                          strerror(errno));
    else if (length == LABELS_LIMIT || strlen(text) != length)
        result = CLI_FAIL(CLI_BAD_INPUT, "--%s: %s: is no text; expected one of under 16 MiB",
                          argument, path);
done:
    fclose(file);
    if (result)
        free(text);
    else
        *out = text;
    return result;
}

static size_t words_in(const char *line)
{
    size_t count = 0;
    for (line += strspn(line, blanks); *line; line += strspn(line, blanks)) {
        line += strcspn(line, blanks);
        count++;
    }
    return count;
}

int cli_labels_read(cli_labels *out, const char *argument, const char *path, size_t entry)
{
    char **lines = NULL;
    size_t line_count = 1;
    size_t most = 0;
    int result = CLI_DONE;
    memset(out, 0, sizeof *out);
    CLI_TRY(read_text(&out->text, argument, path));
    make_valid(out->text);
    for (const char *at = out->text; *at; at++)
        line_count += *at == '\n';
    lines = calloc(line_count, sizeof *lines);
    out->words = calloc(strlen(out->text) + 1, sizeof *out->words);
    if (!lines || !out->words) {
        result = CLI_FAIL(CLI_SYSTEM, "--%s: no memory", argument);
        goto done;
    }
    line_count = 0;
    for (char *at = strtok(out->text, "\n"); at; at = strtok(NULL, "\n")) {
        size_t words = words_in(at);
        if (words)
            lines[line_count++] = at;
        if (words > most)
            most = words;
    }
    if (most == 0) {
        result =
            CLI_FAIL(CLI_BAD_INPUT, "--%s: %s: holds no word; expected labels", argument, path);
        goto done;
    }
    if (most > 1 && entry >= line_count) {
        result = CLI_FAIL(CLI_BAD_INPUT,
                          "--%s: %s: %zu lines of words; expected one for entry %zu of the batch",
                          argument, path, line_count, entry);
        goto done;
    }
    size_t first = most > 1 ? entry : 0;
    size_t end = most > 1 ? entry + 1 : line_count;
    for (size_t i = first; i < end; i++) {
        for (char *word = strtok(lines[i], blanks); word; word = strtok(NULL, blanks))
            out->words[out->count++] = word;
    }
done:
    free(lines);
    if (result)
        cli_labels_free(out);
    return result;
}

void cli_labels_free(cli_labels *labels)
{
    free(labels->words);
    free(labels->text);
    memset(labels, 0, sizeof *labels);
}
