/* heatmap_picture.c: draws the parts of a heat map where placement.c puts them. */
#include "placement.h"

#include "cairo_late.h"
#include "colours.h"
#include "text.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MOST_MARKS 12    /* on the colour bar */
#define MOST_PIXELS 1440 /* for cells along a side of all matrices together */

static const cli_cairo *cairo; /* loaded when a picture is wanted */

static const cli_colour ink = {0.13, 0.13, 0.15}, grey = {0.45, 0.45, 0.48},
                        nothing = {0.90, 0.90, 0.90}, white = {1, 1, 1};

static void set_colour(cairo_t *c, cli_colour which)
{
    cairo->set_source_rgb(c, which.r, which.g, which.b);
}

static void draw_titles(cairo_t *c, const cli_heatmap *map)
{
    cli_set_font(c, CLI_TITLE_FONT, 1);
    set_colour(c, ink);
    cairo->move_to(c, CLI_MARGIN, CLI_MARGIN + 13);
    cairo->show_text(c, map->title);
    cli_set_font(c, CLI_SMALL_TITLE_FONT, 0);
    set_colour(c, grey);
    cairo->move_to(c, CLI_MARGIN, CLI_MARGIN + 31);
    cairo->show_text(c, map->subtitle);
}

static void draw_number(cairo_t *c, double cell, double value, double x, double y,
                        cli_colour ground)
{
    char text[32];
    cairo_text_extents_t e;
    double light = 0.3 * ground.r + 0.59 * ground.g + 0.11 * ground.b;
    snprintf(text, sizeof text, "%.2f", value);
    cli_set_font(c, 0.29 * cell, 0);
    cairo->text_extents(c, text, &e);
    set_colour(c, light < 0.55 ? white : ink);
    cairo->move_to(c, x + 0.5 * cell - 0.5 * e.width - e.x_bearing,
                   y + 0.5 * cell - 0.5 * e.height - e.y_bearing);
    cairo->show_text(c, text);
}

/* Pixels for the cells of a side that so many matrices share. */
static size_t pixels_of(size_t count, size_t sharing)
{
    const size_t most = sharing < MOST_PIXELS ? MOST_PIXELS / sharing : 1;
    return count < most ? count : most;
}

static cli_colour ground_of(const cli_placement *p, double value)
{
    return isfinite(value) ? cli_colour_of(cli_range_share(p->range, value)) : nothing;
}

/* The cells of a matrix whose corner is the origin: rectangles, with their numbers where those fit. */
static void draw_cells(cairo_t *c, const cli_placement *p, size_t matrix)
{
    const cli_heatmap *map = p->map;
    const double gap = fmin(p->cell_wide, p->cell_high) >= 8 ? 1 : 0;
    const bool has_numbers = fmin(p->cell_wide, p->cell_high) >= 28;
    for (size_t i = 0; i < map->rows; i++) {
        for (size_t j = 0; j < map->columns; j++) {
            const double v = cli_heatmap_cell(map, matrix, i, map->rows, j, map->columns);
            const double x = p->cell_wide * (double)j, y = p->cell_high * (double)i;
            const cli_colour ground = ground_of(p, v);
            set_colour(c, ground);
            cairo->rectangle(c, x, y, p->cell_wide - gap, p->cell_high - gap);
            cairo->fill(c);
            if (has_numbers && isfinite(v) && fabs(v) >= 0.005 && fabs(v) < 99.995)
                draw_number(c, p->cell_wide, v, x, y, ground);
        }
    }
}

static uint32_t byte_of(double part)
{
    return (uint32_t)(255 * part + 0.5);
}

/* Small cells are the pixels of an image, as an SVG of their rectangles would be of no use to anybody. */
static void draw_pixels(cairo_t *c, const cli_placement *p, size_t matrix)
{
    const size_t rows = pixels_of(p->map->rows, p->down),
                 columns = pixels_of(p->map->columns, p->across);
    cairo_surface_t *image =
        cairo->image_surface_create(CAIRO_FORMAT_RGB24, (int)columns, (int)rows);
    unsigned char *data = cairo->image_surface_get_data(image);
    const size_t stride = (size_t)cairo->image_surface_get_stride(image);
    for (size_t i = 0; data && i < rows; i++) { /* without data, `c` gets the error below */
        for (size_t j = 0; j < columns; j++) {
            const cli_colour ground =
                ground_of(p, cli_heatmap_cell(p->map, matrix, i, rows, j, columns));
            const uint32_t pixel =
                byte_of(ground.r) << 16 | byte_of(ground.g) << 8 | byte_of(ground.b);
            memcpy(data + i * stride + j * sizeof pixel, &pixel, sizeof pixel);
        }
    }
    cairo->surface_mark_dirty(image);
    cairo->save(c);
    cairo->scale(c, p->wide / (double)columns, p->high / (double)rows);
    cairo->set_source_surface(c, image, 0, 0);
    cairo->pattern_set_filter(cairo->get_source(c), CAIRO_FILTER_NEAREST);
    cairo->rectangle(c, 0, 0, (double)columns, (double)rows);
    cairo->fill(c);
    cairo->restore(c);
    cairo->surface_destroy(image);
}

static void draw_row_labels(cairo_t *c, const cli_placement *p)
{
    char text[CLI_LABEL_BYTES];
    cairo_font_extents_t f;
    cairo->font_extents(c, &f);
    for (size_t i = 0; i < p->map->rows; i += p->row_step) {
        cli_label_text(text, p->map->row_labels, i);
        cairo->move_to(c, -CLI_LABEL_GAP - cli_text_width(c, text),
                       ((double)i + 0.5) * p->cell_high + 0.5 * (f.ascent - f.descent));
        cairo->show_text(c, text);
    }
}

