/* dispatch.c: the table of variants, best first. */
#include "dispatch.h"

#include "try.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const clattn__variant *const forward[] = {
    &clattn__variant_reference,      /* the reference device has no other */
    &clattn__variant_decode,         /* CPU-like devices, the same for a few queries */
    &clattn__variant_tiles,          /* GPU-like devices, where only the output is wanted */
    &clattn__variant_lanes,          /* CPU-like devices, where only the output is wanted */
    &clattn__variant_additive,       /* CPU-like devices, the same for additive scores */
    &clattn__variant_staged_clblast, /* GPU-like devices */
    &clattn__variant_staged,         /* any problem on any device */
};
#define ROWS (sizeof forward / sizeof *forward)
#define EXPLAIN_LINE 256

static clattn_status unknown_name(const char *name)
{
    char names[EXPLAIN_LINE] = "";
    for (size_t i = 0; i < ROWS; i++) {
        size_t used = strlen(names);
        (void)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", forward[i]->name);
    }
    return FAIL(CLATTN_E_ARGUMENT, 0, "variant: \"%s\", expected one of %s", name, names);
}

clattn_status clattn__dispatch(clattn__choice *out, char **explain, const clattn_device *device,
                               const clattn__problem *problem, const char *forced)
{
    clattn_status status = CLATTN_OK;
    clattn__choice chosen = {NULL, NULL};
    bool known = !forced;
    char all[ROWS * EXPLAIN_LINE], reasons[512] = "";
    size_t used = 0;
    *out = chosen, *explain = NULL;
    for (size_t i = 0; i < ROWS; i++) {
        char reason[EXPLAIN_LINE / 2] = "";
        const char *verdict = "refused: ";
        bool named = forced && strcmp(forward[i]->name, forced) == 0;
        known = known || named;
        if (forward[i]->accepts(device, problem, named, reason, sizeof reason)) {
            const clattn__variant **place = forward[i]->takes ? &chosen.some : &chosen.any;
            const bool take = !*place && !chosen.any && (!forced || named);
            if (take)
                *place = forward[i];
            verdict = "would do as well, but another comes first";
            if (take)
                verdict = forward[i]->takes ? "chosen for few queries" : "chosen";
            else if (forced)
                verdict = "would do as well, but another was asked for";
        } else if (!forced || named) {
            size_t end = strlen(reasons);
            (void)snprintf(reasons + end, sizeof reasons - end, "%s%s: %s", end ? "; " : "",
                           forward[i]->name, reason);
        }
        used += (size_t)snprintf(all + used, sizeof all - used, "%s: %s%s\n", forward[i]->name,
                                 verdict, reason);
    }
    if (!known) {
        status = unknown_name(forced);
        goto done;
    }
    FAIL_IF(!chosen.some && !chosen.any, CLATTN_E_UNSUPPORTED, "no variant takes this problem: %s",
            reasons);
    *explain = strdup(all);
    FAIL_IF(!*explain, CLATTN_E_MEMORY, "dispatch: no host memory for its explanation");
    *out = chosen;
done:
    return status;
}
