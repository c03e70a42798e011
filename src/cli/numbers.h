/* numbers.h: the numbers that options take. Each returns an exit code of text.h; a failure is a sentence in
 * the name of --option. */
#ifndef CLI_NUMBERS_H
#define CLI_NUMBERS_H

#include <stddef.h>
#include <stdint.h>

/* A whole decimal number in [low, high]. */
int cli_parse_integer(int64_t *out, const char *option, const char *text, int64_t low,
                      int64_t high);

/* A whole decimal number of 64 bits without a sign. */
int cli_parse_unsigned(uint64_t *out, const char *option, const char *text);

int cli_parse_number(double *out, const char *option, const char *text);

/* Rising numbers from 0 and below `length`, with commas between them and FIRST-LAST for several: at most
 * `length`, for which `out` has room, and their `*count`. */
int cli_parse_rising(int64_t *out, int64_t *count, const char *option, const char *text,
                     int64_t length);

/* `count` integers of at least `low` with commas between them; `meaning` names them. */
int cli_parse_integers(int64_t *out, size_t count, const char *option, const char *meaning,
                       const char *text, int64_t low);

#endif
