/* utf8.h: characters of texts, and the room they take in a terminal. */
#ifndef CLI_UTF8_H
#define CLI_UTF8_H

#include <stddef.h>

/* Bytes of the character at `at`; 0 where there is none that can be shown: cut, overlong, a surrogate,
 * beyond U+10FFFF, or one that controls a terminal. */
size_t cli_utf8_length(const char *at);

/* The end of the character at `at`, in valid text, with the marks that are set on it. `*columns` is what a
 * terminal gives it: 2 for the wide ones of East Asia and pictures, else 1. */
const char *cli_utf8_next(const char *at, size_t *columns);

/* Columns of a valid text. */
size_t cli_utf8_columns(const char *text);

#endif
