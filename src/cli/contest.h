/* contest.h: the entries of a benchmark: every variant on every device, timed in turns. */
#ifndef CLI_CONTEST_H
#define CLI_CONTEST_H

#include "call.h"
#include "limits.h"

#include <stdbool.h>

/* One device with the call's tensors in its memory. */
typedef struct cli_stand {
    clattn_device *device;
    cli_resident resident;
    cli_limits limits;
    double transfer_out;
    char *explain; /* which variants there are, one per line */
} cli_stand;

/* One variant on one device. */
typedef struct cli_entry {
    cli_stand *stand;
    char variant[64];
    bool is_choice; /* the library's own, beside forced ones */
    char *refusal;  /* why it does not run here; NULL where it does */
    cli_planned planned;
    double *seconds; /* of each round */
    double best, median;
} cli_entry;

typedef struct cli_contest {
    cli_stand *stands;
    size_t stand_count;
    cli_entry *entries;
    size_t entry_count;
    const char *warning;
} cli_contest;

/* Opens the devices of --device ("A,B", "all", or none: the default), and plans the variants of
 * --variants on each. Refused ones stay in the list; a contest in which all are refused fails. */
int cli_contest_make(cli_contest *contest, const cli_call *call, const cli_options *options);

/* Runs every entry once per round, round by round, then
 * reads the outputs back; those of the first device stay. */
int cli_contest_run(cli_contest *contest, cli_call *call, size_t rounds);

void cli_contest_free(cli_contest *contest);

#endif
