/* columns.h: the sums of weights over all rows of a query head, which a row of results alone does not tell. */
#ifndef CLATTN_REFERENCE_COLUMNS_H
#define CLATTN_REFERENCE_COLUMNS_H

#include "pass.h"

/* Of the heads that share the key head in hand. */
typedef struct clattn__columns {
    int64_t heads, T;
    long double *sums;  /* (heads, T) */
    double *magnitudes; /* (heads, T): sums of the finite weights' magnitudes */
} clattn__columns;

clattn_status clattn__columns_init(clattn__columns *columns, const clattn__call *call);
void clattn__columns_free(clattn__columns *columns);
void clattn__columns_clear(clattn__columns *columns);

/* Adds the weights of a row of query head h; rows come in order, so that sums do not depend on threads. */
void clattn__columns_add(clattn__columns *columns, const clattn__pass *pass, const clattn__row *row,
                         int64_t h);

#endif
