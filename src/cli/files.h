/* files.h: output files that appear whole or not at all.
 *
 * Every file is written beside its target as NAME.tmp-PID-N; only when all are written are they
 * renamed. What is no regular file, such as a pipe or /dev/null, is written in place: renaming
 * would replace the device. */
#ifndef CLI_FILES_H
#define CLI_FILES_H

#include <clattn/tensor.h>
#include <stddef.h>

/* An output takes no name that is also an input or another
 * output: a bad call must not destroy data. */
typedef struct cli_name {
    const char *argument, *path; /* option without dashes; file, NULL for one not given */
} cli_name;

/* Checks names before any work is done: no target is an
 * input or another target, and each one's folder exists. */
int cli_files_check(const cli_name *inputs, size_t input_count, const cli_name *outputs,
                    size_t output_count);

typedef struct cli_file {
    const char *argument, *path;
    char *target,
        *temporary; /* what `path` resolves to; NULL for a file that is written in place */
} cli_file;

#define CLI_MAX_FILES 28
typedef struct cli_files {
    cli_file files[CLI_MAX_FILES];
    size_t count;
} cli_files;

/* Writes one file beside its target: `head`, then `body`. */
int cli_files_write(cli_files *files, const char *argument, const char *path, const void *head,
                    size_t head_bytes, const void *body, size_t body_bytes);

/* The same for a dense host tensor as .npy; bf16, which NumPy lacks, is written as float32. */
int cli_files_write_npy(cli_files *files, const char *argument, const char *path,
                        const clattn_tensor *tensor);

/* Renames all that was written. */
int cli_files_commit(cli_files *files);

/* Removes what was written and not renamed. */
void cli_files_discard(cli_files *files);

#endif
