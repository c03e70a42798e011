/* labels.h: the words on the axes of a heat map. */
#ifndef CLI_LABELS_H
#define CLI_LABELS_H

#include <stddef.h>

typedef struct cli_labels {
    char **words;
    size_t count;
    char *text; /* what the words point into */
} cli_labels;

/* Reads labels: one per line, or, where some line has several words, those of line `entry`. All
 * become valid UTF-8. */
int cli_labels_read(cli_labels *out, const char *argument, const char *path, size_t entry);

void cli_labels_free(cli_labels *labels);

#endif
