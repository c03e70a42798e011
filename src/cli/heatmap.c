/* heatmap.c: measures every text first, then places all parts, then draws; nothing can be clipped.
 *
 * All lengths are in points of the picture; a PNG has two pixels per point, for sharp screens and
 * print. */
#include "heatmap.h"

#include "cairo_late.h"
#include "text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARGIN 20.0
#define LONGEST_SIDE 720.0 /* of the cells together */
#define LARGEST_CELL 34.0
#define LARGEST_PICTURE_CELLS 720
#define PIXELS_PER_POINT 2.0
#define LABEL_GAP 6.0
#define BAR_WIDTH 14.0
#define BAR_GAP 22.0
#define MOST_LABEL_CHARACTERS 32
#define MOST_MARKS 12 /* on the colour bar */
#define FONT "sans-serif"

static cli_cairo cairo; /* loaded when a picture is wanted */

typedef struct colour {
    double r, g, b;
} colour;

/* The map "mako" of seaborn (M. Waskom, BSD licence) at six even steps,
 * light to dark, its light end lifted towards the paper. Even steps of
 * value look even to all kinds of colour vision, and in grey print. */
#define ANCHORS 6
static const colour anchors[ANCHORS] = {
    {0.945, 0.980, 0.957}, {0.376, 0.808, 0.675}, {0.204, 0.592, 0.663},
    {0.224, 0.365, 0.612}, {0.220, 0.165, 0.329}, {0.043, 0.016, 0.020},
};
static const colour ink = {0.13, 0.13, 0.15}, grey = {0.45, 0.45, 0.48},
                    nothing = {0.90, 0.90, 0.90};

#define PI 3.14159265358979

/* Where everything stands. */
typedef struct placement {
    double cell, left, top, wide, high; /* the matrix; cells are square */
    double font;                        /* of labels */
    double slant;                       /* of column labels, in radians; 0: centred numbers */
    size_t row_step, column_step;       /* every how many a label fits */
    double bar_left, bar_high;
    double width, height; /* of the picture */
    double low, high_value;
} placement;

static colour map_colour(double share)
{
    double place = fmin(fmax(share, 0), 1) * (ANCHORS - 1.0);
    size_t i = (size_t)place;
    if (i >= ANCHORS - 1)
        i = ANCHORS - 2;
    double f = place - (double)i;
    const colour *a = &anchors[i], *b = &anchors[i + 1];
    return (colour){a->r + f * (b->r - a->r), a->g + f * (b->g - a->g), a->b + f * (b->b - a->b)};
}

static void set_colour(cairo_t *c, colour which)
{
    cairo.set_source_rgb(c, which.r, which.g, which.b);
}

