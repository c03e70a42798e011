/* sums.h: the gradients of a call while they are being added up. */
#ifndef CLATTN_REFERENCE_SUMS_H
#define CLATTN_REFERENCE_SUMS_H

#include "pass.h"

/* A call whose gradients lie in zeros of a real type, each element once, and broadcast where those of `call` do:
 * its sequences and slices add to the same elements. Their dtypes mean nothing. Whether it fails or not,
 * clattn__sums_free() may follow. */
clattn_status clattn__sums_init(clattn__call *sums, const clattn__call *call, clattn__real real);
void clattn__sums_free(clattn__call *sums);

/* The gradients that a call makes and their names, and how many they are; those that it does not make are absent. */
#define CLATTN__CALL_GRADIENTS (7 + CLATTN__PARAMS)
size_t clattn__sums_gradients(const clattn__call *call,
                              clattn_tensor gradients[CLATTN__CALL_GRADIENTS],
                              const char *names[CLATTN__CALL_GRADIENTS]);

/* How often each axis of a gradient has a place of its own: 1 where it broadcasts. */
void clattn__sums_shape(const clattn_tensor *gradient, int64_t shape[4]);

/* Offset of element `index` of a gradient, row by row, of those with a place of their own. */
int64_t clattn__sums_at(const clattn_tensor *gradient, const int64_t shape[4], int64_t index);

/* Rounds them to the gradients of the call that they are of. */
void clattn__sums_store(const clattn__call *sums, const clattn__call *call, clattn__real real);

#endif
