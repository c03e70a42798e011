#include "named_tests.h"

#include <stdio.h>
#include <stdlib.h>

void named_tests_add(named_tests *tests, const char *name, CMUnitTestFunction test,
                     const void *data)
{
    if (tests->count == tests->room) {
        tests->room = tests->room ? 2 * tests->room : 64;
        tests->list = realloc(tests->list, tests->room * sizeof *tests->list);
        if (!tests->list) {
            fprintf(stderr, "named_tests: no memory\n");
            exit(1);
        }
    }
    tests->list[tests->count++] =
        (struct CMUnitTest){.name = name, .test_func = test, .initial_state = (void *)data};
}

int named_tests_run(named_tests *tests, const char *group, CMFixtureFunction setup,
                    CMFixtureFunction teardown)
{
    const int failures = _cmocka_run_group_tests(group, tests->list, tests->count, setup, teardown);
    free(tests->list);
    *tests = (named_tests){0};
    return failures;
}
