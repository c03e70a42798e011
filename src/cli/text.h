/* text.h: what the program says when it fails: one line on stderr, and an exit code. */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include <clattn/status.h>

/* Exit codes. Every function of src/cli that can fail returns one of them, CLI_DONE for success. */
enum { CLI_DONE = 0, CLI_CHECK_FAILED = 1, CLI_BAD_INPUT = 2, CLI_SYSTEM = 3 };

/* Jumps to `done` with the code of a call that failed; `result` holds it. */
#define CLI_TRY(call)                                                                              \
    do {                                                                                           \
        result = (call);                                                                           \
        if (result != CLI_DONE)                                                                    \
            goto done;                                                                             \
    } while (0)

/* Keeps the sentence that cli_report_failure() prints (printf style). */
void cli_keep(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same, as an expression of the value `code`: a macro,
 * so that a compiler sees which value it is. */
#define CLI_FAIL(code, ...) (cli_keep(__VA_ARGS__), (code))

/* The same for a call of the library: CLI_DONE for CLATTN_OK, else its sentence,
 * in which an argument has the name of its option, and the code that fits. */
int cli_check(clattn_status status);

/* The sentence of the last failure, always one line; "" before the first. */
const char *cli_sentence(void);

/* Prints a warning on stderr, for a command that has done its work: a failure is one line alone. */
void cli_warn(const char *words);

/* The same for what may be just as it should be. */
void cli_note(const char *words);

/* Prints "clattn: " and the sentence on stderr. */
void cli_report_failure(void);

#endif
