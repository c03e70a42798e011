/* backward.c: backward.inc and settle.inc on each real type, and the memory that they take. */
#include "backward.h"

#include "../try.h"

#include <math.h>
#include <stdlib.h>

/* Of a sum over many rows or keys as many terms are added up at a time. */
#define SUM_BLOCK 32

/* The size of what meets a key. */
static int64_t meeting_size(const clattn__pass *pass)
{
    const clattn_attention_desc *desc = &pass->problem->desc;
    if (desc->score == CLATTN_SCORE_GIVEN || desc->score == CLATTN_SCORE_LOCATION)
        return 0;
    return clattn__is_additive(desc->score) ? (int64_t)desc->hidden_size : pass->call->Dk;
}

/* ... of the gradient that is made of a key, be it of a projected one. */
static int64_t key_size(const clattn__pass *pass)
{
    const clattn_attention_desc *desc = &pass->problem->desc;
    return desc->score == CLATTN_SCORE_GENERAL && desc->flags & CLATTN_PROJECTED_KEYS
               ? pass->call->D
               : meeting_size(pass);
}

/* ... and of all that is added up over keys. */
static int64_t sums_size(const clattn__pass *pass)
{
    return meeting_size(pass) + (int64_t)pass->problem->desc.hidden_size + 1;
}

#define TERM(x) (x)
#define REAL float
#define NAMED(name) name##_in_float
#define MATH(name) name##f
#include "real.inc"

#include "backward.inc"
#include "settle.inc"
#undef REAL
#undef NAMED
#undef MATH

#define REAL double
#define NAMED(name) name##_in_double
#define MATH(name) name
#include "real.inc"

#include "backward.inc"
#include "settle.inc"
#undef REAL
#undef NAMED
#undef MATH

#define REAL long double
#define NAMED(name) name##_in_long_double
#define MATH(name) name##l
#include "real.inc"

#include "backward.inc"
#include "settle.inc"
#undef REAL
#undef NAMED
#undef MATH
#undef TERM

#define TERM(x) fabs(x)
#define REAL double
#define NAMED(name) name##_of_magnitudes
#define MATH(name) name
#include "real.inc"

#include "backward.inc"
#include "settle.inc"
#undef REAL
#undef NAMED
#undef MATH
#undef TERM

typedef void row_function(const clattn__backward *backward, clattn__share *share,
                          const clattn__row *row, int64_t b, int64_t h, int64_t i);

/* By real type, magnitudes last. */
static const struct {
    row_function *make, *settle;
} arithmetics[] = {
    [CLATTN__FLOAT] = {make_row_in_float, settle_row_in_float},
    [CLATTN__DOUBLE] = {make_row_in_double, settle_row_in_double},
    [CLATTN__LONG_DOUBLE] = {make_row_in_long_double, settle_row_in_long_double},
    [CLATTN__LONG_DOUBLE + 1] = {make_row_of_magnitudes, settle_row_of_magnitudes},
};

static size_t arithmetic_of(const clattn__backward *backward)
{
    return backward->magnitudes ? CLATTN__LONG_DOUBLE + 1 : backward->pass->real;
}

void clattn__backward_row(const clattn__backward *backward, size_t thread, int64_t b, int64_t h,
                          int64_t i)
{
    arithmetics[arithmetic_of(backward)].make(backward, &backward->shares[thread],
                                              &backward->pass->rows[thread], b, h, i);
}

