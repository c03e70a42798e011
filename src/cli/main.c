/* main.c: the program clattn: finds the command, runs it, and prints the one line of a failure. */
#include "commands.h"
#include "text.h"

#include <clattn/base.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
    {"devices", cli_devices, "lists the OpenCL devices"},
    {"run", cli_run, "computes attention on .npy files"},
    {"verify", cli_verify, "computes it and holds every error against its bound"},
    {"bench", cli_bench, "times devices and variants side by side"},
    {"plot", cli_plot, "draws attention weights as labelled heat maps, or prints them"},
};
#define COMMANDS (sizeof commands / sizeof commands[0])

static void print_help(void)
{
    printf("usage: clattn COMMAND [options]      clattn COMMAND --help      clattn --version\n\n"
           "Attention on OpenCL devices, checked against a reference.\n\n");
    for (size_t i = 0; i < COMMANDS; i++)
        printf("  %-9s %s\n", commands[i].name, commands[i].summary);
    printf("\n"
           "  Compute, check, time and draw:\n"
           "    clattn run --query q.npy --key k.npy --value v.npy --output o.npy --weights w.npy\n"
           "    clattn verify --query q.npy --key k.npy --value v.npy --causal\n"
           "    clattn bench --shape 1,8,8,1024,1024,64,64 --variants all\n"
           "    clattn plot --weights w.npy --head 1 --output w.png\n\n"
           "Exit codes: 0 done, 1 a check failed, 2 bad usage or input, 3 a device or system "
           "failure.\n");
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2)
        return CLI_FAIL(CLI_BAD_INPUT, "a command is missing; see 'clattn --help'");
    if (strcmp(argv[1], "--version") == 0) {
        if (argc > 2)
            return CLI_FAIL(CLI_BAD_INPUT, "--version: unexpected argument '%s'; expected none",
                            argv[2]);
        printf("clattn %s\n", clattn_version());
        return CLI_DONE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_help();
        return CLI_DONE;
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    return CLI_FAIL(CLI_BAD_INPUT,
                    "'%s' is no command; expected devices, run, verify, bench or plot", argv[1]);
}

int main(int argc, char **argv)
{
    /* A pipe whose reader has gone is then a failed write, after which files are put in order. */
    signal(SIGPIPE, SIG_IGN);
    int result = dispatch(argc, argv);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        int cause = errno;
        if (result == CLI_DONE)
            result = CLI_FAIL(CLI_SYSTEM, "the report cannot be written: %s", strerror(cause));
    }
    if (result != CLI_DONE)
        cli_report_failure();
    return result;
}
