/* tiles_backward.cl: with every row of the tile table, and another. */
#include "device.h"
#include "ops/tile.h"
#include "support/device_runs.h"
#include "support/dot_backward.h"

#include <stdio.h>

/* Some tests with one tile alone. */
static int run_with(clattn_device *device, const clattn__tile *tile)
{
    clattn__tuning tuning = *device->tuning;
    char name[96];
    (void)snprintf(name, sizeof name, "tiles backward, %d x %d", clattn__tile_rows(tile),
                   clattn__tile_columns(tile));
    tuning.tiles = tile, tuning.tile_count = 1;
    return dot_backward_run(device, &tuning, "tiles", name, DOT_BACKWARD_FEW);
}

int main(void)
{
    clattn_device *device;
    int failures = 0;
    if (clattn_device_open(&device, NULL, 0) != CLATTN_OK) {
        (void)fprintf(stderr, "%s\n", clattn_last_error());
        return 1;
    }
    const clattn__tuning *const tuning = device->tuning;
    failures += dot_backward_run(device, tuning, "tiles", "tiles backward", DOT_BACKWARD_SOME);
    for (size_t i = 1; i < tuning->tile_count; i++)
        failures += run_with(device, &tuning->tiles[i]);
    failures += run_with(device, &tile_beside_the_table);
    clattn_device_close(device);
    return failures;
}
