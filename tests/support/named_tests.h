/* named_tests.h: a table of data as a group of cmocka tests, each with a name of its own. */
#ifndef TESTS_SUPPORT_NAMED_TESTS_H
#define TESTS_SUPPORT_NAMED_TESTS_H

#include "checks.h"

typedef struct named_tests {
    struct CMUnitTest *list;
    size_t count, room;
} named_tests;

/* Adds one test; `name` and `data` stay the caller's and
 * must outlive the run. Ends the program without memory. */
void named_tests_add(named_tests *tests, const char *name, CMUnitTestFunction test,
                     const void *data);

/* Runs all, frees the list, gives the number of failures. */
int named_tests_run(named_tests *tests, const char *group, CMFixtureFunction setup,
                    CMFixtureFunction teardown);

#endif
