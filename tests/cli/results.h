/* results.h: what the program gives when all is well: arrays and reports. */
#ifndef TESTS_CLI_RESULTS_H
#define TESTS_CLI_RESULTS_H

#include "program.h"

#include <cjson/cJSON.h>

static inline void run_well(const char *arguments)
{
    int code = run_program("", arguments);
    if (code != 0)
        fail_msg("exit code %d: %s", code, standard_error);
    assert_string_equal("", standard_error);
}

static inline npy_array read_array(const char *name, char kind, size_t size)
{
    npy_array array;
    if (npy_read(&array, "output", name) != 0)
        fail_msg("%s", cli_sentence());
    assert_int_equal(kind, array.kind);
    assert_int_equal(size, array.size);
    return array;
}

static inline cJSON *parse_report(void)
{
    cJSON *root = cJSON_Parse(standard_output);
    if (!root)
        fail_msg("no JSON: %s", standard_output);
    return root;
}

static inline double number_of(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    if (!cJSON_IsNumber(item))
        fail_msg("%s is no number", name);
    return cJSON_GetNumberValue(item);
}

static inline const char *string_of(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    if (!cJSON_IsString(item))
        fail_msg("%s is no string", name);
    return cJSON_GetStringValue(item);
}

#endif