static void draw_column_labels(cairo_t *c, const cli_placement *p)
{
    char text[CLI_LABEL_BYTES];
    cairo_font_extents_t f;
    cairo->font_extents(c, &f);
    for (size_t j = 0; j < p->map->columns; j += p->column_step) {
        cli_label_text(text, p->map->column_labels, j);
        cairo->save(c);
        cairo->translate(c, ((double)j + 0.5) * p->cell_wide, -CLI_LABEL_GAP);
        cairo->rotate(c, -p->slant);
        if (p->slant > 0)
            cairo->move_to(c, 0, 0.5 * (f.ascent - f.descent));
        else
            cairo->move_to(c, -0.5 * cli_text_width(c, text), 0);
        cairo->show_text(c, text);
        cairo->restore(c);
    }
}

/* A matrix at its place in the grid, with the labels that stand there. */
static void draw_matrix(cairo_t *c, const cli_placement *p, size_t matrix)
{
    const size_t row = matrix / p->across, column = matrix % p->across;
    char text[CLI_MATRIX_TEXT];
    cairo->save(c);
    cairo->translate(c, p->left + (double)column * p->step_x, p->top + (double)row * p->step_y);
    if (p->map->matrices > 1) {
        cli_set_font(c, CLI_SMALL_TITLE_FONT, 1);
        set_colour(c, ink);
        cairo->move_to(c, 0,
                       -CLI_LABEL_GAP - (row == 0 ? p->columns_high + 1.5 * CLI_LABEL_GAP : 0));
        cairo->show_text(c, cli_matrix_title(text, matrix));
    }
    if (fmin(p->cell_wide, p->cell_high) > 4)
        draw_cells(c, p, matrix);
    else
        draw_pixels(c, p, matrix);
    cli_set_font(c, p->font, 0);
    set_colour(c, ink);
    if (column == 0)
        draw_row_labels(c, p);
    if (row == 0)
        draw_column_labels(c, p);
    cairo->restore(c);
}

/* A step of 1, 2 or 5 times a power of ten that gives four to eight marks. */
static double mark_step(double range)
{
    double power = pow(10, floor(log10(range)));
    double share = range / power;
    return power * (share < 1.6 ? 0.2 : share < 4 ? 0.5 : share < 8 ? 1 : 2);
}

static void draw_bar(cairo_t *c, const cli_placement *p)
{
    cairo_pattern_t *fade = cairo->pattern_create_linear(0, p->top + p->bar_high, 0, p->top);
    const double low = p->range.low, high = p->range.high, step = mark_step(high - low);
    for (size_t i = 0; i < CLI_COLOUR_STOPS; i++) {
        const cli_colour *stop = &cli_colour_stops[i];
        cairo->pattern_add_color_stop_rgb(fade, (double)i / (CLI_COLOUR_STOPS - 1.0), stop->r,
                                          stop->g, stop->b);
    }
    cairo->set_source(c, fade);
    cairo->rectangle(c, p->bar_left, p->top, CLI_BAR_WIDTH, p->bar_high);
    cairo->fill(c);
    cairo->pattern_destroy(fade);
    cli_set_font(c, CLI_BAR_FONT, 0);
    set_colour(c, ink);
    cairo->set_line_width(c, 0.8);
    for (int i = 0; i < MOST_MARKS; i++) {
        const double value = step * (ceil(low / step - 1e-9) + i);
        const double y = p->top + p->bar_high * (1 - cli_range_share(p->range, value));
        char text[32];
        if (!(value <= high + 1e-9 * (high - low)))
            break;
        snprintf(text, sizeof text, "%.4g", value + 0.0);
        cairo->move_to(c, p->bar_left + CLI_BAR_WIDTH, y);
        cairo->line_to(c, p->bar_left + CLI_BAR_WIDTH + 3, y);
        cairo->stroke(c);
        cairo->move_to(c, p->bar_left + CLI_BAR_WIDTH + CLI_LABEL_GAP, y + 3.5);
        cairo->show_text(c, text);
    }
}

static void draw_all(cairo_t *c, const void *what)
{
    const cli_placement *p = what;
    set_colour(c, white);
    cairo->paint(c);
    draw_titles(c, p->map);
    for (size_t i = 0; i < p->map->matrices; i++)
        draw_matrix(c, p, i);
    draw_bar(c, p);
}

/* The labels as a text in new memory; NULL when that runs out. */
static char *describe(const cli_heatmap *map)
{
    char *text = NULL, label[CLI_LABEL_BYTES];
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    fputs("rows:", out);
    for (size_t i = 0; i < map->rows; i++) {
        cli_label_text(label, map->row_labels, i);
        fprintf(out, " %s", label);
    }
    fputs("\ncolumns:", out);
    for (size_t i = 0; i < map->columns; i++) {
        cli_label_text(label, map->column_labels, i);
        fprintf(out, " %s", label);
    }
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

int cli_heatmap_draw(cli_picture *out, const cli_heatmap *map, cli_picture_type type)
{
    cli_placement p = {.map = map};
    memset(out, 0, sizeof *out);
    int result = cli_place(&p);
    if (!result)
        result = cli_cairo_load(&cairo);
    if (result)
        return result;
    char *description = describe(map);
    if (!description)
        return CLI_FAIL(CLI_SYSTEM, "--output: no memory for the picture");
    const cli_drawing drawing = {.width = p.width,
                                 .height = p.height,
                                 .draw = draw_all,
                                 .what = &p,
                                 .title = map->title,
                                 .description = description};
    result = cli_picture_make(out, &drawing, type);
    free(description);
    return result;
}
