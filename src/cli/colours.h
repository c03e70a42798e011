/* colours.h: from a share of the range to a colour. */
#ifndef CLI_COLOURS_H
#define CLI_COLOURS_H

typedef struct cli_colour {
    double r, g, b; /* sRGB, 0 to 1 */
} cli_colour;

/* The stops of the map at even steps, light to dark; between two of them it is a line. */
#define CLI_COLOUR_STOPS 6
extern const cli_colour cli_colour_stops[CLI_COLOUR_STOPS];

/* The colour of a share in [0, 1]; what lies outside takes that of its end. */
cli_colour cli_colour_of(double share);

#endif
