/* heatmap_text.c: a heat map of characters: a line per query, a cell of one or two characters per key,
 * words at the margins, those of keys from top to bottom. */
#include "heatmap.h"

#include "colours.h"
#include "utf8.h"

#include <math.h>
#include <string.h>

#define MOST_ROW_LABEL_COLUMNS 20
#define MOST_COLUMN_LABEL_LINES 12
#define LEAST_ROOM 8 /* for cells, however narrow the terminal */
#define MOST_LINES 100
#define WIDEST_CELL 2 /* about a square */
#define ELLIPSIS "\u2026"

typedef struct layout {
    const cli_heatmap *map;
    FILE *out;
    int colours;
    size_t margin;        /* columns of row labels */
    size_t lines, across; /* cells of a matrix */
    size_t cell;          /* columns of each */
    cli_range range;
} layout;

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t digits_of(size_t number)
{
    size_t digits = 1;
    for (; number > 9; number /= 10)
        digits++;
    return digits;
}

static void put_blanks(FILE *out, size_t count)
{
    fprintf(out, "%*s", (int)count, "");
}

/* Columns for row labels, a third of the width at most. */
static size_t margin_of(const cli_heatmap *map, size_t width)
{
    size_t widest = 1;
    if (!map->row_labels)
        return digits_of(map->rows ? map->rows - 1 : 0);
    for (size_t i = 0; i < map->rows; i++) {
        const size_t columns = cli_utf8_columns(map->row_labels[i]);
        widest = columns > widest ? columns : widest;
    }
    return least(widest, least(MOST_ROW_LABEL_COLUMNS, width / 3 + 1));
}

static layout arrange(FILE *out, const cli_heatmap *map, size_t width, int colours)
{
    layout l = {.map = map, .out = out, .colours = colours, .margin = margin_of(map, width)};
    const size_t frame = l.margin + 3;
    const size_t room = width > frame + LEAST_ROOM ? width - frame : LEAST_ROOM;
    l.across = least(map->columns, room);
    l.cell = l.across ? least(WIDEST_CELL, room / l.across) : 1;
    l.lines = least(map->rows, MOST_LINES);
    l.range = cli_heatmap_range(map);
    return l;
}

/* The row or column that the first element of a cell comes from. */
static size_t first_in(size_t cell, size_t cells, size_t count)
{
    return cell * count / cells;
}

/* At the right end of the margin, shortened where it does not fit. */
static void print_row_label(const layout *l, size_t row)
{
    if (!l->map->row_labels) {
        fprintf(l->out, "%*zu", (int)l->margin, row);
        return;
    }
    const char *const label = l->map->row_labels[row], *end = label;
    const size_t columns = cli_utf8_columns(label);
    if (columns <= l->margin) {
        put_blanks(l->out, l->margin - columns);
        fputs(label, l->out);
        return;
    }
    size_t used = 0;
    for (;;) {
        size_t wide = 0;
        const char *next = cli_utf8_next(end, &wide);
        if (used + wide > l->margin - 1)
            break;
        used += wide;
        end = next;
    }
    put_blanks(l->out, l->margin - 1 - used);
    fprintf(l->out, "%.*s" ELLIPSIS, (int)(end - label), label);
}

/* Characters of a label that stands upright. */
static size_t lines_of(const char *label)
{
    size_t lines = 0, columns = 0;
    for (; *label; lines++)
        label = cli_utf8_next(label, &columns);
    return lines;
}

/* Line `line` of `lines` of an upright label, whose end stands in the last one. */
static void print_upright(FILE *out, const char *label, size_t line, size_t lines, size_t cell)
{
    const size_t all = lines_of(label), shown = least(all, lines);
    size_t columns = 0;
    if (line < lines - shown) {
        put_blanks(out, cell);
        return;
    }
    for (size_t skip = line - (lines - shown); skip > 0; skip--)
        label = cli_utf8_next(label, &columns);
    const char *end = cli_utf8_next(label, &columns);
    if (line + 1 == lines && all > lines) {
        fputs(ELLIPSIS, out);
        columns = 1;
    } else {
        fprintf(out, "%.*s", (int)(end - label), label);
    }
    put_blanks(out, cell > columns ? cell - columns : 0);
}

