/* args.c: what getopt_long() does, with the sentences of this program and without abbreviations. */
#include "args.h"

#include "text.h"

#include <string.h>

cli_args cli_args_of(int argc, char **argv, const cli_option *options, size_t count)
{
    return (cli_args){.argv = argv, .argc = argc, .next = 1, .options = options, .count = count};
}

/* The place of the option that `text` names, up to its end or to '='. */
static size_t find(const cli_args *args, const char *text)
{
    const char *name = strcmp(text, "-h") == 0 ? "help" : text + 2;
    const size_t length = strcspn(name, "=");
    size_t i = 0;
    while (i < args->count && (strncmp(args->options[i].name, name, length) != 0 ||
                               args->options[i].name[length] != '\0'))
        i++;
    return i;
}

/* The value of an option: behind '=', or the next argument. */
static int take_value(cli_args *args, const char *name, const char *equals, const char **value)
{
    if (!equals && args->next == args->argc)
        return CLI_FAIL(CLI_BAD_INPUT, "--%s: nothing follows it; expected a value", name);
    *value = equals ? equals + 1 : args->argv[args->next++];
    if (!equals && strncmp(*value, "--", 2) == 0)
        return CLI_FAIL(CLI_BAD_INPUT,
                        "--%s: '%s' follows it; expected a value (--%s=%s if this is one)", name,
                        *value, name, *value);
    if (!**value)
        return CLI_FAIL(CLI_BAD_INPUT, "--%s: '' is empty; expected a value", name);
    return CLI_DONE;
}

int cli_args_next(cli_args *args, size_t *option, const char **value)
{
    const char *command = args->argv[0];
    *option = args->count;
    *value = NULL;
    if (args->next == args->argc)
        return CLI_DONE;
    const char *text = args->argv[args->next++];
    const int ends = strcmp(text, "--") == 0; /* the options; no command takes anything else */
    if (ends && args->next == args->argc)
        return CLI_DONE;
    if (ends || text[0] != '-' || text[1] == '\0')
        return CLI_FAIL(CLI_BAD_INPUT, "%s: unexpected argument '%s'; see 'clattn %s --help'",
                        command, ends ? args->argv[args->next] : text, command);
    const char *equals = strchr(text, '=');
    const size_t found =
        strncmp(text, "--", 2) == 0 || strcmp(text, "-h") == 0 ? find(args, text) : args->count;
    if (found == args->count)
        return CLI_FAIL(CLI_BAD_INPUT, "%s: unknown option '%.*s'; see 'clattn %s --help'", command,
                        (int)strcspn(text, "="), text, command);
    const cli_option *o = &args->options[found];
    if (args->seen[found] && o->takes != CLI_TAKES_MANY)
        return CLI_FAIL(CLI_BAD_INPUT, "--%s: given twice; expected once", o->name);
    args->seen[found] = 1;
    *option = found;
    if (o->takes != CLI_TAKES_NOTHING)
        return take_value(args, o->name, equals, value);
    if (equals)
        return CLI_FAIL(CLI_BAD_INPUT, "--%s: '%s'; expected no value", o->name, text);
    return CLI_DONE;
}
