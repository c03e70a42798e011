/* commands.h: one function per command; argv[0] is the command's name. They return an exit code of
 * text.h and leave the sentence of a failure to main(). */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

int cli_devices(int argc, char **argv);
int cli_run(int argc, char **argv);
int cli_verify(int argc, char **argv);
int cli_bench(int argc, char **argv);
int cli_plot(int argc, char **argv);

/* Prints a command's own help, and the options that run, verify and bench share. */
void cli_print_help(const char *own);

#endif
