/* verify.c: holds outputs that were computed elsewhere against
 * the reference and the error budget of docs/numerics.md. */
#include "columns.h"
#include "pass.h"
#include "reference.h"
#include "verdict.h"

#include "../dtype.h"
#include "../try.h"

#include <math.h>
#include <stdlib.h>

enum { OUTPUT, WEIGHTS, SCORES, LSE, COLUMN_SUMS, ARGMAX, ENTROPY, KINDS };

typedef struct findings {
    clattn__finding of[KINDS];
    double largest_score, largest_value, weight_sum, largest_column, entropy_slope;
} findings;

typedef struct judge {
    clattn__pass reference, plain;
    clattn__columns reference_columns, plain_columns;
    const clattn_tensor *got[KINDS];
    bool rows_before_heads;      /* the caller's output has its axes in the order of CLATTN_BSHD */
    int64_t first_row, all_rows; /* the sequence's place among the rows of the caller's tensors */
    findings *threads;
} judge;

/* A key as good as the one of the reference is right, too: what counts is by how much its score falls short.
 * Scores that plain code does not know leave nothing to ask for. */
static void compare_keys(clattn__finding *found, const clattn_tensor *tensor, int64_t at,
                         size_t index, const judge *j, const clattn__row *reference,
                         const clattn__row *plain)
{
    const int64_t T = j->reference.call->T,
                  got = clattn__integer_load(tensor->dtype, tensor->host, (size_t)at);
    double error = got == reference->argmax ? 0.0 : (double)INFINITY;
    for (int64_t k = 0; k < T; k++) {
        const long double is = clattn__pass_value(&j->reference, reference->modified, k),
                          said = clattn__pass_value(&j->plain, plain->modified, k);
        if (CLATTN__IS_FINITE(is) && CLATTN__IS_FINITE(said)) {
            found->plain_error = fmax(found->plain_error, (double)fabsl(said - is));
        } else if (CLATTN__IS_FINITE(is) || (said != is && !(isnan(is) && isnan(said)))) {
            found->left_out++;
            return;
        }
    }
    if (error > 0 && got >= 0 && got < T && reference->argmax >= 0) {
        const long double largest = clattn__pass_value(&j->reference, reference->modified,
                                                       reference->argmax),
                          named = clattn__pass_value(&j->reference, reference->modified, got);
        if (CLATTN__IS_FINITE(largest) && CLATTN__IS_FINITE(named))
            error = (double)(largest - named);
    }
    clattn__finding_take(found, error, index);
}

static void enter_head(void *state, int64_t b, int64_t g)
{
    judge *j = state;
    clattn__pass_load_head(&j->reference, b, g);
    clattn__pass_load_head(&j->plain, b, g);
    clattn__columns_clear(&j->reference_columns);
    clattn__columns_clear(&j->plain_columns);
}

static void visit_row(void *state, size_t thread, int64_t b, int64_t h, int64_t i)
{
    judge *j = state;
    const clattn__call *call = j->reference.call;
    const clattn__row *reference = clattn__pass_row(&j->reference, thread, b, h, i);
    const clattn__row *plain = clattn__pass_row(&j->plain, thread, b, h, i);
    const int64_t i_of_all = j->first_row + i;
    const size_t row = (size_t)((b * call->Hq + h) * j->all_rows + i_of_all);
    const int64_t head = clattn__place_of_weights(&call->weights_heads, h),
                  place = clattn__place_of_weights(&call->weights_rows, i);
    const clattn_tensor *weights = &call->weights;
    const struct {
        const void *reference, *plain;
        int64_t count, h, i;
        size_t row;
    } of[KINDS] = {
        [OUTPUT] = {reference->output, plain->output, call->Dv, h, i,
                    j->rows_before_heads ? (size_t)((b * j->all_rows + i_of_all) * call->Hq + h)
                                         : row},
        [WEIGHTS] = {reference->weights, plain->weights, head < 0 || place < 0 ? 0 : call->T, head,
                     place, (size_t)((b * weights->shape[1] + head) * weights->shape[2] + place)},
        [SCORES] = {clattn__pass_scores(&j->reference, reference),
                    clattn__pass_scores(&j->plain, plain), call->T, h, i, row},
        [LSE] = {reference->lse, plain->lse, 1, h, i, row},
        [ENTROPY] = {reference->entropy, plain->entropy, 1, h, i, row},
    };
    findings *found = &j->threads[thread];
    for (int kind = 0; kind < KINDS; kind++) {
        const clattn_tensor *got = j->got[kind];
        if (!clattn__has(got))
            continue;
        for (int64_t c = 0; c < of[kind].count; c++)
            clattn__finding_compare(&found->of[kind], got,
                                    clattn__at(got, b, of[kind].h, of[kind].i, c),
                                    of[kind].row * (size_t)of[kind].count + (size_t)c,
                                    clattn__pass_value(&j->reference, of[kind].reference, c),
                                    clattn__pass_value(&j->plain, of[kind].plain, c));
    }
    if (clattn__has(&call->argmax))
        compare_keys(&found->of[ARGMAX], &call->argmax, clattn__at(&call->argmax, b, h, i, 0), row,
                     j, reference, plain);
    found->entropy_slope = fmax(found->entropy_slope, reference->entropy_slope);
    found->largest_score = fmax(found->largest_score, reference->largest_score);
    found->largest_value = fmax(found->largest_value, reference->largest_value);
    found->weight_sum = fmax(found->weight_sum, reference->weight_sum);
}

