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

/* How the library's sentences begin, and the options that they are about; a parameter is "params." and
 * its name. */
static const struct {
    const char *name, *option;
} options[] = {
    {"query", "query"},
    {"key", "key"},
    {"value", "value"},
    {"given_scores", "given-scores"},
    {"mask", "mask"},
    {"bias", "bias"},
    {"kv_lengths", "kv-lengths"},
    {"alibi_slopes", "alibi-slopes"},
    {"sinks", "sinks"},
    {"cu_seqlens_q", "cu-seqlens-q"},
    {"cu_seqlens_k", "cu-seqlens-k"},
    {"output", "output"},
    {"weights", "weights"},
    {"scores", "scores"},
    {"lse", "lse"},
    {"column_sums", "column-sums"},
    {"argmax", "argmax"},
    {"entropy", "entropy"},
    {"grad.output", "grad-output"},
    {"grad.weights", "grad-weights"},
    {"grad.lse", "grad-lse"},
    {"desc.scale", "scale"},
    {"desc.softcap", "softcap"},
    {"desc.window", "window"},
    {"desc.dropout", "dropout"},
    {"variant", "variant"},
    {"score location", "score location"},
    {"previous_weights", "param previous_weights"},
    {"coverage", "param coverage"},
};

/* The option that a sentence begins with in the library's words, "" where it does not; `*rest` is what
 * follows. */
static const char *option_of(const char *words, const char **rest)
{
    static char param[64];
    static const char prefix[] = "params.";
    const size_t length = strcspn(words, ":"), skip = sizeof prefix - 1;
    *rest = words + length;
    if (strncmp(words, prefix, skip) == 0) {
        snprintf(param, sizeof param, "param %.*s", (int)(length - skip), words + skip);
        return param;
    }
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        if (strlen(options[i].name) == length && strncmp(words, options[i].name, length) == 0)
            return options[i].option;
    }
    *rest = words;
    return "";
}

int cli_check(clattn_status status)
{
    if (status == CLATTN_OK)
        return CLI_DONE;
    const char *rest = NULL;
    const char *option = option_of(clattn_last_error(), &rest);
    const int bad_input = status == CLATTN_E_ARGUMENT || status == CLATTN_E_UNSUPPORTED;
    return CLI_FAIL(bad_input ? CLI_BAD_INPUT : CLI_SYSTEM, "%s%s%s", option[0] ? "--" : "", option,
                    rest[0] ? rest : clattn_status_name(status));
}

const char *cli_sentence(void)
{
    return sentence;
}

void cli_warn(const char *words)
{
    fprintf(stderr, "clattn: warning: %s\n", words);
}

void cli_note(const char *words)
{
    fprintf(stderr, "clattn: note: %s\n", words);
}

void cli_report_failure(void)
{
    fprintf(stderr, "clattn: %s\n", sentence);
}
