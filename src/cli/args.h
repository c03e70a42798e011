/* args.h: one pass over the arguments of a command, by the table of its options. */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include <stddef.h>

typedef struct cli_option {
    const char *name; /* without its dashes */
    enum {
        CLI_TAKES_NOTHING,
        CLI_TAKES_ONE,
        CLI_TAKES_MANY
    } takes; /* values; many: one each time */
} cli_option;

#define CLI_MAX_OPTIONS 64

typedef struct cli_args {
    char **argv; /* argv[0] is the command's name */
    int argc, next;
    const cli_option *options;
    size_t count;
    unsigned char seen[CLI_MAX_OPTIONS];
} cli_args;

/* The table stays the caller's, and has at most CLI_MAX_OPTIONS rows. */
cli_args cli_args_of(int argc, char **argv, const cli_option *options, size_t count);

/* Takes the next option: its place in the table, and its value or NULL for a switch.
 * Behind the last one the place is `count`. -h is --help. Names are not abbreviated,
 * so that a new option cannot change what an old command line means. */
int cli_args_next(cli_args *args, size_t *option, const char **value);

#endif
