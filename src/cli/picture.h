/* picture.h: a picture file in memory. */
#ifndef CLI_PICTURE_H
#define CLI_PICTURE_H

#include "cairo_late.h"

#include <stddef.h>

typedef enum cli_picture_type { CLI_PNG, CLI_SVG } cli_picture_type;

/* The bytes of a picture file; free(bytes) when done. */
typedef struct cli_picture {
    unsigned char *bytes;
    size_t size, capacity;
} cli_picture;

/* What is to be drawn, in points. */
typedef struct cli_drawing {
    double width, height;
    void (*draw)(cairo_t *c, const void *what);
    const void *what;
    /* Cairo draws the words as outlines. For search and for screen readers they also stand in <title> and
     * <desc> of an SVG. */
    const char *title, *description;
} cli_drawing;

/* A PNG has two pixels per point, for sharp screens and print. Returns an exit code of text.h. */
int cli_picture_make(cli_picture *out, const cli_drawing *drawing, cli_picture_type type);

#endif
