/* run.c: the reference as a path of its own: every row once, rounded once. */
#include "backward.h"
#include "columns.h"
#include "pass.h"
#include "reference.h"
#include "sums.h"

#include "../try.h"

#include <clattn/reference.h>

typedef struct runner {
    clattn__pass pass;
    clattn__columns columns;
} runner;

static void enter_head(void *state, int64_t b, int64_t g)
{
    runner *r = state;
    clattn__pass_load_head(&r->pass, b, g);
    clattn__columns_clear(&r->columns);
}

static void store(const clattn__pass *pass, const void *array, int64_t count,
                  const clattn_tensor *to, int64_t at)
{
    if (!clattn__has(to))
        return;
    for (int64_t c = 0; c < count; c++)
        clattn_element_store(to->dtype, to->host, (size_t)(at + c * to->strides[3]),
                             (double)clattn__pass_value(pass, array, c));
}

static void visit_row(void *state, size_t thread, int64_t b, int64_t h, int64_t i)
{
    runner *r = state;
    clattn__pass *pass = &r->pass;
    const clattn__call *call = pass->call;
    const clattn__row *row = clattn__pass_row(pass, thread, b, h, i);
    const int64_t head = clattn__place_of_weights(&call->weights_heads, h),
                  place = clattn__place_of_weights(&call->weights_rows, i);
    store(pass, row->output, call->Dv, &call->output, clattn__at(&call->output, b, h, i, 0));
    if (head >= 0 && place >= 0)
        store(pass, row->weights, call->T, &call->weights,
              clattn__at(&call->weights, b, head, place, 0));
    store(pass, clattn__pass_scores(pass, row), call->T, &call->scores,
          clattn__at(&call->scores, b, h, i, 0));
    store(pass, row->lse, 1, &call->lse, clattn__at(&call->lse, b, h, i, 0));
    store(pass, row->entropy, 1, &call->entropy, clattn__at(&call->entropy, b, h, i, 0));
    if (clattn__has(&call->argmax))
        clattn_element_store(call->argmax.dtype, call->argmax.host,
                             (size_t)clattn__at(&call->argmax, b, h, i, 0), (double)row->argmax);
}

static void settle_row(void *state, size_t thread, int64_t b, int64_t h, int64_t i)
{
    runner *r = state;
    (void)b, (void)i;
    clattn__columns_add(&r->columns, &r->pass, &r->pass.rows[thread], h);
}

static void leave_head(void *state, int64_t b, int64_t g)
{
    const runner *r = state;
    const clattn_tensor *to = &r->pass.call->column_sums;
    for (int64_t c = 0; c < r->columns.heads * r->columns.T; c++)
        clattn_element_store(
            to->dtype, to->host,
            (size_t)clattn__at(to, b, g * r->columns.heads + c / r->columns.T, 0, c % r->columns.T),
            (double)r->columns.sums[c]);
}

static clattn__real reference_real(const clattn__problem *problem)
{
    return problem->desc.dtype == CLATTN_F64 ? CLATTN__LONG_DOUBLE : CLATTN__DOUBLE;
}

static clattn_status run_sequence(const clattn__problem *problem, const clattn__call *call)
{
    clattn_status status = CLATTN_OK;
    runner r = {.columns = {0}};
    const int64_t rows = call->B * call->Hq * call->S;
    const size_t threads = clattn__walk_threads(call, rows);
    const bool columns = clattn__has(&call->column_sums);
    const clattn__walk walk = {.call = call,
                               .rows = rows,
                               .threads = threads,
                               .state = &r,
                               .enter_head = enter_head,
                               .visit_row = visit_row,
                               .settle_row = columns ? settle_row : NULL,
                               .leave_head = columns ? leave_head : NULL};
    TRY(clattn__pass_init(&r.pass, reference_real(problem), problem, call, threads));
    if (columns)
        TRY(clattn__columns_init(&r.columns, call));
    clattn__walk_rows(&walk);
done:
    clattn__columns_free(&r.columns);
    clattn__pass_free(&r.pass);
    return status;
}