static void set_font(cairo_t *c, double size, int bold)
{
    cairo.select_font_face(c, FONT, CAIRO_FONT_SLANT_NORMAL,
                           bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo.set_font_size(c, size);
}

static double text_width(cairo_t *c, const char *text)
{
    cairo_text_extents_t e;
    cairo.text_extents(c, text, &e);
    return e.x_advance;
}

/* A label, shortened by an ellipsis where it would take the
 * picture over; without labels, the number. */
static void label_text(char *out, size_t capacity, char *const *labels, size_t index)
{
    if (!labels) {
        snprintf(out, capacity, "%zu", index);
        return;
    }
    const char *end = labels[index];
    size_t characters = 0;
    for (; *end && characters < MOST_LABEL_CHARACTERS; characters++) {
        end++;
        while (((unsigned char)*end & 0xc0) == 0x80)
            end++;
    }
    snprintf(out, capacity, "%.*s%s", (int)(end - labels[index]), labels[index],
             *end ? "\u2026" : "");
}

#define LABEL_BYTES (4 * MOST_LABEL_CHARACTERS + 8)

static double widest_label(cairo_t *c, char *const *labels, size_t count, size_t step)
{
    char text[LABEL_BYTES];
    double widest = 0;
    for (size_t i = 0; i < count; i += step) {
        label_text(text, sizeof text, labels, i);
        widest = fmax(widest, text_width(c, text));
    }
    return widest;
}

/* Every how many a label fits, when one takes the room of
 * `room` cells; numbers go in round steps. */
static size_t label_step(double room, char *const *labels)
{
    static const size_t round_steps[] = {1, 2, 5};
    size_t power = 1;
    if (labels)
        return (size_t)fmax(1, ceil(room));
    for (size_t i = 0;; i++) {
        size_t step = round_steps[i % 3] * power;
        if ((double)step >= room)
            return step;
        if (i % 3 == 2)
            power *= 10;
    }
}

static void find_range(const cli_heatmap *map, placement *p)
{
    p->low = 0;
    p->high_value = 0;
    for (size_t i = 0; i < map->rows; i++) {
        for (size_t j = 0; j < map->columns; j++) {
            double v = map->values[i * map->stride + j];
            if (!isfinite(v))
                continue;
            p->low = fmin(p->low, v);
            p->high_value = fmax(p->high_value, v);
        }
    }
    if (p->high_value <= p->low)
        p->high_value = p->low + 1;
}

static void place(cairo_t *c, const cli_heatmap *map, placement *p)
{
    size_t longer = map->rows > map->columns ? map->rows : map->columns;
    char text[LABEL_BYTES];
    p->cell = fmin(LARGEST_CELL, LONGEST_SIDE / (double)(longer ? longer : 1));
    if (p->cell > 4)
        p->cell = floor(p->cell);
    p->font = fmin(12, fmax(8, 0.62 * p->cell));
    p->wide = p->cell * (double)map->columns;
    p->high = p->cell * (double)map->rows;
    set_font(c, p->font, 0);
    p->row_step = label_step(1.1 * p->font / p->cell, map->row_labels);
    if (!map->column_labels) {
        double widest = widest_label(c, NULL, map->columns, 1);
        p->slant = 0;
        p->column_step = label_step((widest + p->font) / p->cell, NULL);
    } else {
        p->slant = p->cell >= 1.5 * p->font ? 0.25 * PI : 0.5 * PI;
        p->column_step =
            label_step((p->slant < 1 ? 1.5 : 1.1) * p->font / p->cell, map->column_labels);
    }
    double rows_wide = widest_label(c, map->row_labels, map->rows, p->row_step);
    double columns_high =
        widest_label(c, map->column_labels, map->columns, p->column_step) * sin(p->slant) +
        p->font * cos(p->slant);
    /* Slanted labels reach to the right beyond the last columns. */
    double reach = 0;
    for (size_t j = 0; j < map->columns; j += p->column_step) {
        label_text(text, sizeof text, map->column_labels, j);
        reach = fmax(reach,
                     ((double)j + 0.5) * p->cell + text_width(c, text) * cos(p->slant) + p->font);
    }
    p->left = MARGIN + rows_wide + LABEL_GAP;
    p->top = MARGIN + 44 + columns_high + LABEL_GAP;
    p->bar_left = p->left + p->wide + BAR_GAP;
    p->bar_high = fmax(p->high, 120);
    set_font(c, 10, 0);
    double bar_right = p->bar_left + BAR_WIDTH + LABEL_GAP + text_width(c, "-0.0000");
    set_font(c, 15, 1);
    double title_right = MARGIN + text_width(c, map->title);
    set_font(c, 10.5, 0);
    title_right = fmax(title_right, MARGIN + text_width(c, map->subtitle));
    p->width = ceil(fmax(fmax(bar_right, title_right), p->left + reach) + MARGIN);
    p->height = ceil(p->top + p->bar_high + MARGIN);
    find_range(map, p);
}

static void draw_titles(cairo_t *c, const cli_heatmap *map)
{
    set_font(c, 15, 1);
    set_colour(c, ink);
    cairo.move_to(c, MARGIN, MARGIN + 13);
    cairo.show_text(c, map->title);
    set_font(c, 10.5, 0);
    set_colour(c, grey);
    cairo.move_to(c, MARGIN, MARGIN + 31);
    cairo.show_text(c, map->subtitle);
}

/* The mean over the values that share one cell of a
 * downscaled picture; NaN where none is finite. */
static double cell_value(const cli_heatmap *map, size_t row, size_t rows, size_t column,
                         size_t columns)
{
    double sum = 0;
    size_t count = 0;
    for (size_t i = row * map->rows / rows; i < (row + 1) * map->rows / rows; i++) {
        for (size_t j = column * map->columns / columns; j < (column + 1) * map->columns / columns;
             j++) {
            double v = map->values[i * map->stride + j];
            if (!isfinite(v))
                continue;
            sum += v;
            count++;
        }
    }
    return count ? sum / (double)count : (double)NAN;
}

static void draw_number(cairo_t *c, const placement *p, double value, double x, double y,
                        colour ground)
{
    char text[32];
    cairo_text_extents_t e;
    double light = 0.3 * ground.r + 0.59 * ground.g + 0.11 * ground.b;
    snprintf(text, sizeof text, "%.2f", value);
    set_font(c, 0.29 * p->cell, 0);
    cairo.text_extents(c, text, &e);
    set_colour(c, light < 0.55 ? (colour){1, 1, 1} : ink);
    cairo.move_to(c, x + 0.5 * p->cell - 0.5 * e.width - e.x_bearing,
                  y + 0.5 * p->cell - 0.5 * e.height - e.y_bearing);
    cairo.show_text(c, text);
}

static void draw_cells(cairo_t *c, const cli_heatmap *map, const placement *p)
{
    size_t rows = map->rows < LARGEST_PICTURE_CELLS ? map->rows : LARGEST_PICTURE_CELLS;
    size_t columns = map->columns < LARGEST_PICTURE_CELLS ? map->columns : LARGEST_PICTURE_CELLS;
    double step_x = p->wide / (double)(columns ? columns : 1);
    double step_y = p->high / (double)(rows ? rows : 1);
    double gap = p->cell >= 8 ? 1 : 0;
    cairo.set_antialias(c, p->cell > 4 ? CAIRO_ANTIALIAS_DEFAULT
                                       : CAIRO_ANTIALIAS_NONE); /* no seams */
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < columns; j++) {
            double v = cell_value(map, i, rows, j, columns);
            double x = p->left + step_x * (double)j;
            double y = p->top + step_y * (double)i;
            colour ground =
                isfinite(v) ? map_colour((v - p->low) / (p->high_value - p->low)) : nothing;
            set_colour(c, ground);
            cairo.rectangle(c, x, y, step_x - gap, step_y - gap);
            cairo.fill(c);
            if (p->cell >= 28 && isfinite(v) && fabs(v) >= 0.005 && fabs(v) < 99.995)
                draw_number(c, p, v, x, y, ground);
        }
    }
    cairo.set_antialias(c, CAIRO_ANTIALIAS_DEFAULT);
}

