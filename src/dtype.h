/* dtype.h: what the library itself asks of element types, beside base.h. */
#ifndef CLATTN_DTYPE_H
#define CLATTN_DTYPE_H

#include <clattn/base.h>

#include <stdbool.h>

bool clattn__dtype_is_float(clattn_dtype dtype);

/* Element `index` of an I32 or I64 array. */
int64_t clattn__integer_load(clattn_dtype dtype, const void *data, size_t index);

#endif
