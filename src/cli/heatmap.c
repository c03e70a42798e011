/* heatmap.c: what a picture and a text have in common. */
#include "heatmap.h"

#include <math.h>

cli_range cli_heatmap_range(const cli_heatmap *map)
{
    cli_range range = {0, 0};
    for (size_t n = 0; n < map->matrices * map->rows; n++) {
        const double *row =
            map->values + n / map->rows * map->matrix_stride + n % map->rows * map->stride;
        for (size_t j = 0; j < map->columns; j++) {
            if (!isfinite(row[j]))
                continue;
            range.low = fmin(range.low, row[j]);
            range.high = fmax(range.high, row[j]);
        }
    }
    if (range.high <= range.low)
        range.high = range.low + 1;
    return range;
}

double cli_range_share(cli_range range, double value)
{
    return isfinite(value) ? (value - range.low) / (range.high - range.low) : (double)NAN;
}

double cli_heatmap_cell(const cli_heatmap *map, size_t matrix, size_t row, size_t rows,
                        size_t column, size_t columns)
{
    const double *values = map->values + matrix * map->matrix_stride;
    double largest = (double)NAN;
    for (size_t i = row * map->rows / rows; i < (row + 1) * map->rows / rows; i++) {
        for (size_t j = column * map->columns / columns; j < (column + 1) * map->columns / columns;
             j++) {
            const double v = values[i * map->stride + j];
            if (isfinite(v))
                largest = fmax(largest, v); /* the number of the two where one is NaN */
        }
    }
    return largest;
}

size_t cli_label_step(double room, char *const *labels)
{
    static const size_t round_steps[] = {1, 2, 5};
    size_t power = 1;
    if (labels)
        return (size_t)fmax(1, ceil(room));
    for (size_t i = 0;; i++) {
        const size_t step = round_steps[i % 3] * power;
        if ((double)step >= room)
            return step;
        if (i % 3 == 2)
            power *= 10;
    }
}

const char *cli_matrix_title(char text[CLI_MATRIX_TEXT], size_t matrix)
{
    snprintf(text, CLI_MATRIX_TEXT, "head %zu", matrix);
    return text;
}
