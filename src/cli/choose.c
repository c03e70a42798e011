/* choose.c: the default device, the named one, and none. */
#include "choose.h"

#include "text.h"

#include <stdlib.h>
#include <string.h>

static int is_set(const char *variable)
{
    const char *value = getenv(variable);
    return value && value[0] && strcmp(value, "0") != 0;
}

static int there_is_no_device(void)
{
    size_t count = 0;
    return clattn_device_list(NULL, 0, &count) != CLATTN_OK || count == 0;
}

int cli_open_device(clattn_device **out, const char **warning, const char *spec)
{
    const char *variable = getenv("CLATTN_DEVICE");
    int named = spec || (variable && variable[0]);
    *warning = NULL;
    clattn_status status = clattn_device_open(out, spec, 0);
    if (status != CLATTN_E_NO_DEVICE)
        return cli_check(status);
    if (named)
        return CLI_FAIL(CLI_BAD_INPUT, "'%s': %s", spec ? spec : variable, clattn_last_error());
    if (is_set("CLATTN_REQUIRE_DEVICE"))
        return cli_check(status);
    *warning = "no OpenCL device was found: the reference, plain C on the host, takes over";
    return cli_check(clattn_device_open(out, "reference", 0));
}

int cli_open_device_to_verify(clattn_device **out, const char *spec)
{
    clattn_status status = clattn_device_open(out, spec, 0);
    if (status == CLATTN_E_NO_DEVICE && !there_is_no_device())
        return CLI_FAIL(CLI_BAD_INPUT, "%s", clattn_last_error());
    int result = cli_check(status);
    if (result)
        return result;
    if (clattn_device_get_info(*out)->kind != CLATTN_DEVICE_REFERENCE)
        return CLI_DONE;
    clattn_device_close(*out);
    *out = NULL;
    return CLI_FAIL(CLI_BAD_INPUT,
                    "--device: 'reference'; expected an OpenCL device, as comparing the reference "
                    "with itself proves nothing");
}
