/* colours.c: one map for pictures and terminals. */
#include "colours.h"

#include <math.h>
#include <stddef.h>

/* The map "mako" of seaborn (M. Waskom, BSD licence), its light end lifted towards the paper. Its lightness
 * falls evenly, by 19 of CIE's 100 steps between two stops: even steps of value look even to all kinds of
 * colour vision, and in grey print. */
const cli_colour cli_colour_stops[CLI_COLOUR_STOPS] = {
    {0.945, 0.980, 0.957}, {0.376, 0.808, 0.675}, {0.204, 0.592, 0.663},
    {0.224, 0.365, 0.612}, {0.220, 0.165, 0.329}, {0.043, 0.016, 0.020},
};

cli_colour cli_colour_of(double share)
{
    const double place = fmin(fmax(share, 0), 1) * (CLI_COLOUR_STOPS - 1.0);
    size_t i = (size_t)place;
    if (i >= CLI_COLOUR_STOPS - 1)
        i = CLI_COLOUR_STOPS - 2;
    const double f = place - (double)i;
    const cli_colour *a = &cli_colour_stops[i], *b = a + 1;
    return (cli_colour){a->r + f * (b->r - a->r), a->g + f * (b->g - a->g),
                        a->b + f * (b->b - a->b)};
}