static void draw_labels(cairo_t *c, const cli_heatmap *map, const placement *p)
{
    char text[LABEL_BYTES];
    cairo_font_extents_t f;
    set_font(c, p->font, 0);
    set_colour(c, ink);
    cairo.font_extents(c, &f);
    for (size_t i = 0; i < map->rows; i += p->row_step) {
        label_text(text, sizeof text, map->row_labels, i);
        cairo.move_to(c, p->left - LABEL_GAP - text_width(c, text),
                      p->top + ((double)i + 0.5) * p->cell + 0.5 * (f.ascent - f.descent));
        cairo.show_text(c, text);
    }
    for (size_t j = 0; j < map->columns; j += p->column_step) {
        label_text(text, sizeof text, map->column_labels, j);
        cairo.save(c);
        cairo.translate(c, p->left + ((double)j + 0.5) * p->cell, p->top - LABEL_GAP);
        cairo.rotate(c, -p->slant);
        if (p->slant > 0)
            cairo.move_to(c, 0, 0.5 * (f.ascent - f.descent));
        else
            cairo.move_to(c, -0.5 * text_width(c, text), 0);
        cairo.show_text(c, text);
        cairo.restore(c);
    }
}

/* A step of 1, 2 or 5 times a power of ten that gives four to eight marks. */
static double mark_step(double range)
{
    double power = pow(10, floor(log10(range)));
    double share = range / power;
    return power * (share < 1.6 ? 0.2 : share < 4 ? 0.5 : share < 8 ? 1 : 2);
}

static void draw_bar(cairo_t *c, const placement *p)
{
    cairo_pattern_t *fade = cairo.pattern_create_linear(0, p->top + p->bar_high, 0, p->top);
    double range = p->high_value - p->low;
    double step = mark_step(range);
    for (size_t i = 0; i < ANCHORS; i++)
        cairo.pattern_add_color_stop_rgb(fade, (double)i / (ANCHORS - 1.0), anchors[i].r,
                                         anchors[i].g, anchors[i].b);
    cairo.set_source(c, fade);
    cairo.rectangle(c, p->bar_left, p->top, BAR_WIDTH, p->bar_high);
    cairo.fill(c);
    cairo.pattern_destroy(fade);
    set_font(c, 10, 0);
    set_colour(c, ink);
    cairo.set_line_width(c, 0.8);
    for (int i = 0; i < MOST_MARKS; i++) {
        double value = step * (ceil(p->low / step - 1e-9) + i);
        char text[32];
        double y = p->top + p->bar_high * (1 - (value - p->low) / range);
        if (!(value <= p->high_value + 1e-9 * range))
            break;
        snprintf(text, sizeof text, "%.4g", value + 0.0);
        cairo.move_to(c, p->bar_left + BAR_WIDTH, y);
        cairo.line_to(c, p->bar_left + BAR_WIDTH + 3, y);
        cairo.stroke(c);
        cairo.move_to(c, p->bar_left + BAR_WIDTH + LABEL_GAP, y + 3.5);
        cairo.show_text(c, text);
    }
}

static cairo_status_t append(void *closure, const unsigned char *data, unsigned int length)
{
    cli_picture *picture = closure;
    if (length > picture->capacity - picture->size) {
        size_t capacity = 2 * picture->capacity + length;
        unsigned char *grown = realloc(picture->bytes, capacity);
        if (!grown)
            return CAIRO_STATUS_NO_MEMORY;
        picture->bytes = grown;
        picture->capacity = capacity;
    }
    memcpy(picture->bytes + picture->size, data, length);
    picture->size += length;
    return CAIRO_STATUS_SUCCESS;
}

