/* row_outputs.c: see row_outputs.h. */
#include "row_outputs.h"

void clattn__row_outputs_add(clattn__arg_list *list, clattn__row_outputs *o,
                             const clattn__call *call, cl_mem other)
{
    const clattn_tensor *heads = &call->weights_heads, *rows = &call->weights_rows;
    *o = (clattn__row_outputs){.weights = clattn__memory_of(&call->weights, other),
                               .heads = clattn__memory_of(heads, other),
                               .rows = clattn__memory_of(rows, other),
                               .argmax = clattn__memory_of(&call->argmax, other),
                               .entropy = clattn__memory_of(&call->entropy, other),
                               .shared = {.weights = clattn__view(&call->weights),
                                          .heads = clattn__view(heads),
                                          .rows = clattn__view(rows),
                                          .argmax = clattn__view(&call->argmax),
                                          .entropy = clattn__view(&call->entropy),
                                          .head_count = heads->shape[3],
                                          .row_count = rows->shape[3],
                                          .first_head = call->first_head,
                                          .first_row = call->first_row}};
    const clattn__arg args[] = {
        CLATTN__ARG(o->weights), CLATTN__ARG(o->heads),   CLATTN__ARG(o->rows),
        CLATTN__ARG(o->argmax),  CLATTN__ARG(o->entropy), CLATTN__ARG(o->shared),
    };
    clattn__args_add(list, args, sizeof args / sizeof *args);
}
