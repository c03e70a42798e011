/* text.c: the one place that prints errors. */
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static char sentence[4096];

/* A sentence may quote a file name, a compiler or a driver:
 * whatever they hold, it stays one line. */
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

/* What the library calls a thing for which there is an option: "desc.scale", "kv_lengths".
 * Its length with the colon, 0 where the sentence does not begin with such a name. */
static size_t argument_length(const char *words)
{
    static const char *const names[] = {
        "query: ",       "key: ",     "value: ",        "given_scores: ", "mask: ",
        "bias: ",        "scores: ",  "kv_lengths: ",   "alibi_slopes: ", "sinks: ",
        "output: ",      "lse: ",     "weights: ",      "desc.scale: ",   "desc.softcap: ",
        "desc.window: ", "variant: ", "cu_seqlens_q: ", "cu_seqlens_k: "};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strncmp(words, names[i], strlen(names[i])) == 0)
            return strlen(names[i]) - 1;
    }
    return 0;
}

int cli_check(clattn_status status)
{
    char option[32] = "";
    if (status == CLATTN_OK)
        return CLI_DONE;
    const char *words = clattn_last_error();
    const size_t length = argument_length(words);
    if (length) {
        const size_t skip = strncmp(words, "desc.", 5) == 0 ? 5 : 0;
        snprintf(option, sizeof option, "--%.*s", (int)(length - skip), words + skip);
        for (char *at = option; *at; at++) {
            if (*at == '_')
                *at = '-';
        }
    }
    int bad_input = status == CLATTN_E_ARGUMENT || status == CLATTN_E_UNSUPPORTED;
    return CLI_FAIL(bad_input ? CLI_BAD_INPUT : CLI_SYSTEM, "%s%s", option,
                    words[0] ? words + length : clattn_status_name(status));
}

const char *cli_sentence(void)
{
    return sentence;
}

void cli_warn(const char *words)
{
    fprintf(stderr, "clattn: warning: %s\n", words);
}

void cli_report_failure(void)
{
    fprintf(stderr, "clattn: %s\n", sentence);
}
