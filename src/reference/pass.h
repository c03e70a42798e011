/* pass.h: attention row by row in one precision. The reference is a pass in double (long double for
 * f64); the budget of verify needs a second, plain one in the precision that devices sum in. Both
 * are the same source, pass.inc, on vectors of real.inc. */
#ifndef CLATTN_REFERENCE_PASS_H
#define CLATTN_REFERENCE_PASS_H

#include "../problem.h"

/* Sums of up to this many terms are straight loops. */
#define CLATTN__STRAIGHT_RUN 16

/* What a number of any real type is to a double, which can hold the largest results. (A compiler
 * makes of these questions a comparison with the type's largest number; that of long double is
 * infinity to tools that compute it in 64 bits, valgrind among them.) */
#define CLATTN__IS_FINITE(x) isfinite((double)(x))
#define CLATTN__IS_MINUS_INFINITY(x) ((double)(x) == -(double)INFINITY)

typedef enum clattn__real { CLATTN__FLOAT, CLATTN__DOUBLE, CLATTN__LONG_DOUBLE } clattn__real;

size_t clattn__real_size(clattn__real real);
long double clattn__real_value(clattn__real real, const void *array, int64_t index);

/* Zeros; NULL also when the product leaves size_t; never NULL for no elements. */
void *clattn__make_array(int64_t rows, int64_t columns, size_t size);

/* The rows of scratch memory that a pairwise sum of that many vectors takes. */
int64_t clattn__halvings(int64_t count);

/* A number of a tensor. */
static inline double clattn__scalar(const clattn_tensor *from, int64_t at)
{
    return clattn_element_load(from->dtype, from->host, (size_t)at);
}

/* One row of results and what it took to get there; arrays are of the pass's real type. */
typedef struct clattn__row {
    void *query;     /* (D) */
    void *projected; /* what the score's matrix makes of it: (Dk), (T) or (A) */
    void *terms;     /* (A) of the sum that is an additive score */
    void *raw, *capped, *modified, *added, *weights; /* (T); `added` is scratch */
    void *normalized;                                /* (T): weights before some are dropped */
    void *output, *sums;    /* (Dv); the partial sums of `output`, one row per halving */
    void *lse, *entropy;    /* (1) */
    int64_t position;       /* where the query stands among the keys */
    int64_t argmax;         /* of `modified`, as CLATTN_ARGMAX says */
    unsigned char *visible; /* (T) */
    double largest_score;   /* magnitude of lse and of the finite modified scores that a weight is
                               left of */
    double largest_value;   /* magnitude of the finite elements of visible values */
    double weight_sum;      /* of the magnitudes of the finite weights */
    double
        entropy_slope; /* what the entropy moves by where each weight errs by 1, relatively or, of
                               those that a threshold makes, absolutely */
} clattn__row;

typedef struct clattn__pass {
    clattn__real real;
    const clattn__problem *problem;
    const clattn__call *call;
    bool round_inputs; /* query, key, value and weights are rounded to 11 bits, as "fast" may do */
    /* Of the key head in hand, dense, in the pass's real type. Where a score has parameters, the
     * `group` query heads that share a key head may have parameters of their own. */
    void *keys, *values; /* (T, Dk), (T, Dv) */
    void *projection;    /* (group, Dk | T | A, D): the matrix that a query is multiplied by */
    void *hidden;        /* (group, T, A): what keys and their features add to an additive score */
    void *v, *shift;     /* (group, A): the weights of its units, and what is added to each */
    void *features;      /* (group, T, C): what filters make of earlier weights */
    void *matrix;        /* scratch: (A, Dk), (A, C) */
    void *filter;        /* scratch: (K) */
    double *value_peaks; /* (T): the largest finite magnitude of each value */
    size_t threads;
    clattn__row *rows; /* one per thread */
} clattn__pass;

/* Rows of the matrix that a query is multiplied by, or that stand in for their product; 0: there is none. */
int64_t clattn__projection_rows(const clattn__problem *problem, const clattn__call *call);
bool clattn__projects_queries(const clattn__problem *problem);

/* Allocates what `threads` threads need; whether it fails
 * or not, clattn__pass_free() may follow. */
clattn_status clattn__pass_init(clattn__pass *pass, clattn__real real,
                                const clattn__problem *problem, const clattn__call *call,
                                size_t threads);
void clattn__pass_free(clattn__pass *pass);

/* Brings key/value head (b, g) into hand. Each key is converted once for all rows that meet it. */
void clattn__pass_load_head(clattn__pass *pass, int64_t b, int64_t g);

/* Computes row (b, h, i) of the head in hand into the results of `thread`. */
const clattn__row *clattn__pass_row(clattn__pass *pass, size_t thread, int64_t b, int64_t h,
                                    int64_t i);

/* What dropout makes of a weight: 0, or how many times as large it becomes; 1 without. */
double clattn__kept(const clattn__call *call, int64_t b, int64_t h, int64_t i, int64_t j);

/* Element `index` of an array of a row. */
long double clattn__pass_value(const clattn__pass *pass, const void *array, int64_t index);

/* The array of a row that desc.scores_stage asks for. */
const void *clattn__pass_scores(const clattn__pass *pass, const clattn__row *row);

/* Some rows of a call, spread evenly over its B*Hq*S, and the two things to do on the way. */
typedef struct clattn__walk {
    const clattn__call *call;
    int64_t rows;
    size_t threads;
    void *state;
    void (*enter_head)(void *state, int64_t b, int64_t g); /* by one thread */
    void (*visit_row)(void *state, size_t thread, int64_t b, int64_t h,
                      int64_t i); /* by any, in any order */
    /* May be NULL, as the next one: by the thread that visited the row, but in the order of rows. */
    void (*settle_row)(void *state, size_t thread, int64_t b, int64_t h, int64_t i);
    void (*leave_head)(void *state, int64_t b,
                       int64_t g); /* by one thread, heads without a row too */
} clattn__walk;

/* Goes from key/value head to key/value head, and over the
 * rows of each in parallel where there is OpenMP. */
void clattn__walk_rows(const clattn__walk *walk);

/* The threads that are worth their memory for that many rows of a call; 1 without OpenMP. */
size_t clattn__walk_threads(const clattn__call *call, int64_t rows);

#endif
