/* choose.c: the default device, the named one, and none. */
#include "choose.h"

#include "text.h"

#include <stdlib.h>
#include <string.h>

#define VARIABLE "CLATTN_DEVICE"

static int is_set(const char *variable)
{
    const char *value = getenv(variable);
    return value && value[0];
}

static int is_true(const char *variable)
{
    const char *value = getenv(variable);
    return value && value[0] && strcmp(value, "0") != 0;
}

/* Refuses the device that --device or the variable names, in the library's words, which quote it
 * where it fits none or several. */
static int refuse(const char *spec)
{
    static const char prefix[] = "device: ";
    const char *words = clattn_last_error(), *source = spec ? "--device" : VARIABLE;
    if (strncmp(words, prefix, strlen(prefix)) == 0)
        words += strlen(prefix);
    if (words[0] == '"')
        return CLI_FAIL(CLI_BAD_INPUT, "%s: %s", source, words);
    return CLI_FAIL(CLI_BAD_INPUT, "%s: \"%s\": %s", source, spec ? spec : getenv(VARIABLE), words);
}

int cli_open_device(clattn_device **out, const char **warning, const char *spec)
{
    *warning = NULL;
    clattn_status status = clattn_device_open(out, spec, 0);
    if (status == CLATTN_E_ARGUMENT || (status == CLATTN_E_NO_DEVICE && (spec || is_set(VARIABLE))))
        return refuse(spec);
    if (status != CLATTN_E_NO_DEVICE || is_true("CLATTN_REQUIRE_DEVICE"))
        return cli_check(status);
    *warning = "no OpenCL device was found: the reference, plain C on the host, takes over";
    return cli_check(clattn_device_open(out, "reference", 0));
}

int cli_open_device_to_verify(clattn_device **out, const char *spec)
{
    clattn_status status = clattn_device_open(out, spec, 0);
    if (status == CLATTN_E_ARGUMENT)
        return refuse(spec);
    if (status != CLATTN_OK)
        return cli_check(status);
    if (clattn_device_get_info(*out)->kind != CLATTN_DEVICE_REFERENCE)
        return CLI_DONE;
    clattn_device_close(*out);
    *out = NULL;
    return CLI_FAIL(CLI_BAD_INPUT,
                    "%s: 'reference'; expected an OpenCL device, as comparing the reference with "
                    "itself proves nothing",
                    spec ? "--device" : VARIABLE);
}
