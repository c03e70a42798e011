/* reference_variant.c: the variant `reference`: the CPU
 * reference, behind the same plans as every other. */
#include "reference/reference.h"
#include "variant.h"

#include <stdio.h>

static bool accepts(const clattn_device *device, const clattn__problem *problem, bool forced,
                    char *reason, size_t size)
{
    (void)problem, (void)forced;
    if (clattn__is_reference(device))
        return true;
    (void)snprintf(reason, size, "it runs on the reference device only");
    return false;
}

static clattn_status prepare(void **state, clattn_device *device, const clattn__problem *problem)
{
    (void)device, (void)problem;
    *state = NULL;
    return CLATTN_OK;
}

static void release(void *state)
{
    (void)state;
}

static clattn_status run(void *state, clattn_device *device, const clattn__problem *problem,
                         const clattn__call *call, clattn__timeline *timeline)
{
    (void)state, (void)device, (void)timeline;
    clattn_status status = clattn__reference_check_host(call);
    return status == CLATTN_OK ? clattn__reference_call(problem, call) : status;
}

const clattn__variant clattn__variant_reference = {"reference", accepts, NULL, prepare,
                                                   release,     NULL,    run,  NULL};
