/* random.h: inputs for `bench --shape`, the same each time. */
#ifndef CLI_RANDOM_H
#define CLI_RANDOM_H

#include "call.h"

/* Makes query, key and value of the options' shape, and the parameters that their score needs. */
int cli_random_inputs(cli_call *call, const cli_options *options);

#endif
