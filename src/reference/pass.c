/* pass.c: pass.inc on each real type, the memory of a pass, and the walk over rows. */
#include "pass.h"

#include "../../kernels/philox.h"

#include "../dtype.h"
#include "../try.h"

#include <math.h>
#include <stdlib.h>
#ifdef _OPENMP
#include <omp.h>
#define OMP(directive) _Pragma(#directive)
#else
#define OMP(directive)
#endif

/* A weight below the unit roundoff of a double. */
#define LEAST_WEIGHT 0x1p-53

/* The keys that bounds leave visible to a query, and where it stands among them. */
typedef struct key_range {
    int64_t begin, end, position;
} key_range;

/* Bounds are compared before they are added up: a window may be as wide as an int64. */
static key_range visible_keys(const clattn__problem *problem, const clattn__call *call, int64_t b,
                              int64_t i)
{
    const clattn_attention_desc *desc = &problem->desc;
    key_range range = {.begin = 0, .end = call->T, .position = i};
    if (clattn__has(&call->kv_lengths)) {
        int64_t length = clattn__integer_load(call->kv_lengths.dtype, call->kv_lengths.host,
                                              (size_t)clattn__at(&call->kv_lengths, b, 0, 0, 0));
        if (length < range.end)
            range.end = length < 0 ? 0 : length;
    }
    if (desc->alignment == CLATTN_BOTTOM_RIGHT)
        range.position += range.end - call->S;
    if (desc->flags & CLATTN_CAUSAL && range.position + 1 < range.end)
        range.end = range.position + 1;
    if (desc->flags & CLATTN_WINDOW) {
        if (desc->window_left >= 0 && range.position > desc->window_left)
            range.begin = range.position - desc->window_left;
        if (desc->window_right >= 0 && desc->window_right < range.end - range.position - 1)
            range.end = range.position + desc->window_right + 1;
    }
    return range;
}

int64_t clattn__projection_rows(const clattn__problem *problem, const clattn__call *call)
{
    switch (problem->desc.score) {
    case CLATTN_SCORE_GENERAL:
        return call->Dk;
    case CLATTN_SCORE_LOCATION:
        return call->T;
    default:
        return (int64_t)problem->desc.hidden_size;
    }
}

bool clattn__projects_queries(const clattn__problem *problem)
{
    const clattn_score score = problem->desc.score;
    return score == CLATTN_SCORE_GENERAL || score == CLATTN_SCORE_LOCATION ||
           (clattn__is_additive(score) && !(problem->desc.flags & CLATTN_PROJECTED_QUERY));
}

#define TERM(x) (x)
#define REAL float
#define NAMED(name) name##_in_float
#define MATH(name) name##f
#include "real.inc"

#include "pass.inc"
#undef REAL
#undef NAMED
#undef MATH

#define REAL double
#define NAMED(name) name##_in_double
#define MATH(name) name
#include "real.inc"

#include "pass.inc"
#undef REAL
#undef NAMED
#undef MATH

#define REAL long double
#define NAMED(name) name##_in_long_double
#define MATH(name) name##l
#include "real.inc"

#include "pass.inc"
#undef REAL
#undef NAMED
#undef MATH
#undef TERM

size_t clattn__real_size(clattn__real real)
{
    return real == CLATTN__FLOAT    ? sizeof(float)
           : real == CLATTN__DOUBLE ? sizeof(double)
                                    : sizeof(long double);
}

void *clattn__make_array(int64_t rows, int64_t columns, size_t size)
{
    size_t count = (size_t)rows;
    if (columns && count > SIZE_MAX / (size_t)columns)
        return NULL;
    count *= (size_t)columns;
    return calloc(count ? count : 1, size);
}

int64_t clattn__halvings(int64_t count)
{
    int64_t halvings =
        1; /* one to spare: the deepest call is handed a row that it does not touch */
    for (; count > CLATTN__STRAIGHT_RUN; count -= count / 2)
        halvings++;
    return halvings;
}

