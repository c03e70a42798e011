/* dispatch.h: which variant serves a problem. */
#ifndef CLATTN_DISPATCH_H
#define CLATTN_DISPATCH_H

#include "variant.h"

/**
 * Takes the first row of the table that accepts, or the row called `forced` if that is not NULL.
 * `*explain` becomes one line per row, malloc'd; it is NULL after a failure, whose sentence then
 * has the reasons.
 */
clattn_status clattn__dispatch(const clattn__variant **out, char **explain,
                               const clattn_device *device, const clattn__problem *problem,
                               const char *forced);

#endif
