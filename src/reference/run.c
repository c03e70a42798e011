/* run.c: the reference as a path of its own: every row once, rounded once. */
#include "pass.h"
#include "reference.h"

#include "../try.h"

#include <clattn/reference.h>

static void enter_head(void *state, int64_t b, int64_t g)
{
    clattn__pass_load_head(state, b, g);
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
    clattn__pass *pass = state;
    const clattn__call *call = pass->call;
    const clattn__row *row = clattn__pass_row(pass, thread, b, h, i);
    store(pass, row->output, call->Dv, &call->output, clattn__at(&call->output, b, h, i, 0));
    store(pass, row->weights, call->T, &call->weights, clattn__at(&call->weights, b, h, i, 0));
    store(pass, clattn__pass_scores(pass, row), call->T, &call->scores,
          clattn__at(&call->scores, b, h, i, 0));
    store(pass, row->lse, 1, &call->lse, clattn__at(&call->lse, b, h, i, 0));
}

static clattn_status run_sequence(const clattn__problem *problem, const clattn__call *call)
{
    clattn_status status = CLATTN_OK;
    clattn__pass pass = {0};
    const int64_t rows = call->B * call->Hq * call->S;
    const size_t threads = clattn__walk_threads(call, rows);
    const clattn__walk walk = {call, rows, threads, &pass, enter_head, visit_row};
    TRY(clattn__pass_init(&pass,
                          problem->desc.dtype == CLATTN_F64 ? CLATTN__LONG_DOUBLE : CLATTN__DOUBLE,
                          problem, call, threads));
    clattn__walk_rows(&walk);
done:
    clattn__pass_free(&pass);
    return status;
}

clattn_status clattn__reference_call(const clattn__problem *problem, const clattn__call *call)
{
    clattn_status status = CLATTN_OK;
    TRY(clattn__reference_check_host(call));
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
