/* placement.h: where the parts of a picture stand. All lengths are in points. */
#ifndef CLI_PLACEMENT_H
#define CLI_PLACEMENT_H

#include "heatmap.h"

#define CLI_MARGIN 20.0
#define CLI_LABEL_GAP 6.0
#define CLI_BAR_WIDTH 14.0
#define CLI_TITLE_FONT 15.0
#define CLI_SMALL_TITLE_FONT 10.5
#define CLI_BAR_FONT 10.0

/* Where everything stands. */
typedef struct cli_placement {
    const cli_heatmap *map;
    size_t across, down;          /* matrices in the grid */
    double cell_wide, cell_high;  /* square, but where one side would be a hair */
    double left, top;             /* of the first matrix */
    double wide, high;            /* of a matrix */
    double step_x, step_y;        /* from one to the next */
    double font;                  /* of labels */
    double slant;                 /* of column labels, in radians; 0: centred numbers */
    double columns_high;          /* what they take above the first matrices */
    size_t row_step, column_step; /* every how many a label fits */
    double bar_left, bar_high;
    double width, height; /* of the picture */
    cli_range range;
} cli_placement;

/* Measures every text, then places all parts of `p->map`, so that nothing can be clipped. Returns an exit
 * code of text.h. */
int cli_place(cli_placement *p);

/* The font of all texts that follow. */
void cli_set_font(cairo_t *c, double size, int bold);

double cli_text_width(cairo_t *c, const char *text);

/* A label, shortened by an ellipsis where it would take the picture over; without labels, the number. */
#define CLI_LABEL_BYTES 512
void cli_label_text(char out[CLI_LABEL_BYTES], char *const *labels, size_t index);

#endif
