/* numbers.c: numbers with nothing before or behind them. */
#include "numbers.h"

#include "text.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int cli_parse_integer(int64_t *out, const char *option, const char *text, int64_t low, int64_t high)
{
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    int digits =
        text[0] == '-' || (text[0] >= '0' && text[0] <= '9'); /* strtoll also skips blanks */
    if (!digits || end == text || *end || errno || value < low || value > high) {
        if (high == INT64_MAX)
            return CLI_FAIL(CLI_BAD_INPUT, "--%s: '%s'; expected an integer of at least %" PRId64,
                            option, text, low);
        return CLI_FAIL(CLI_BAD_INPUT,
                        "--%s: '%s'; expected an integer from %" PRId64 " to %" PRId64, option,
                        text, low, high);
    }
    *out = value;
    return CLI_DONE;
}

int cli_parse_unsigned(uint64_t *out, const char *option, const char *text)
{
    char *end = NULL;
    errno = 0;
    const unsigned long long value = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end || errno)
        return CLI_FAIL(CLI_BAD_INPUT, "--%s: '%s'; expected an integer from 0 to %" PRIu64, option,
                        text, UINT64_MAX);
    *out = value;
    return CLI_DONE;
}

int cli_parse_number(double *out, const char *option, const char *text)
{
    char *end = NULL;
    *out = strtod(text, &end);
    if (isspace((unsigned char)text[0]) || end == text || *end)
        return CLI_FAIL(CLI_BAD_INPUT, "--%s: '%s'; expected a number", option, text);
    return CLI_DONE;
}

int cli_parse_integers(int64_t *out, size_t count, const char *option, const char *meaning,
                       const char *text, int64_t low)
{
    const char *at = text;
    for (size_t i = 0; i < count; i++) {
        char item[32];
        size_t length = strcspn(at, ",");
        int last = at[length] == '\0';
        if (length >= sizeof item || last != (i + 1 == count))
            return CLI_FAIL(CLI_BAD_INPUT, "--%s: '%s'; expected %s, %zu integers", option, text,
                            meaning, count);
        memcpy(item, at, length);
        item[length] = '\0';
        int result = cli_parse_integer(&out[i], option, item, low, INT64_MAX);
        if (result)
            return result;
        at += length + 1;
    }
    return CLI_DONE;
}

/* The number at `*at`, which goes on to what follows it; -1 where there is none. */
static int64_t take_number(const char **at)
{
    char *end = NULL;
    if (!isdigit((unsigned char)**at))
        return -1;
    const long long value = strtoll(*at, &end, 10); /* the largest one where it has no room */
    *at = end;
    return value;
}

int cli_parse_rising(int64_t *out, int64_t *count, const char *option, const char *text,
                     int64_t length)
{
    const char *at = text;
    int64_t next = 0; /* the least that may come */
    *count = 0;
    do {
        const char *item = at;
        const int64_t first = take_number(&at);
        int64_t last = first;
        if (*at == '-') {
            at++;
            last = take_number(&at);
        }
        if (first < next || last < first || last >= length || (*at && *at != ','))
            return CLI_FAIL(CLI_BAD_INPUT,
                            "--%s: '%.*s' in '%s'; expected rising numbers below %" PRId64
                            ", as 0,3,10-19",
                            option, (int)strcspn(item, ","), item, text, length);
        for (int64_t number = first; number <= last; number++)
            out[(*count)++] = number;
        next = last + 1;
    } while (*at++ == ',');
    return CLI_DONE;
}
