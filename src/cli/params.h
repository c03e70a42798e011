/* params.h: the parameters of scores: which score takes which, and the options --param NAME=FILE and
 * --grad-param NAME=FILE. */
#ifndef CLI_PARAMS_H
#define CLI_PARAMS_H

#include "options.h"

#include <stdbool.h>

/* "param w_query": as a parameter, one of the inputs from CLI_FIRST_PARAM, is given. */
const char *cli_param_argument(enum cli_input param);

/* "grad-param w_query", "grad.params.w_query": as its gradient, an output from CLI_GRAD_PARAMS, is given, and
 * what the library calls it. */
const char *cli_param_gradient_option(enum cli_output gradient);
const char *cli_param_gradient_name(enum cli_output gradient);

/* True for what a score cannot do without. */
bool cli_param_is_required(enum cli_input param, clattn_score score);

/* Takes NAME=FILE into the options. Which score it is for may only be said later. */
int cli_param_parse(cli_options *options, const char *text);

/* The same for the file of its gradient. */
int cli_param_gradient_parse(cli_options *options, const char *text);

/* Refuses what the score of the options does not take, and what it lacks. */
int cli_params_check(const cli_options *options);

#endif
