/* verify_backward.c: holds gradients that were computed elsewhere against the reference, the plain pass, and the
 * magnitudes of what they are sums of. */
#include "backward.h"
#include "sums.h"
#include "verdict.h"

#include "../try.h"

#include <math.h>
#include <string.h>

/* Who makes gradients, and adds them up in tensors of their own. */
enum { REFERENCE, PLAIN, MAGNITUDES, MAKERS };

typedef struct judge {
    clattn__pass reference, plain;
    clattn__backward makers[MAKERS];
    double largest_score;
} judge;

static void enter_head(void *state, int64_t b, int64_t g)
{
    judge *j = state;
    clattn__pass_load_head(&j->reference, b, g);
    clattn__pass_load_head(&j->plain, b, g);
}

static void visit_row(void *state, size_t thread, int64_t b, int64_t h, int64_t i)
{
    judge *j = state;
    (void)clattn__pass_row(&j->reference, thread, b, h, i);
    (void)clattn__pass_row(&j->plain, thread, b, h, i);
    for (int maker = 0; maker < MAKERS; maker++)
        clattn__backward_row(&j->makers[maker], thread, b, h, i);
}

static void settle_row(void *state, size_t thread, int64_t b, int64_t h, int64_t i)
{
    judge *j = state;
    j->largest_score = fmax(j->largest_score, j->reference.rows[thread].largest_score);
    for (int maker = 0; maker < MAKERS; maker++)
        clattn__backward_settle(&j->makers[maker], thread, b, h, i);
}

/* The real types of the two passes. Magnitudes are of the one in double. */
static clattn__real real_of(const clattn__problem *problem, int maker)
{
    const bool wide = problem->desc.dtype == CLATTN_F64;
    if (maker == REFERENCE)
        return wide ? CLATTN__LONG_DOUBLE : CLATTN__DOUBLE;
    return maker == PLAIN && !wide ? CLATTN__FLOAT : CLATTN__DOUBLE;
}

/* Adds up the gradients of one sequence; the calls differ in where. */
static clattn_status judge_sequence(double *largest_score, const clattn__problem *problem,
                                    const clattn__call calls[MAKERS])
{
    clattn_status status = CLATTN_OK;
    judge j = {.largest_score = *largest_score};
    const clattn_dtype dtype = problem->desc.dtype;
    const int64_t rows = calls->B * calls->Hq * calls->S;
    const size_t threads = clattn__walk_threads(calls, rows);
    TRY(clattn__pass_init(&j.reference, real_of(problem, REFERENCE), problem, &calls[REFERENCE],
                          threads));
    TRY(clattn__pass_init(&j.plain, real_of(problem, PLAIN), problem, &calls[PLAIN], threads));
    j.plain.round_inputs = dtype != CLATTN_F64 && problem->desc.precision == CLATTN_PRECISION_FAST;
    for (int maker = 0; maker < MAKERS; maker++) {
        const bool of_plain = maker == PLAIN || j.reference.real != real_of(problem, maker);
        TRY(clattn__backward_init(&j.makers[maker], of_plain ? &j.plain : &j.reference,
                                  &calls[maker]));
    }
    j.makers[MAGNITUDES].magnitudes = true;
    j.makers[PLAIN].from_stored_output =
        (dtype == CLATTN_F16 || dtype == CLATTN_BF16) && clattn__has(&calls->output);
    clattn__walk_rows(&(clattn__walk){.call = calls,
                                      .rows = rows,
                                      .threads = threads,
                                      .state = &j,
                                      .enter_head = enter_head,
                                      .visit_row = visit_row,
                                      .settle_row = settle_row});
    *largest_score = j.largest_score;
done:
    for (int maker = 0; maker < MAKERS; maker++)
        clattn__backward_free(&j.makers[maker]);
    clattn__pass_free(&j.plain);
    clattn__pass_free(&j.reference);
    return status;
}

/* A gradient as the caller has it, and as it was added up. */
typedef struct gradient {
    const clattn_tensor *got, *sums[MAKERS];
    bool rows_before_heads;    /* its axes in the caller's tensor */
    int64_t channel, channels; /* of filters, which are one tensor of the caller's */
} gradient;