void clattn__backward_settle(const clattn__backward *backward, size_t thread, int64_t b, int64_t h,
                             int64_t i)
{
    arithmetics[arithmetic_of(backward)].settle(backward, &backward->shares[thread],
                                                &backward->pass->rows[thread], b, h, i);
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static bool make_share(clattn__share *share, const clattn__pass *pass, size_t size)
{
    const clattn__call *call = pass->call;
    const int64_t T = call->T, D = call->D, Dv = call->Dv,
                  rows = clattn__projection_rows(pass->problem, call);
    return (share->output = clattn__make_array(Dv, 1, size)) &&
           (share->stored = clattn__make_array(Dv, 1, size)) &&
           (share->given = clattn__make_array(T, 1, size)) &&
           (share->weights = clattn__make_array(T, 1, size)) &&
           (share->weight_shares = clattn__make_array(T, 1, size)) &&
           (share->factors = clattn__make_array(T, 1, size)) &&
           (share->modified = clattn__make_array(T, 1, size)) &&
           (share->scores = clattn__make_array(T, 1, size)) &&
           (share->scaled = clattn__make_array(T, 1, size)) &&
           (share->terms = clattn__make_array(T, 1, size)) &&
           (share->to_keys = clattn__make_array(T, key_size(pass), size)) &&
           (share->sums = clattn__make_array(clattn__halvings(T), sums_size(pass), size)) &&
           (share->halves = clattn__make_array(clattn__halvings(rows), D, size)) &&
           (share->query = clattn__make_array(D, 1, size)) &&
           (share->slope = clattn__make_array(1, 1, size)) &&
           (share->sink = clattn__make_array(1, 1, size)) &&
           (share->seen = clattn__make_array(T, 1, 1));
}

static bool make_sums(clattn__backward *backward, const clattn__pass *pass, size_t size)
{
    const clattn__call *call = pass->call;
    const clattn_tensor *filters = &call->params[CLATTN__CONV];
    const int64_t T = call->T, D = call->D, N = key_size(pass), C = filters->shape[2],
                  K = filters->shape[3], A = (int64_t)pass->problem->desc.hidden_size,
                  rows = clattn__projection_rows(pass->problem, call),
                  columns = larger(call->Dk, larger(C, 1));
    return (backward->keys = clattn__make_array(T, N, size)) &&
           (backward->values = clattn__make_array(T, call->Dv, size)) &&
           (backward->projection = clattn__make_array(rows, D, size)) &&
           (backward->shift = clattn__make_array(A, 1, size)) &&
           (backward->v = clattn__make_array(A, 1, size)) &&
           (backward->number = clattn__make_array(1, 1, size)) &&
           (backward->slope = clattn__make_array(1, 1, size)) &&
           (backward->sink = clattn__make_array(1, 1, size)) &&
           (backward->bias = clattn__make_array(T, 1, size)) &&
           (backward->hidden = clattn__make_array(T, A, size)) &&
           (backward->units = clattn__make_array(A, 1, size)) &&
           (backward->seen = clattn__make_array(T, 1, 1)) &&
           (backward->matrix = clattn__make_array(A, columns, size)) &&
           (backward->matrix_block = clattn__make_array(A, columns, size)) &&
           (backward->halves = clattn__make_array(clattn__halvings(A), columns, size)) &&
           (backward->inputs = clattn__make_array(T, 1, size)) &&
           (backward->of_inputs = clattn__make_array(T, columns, size)) &&
           (backward->filter = clattn__make_array(K, 1, size)) &&
           (backward->earlier = clattn__make_array(T, 1, size)) &&
           (backward->of_earlier = clattn__make_array(T, 1, size)) &&
           (backward->terms = clattn__make_array(T, 1, size));
}

clattn_status clattn__backward_init(clattn__backward *backward, const clattn__pass *pass,
                                    const clattn__call *sums)
{
    clattn_status status = CLATTN_OK;
    const size_t size = clattn__real_size(pass->real);
    *backward = (clattn__backward){.pass = pass, .sums = sums};
    FAIL_IF(!make_sums(backward, pass, size), CLATTN_E_MEMORY,
            "reference: no host memory for the gradients of a head of %lld keys",
            (long long)pass->call->T);
    backward->shares = calloc(pass->threads, sizeof *backward->shares);
    FAIL_IF(!backward->shares, CLATTN_E_MEMORY, "reference: no host memory");
    while (backward->threads < pass->threads)
        FAIL_IF(!make_share(&backward->shares[backward->threads++], pass, size), CLATTN_E_MEMORY,
                "reference: no host memory for the gradients of a row of %lld keys",
                (long long)pass->call->T);
done:
    return status;
}

static void free_all(void *const arrays[], size_t count)
{
    for (size_t a = 0; a < count; a++)
        free(arrays[a]);
}

void clattn__backward_free(clattn__backward *backward)
{
    for (size_t t = 0; t < backward->threads; t++) {
        const clattn__share *share = &backward->shares[t];
        void *const arrays[] = {
            share->output,  share->stored,   share->given,  share->weights, share->weight_shares,
            share->factors, share->modified, share->scores, share->scaled,  share->terms,
            share->to_keys, share->sums,     share->halves, share->query,   share->slope,
            share->sink,    share->seen};
        free_all(arrays, sizeof arrays / sizeof *arrays);
    }
    void *const arrays[] = {
        backward->shares,     backward->keys,      backward->values,       backward->projection,
        backward->shift,      backward->v,         backward->number,       backward->slope,
        backward->sink,       backward->bias,      backward->hidden,       backward->units,
        backward->seen,       backward->matrix,    backward->matrix_block, backward->halves,
        backward->inputs,     backward->of_inputs, backward->filter,       backward->earlier,
        backward->of_earlier, backward->terms};
    free_all(arrays, sizeof arrays / sizeof *arrays);
    *backward = (clattn__backward){0};
}
