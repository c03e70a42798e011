/* dispatch.h: which variant serves a problem. */
#ifndef CLATTN_DISPATCH_H
#define CLATTN_DISPATCH_H

#include "variant.h"

/* The variants of a problem: `any` takes every call; `some` comes before it for the calls that it takes.
 * One of them may be NULL, not both. */
typedef struct clattn__choice {
    const clattn__variant *some, *any;
} clattn__choice;

/**
 * Takes the first rows of the table that accept, or the row called `forced` if that is not NULL.
 * `*explain` becomes one line per row, malloc'd; it is NULL after a failure, whose sentence then
 * has the reasons.
 */
clattn_status clattn__dispatch(clattn__choice *out, char **explain, const clattn_device *device,
                               const clattn__problem *problem, const char *forced);

#endif