static void print_column_labels(const layout *l)
{
    /* Where a cell has no room for a wide character, its neighbour's is taken. */
    const size_t step = l->cell < 2 ? 2 : 1;
    size_t lines = 0;
    for (size_t x = 0; x < l->across; x += step) {
        const char *label = l->map->column_labels[first_in(x, l->across, l->map->columns)];
        const size_t needed = lines_of(label);
        lines = needed > lines ? needed : lines;
    }
    lines = least(lines, MOST_COLUMN_LABEL_LINES);
    for (size_t line = 0; line < lines; line++) {
        put_blanks(l->out, l->margin + 2);
        for (size_t x = 0; x < l->across; x += step)
            print_upright(l->out, l->map->column_labels[first_in(x, l->across, l->map->columns)],
                          line, lines, step * l->cell);
        fputc('\n', l->out);
    }
}

static void print_column_numbers(const layout *l)
{
    const size_t widest = digits_of(l->map->columns ? l->map->columns - 1 : 0);
    const size_t step = cli_label_step((double)(widest + 1) / (double)l->cell, NULL);
    put_blanks(l->out, l->margin + 2);
    for (size_t x = 0; x < l->across; x += step) {
        const int last = x + step >= l->across;
        fprintf(l->out, "%-*zu", last ? 0 : (int)(step * l->cell),
                first_in(x, l->across, l->map->columns));
    }
    fputc('\n', l->out);
}

static int byte_of(double part)
{
    return (int)(255 * part + 0.5);
}

/* A cell, or a piece of the legend. */
static void print_shade(const layout *l, double share)
{
    static const char *const shades[] = {" ", "\u2591", "\u2592", "\u2593", "\u2588"};
    const cli_colour ground = cli_colour_of(share);
    if (isfinite(share) && l->colours) {
        fprintf(l->out, "\033[48;2;%d;%d;%dm%*s", byte_of(ground.r), byte_of(ground.g),
                byte_of(ground.b), (int)l->cell, "");
        return;
    }
    for (size_t i = 0; i < l->cell; i++)
        fputs(isfinite(share) ? shades[(int)(4 * share + 0.5)] : "?", l->out);
}

static void end_colours(const layout *l)
{
    if (l->colours)
        fputs("\033[0m", l->out);
}

static void print_matrix(const layout *l, size_t matrix)
{
    if (l->map->column_labels)
        print_column_labels(l);
    else
        print_column_numbers(l);
    for (size_t y = 0; y < l->lines; y++) {
        print_row_label(l, first_in(y, l->lines, l->map->rows));
        fputs(" \u2502", l->out);
        for (size_t x = 0; x < l->across; x++) {
            const double v = cli_heatmap_cell(l->map, matrix, y, l->lines, x, l->across);
            print_shade(l, cli_range_share(l->range, v));
        }
        end_colours(l);
        fputs("\u2502\n", l->out);
    }
}

/* What the shades mean, and that a cell stands for several weights where it does. */
static void print_legend(const layout *l)
{
    put_blanks(l->out, l->margin + 2);
    fprintf(l->out, "%.3g ", l->range.low);
    for (int i = 0; i <= 4; i++)
        print_shade(l, 0.25 * i);
    end_colours(l);
    fprintf(l->out, " %.3g\n", l->range.high);
    if (l->lines < l->map->rows || l->across < l->map->columns)
        fprintf(l->out, "A cell shows the largest of its weights: %zu x %zu cells for %zu x %zu.\n",
                l->lines, l->across, l->map->rows, l->map->columns);
}

void cli_heatmap_print(FILE *out, const cli_heatmap *map, size_t width, int colours)
{
    const layout l = arrange(out, map, width, colours);
    char text[CLI_MATRIX_TEXT];
    fprintf(out, "%s\n%s\n", map->title, map->subtitle);
    for (size_t i = 0; i < map->matrices; i++) {
        fputc('\n', out);
        if (map->matrices > 1)
            fprintf(out, "%s\n", cli_matrix_title(text, i));
        print_matrix(&l, i);
    }
    fputc('\n', out);
    print_legend(&l);
}
