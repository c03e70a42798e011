/* text.c: the one place that prints errors. */
#include "text.h"

#include <stdarg.h>
#include <stdio.h>

static char sentence[4096];

/* A sentence may quote a file name, a compiler or a driver: whatever they hold, it stays one line.
 */
static void flatten(char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || *text == 127)
            *text = ' ';
    }
}

void cli_keep(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    flatten(sentence);
}

int cli_check(clattn_status status)
{
    if (status == CLATTN_OK)
        return CLI_DONE;
    const char *words = clattn_last_error();
    int bad_input = status == CLATTN_E_ARGUMENT || status == CLATTN_E_UNSUPPORTED;
    return CLI_FAIL(bad_input ? CLI_BAD_INPUT : CLI_SYSTEM, "%s",
                    words[0] ? words : clattn_status_name(status));
}

const char *cli_sentence(void)
{
    return sentence;
}

void cli_report_failure(void)
{
    fprintf(stderr, "clattn: %s\n", sentence);
}
