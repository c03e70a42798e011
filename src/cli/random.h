/* random.h: inputs for `bench --shape`, and gradients for a call backward that has none: the same for the
 * same --seed. */
#ifndef CLI_RANDOM_H
#define CLI_RANDOM_H

#include "call.h"

/* Fills the input's dense host tensor with numbers in [centre - spread, centre + spread). */
void cli_random_fill(cli_call *call, enum cli_input input, double centre, double spread);

/* Makes query, key and value of the options' shape, and the parameters that their score needs. */
int cli_random_inputs(cli_call *call, const cli_options *options);

#endif
