/* columns.c: see columns.h. */
#include "columns.h"

#include "../try.h"

#include <math.h>
#include <stdlib.h>

clattn_status clattn__columns_init(clattn__columns *columns, const clattn__call *call)
{
    clattn_status status = CLATTN_OK;
    *columns = (clattn__columns){.heads = call->Hq / call->Hkv, .T = call->T};
    const size_t heads = (size_t)columns->heads, T = (size_t)columns->T;
    /* One element more, so that none are not NULL. */
    const bool possible = T < SIZE_MAX / sizeof *columns->sums / heads - 1;
    columns->sums = possible ? calloc(heads * T + 1, sizeof *columns->sums) : NULL;
    columns->magnitudes = possible ? calloc(heads * T + 1, sizeof *columns->magnitudes) : NULL;
    FAIL_IF(!columns->sums || !columns->magnitudes, CLATTN_E_MEMORY,
            "reference: no host memory for the column sums of %lld heads of %lld keys",
            (long long)columns->heads, (long long)columns->T);
done:
    return status;
}

void clattn__columns_free(clattn__columns *columns)
{
    free(columns->sums);
    free(columns->magnitudes);
    *columns = (clattn__columns){0};
}

void clattn__columns_clear(clattn__columns *columns)
{
    for (int64_t c = 0; c < columns->heads * columns->T; c++)
        columns->sums[c] = 0, columns->magnitudes[c] = 0;
}

void clattn__columns_add(clattn__columns *columns, const clattn__pass *pass, const clattn__row *row,
                         int64_t h)
{
    const int64_t first = h % columns->heads * columns->T;
    for (int64_t j = 0; j < columns->T; j++) {
        const long double weight = clattn__pass_value(pass, row->weights, j);
        columns->sums[first + j] += weight;
        if (CLATTN__IS_FINITE(weight))
            columns->magnitudes[first + j] += (double)fabsl(weight);
    }
}
