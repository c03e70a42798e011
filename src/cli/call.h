/* call.h: one attention call, from options to tensors in
 * host memory, and from there to a device. */
#ifndef CLI_CALL_H
#define CLI_CALL_H

#include "options.h"

#include <clattn/clattn.h>
#include <stdbool.h>

/* The call in host memory: what clattn_reference_run() and
 * clattn_verify() take. All its tensors are dense. */
typedef struct cli_call {
    clattn_attention_desc desc;
    clattn_attention_args args;
    bool has_random_gradient; /* backward: of the output, as none is given */
} cli_call;

/* The tensor of an input or output in `args`. */
clattn_tensor *cli_input_of(clattn_attention_args *args, enum cli_input input);
clattn_tensor *cli_output_of(clattn_attention_args *args, enum cli_output output);

/* True for an input that is worth a place on the device. All lengths, slopes, sinks and scalars stay on
 * the host, where the library checks them. */
bool cli_input_is_resident(enum cli_input input);

/* Reads the files of the options, or makes the random inputs of --shape; deduces heads and sizes;
 * makes the outputs. */
int cli_call_load(cli_call *call, const cli_options *options);

/* True for packed sequences. */
int cli_call_is_packed(const cli_call *call);

/* B, Hq, Hkv, S, T, D, Dv of a loaded call; D is 0 with given scores, S and T are the totals of packed
 * sequences. */
void cli_call_sizes(const cli_call *call, int64_t sizes[7]);

/* Bytes of all inputs and outputs. */
double cli_call_bytes(const cli_call *call);

void cli_call_free(cli_call *call);

/* The tensors of a call, those that are worth it in a device's memory. What backward reads of forward's
 * results is made there. */
typedef struct cli_resident {
    clattn_device *device; /* not owned */
    clattn_attention_args args;
    double seconds_in; /* of the transfer to the device */
} cli_resident;

int cli_resident_make(cli_resident *resident, clattn_device *device, const cli_call *call);

/* Copies the outputs back into the call's host tensors. */
int cli_resident_read(const cli_resident *resident, cli_call *call, double *seconds);

void cli_resident_free(cli_resident *resident);

/* A plan and its times. */
typedef struct cli_planned {
    clattn_plan *plan;
    double build_seconds; /* making the plan and, on OpenCL devices, its first run: some drivers
                             compile only then */
} cli_planned;

/* `variant` NULL: the first that accepts. An unaccepting
 * variant gives CLATTN_E_UNSUPPORTED in `*status`. */
int cli_planned_make(cli_planned *planned, const cli_resident *resident, const cli_call *call,
                     const char *variant, clattn_status *status);

/* Runs once and waits. */
int cli_planned_run(const cli_planned *planned, const cli_resident *resident, double *seconds);

/* Seconds on a clock that only goes forward. */
double cli_now(void);

#endif
