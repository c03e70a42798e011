/* lanes_backward.cl and row_deltas.cl: with every row of the tuning table, and the ends of what their headers
 * allow. */
#include "device.h"
#include "support/dot_backward.h"
#include "tuning/tuning.h"

#include <stdio.h>

/* Beside the tuning table; half as wide for doubles, so that 1 is both. */
static const clattn__tuning others[] = {
    {"VW 1, NV 1", .vector = 1, .tile_rows = 4, .tile_vectors = 1, .backward_rows = 16,
     .backward_keys = 24},
    {"VW 4, NV 3", .vector = 4, .tile_rows = 4, .tile_vectors = 3, .backward_rows = 24,
     .backward_keys = 48},
    {"VW 16, NV 2", .vector = 16, .tile_rows = 12, .tile_vectors = 2, .backward_rows = 48,
     .backward_keys = 128},
};

static int run_with(clattn_device *device, const clattn__tuning *tuning, dot_backward_cases cases)
{
    char name[96];
    (void)snprintf(name, sizeof name, "lanes backward, %s", tuning->family);
    return dot_backward_run(device, tuning, "lanes", name, cases);
}

int main(void)
{
    clattn_device *device;
    int failures = 0;
    size_t count;
    if (clattn_device_open(&device, NULL, 0) != CLATTN_OK) {
        (void)fprintf(stderr, "%s\n", clattn_last_error());
        return 1;
    }
    const clattn__tuning *rows = clattn__tuning_rows(&count);
    failures += run_with(device, device->tuning, DOT_BACKWARD_ALL);
    for (size_t i = 0; i < count; i++)
        if (&rows[i] != device->tuning)
            failures += run_with(device, &rows[i], DOT_BACKWARD_FEW);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        failures += run_with(device, &others[i], DOT_BACKWARD_FEW);
    clattn_device_close(device);
    return failures;
}