static bool make_row(clattn__row *row, const clattn__problem *problem, const clattn__call *call,
                     size_t size)
{
    return (row->query = clattn__make_array(call->D, 1, size)) &&
           (row->projected = clattn__make_array(clattn__projection_rows(problem, call), 1, size)) &&
           (row->terms = clattn__make_array((int64_t)problem->desc.hidden_size, 1, size)) &&
           (row->raw = clattn__make_array(call->T, 1, size)) &&
           (row->capped = clattn__make_array(call->T, 1, size)) &&
           (row->modified = clattn__make_array(call->T, 1, size)) &&
           (row->added = clattn__make_array(call->T, 1, size)) &&
           (row->weights = clattn__make_array(call->T, 1, size)) &&
           (row->normalized = clattn__make_array(call->T, 1, size)) &&
           (row->output = clattn__make_array(call->Dv, 1, size)) &&
           (row->sums = clattn__make_array(clattn__halvings(call->T), call->Dv, size)) &&
           (row->lse = clattn__make_array(1, 1, size)) &&
           (row->entropy = clattn__make_array(1, 1, size)) &&
           (row->visible = clattn__make_array(call->T, 1, 1));
}

clattn_status clattn__pass_init(clattn__pass *pass, clattn__real real,
                                const clattn__problem *problem, const clattn__call *call,
                                size_t threads)
{
    clattn_status status = CLATTN_OK;
    const size_t size = clattn__real_size(real);
    const int64_t group = call->Hq / call->Hkv, units = (int64_t)problem->desc.hidden_size;
    const clattn_tensor *filters = &call->params[CLATTN__CONV];
    const int64_t C = filters->shape[2], K = filters->shape[3];
    *pass = (clattn__pass){.real = real, .problem = problem, .call = call};
    pass->projection =
        clattn__make_array(group * clattn__projection_rows(problem, call), call->D, size);
    pass->hidden = clattn__make_array(group * call->T, units, size);
    pass->v = clattn__make_array(group, units, size);
    pass->shift = clattn__make_array(group, units, size);
    pass->matrix = clattn__make_array(units, call->Dk > C ? call->Dk : C, size);
    pass->features = clattn__make_array(group * call->T, C, size);
    pass->filter = clattn__make_array(K, 1, size);
    FAIL_IF(!pass->projection || !pass->hidden || !pass->v || !pass->shift || !pass->matrix ||
                !pass->features || !pass->filter,
            CLATTN_E_MEMORY, "reference: no host memory for the parameters of a score");
    pass->keys = clattn__make_array(call->T, call->Dk, size);
    pass->values = clattn__make_array(call->T, call->Dv, size);
    pass->value_peaks = clattn__make_array(call->T, 1, sizeof *pass->value_peaks);
    pass->rows = calloc(threads, sizeof *pass->rows);
    FAIL_IF(!pass->keys || !pass->values || !pass->value_peaks || !pass->rows, CLATTN_E_MEMORY,
            "reference: no host memory for a head of %lld keys", (long long)call->T);
    while (pass->threads < threads)
        FAIL_IF(!make_row(&pass->rows[pass->threads++], problem, call, size), CLATTN_E_MEMORY,
                "reference: no host memory for a row of %lld keys", (long long)call->T);
done:
    return status;
}

void clattn__pass_free(clattn__pass *pass)
{
    for (size_t t = 0; t < pass->threads; t++) {
        clattn__row *row = &pass->rows[t];
        void *arrays[] = {row->query,    row->projected, row->terms,   row->raw,        row->capped,
                          row->modified, row->added,     row->weights, row->normalized, row->output,
                          row->sums,     row->lse,       row->entropy, row->visible};
        for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++)
            free(arrays[a]);
    }
    void *arrays[] = {pass->rows,       pass->value_peaks, pass->values, pass->keys,
                      pass->projection, pass->hidden,      pass->v,      pass->shift,
                      pass->matrix,     pass->features,    pass->filter};
    for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++)
        free(arrays[a]);
    *pass = (clattn__pass){0};
}

double clattn__kept(const clattn__call *call, int64_t b, int64_t h, int64_t i, int64_t j)
{
    const clattn_dropout *dropout = &call->dropout;
    uint32_t numbers[4];
    if (dropout->threshold == 0)
        return 1.0;
    clattn_dropout_numbers(dropout, clattn_dropout_row(dropout, b, h, i), j, numbers);
    return numbers[j % 4] < dropout->threshold ? 0.0
                                               : 0x1p32 / (0x1p32 - (double)dropout->threshold);
}

void clattn__pass_load_head(clattn__pass *pass, int64_t b, int64_t g)
{
    switch (pass->real) {
    case CLATTN__FLOAT:
        load_head_in_float(pass, b, g);
        break;
    case CLATTN__DOUBLE:
        load_head_in_double(pass, b, g);
        break;
    case CLATTN__LONG_DOUBLE:
        load_head_in_long_double(pass, b, g);
        break;
    }
}

