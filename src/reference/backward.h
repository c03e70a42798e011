/* backward.h: gradients row by row, from a pass that has computed the row. What a row adds to them is
 * backward.inc, how rows add up settle.inc; both are there for each real type, and for magnitudes. */
#ifndef CLATTN_REFERENCE_BACKWARD_H
#define CLATTN_REFERENCE_BACKWARD_H

#include "pass.h"

/* What one row adds to gradients; arrays are of the pass's real type. N is the size of what meets a key: Dk, of
 * additive scores the A units, and 0 where nothing does. It is also that of a key's gradient, but for GENERAL with
 * projected keys, which have D elements. */
typedef struct clattn__share {
    void *output;        /* (Dv): the gradient of the row's output */
    void *stored;        /* (Dv): the output as forward has rounded it */
    void *given;         /* (T): the gradients of weights that come in */
    void *weights;       /* (T): as they meet the gradient of the output */
    void *weight_shares; /* (T): gradients of weights */
    void *factors;       /* (T): what these count for those of scores */
    void *modified;      /* (T): gradients of modified scores */
    void *scores;        /* (T): of raw ones */
    void *scaled;        /* (T): of what is scaled to raw ones */
    void *terms;         /* (T): scratch */
    void *to_keys;       /* (T, N): gradients of keys, or of their units */
    /* (halvings, N + A + 1): in the first row the gradients of what meets keys, of v, and of beta or
     * gamma; sums of halves of the keys behind it. */
    void *sums;
    void *halves;        /* scratch: (halvings, D) */
    void *query;         /* (D): its gradient */
    void *slope, *sink;  /* (1): theirs */
    unsigned char *seen; /* (T): keys that the row has gradients for */
    bool sees_any;
} clattn__share;

typedef struct clattn__backward {
    const clattn__pass *pass;
    const clattn__call *sums; /* sums.h; the call of the pass, or one like it */
    /* A gradient is the sum of its terms' magnitudes; of a pass in double. */
    bool magnitudes;
    /* The mean of a row is told by its output, as devices compute it of softmax. */
    bool from_stored_output;
    /* Sums over a block of rows, as they are in clattn__share, and of the matrix that queries are
     * multiplied by (rows, D), of the biases of units (A), and their weights (A). */
    void *keys, *values, *projection, *shift, *v, *number, *slope, *sink, *bias;
    /* Of additive scores, sums over a query head: (T, A), (A); and the keys that some row sees, (T). */
    void *hidden, *units;
    unsigned char *seen;
    /* Scratch: (A, Dk) or (A, C); a sum over a block of keys, likewise; its halvings; (T); (T, Dk) or
     * (T, C); (K); (T). */
    void *matrix, *matrix_block, *halves, *inputs, *of_inputs, *filter;
    void *earlier, *of_earlier, *terms;
    size_t threads;
    clattn__share *shares; /* one per thread of the pass */
} clattn__backward;

/* Allocates what it takes; clattn__backward_free() may follow, whether it fails or not. What says how gradients
 * are made may be set then. */
clattn_status clattn__backward_init(clattn__backward *backward, const clattn__pass *pass,
                                    const clattn__call *sums);
void clattn__backward_free(clattn__backward *backward);

/* Makes what row (b, h, i), which the pass has in the results of `thread`, adds to gradients. */
void clattn__backward_row(const clattn__backward *backward, size_t thread, int64_t b, int64_t h,
                          int64_t i);

/* Adds it; rows come in order, and all of them. */
void clattn__backward_settle(const clattn__backward *backward, size_t thread, int64_t b, int64_t h,
                             int64_t i);

#endif