static void settle_row(void *state, size_t thread, int64_t b, int64_t h, int64_t i)
{
    judge *j = state;
    (void)b, (void)i;
    clattn__columns_add(&j->reference_columns, &j->reference, &j->reference.rows[thread], h);
    clattn__columns_add(&j->plain_columns, &j->plain, &j->plain.rows[thread], h);
}

static void leave_head(void *state, int64_t b, int64_t g)
{
    judge *j = state;
    const clattn__columns *columns = &j->reference_columns;
    const clattn_tensor *got = j->got[COLUMN_SUMS];
    findings *found = &j->threads[0];
    for (int64_t c = 0; c < columns->heads * columns->T; c++) {
        const int64_t h = g * columns->heads + c / columns->T, key = c % columns->T;
        clattn__finding_compare(&found->of[COLUMN_SUMS], got, clattn__at(got, b, h, 0, key),
                                (size_t)((b * j->reference.call->Hq + h) * columns->T + key),
                                columns->sums[c], j->plain_columns.sums[c]);
        found->largest_column = fmax(found->largest_column, columns->magnitudes[c]);
    }
}

/* Joins what the threads saw; the lower index wins a tie,
 * so that the report does not depend on their number. */
static void join(findings *all, const findings *one)
{
    all->largest_score = fmax(all->largest_score, one->largest_score);
    all->largest_value = fmax(all->largest_value, one->largest_value);
    all->weight_sum = fmax(all->weight_sum, one->weight_sum);
    all->largest_column = fmax(all->largest_column, one->largest_column);
    all->entropy_slope = fmax(all->entropy_slope, one->entropy_slope);
    for (int kind = 0; kind < KINDS; kind++) {
        clattn__finding *to = &all->of[kind];
        const clattn__finding *from = &one->of[kind];
        to->left_out += from->left_out;
        if (!from->checked)
            continue;
        if (!to->checked || from->error > to->error ||
            (!(from->error < to->error) && from->worst < to->worst)) {
            to->error = from->error;
            to->worst = from->worst;
        }
        to->plain_error = fmax(to->plain_error, from->plain_error);
        to->peak = fmax(to->peak, from->peak);
        to->checked += from->checked;
    }
}

static double bound_of(int kind, const findings *all, const clattn_attention_desc *desc,
                       clattn_dtype stored)
{
    const clattn__finding *found = &all->of[kind];
    const double score =
        kind == SCORES ? fmax(all->largest_score, found->peak) : all->largest_score;
    const double value = kind == OUTPUT        ? all->largest_value * fmax(1.0, all->weight_sum)
                         : kind == COLUMN_SUMS ? all->largest_column
                         : kind == ENTROPY     ? fmax(1.0, all->entropy_slope)
                                               : 1.0;
    return clattn__finding_bound(found, desc, stored, score, value);
}

/* Two verdicts on one output, of which each has a bound of its own: the one that is closer to it
 * stands for both. */
static void merge(clattn_verdict *all, const clattn_verdict *one)
{
    const bool first = all->checked + all->left_out == 0;
    const size_t checked = all->checked + one->checked, left_out = all->left_out + one->left_out;
    const int ok = all->ok && one->ok;
    if (first || (all->ok && !one->ok) ||
        (all->ok == one->ok && one->error / one->bound > all->error / all->bound))
        *all = *one;
    all->checked = checked;
    all->left_out = left_out;
    all->ok = ok;
}

static void report_on(clattn_report *report, const clattn__call *call, const findings *all,
                      const clattn_attention_desc *desc)
{
    static const char *const names[KINDS] = {"output",      "weights", "scores", "lse",
                                             "column_sums", "argmax",  "entropy"};
    const clattn_tensor *const got[KINDS] = {&call->output, &call->weights,     &call->scores,
                                             &call->lse,    &call->column_sums, &call->argmax,
                                             &call->entropy};
    report->ok = 1;
    for (int kind = 0; kind < KINDS; kind++)
        if (clattn__has(got[kind]))
            clattn__report_add(report, names[kind], &all->of[kind],
                               bound_of(kind, all, desc, got[kind]->dtype));
}

