/* placement.c: measures first, then places.
 *
 * Several matrices stand in a grid, each under its title. They have their labels in common: of rows at the
 * left, of columns above the first ones. */
#include "placement.h"

#include "text.h"
#include "utf8.h"

#include <math.h>
#include <stdio.h>

#define PI 3.14159265358979
#define LONGEST_SIDE 720.0       /* of the cells of one matrix together */
#define LONGEST_GRID_SIDE 1080.0 /* of those of several */
#define LARGEST_CELL 34.0
#define SHORTEST_SIDE                                                                              \
    100.0 /* a side of fewer points has its cells stretched, up to the next number */
#define STRETCHED_CELL 12.0
#define GRID_GAP 14.0
#define GRID_SHAPE 1.4 /* its width by its height, about */
#define BAR_GAP 22.0
#define SHORTEST_BAR 120.0
#define LONGEST_BAR 300.0
#define MOST_LABEL_CHARACTERS 32
#define FONT "sans-serif"

static const cli_cairo *cairo; /* loaded when something is placed */

void cli_set_font(cairo_t *c, double size, int bold)
{
    cairo->select_font_face(c, FONT, CAIRO_FONT_SLANT_NORMAL,
                            bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo->set_font_size(c, size);
}

double cli_text_width(cairo_t *c, const char *text)
{
    cairo_text_extents_t e;
    cairo->text_extents(c, text, &e);
    return e.x_advance;
}

void cli_label_text(char out[CLI_LABEL_BYTES], char *const *labels, size_t index)
{
    if (!labels) {
        snprintf(out, CLI_LABEL_BYTES, "%zu", index);
        return;
    }
    const char *const label = labels[index], *end = label;
    for (size_t n = 0; *end && n < MOST_LABEL_CHARACTERS; n++) {
        size_t columns = 0;
        const char *next = cli_utf8_next(end, &columns);
        if (next - label > CLI_LABEL_BYTES - 4)
            break;
        end = next;
    }
    snprintf(out, CLI_LABEL_BYTES, "%.*s%s", (int)(end - label), label, *end ? "\u2026" : "");
}

static double widest_label(cairo_t *c, char *const *labels, size_t count, size_t step)
{
    char text[CLI_LABEL_BYTES];
    double widest = 0;
    for (size_t i = 0; i < count; i += step) {
        cli_label_text(text, labels, i);
        widest = fmax(widest, cli_text_width(c, text));
    }
    return widest;
}

/* The number of matrices side by side that gives the grid its shape. */
static size_t choose_across(const cli_heatmap *map)
{
    const double gap = 3; /* in cells: labels, titles and paper */
    size_t best = 1;
    double least = HUGE_VAL;
    for (size_t across = 1; across <= map->matrices; across++) {
        const size_t down = (map->matrices + across - 1) / across;
        const double side = fmax((double)across * ((double)map->columns + gap) / GRID_SHAPE,
                                 (double)down * ((double)map->rows + gap));
        if (side < least) {
            least = side;
            best = across;
        }
    }
    return best;
}

static double stretched(double cell, size_t count)
{
    return fmax(cell, fmin(STRETCHED_CELL, SHORTEST_SIDE / (double)(count ? count : 1)));
}

static void place_cells(cli_placement *p)
{
    const cli_heatmap *map = p->map;
    p->across = choose_across(map);
    p->down = (map->matrices + p->across - 1) / p->across;
    const double side = map->matrices > 1 ? LONGEST_GRID_SIDE : LONGEST_SIDE;
    const double longer = fmax((double)(p->across * map->columns), (double)(p->down * map->rows));
    double cell = fmin(LARGEST_CELL, side / fmax(1, longer));
    if (cell > 4)
        cell = floor(cell);
    p->cell_wide = stretched(cell, map->columns);
    p->cell_high = stretched(cell, map->rows);
    p->wide = p->cell_wide * (double)map->columns;
    p->high = p->cell_high * (double)map->rows;
}

static void place_column_labels(cairo_t *c, cli_placement *p)
{
    const cli_heatmap *map = p->map;
    if (!map->column_labels) {
        const double widest = widest_label(c, NULL, map->columns, 1);
        p->slant = 0;
        p->column_step = cli_label_step((widest + p->font) / p->cell_wide, NULL);
    } else {
        /* Slanted ones reach over what is to the right. */
        p->slant = p->across == 1 && p->cell_wide >= 1.5 * p->font ? 0.25 * PI : 0.5 * PI;
        p->column_step =
            cli_label_step((p->slant < 1 ? 1.5 : 1.1) * p->font / p->cell_wide, map->column_labels);
    }
    p->columns_high =
        widest_label(c, map->column_labels, map->columns, p->column_step) * sin(p->slant) +
        p->font * cos(p->slant);
}

/* How far slanted labels reach to the right, from the left side of a matrix. */
static double reach(cairo_t *c, const cli_placement *p)
{
    char text[CLI_LABEL_BYTES];
    double right = 0;
    for (size_t j = 0; j < p->map->columns; j += p->column_step) {
        cli_label_text(text, p->map->column_labels, j);
        right = fmax(right, ((double)j + 0.5) * p->cell_wide +
                                cli_text_width(c, text) * cos(p->slant) + p->font);
    }
    return right;
}

static void place(cairo_t *c, cli_placement *p)
{
    const cli_heatmap *map = p->map;
    char text[CLI_MATRIX_TEXT];
    double title = 0; /* of each matrix */
    place_cells(p);
    p->font = fmin(12, fmax(8, 0.62 * fmax(p->cell_wide, p->cell_high)));
    cli_set_font(c, p->font, 0);
    p->row_step = cli_label_step(1.1 * p->font / p->cell_high, map->row_labels);
    place_column_labels(c, p);
    p->left = CLI_MARGIN + widest_label(c, map->row_labels, map->rows, p->row_step) + CLI_LABEL_GAP;
    const double labels_right = p->left + reach(c, p);
    cli_set_font(c, CLI_SMALL_TITLE_FONT, 0);
    p->step_x = p->wide + GRID_GAP;
    p->step_y = p->high + GRID_GAP;
    if (map->matrices > 1) {
        title = CLI_SMALL_TITLE_FONT + 2 * CLI_LABEL_GAP;
        p->step_x = fmax(p->step_x,
                         cli_text_width(c, cli_matrix_title(text, map->matrices - 1)) + GRID_GAP);
        p->step_y += title;
    }
    p->top = CLI_MARGIN + 44 + title + p->columns_high + CLI_LABEL_GAP;
    const double grid_high = (double)(p->down - 1) * p->step_y + p->high;
    p->bar_left = p->left + (double)(p->across - 1) * p->step_x + p->wide + BAR_GAP;
    p->bar_high = fmin(fmax(grid_high, SHORTEST_BAR), LONGEST_BAR);
    double title_right = CLI_MARGIN + cli_text_width(c, map->subtitle);
    cli_set_font(c, CLI_BAR_FONT, 0);
    const double bar_right =
        p->bar_left + CLI_BAR_WIDTH + CLI_LABEL_GAP + cli_text_width(c, "-0.0000");
    cli_set_font(c, CLI_TITLE_FONT, 1);
    title_right = fmax(title_right, CLI_MARGIN + cli_text_width(c, map->title));
    p->width = ceil(fmax(fmax(bar_right, title_right), labels_right) + CLI_MARGIN);
    p->height = ceil(p->top + fmax(grid_high, p->bar_high) + CLI_MARGIN);
    p->range = cli_heatmap_range(map);
}

int cli_place(cli_placement *p)
{
    const int result = cli_cairo_load(&cairo);
    if (result)
        return result;
    cairo_surface_t *scratch = cairo->image_surface_create(CAIRO_FORMAT_ARGB32, 1, 1);
    cairo_t *ruler = cairo->create(scratch);
    place(ruler, p);
    cairo->destroy(ruler);
    cairo->surface_destroy(scratch);
    return CLI_DONE;
}
