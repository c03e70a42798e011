#include "checks.h"

#include <math.h>
#include <string.h>

void assert_status_at(clattn_status wanted, clattn_status got, const char *call, const char *file,
                      int line)
{
    if (got == wanted)
        return;
    print_error("%s gave %s, expected %s; last error: %s\n", call, clattn_status_name(got),
                clattn_status_name(wanted), clattn_last_error());
    _fail(file, line);
}

void assert_close(double got, double wanted, double tolerance, const char *what, size_t index)
{
    const int fits = isnan(wanted)      ? isnan(got)
                     : isfinite(wanted) ? fabs(got - wanted) <= tolerance
                                        : got == wanted;
    if (fits)
        return;
    print_error("%s[%zu] is %.17g, expected %.17g within %.3g\n", what, index, got, wanted,
                tolerance);
    fail();
}

void print_verdicts(const clattn_report *report, const char *about)
{
    for (size_t v = 0; v < report->count; v++) {
        const clattn_verdict *verdict = &report->verdicts[v];
        print_error("%s: %s: error %.3g, bound %.3g, worst at %zu of %zu%s\n", about, verdict->name,
                    verdict->error, verdict->bound, verdict->worst, verdict->checked,
                    verdict->ok ? "" : "  <- outside");
    }
}

void assert_verified(const clattn_report *report, const char *about)
{
    if (report->ok)
        return;
    print_verdicts(report, about);
    fail();
}

void assert_last_error_says(const char *words)
{
    if (!strstr(clattn_last_error(), words))
        fail_msg("\"%s\" does not say \"%s\"", clattn_last_error(), words);
}

void assert_argument_refused(clattn_status status, const char *words)
{
    assert_status(CLATTN_E_ARGUMENT, status);
    assert_last_error_says(words);
}
