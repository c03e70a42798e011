/* backward.h: --backward: which gradients come in, which are made, and what forward has to give for them. */
#ifndef CLI_BACKWARD_H
#define CLI_BACKWARD_H

#include "call.h"

/* Refuses what goes with the other direction only, and what `command` lacks; says in the description of what
 * gradients come in. */
int cli_backward_check(cli_options *options, int command);

/* Makes the gradients of a loaded call: those that the options name, or where they name none, all that its
 * inputs have. */
int cli_backward_make_gradients(cli_call *call, const cli_options *options);

/* What forward has to give out for a description: all that is wanted of it, or what backward reads. */
uint32_t cli_backward_results(const clattn_attention_desc *desc);

/* Runs forward, for a call backward that reads its results. */
int cli_backward_prepare(const cli_resident *resident, const cli_call *call);

#endif
