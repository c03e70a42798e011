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
static const clattn__variant *const backward[] = {
    &clattn__variant_reference,       /* the reference device has no other */
    &clattn__variant_tiles_backward,  /* GPU-like devices, dot products without gradients of more */
    &clattn__variant_lanes_backward,  /* CPU-like devices, the same */
    &clattn__variant_staged_backward, /* any problem on any device */
};
#define LENGTH(table) (sizeof(table) / sizeof *(table))
#define MOST_ROWS LENGTH(forward)
#define EXPLAIN_LINE 256

static clattn_status unknown_name(const clattn__variant *const *table, size_t rows,
                                  const char *name)
{
    char names[EXPLAIN_LINE] = "";
    for (size_t i = 0; i < rows; i++) {
        size_t used = strlen(names);
        (void)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", table[i]->name);
    }
    return FAIL(CLATTN_E_ARGUMENT, 0, "variant: \"%s\", expected one of %s", name, names);
}

clattn_status clattn__dispatch(clattn__choice *out, char **explain, const clattn_device *device,
                               const clattn__problem *problem, const char *forced)
{
    clattn_status status = CLATTN_OK;
    clattn__choice chosen = {NULL, NULL};
    const bool back = clattn__is_backward(problem);
    const clattn__variant *const *table = back ? backward : forward;
    const size_t table_rows = back ? LENGTH(backward) : LENGTH(forward);
    bool known = !forced;
    char all[MOST_ROWS * EXPLAIN_LINE], reasons[512] = "";
    size_t used = 0;
    *out = chosen, *explain = NULL;
    for (size_t i = 0; i < table_rows; i++) {
        char reason[EXPLAIN_LINE / 2] = "";
        const char *verdict = "refused: ";
        bool named = forced && strcmp(table[i]->name, forced) == 0;
        known = known || named;
        if (table[i]->accepts(device, problem, named, reason, sizeof reason)) {
            const clattn__variant **place = table[i]->takes ? &chosen.some : &chosen.any;
            const bool take = !*place && !chosen.any && (!forced || named);
            if (take)
                *place = table[i];
            verdict = "would do as well, but another comes first";
            if (take)
                verdict = table[i]->takes ? "chosen for few queries" : "chosen";
            else if (forced)
                verdict = "would do as well, but another was asked for";
        } else if (!forced || named) {
            size_t end = strlen(reasons);
            (void)snprintf(reasons + end, sizeof reasons - end, "%s%s: %s", end ? "; " : "",
                           table[i]->name, reason);
        }
        used += (size_t)snprintf(all + used, sizeof all - used, "%s: %s%s\n", table[i]->name,
                                 verdict, reason);
    }
    if (!known) {
        status = unknown_name(table, table_rows, forced);
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
