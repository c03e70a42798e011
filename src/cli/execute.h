/* execute.h: what run and verify have in common: read, run on a device, write. */
#ifndef CLI_EXECUTE_H
#define CLI_EXECUTE_H

#include "files.h"
#include "report.h"

/* Everything one execution makes; zero it first,
 * cli_execution_free() frees it whatever happened. */
typedef struct cli_execution {
    clattn_device *device;
    cli_call call;
    cli_resident resident;
    cli_planned planned;
    cli_files files;
    cli_summary summary;
} cli_execution;

/* Checks names of files, reads the inputs, opens the device, runs, and reads the outputs back. */
int cli_execute(cli_execution *execution, const cli_options *options, int command);

/* Writes the outputs that have a file beside their targets;
 * cli_files_commit() makes them appear. */
int cli_execution_write(cli_execution *execution, const cli_options *options);

void cli_execution_free(cli_execution *execution);

/* The files of the options, checked against one another. */
int cli_check_names(const cli_options *options);

#endif
