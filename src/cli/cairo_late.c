/* cairo_late.c: finds cairo and its functions. */
#include "cairo_late.h"

#include "text.h"

#include <dlfcn.h>

#define LIBRARY "libcairo.so.2"

static cli_cairo cairo;

int cli_cairo_load(const cli_cairo **out)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL); /* stays until the process ends */
    if (!library)
        return CLI_FAIL(
            CLI_SYSTEM,
            "--output: a picture needs the library cairo (libcairo2 on Debian and Ubuntu), "
            "found: %s",
            dlerror());
        /* POSIX lets an object pointer hold a function's address, C itself does not. */
#define FIND(name)                                                                                 \
    *(void **)&cairo.name = dlsym(library, "cairo_" #name);                                        \
    if (!cairo.name)                                                                               \
        return CLI_FAIL(CLI_SYSTEM,                                                                \
                        "--output: a picture needs cairo's cairo_" #name ", found: %s",            \
                        dlerror());
    CLI_CAIRO_FUNCTIONS(FIND)
#undef FIND
    *out = &cairo;
    return CLI_DONE;
}