static cairo_status_t append_text(cli_picture *picture, const char *text)
{
    cairo_status_t status = CAIRO_STATUS_SUCCESS;
    for (; *text && status == CAIRO_STATUS_SUCCESS; text++) {
        const char *escape = *text == '<'   ? "&lt;"
                             : *text == '>' ? "&gt;"
                             : *text == '&' ? "&amp;"
                                            : NULL;
        status = escape ? append(picture, (const unsigned char *)escape, (unsigned)strlen(escape))
                        : append(picture, (const unsigned char *)text, 1);
    }
    return status;
}

#define APPEND(picture, text) append(picture, (const unsigned char *)(text), sizeof(text) - 1)

/* Cairo draws the words as outlines. For search and for
 * screen readers they also stand in <title> and <desc>. */
static cairo_status_t add_words(cli_picture *out, const cli_picture *drawn, const cli_heatmap *map)
{
    char text[LABEL_BYTES];
    size_t head = 0;
    while (head + 4 < drawn->size && memcmp(drawn->bytes + head, "<svg", 4) != 0)
        head++;
    while (head < drawn->size && drawn->bytes[head] != '>')
        head++;
    if (head == drawn->size)
        return CAIRO_STATUS_WRITE_ERROR;
    cairo_status_t status = append(out, drawn->bytes, (unsigned)head + 1);
    if (!status)
        status = APPEND(out, "\n<title>");
    if (!status)
        status = append_text(out, map->title);
    if (!status)
        status = APPEND(out, "</title>\n<desc>rows:");
    for (size_t i = 0; i < map->rows + map->columns && !status; i++) {
        int is_row = i < map->rows;
        if (i == map->rows)
            status = APPEND(out, "\ncolumns:");
        label_text(text, sizeof text, is_row ? map->row_labels : map->column_labels,
                   is_row ? i : i - map->rows);
        if (!status)
            status = APPEND(out, " ");
        if (!status)
            status = append_text(out, text);
    }
    if (!status)
        status = APPEND(out, "</desc>");
    if (!status)
        status = append(out, drawn->bytes + head + 1, (unsigned)(drawn->size - head - 1));
    return status;
}

static void draw_all(cairo_t *c, const cli_heatmap *map, const placement *p)
{
    cairo.set_source_rgb(c, 1, 1, 1);
    cairo.paint(c);
    draw_titles(c, map);
    draw_cells(c, map, p);
    draw_labels(c, map, p);
    draw_bar(c, p);
}

int cli_heatmap_draw(cli_picture *out, const cli_heatmap *map, cli_picture_type type)
{
    cli_picture drawn = {0};
    placement p = {0};
    memset(out, 0, sizeof *out);
    int result = cli_cairo_load(&cairo);
    if (result)
        return result;
    cairo_surface_t *scratch = cairo.image_surface_create(CAIRO_FORMAT_ARGB32, 1, 1);
    cairo_t *ruler = cairo.create(scratch);
    place(ruler, map, &p);
    cairo.destroy(ruler);
    cairo.surface_destroy(scratch);
    cairo_surface_t *surface =
        type == CLI_SVG
            ? cairo.svg_surface_create_for_stream(append, &drawn, p.width, p.height)
            : cairo.image_surface_create(CAIRO_FORMAT_RGB24, (int)(p.width * PIXELS_PER_POINT),
                                         (int)(p.height * PIXELS_PER_POINT));
    cairo_t *c = cairo.create(surface);
    if (type == CLI_PNG)
        cairo.scale(c, PIXELS_PER_POINT, PIXELS_PER_POINT);
    draw_all(c, map, &p);
    cairo_status_t status = cairo.status(c);
    cairo.destroy(c);
    if (status == CAIRO_STATUS_SUCCESS && type == CLI_PNG)
        status = cairo.surface_write_to_png_stream(surface, append, out);
    cairo.surface_finish(surface);
    if (status == CAIRO_STATUS_SUCCESS)
        status = cairo.surface_status(surface);
    cairo.surface_destroy(surface);
    if (status == CAIRO_STATUS_SUCCESS && type == CLI_SVG)
        status = add_words(out, &drawn, map);
    free(drawn.bytes);
    if (status == CAIRO_STATUS_SUCCESS)
        return CLI_DONE;
    free(out->bytes);
    memset(out, 0, sizeof *out);
    return CLI_FAIL(CLI_SYSTEM, "--output: the picture cannot be drawn: %s",
                    cairo.status_to_string(status));
}