typedef struct backward_runner {
    clattn__pass pass;
    clattn__backward backward;
} backward_runner;

static void enter_head_backward(void *state, int64_t b, int64_t g)
{
    backward_runner *r = state;
    clattn__pass_load_head(&r->pass, b, g);
}

static void visit_row_backward(void *state, size_t thread, int64_t b, int64_t h, int64_t i)
{
    backward_runner *r = state;
    (void)clattn__pass_row(&r->pass, thread, b, h, i);
    clattn__backward_row(&r->backward, thread, b, h, i);
}

static void settle_row_backward(void *state, size_t thread, int64_t b, int64_t h, int64_t i)
{
    const backward_runner *r = state;
    clattn__backward_settle(&r->backward, thread, b, h, i);
}

static clattn_status run_sequence_backward(const clattn__problem *problem, const clattn__call *call)
{
    clattn_status status = CLATTN_OK;
    backward_runner r = {.backward = {0}};
    const int64_t rows = call->B * call->Hq * call->S;
    const size_t threads = clattn__walk_threads(call, rows);
    TRY(clattn__pass_init(&r.pass, reference_real(problem), problem, call, threads));
    TRY(clattn__backward_init(&r.backward, &r.pass, call));
    clattn__walk_rows(&(clattn__walk){.call = call,
                                      .rows = rows,
                                      .threads = threads,
                                      .state = &r,
                                      .enter_head = enter_head_backward,
                                      .visit_row = visit_row_backward,
                                      .settle_row = settle_row_backward});
done:
    clattn__backward_free(&r.backward);
    clattn__pass_free(&r.pass);
    return status;
}

/* Gradients are added up over all sequences, and rounded then. */
static clattn_status run_backward(const clattn__problem *problem, const clattn__call *call)
{
    clattn_status status = CLATTN_OK;
    clattn__call sums = {0};
    TRY(clattn__sums_init(&sums, call, reference_real(problem)));
    for (int64_t b = 0; b < clattn__sequences(call); b++) {
        const clattn__call sequence = clattn__call_sequence(&sums, b);
        TRY(run_sequence_backward(problem, &sequence));
    }
    clattn__sums_store(&sums, call, reference_real(problem));
done:
    clattn__sums_free(&sums);
    return status;
}

clattn_status clattn__reference_call(const clattn__problem *problem, const clattn__call *call)
{
    clattn_status status = CLATTN_OK;
    TRY(clattn__reference_check_host(call));
    if (call->backward) {
        TRY(run_backward(problem, call));
        goto done;
    }
    for (int64_t b = 0; b < clattn__sequences(call); b++) {
        const clattn__call sequence = clattn__call_sequence(call, b);
        TRY(run_sequence(problem, &sequence));
    }
done:
    return status;
}

clattn_status clattn_reference_run(const clattn_attention_desc *desc,
                                   const clattn_attention_args *args)
{
    clattn_status status = CLATTN_OK;
    clattn__problem problem;
    clattn__call call;
    FAIL_IF(!desc || !args, CLATTN_E_ARGUMENT, "reference: desc and args are required");
    TRY(clattn__problem_init(&problem, desc));
    TRY(clattn__call_init(&call, &problem, args));
    TRY(clattn__reference_call(&problem, &call));
done:
    return status;
}

clattn_status clattn__reference_check_host(const clattn__call *call)
{
    clattn_status status = CLATTN_OK;
    clattn_tensor *tensors[CLATTN__CALL_TENSORS];
    const char *names[CLATTN__CALL_TENSORS];
    clattn__call copy = *call;
    (void)clattn__call_tensors(&copy, tensors, names);
    for (size_t t = 0; t < CLATTN__CALL_TENSORS; t++)
        FAIL_IF(tensors[t]->buffer, CLATTN_E_ARGUMENT,
                "%s: lies in device memory, expected host memory for the reference", names[t]);
done:
    return status;
}