static size_t index_of(const gradient *of, const int64_t shape[4], int64_t element)
{
    const int64_t column = element % shape[3], row = element / shape[3] % shape[2],
                  head = element / shape[3] / shape[2] % shape[1],
                  batch = element / shape[3] / shape[2] / shape[1];
    if (of->rows_before_heads)
        return (size_t)(((batch * shape[2] + row) * shape[1] + head) * shape[3] + column);
    return (size_t)((element / shape[3] * of->channels + of->channel) * shape[3] + column);
}

/* Also tells the largest sum of magnitudes. */
static void compare(clattn__finding *found, double *magnitude, const clattn__problem *problem,
                    const gradient *of)
{
    int64_t shape[4];
    clattn__sums_shape(of->got, shape);
    for (int64_t e = 0; e < shape[0] * shape[1] * shape[2] * shape[3]; e++) {
        long double sums[MAKERS];
        for (int maker = 0; maker < MAKERS; maker++)
            sums[maker] = clattn__real_value(real_of(problem, maker), of->sums[maker]->host,
                                             clattn__sums_at(of->sums[maker], shape, e));
        clattn__finding_compare(found, of->got, clattn__sums_at(of->got, shape, e),
                                index_of(of, shape, e), sums[REFERENCE], sums[PLAIN]);
        if (CLATTN__IS_FINITE(sums[MAGNITUDES]))
            *magnitude = fmax(*magnitude, (double)sums[MAGNITUDES]);
    }
}

_Static_assert(CLATTN__CALL_GRADIENTS <= CLATTN_MAX_VERDICTS, "a report has room for all");

/* The gradients that have the axes of query, key and value are the first ones. */
#define VECTORS 3

static bool is_channel_of(const clattn_tensor *other, const char *name, const char *of)
{
    return clattn__has(other) && strcmp(name, of) == 0;
}

static void report_on(clattn_report *report, const clattn__problem *problem,
                      const clattn__call *call, const clattn__call sums[MAKERS],
                      double largest_score, bool rows_before_heads)
{
    clattn_tensor got[CLATTN__CALL_GRADIENTS], made[MAKERS][CLATTN__CALL_GRADIENTS];
    const char *names[CLATTN__CALL_GRADIENTS];
    clattn__finding found = {0};
    double magnitude = 0;
    const size_t count = clattn__sums_gradients(call, got, names);
    for (int maker = 0; maker < MAKERS; maker++)
        (void)clattn__sums_gradients(&sums[maker], made[maker], names);
    report->ok = 1;
    for (size_t n = 0; n < count; n++) {
        gradient of = {.got = &got[n], .channels = 1};
        if (!clattn__has(&got[n]))
            continue;
        for (int maker = 0; maker < MAKERS; maker++)
            of.sums[maker] = &made[maker][n];
        of.rows_before_heads = rows_before_heads && n < VECTORS;
        const bool more = n + 1 < count && is_channel_of(&got[n + 1], names[n + 1], names[n]),
                   again = n > 0 && is_channel_of(&got[n - 1], names[n - 1], names[n]);
        of.channel = again;
        of.channels = more || again ? 2 : 1;
        compare(&found, &magnitude, problem, &of);
        if (more)
            continue;
        clattn__report_add(
            report, names[n], &found,
            clattn__finding_bound(&found, &problem->desc, got[n].dtype, largest_score, magnitude));
        found = (clattn__finding){0}, magnitude = 0;
    }
}

clattn_status clattn__verify_backward(clattn_report *report, const clattn__problem *problem,
                                      const clattn__call *call, bool rows_before_heads)
{
    clattn_status status = CLATTN_OK;
    clattn__call sums[MAKERS] = {{0}};
    double largest_score = 0;
    for (int maker = 0; maker < MAKERS; maker++)
        TRY(clattn__sums_init(&sums[maker], call, real_of(problem, maker)));
    for (int64_t b = 0; b < clattn__sequences(call); b++) {
        clattn__call sequences[MAKERS];
        for (int maker = 0; maker < MAKERS; maker++)
            sequences[maker] = clattn__call_sequence(&sums[maker], b);
        TRY(judge_sequence(&largest_score, problem, sequences));
    }
    report->rows = (size_t)(call->B * call->Hq * call->S);
    report_on(report, problem, call, sums, largest_score, rows_before_heads);
done:
    for (int maker = 0; maker < MAKERS; maker++)
        clattn__sums_free(&sums[maker]);
    return status;
}
