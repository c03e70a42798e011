/* whole_calls.h: every case of some tables on the default device, against the reference: by the default
 * variant, its output alone, in copied memory, in pieces, and by our own products by name. */
#ifndef TESTS_SUPPORT_WHOLE_CALLS_H
#define TESTS_SUPPORT_WHOLE_CALLS_H

#include "cases.h"

/* The main() of such a test: runs all groups, or the one that an argument names. */
int whole_calls_main(int argc, char **argv, const case_table *tables, size_t count);

#endif
