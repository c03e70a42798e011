/* heatmap.h: a matrix as a picture, with words on both axes and a colour bar. */
#ifndef CLI_HEATMAP_H
#define CLI_HEATMAP_H

#include <stddef.h>

typedef struct cli_heatmap {
    const double *values; /* rows of `stride` elements */
    size_t rows, columns, stride;
    char *const *row_labels, *const *column_labels; /* UTF-8; NULL: numbers from 0 */
    const char *title, *subtitle;
} cli_heatmap;

typedef enum cli_picture_type { CLI_PNG, CLI_SVG } cli_picture_type;

/* The bytes of a picture file; free(bytes) when done. */
typedef struct cli_picture {
    unsigned char *bytes;
    size_t size, capacity;
} cli_picture;

/* Draws into memory, so that a full disk leaves no half picture. Returns an exit code of text.h. */
int cli_heatmap_draw(cli_picture *out, const cli_heatmap *map, cli_picture_type type);

#endif
