/* heatmap.h: matrices of weights as a picture or as text, with words on both axes. */
#ifndef CLI_HEATMAP_H
#define CLI_HEATMAP_H

#include "picture.h"

#include <stdio.h>

/* One matrix, or those of several heads, which are drawn beside each other on one scale. */
typedef struct cli_heatmap {
    const double
        *values; /* `matrices` of them, each `matrix_stride` elements behind the one before */
    size_t matrices, matrix_stride;
    size_t rows, columns, stride;                   /* of each; a row is `stride` elements long */
    char *const *row_labels, *const *column_labels; /* UTF-8; NULL: numbers from 0 */
    const char *title, *subtitle;
} cli_heatmap;

/* Draws into memory, so that a full disk leaves no half picture. Returns an exit code of text.h. */
int cli_heatmap_draw(cli_picture *out, const cli_heatmap *map, cli_picture_type type);

/* Prints lines of at most `width` columns; `colours`: with the escapes of terminals that know all
 * colours, else in shades. */
void cli_heatmap_print(FILE *out, const cli_heatmap *map, size_t width, int colours);

/* The rest is what the two share. */

/* From 0, or the least value below it, to the largest one. */
typedef struct cli_range {
    double low, high;
} cli_range;
cli_range cli_heatmap_range(const cli_heatmap *map);

/* Where a value lies in the range, from 0 to 1; NaN for what is not finite. */
double cli_range_share(cli_range range, double value);

/* What a cell shows where a matrix is drawn in `rows` by `columns` cells, at most as many as it has: the
 * largest of the finite values that share it, as a mean would hide that a key is seen at all; NaN where
 * none is finite. */
double cli_heatmap_cell(const cli_heatmap *map, size_t matrix, size_t row, size_t rows,
                        size_t column, size_t columns);

/* Every how many a label fits, when one takes the room of `room` cells; numbers go in round steps. */
size_t cli_label_step(double room, char *const *labels);

/* "head 3", the title of one of several matrices. */
#define CLI_MATRIX_TEXT 32
const char *cli_matrix_title(char text[CLI_MATRIX_TEXT], size_t matrix);

#endif
