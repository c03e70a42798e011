/* report.h: what commands print on stdout, as JSON or for people. */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include "call.h"

#include <cjson/cJSON.h>

/* Adds a number; JSON has no infinity or NaN, which become the strings "inf", "-inf" and "nan". */
void cli_json_number(cJSON *object, const char *name, double value);

/* Adds the lines of `text` as a list of strings. */
void cli_json_lines(cJSON *object, const char *name, const char *text);

/* Adds B, Hq, Hkv, S, T, D and Dv of a call as an object `shape`, Dk and A where the score has them;
 * packed sequences have total_q and total_k in place of S and T. Adds the `score` and the `direction`. */
void cli_json_shape(cJSON *object, const cli_call *call);

/* Prints and deletes `root`; NULL, which cJSON gives when memory runs out, is a failure. */
int cli_json_print(cJSON *root);

/* What run and verify tell of how it went. */
typedef struct cli_summary {
    const clattn_device_info *device;
    const char *variant, *warning, *explain; /* the last two may be NULL */
    double seconds, build_seconds, transfer_seconds, gflops;
} cli_summary;

/* The sizes of a call, its type and score, without the end of the line. */
void cli_print_problem(const cli_call *call);

void cli_json_summary(cJSON *object, const cli_summary *summary, const cli_call *call);
void cli_print_summary(const cli_summary *summary, const cli_call *call);

/* Lists the output files that were written. */
void cli_json_files(cJSON *object, const cli_options *options, const cli_call *call);
void cli_print_files(const cli_options *options, const cli_call *call);

/* "12.3 ms", "4.56 s", "78 us" in `text`. */
#define CLI_SECONDS_TEXT 24
const char *cli_seconds_text(char text[CLI_SECONDS_TEXT], double seconds);

#endif