/* The rows to check of a sequence, where `rows` of `all_rows` are to be checked. */
static size_t share_of(size_t sequence_rows, size_t rows, size_t all_rows)
{
    const double share = ceil((double)sequence_rows * (double)rows / (double)all_rows);
    return share < (double)sequence_rows ? (size_t)share : sequence_rows;
}

/* Adds what there is to say of `rows` rows of a call. */
static clattn_status judge_sequence(findings *all, judge *j, const clattn__problem *problem,
                                    const clattn__call *call, size_t rows)
{
    clattn_status status = CLATTN_OK;
    const bool wide = problem->desc.dtype == CLATTN_F64;
    const size_t threads = clattn__walk_threads(call, (int64_t)rows);
    TRY(clattn__pass_init(&j->reference, wide ? CLATTN__LONG_DOUBLE : CLATTN__DOUBLE, problem, call,
                          threads));
    TRY(clattn__pass_init(&j->plain, wide ? CLATTN__DOUBLE : CLATTN__FLOAT, problem, call,
                          threads));
    j->plain.round_inputs = !wide && problem->desc.precision == CLATTN_PRECISION_FAST;
    j->threads = calloc(threads, sizeof *j->threads);
    FAIL_IF(!j->threads, CLATTN_E_MEMORY, "verify: no host memory");
    j->got[OUTPUT] = &call->output, j->got[WEIGHTS] = &call->weights,
    j->got[SCORES] = &call->scores, j->got[LSE] = &call->lse;
    j->got[COLUMN_SUMS] = &call->column_sums, j->got[ARGMAX] = &call->argmax;
    j->got[ENTROPY] = &call->entropy;
    const bool columns = clattn__has(&call->column_sums);
    if (columns) {
        TRY(clattn__columns_init(&j->reference_columns, call));
        TRY(clattn__columns_init(&j->plain_columns, call));
    }
    clattn__walk_rows(&(clattn__walk){.call = call,
                                      .rows = (int64_t)rows,
                                      .threads = threads,
                                      .state = j,
                                      .enter_head = enter_head,
                                      .visit_row = visit_row,
                                      .settle_row = columns ? settle_row : NULL,
                                      .leave_head = columns ? leave_head : NULL});
    for (size_t t = 0; t < threads; t++)
        join(all, &j->threads[t]);
done:
    free(j->threads);
    clattn__columns_free(&j->plain_columns);
    clattn__columns_free(&j->reference_columns);
    clattn__pass_free(&j->plain);
    clattn__pass_free(&j->reference);
    return status;
}

clattn_status clattn_verify(clattn_report *report, const clattn_attention_desc *desc,
                            const clattn_attention_args *args, size_t rows)
{
    clattn_status status = CLATTN_OK;
    clattn__problem problem;
    clattn__call call;
    const findings none = {0};
    int64_t first_row = 0;
    FAIL_IF(!report || !desc || !args, CLATTN_E_ARGUMENT,
            "verify: report, desc and args are required");
    *report = (clattn_report){0};
    TRY(clattn__problem_init(&problem, desc));
    TRY(clattn__call_init(&call, &problem, args));
    TRY(clattn__reference_check_host(&call));
    const bool rows_before_heads = clattn__is_packed(&problem) ||
                                   (problem.desc.layout == CLATTN_BSHD && args->value.rank == 4);
    if (call.backward) {
        TRY(clattn__verify_backward(report, &problem, &call, rows_before_heads));
        goto done;
    }
    const size_t all_rows = (size_t)(call.B * call.Hq * call.S);
    if (rows == 0 || rows > all_rows || clattn__has(&call.column_sums))
        rows = all_rows;
    /* A sequence is a call of its own, and so are its errors' bounds. */
    report_on(report, &call, &none, &problem.desc);
    for (int64_t b = 0; b < clattn__sequences(&call); b++) {
        const clattn__call sequence = clattn__call_sequence(&call, b);
        const size_t share =
            share_of((size_t)(sequence.B * sequence.Hq * sequence.S), rows, all_rows);
        findings found = {0};
        clattn_report one = {0};
        judge j = {
            .rows_before_heads = rows_before_heads, .first_row = first_row, .all_rows = call.S};
        TRY(judge_sequence(&found, &j, &problem, &sequence, share));
        report_on(&one, &sequence, &found, &problem.desc);
        for (size_t v = 0; share && v < one.count; v++)
            merge(&report->verdicts[v], &one.verdicts[v]);
        report->ok = report->ok && one.ok;
        report->rows += share;
        first_row += sequence.S;
    }
done:
    return status;
}