const clattn__row *clattn__pass_row(clattn__pass *pass, size_t thread, int64_t b, int64_t h,
                                    int64_t i)
{
    clattn__row *row = &pass->rows[thread];
    switch (pass->real) {
    case CLATTN__FLOAT:
        compute_row_in_float(pass, row, b, h, i);
        break;
    case CLATTN__DOUBLE:
        compute_row_in_double(pass, row, b, h, i);
        break;
    case CLATTN__LONG_DOUBLE:
        compute_row_in_long_double(pass, row, b, h, i);
        break;
    }
    return row;
}

long double clattn__real_value(clattn__real real, const void *array, int64_t index)
{
    switch (real) {
    case CLATTN__FLOAT:
        return (long double)((const float *)array)[index];
    case CLATTN__DOUBLE:
        return (long double)((const double *)array)[index];
    case CLATTN__LONG_DOUBLE:
        break;
    }
    return ((const long double *)array)[index];
}

long double clattn__pass_value(const clattn__pass *pass, const void *array, int64_t index)
{
    return clattn__real_value(pass->real, array, index);
}

const void *clattn__pass_scores(const clattn__pass *pass, const clattn__row *row)
{
    switch (pass->problem->desc.scores_stage) {
    case CLATTN_SCORES_RAW:
        return row->raw;
    case CLATTN_SCORES_CAPPED:
        return row->capped;
    case CLATTN_SCORES_MODIFIED:
        break;
    }
    return row->modified;
}

/* Row `sample` of `rows` spread evenly over `all`. */
static int64_t row_of_sample(int64_t sample, int64_t rows, int64_t all)
{
    return sample * (all / rows) + sample * (all % rows) / rows;
}

void clattn__walk_rows(const clattn__walk *walk)
{
    const clattn__call *call = walk->call;
    const int64_t all = call->B * call->Hq * call->S;
    /* Query heads share a head (arXiv:2305.13245). */
    const int64_t head_rows = call->Hq / call->Hkv * call->S;
    int64_t begin = 0, end;
    if (head_rows == 0) {
        for (int64_t head = 0; walk->leave_head && head < call->B * call->Hkv; head++) {
            walk->enter_head(walk->state, head / call->Hkv, head % call->Hkv);
            walk->leave_head(walk->state, head / call->Hkv, head % call->Hkv);
        }
        return;
    }
    for (; begin < walk->rows; begin = end) {
        const int64_t head = row_of_sample(begin, walk->rows, all) / head_rows;
        end = begin + 1;
        while (end < walk->rows && row_of_sample(end, walk->rows, all) / head_rows == head)
            end++;
        walk->enter_head(walk->state, head / call->Hkv, head % call->Hkv);
        /* Who waits for a turn of its own waits least where the next row is another thread's. */
        OMP(omp parallel for ordered schedule(dynamic, walk->settle_row ? 1 : 4) num_threads(walk->threads) if (walk->threads > 1))
        for (int64_t sample = begin; sample < end; sample++) {
            const int64_t row = row_of_sample(sample, walk->rows, all);
            size_t thread = 0;
#ifdef _OPENMP
            thread = (size_t)omp_get_thread_num();
#endif
            const int64_t b = row / call->S / call->Hq, h = row / call->S % call->Hq,
                          i = row % call->S;
            walk->visit_row(walk->state, thread, b, h, i);
            if (walk->settle_row) {
                OMP(omp ordered)
                walk->settle_row(walk->state, thread, b, h, i);
            }
        }
        if (walk->leave_head)
            walk->leave_head(walk->state, head / call->Hkv, head % call->Hkv);
    }
}

size_t clattn__walk_threads(const clattn__call *call, int64_t rows)
{
    size_t threads = 1;
#ifdef _OPENMP
    /* A thread costs some ten microseconds to wake for each
     * head; below this work it does not pay. */
    const double worth = 1e5;
    const int most = omp_get_max_threads();
    if ((double)rows * (double)call->T * (double)(call->D + call->Dv) /
                (double)(call->B * call->Hkv) >
            worth &&
        most > 1)
        threads = (size_t)most;
    if ((int64_t)threads > rows)
        threads = (size_t)rows;
#else
    (void)call;
    (void)rows;
#endif
    return threads ? threads : 1;
}
