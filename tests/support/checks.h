/* checks.h: cmocka with the headers that it wants before
 * it, and assertions in this project's words. */
#ifndef TESTS_SUPPORT_CHECKS_H
#define TESTS_SUPPORT_CHECKS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <clattn/clattn.h>

/* Fails with the thread's last error in the report. */
#define assert_status(wanted, call) assert_status_at(wanted, call, #call, __FILE__, __LINE__)
void assert_status_at(clattn_status wanted, clattn_status got, const char *call, const char *file,
                      int line);

/* The thread's last error has these words in it. */
void assert_last_error_says(const char *words);

/* The same of a call that found its arguments wrong. */
void assert_argument_refused(clattn_status status, const char *words);

/* |got - wanted| <= tolerance; NaN meets NaN, and an infinity the same one. `what` and `index` go
 * into the report. */
void assert_close(double got, double wanted, double tolerance, const char *what, size_t index);

/* The errors and bounds of a report, on stderr. */
void print_verdicts(const clattn_report *report, const char *about);

/* Fails with the errors and bounds of a report that is not ok. `about` says what was verified. */
void assert_verified(const clattn_report *report, const char *about);

#endif
