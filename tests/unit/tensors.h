/* tensors.h: the tensors of a call by their names, and the calls that the tests of src/call.c begin
 * with: B 2, Hq 4, Hkv 2, S 3, T 5, D 6, Dv 7, where they have these axes. */
#ifndef TESTS_UNIT_TENSORS_H
#define TESTS_UNIT_TENSORS_H

#include "support/cases.h"

#define SIZED(b, s, t) .B = (b), .S = (s), .T = (t), .D = 6, .Dv = 7
#define SIZES SIZED(2, 3, 5)
#define HEADS .Hq = 4, .Hkv = 2
#define ALL_FLAGS                                                                                  \
    (CLATTN_MASK | CLATTN_BIAS | CLATTN_KV_LENGTHS | CLATTN_ALIBI | CLATTN_SINKS | CLATTN_CAUSAL)

typedef enum which {
    QUERY,
    KEY,
    VALUE,
    GIVEN_SCORES,
    MASK,
    BIAS,
    KV_LENGTHS,
    ALIBI_SLOPES,
    SINKS,
    OUTPUT,
    WEIGHTS,
    SCORES,
    LSE,
    CU_SEQLENS_Q,
    CU_SEQLENS_K,
    COLUMN_SUMS,
    ARGMAX,
    ENTROPY,
    WEIGHTS_HEADS,
    WEIGHTS_ROWS
} which;

static inline clattn_tensor *tensor_of(clattn_attention_args *args, which tensor)
{
    clattn_tensor *const all[] = {
        &args->query,  &args->key,          &args->value,         &args->given_scores,
        &args->mask,   &args->bias,         &args->kv_lengths,    &args->alibi_slopes,
        &args->sinks,  &args->output,       &args->weights,       &args->scores,
        &args->lse,    &args->cu_seqlens_q, &args->cu_seqlens_k,  &args->column_sums,
        &args->argmax, &args->entropy,      &args->weights_heads, &args->weights_rows};
    return all[tensor];
}

#endif
