/* problem.h: a description with every default filled in and every rule checked, and one call on it
 * with all tensors brought to four dimensions. Below this nothing is checked twice. */
#ifndef CLATTN_PROBLEM_H
#define CLATTN_PROBLEM_H

#include "../kernels/arguments.h"

#include <clattn/attention.h>

#include <stdbool.h>

/* A valid description: no field asks for a default any
 * more. `desc.variant` is the caller's string. */
typedef struct clattn__problem {
    clattn_attention_desc desc;
    double scale; /* of the scores: 1 for given ones */
    clattn_dtype query_dtype,
        key_dtype; /* as a variant meets them: those of sums where they were made
                                            from the caller's (ops/operands.h) */
} clattn__problem;

/* The parameters of scores as tensors of a call, of rank 4: matrices and vectors (1, Hq, rows, columns),
 * what goes with keys (B, Hq, 1, T), beta (B, Hq, S, 1), gamma and g (1, Hq, 1, 1). The filters of two
 * channels are two tensors. */
typedef enum clattn__param {
    CLATTN__WEIGHT,
    CLATTN__W_QUERY,
    CLATTN__W_KEY,
    CLATTN__V,
    CLATTN__BIAS,
    CLATTN__G,
    CLATTN__BETA,
    CLATTN__GAMMA,
    CLATTN__PREVIOUS_WEIGHTS,
    CLATTN__CUMULATIVE_WEIGHTS,
    CLATTN__COVERAGE,
    CLATTN__CONV, /* behind cumulative weights, which say what it looks like */
    CLATTN__CONV_CUMULATIVE,
    CLATTN__W_LOCATION, /* behind conv, which says how many columns it has */
    CLATTN__W_COVERAGE,
    CLATTN__PARAMS
} clattn__param;

/* The gradients of a call backward, views as those of the tensors that they are of: where a tensor
 * broadcasts, so does its gradient, which is a sum then over all that has the same place in it. */
typedef struct clattn__gradients {
    clattn_tensor output, weights, lse; /* come in */
    clattn_tensor query, key, value, given_scores, bias, alibi_slopes, sinks;
    clattn_tensor params[CLATTN__PARAMS];
    clattn_tensor
        hidden; /* of what a key adds to the units of additive scores, for each query head,
                             (B, Hq, T, A), in device memory, in place of `key`; ops/operands.h */
} clattn__gradients;

/* One call. Tensors are views of rank 4 with strides that broadcast where the caller's did:
 *   query (B, Hq, S, D)   key (B, Hkv, T, Dk)   value (B, Hkv, T, Dv)   output (B, Hq, S, Dv)
 *   given_scores, mask, bias, weights, scores (B, Hq, S, T)   lse, argmax, entropy (B, Hq, S, 1)
 *   column_sums (B, Hq, 1, T)   kv_lengths (B, 1, 1, 1)   alibi_slopes, sinks (1, Hq, 1, 1)
 *   weights_heads, weights_rows (1, 1, 1, n): weights has n heads, n rows then, of the caller's numbers
 * An absent tensor has rank 0. A call may be a slice of the caller's: then S is its own.
 * Packed sequences are one batch: B is 1, S and T are the totals, and cu_seqlens_q and cu_seqlens_k,
 * (sequences + 1, 1, 1, 1), say where each begins among the caller's rows and keys. */
typedef struct clattn__call {
    int64_t B, Hq, Hkv, S, T, D, Dk, Dv;
    int64_t first_row, all_rows;   /* its place among the caller's rows: 0 and S when it is whole */
    int64_t first_head, all_heads; /* likewise among the query heads */
    int64_t first_batch, all_batches; /* likewise among the batches, or the packed sequences */
    clattn_tensor query, key, value, given_scores, mask, bias, kv_lengths, alibi_slopes, sinks;
    clattn_tensor output, weights, scores, lse, column_sums, argmax, entropy;
    clattn_tensor weights_heads, weights_rows;
    clattn_tensor cu_seqlens_q, cu_seqlens_k;
    clattn_tensor params[CLATTN__PARAMS];
    clattn_tensor key_forms, key_extents; /* of projected keys, in device memory; ops/key_forms.h */
    clattn_dropout dropout;               /* and its place among the caller's weights */
    bool backward;                        /* output and lse are inputs then */
    clattn__gradients grad;
} clattn__call;

/* The tensors of a call in the order inputs, outputs;
 * `names` may be NULL. Returns how many are inputs. */
#define CLATTN__CALL_TENSORS (30 + 2 * CLATTN__PARAMS)
size_t clattn__call_tensors(clattn__call *call, clattn_tensor *tensors[CLATTN__CALL_TENSORS],
                            const char *names[CLATTN__CALL_TENSORS]);

/* True for an output of which others of the caller's pieces have written a part, or will: what it holds
 * must stay. */
bool clattn__is_shared_by_pieces(const clattn__call *call, const clattn_tensor *output);

/* Whether a call wants more of its weights than what they make of the values. */
bool clattn__looks_at_weights(const clattn__call *call);

/* Where a row's weights are written: 0 to the chosen heads' or rows' number; -1: nowhere. */
int64_t clattn__place_of_weights(const clattn_tensor *chosen, int64_t index);

/* Copies a struct of the caller, who may have been compiled
 * with a shorter one; the rest becomes zero. */
clattn_status clattn__struct_copy(void *target, size_t target_size, const void *source,
                                  size_t source_size, const char *name);

clattn_status clattn__problem_init(clattn__problem *problem, const clattn_attention_desc *desc);

/* Checks and canonicalises the arguments. Lengths, slopes
 * and sinks in host memory are checked by value. */
clattn_status clattn__call_init(clattn__call *call, const clattn__problem *problem,
                                const clattn_attention_args *args);

/* "grad.params.w_query", and from there on "params.w_query" */
const char *clattn__param_gradient_name(clattn__param param);
const char *clattn__param_name(clattn__param param);

/* A parameter as the caller gives it. */
const clattn_tensor *clattn__param_given(const clattn_score_params *params, clattn__param param);

/* The same for the parameters of the score, once the sizes of the call are known. */
clattn_status clattn__call_params(clattn__call *call, const clattn_attention_desc *desc,
                                  const clattn_score_params *params);

/* And for their gradients, those that are there. */
clattn_status clattn__call_param_gradients(clattn__call *call, const clattn_attention_desc *desc,
                                           const clattn_score_params *gradients,
                                           const clattn_score_params *params);

/* What a call backward reads of forward's results and their gradients, and the gradients that it makes. */
clattn_status clattn__call_gradients(clattn__call *call, const clattn_attention_desc *desc,
                                     const clattn_attention_args *args);

/* Only what keys meet before queries come, for clattn_keys_create(). */
clattn_status clattn__call_keys(clattn__call *call, const clattn_attention_desc *desc,
                                const clattn_attention_args *args);
clattn_status clattn__call_init_keys(clattn__call *call, const clattn__problem *problem,
                                     const clattn_attention_args *args);

/* Batches [b, b + batches), key heads [h, h + heads) with
 * their query heads, rows [i, i + rows) of a call. */
clattn__call clattn__call_slice(const clattn__call *call, int64_t b, int64_t batches, int64_t h,
                                int64_t heads, int64_t i, int64_t rows);

/* Checks cumulative lengths of `total` rows of tensor `of`; only those in host memory by value. */
clattn_status clattn__check_cu_seqlens(const clattn_tensor *starts, const char *name, int64_t total,
                                       const char *of);

/* How many sequences a call has, each of which is a call of its own: packed ones, else the call as it
 * is. Their lengths are read from host memory. One behind the last is empty. */
int64_t clattn__sequences(const clattn__call *call);
clattn__call clattn__call_sequence(const clattn__call *call, int64_t b);

/* True when some key may be hidden from some query, so that a hidden key's value must be kept out
 * of the sums. */
bool clattn__problem_hides_keys(const clattn__problem *problem);

static inline bool clattn__has(const clattn_tensor *tensor)
{
    return tensor->rank != 0;
}

/* True for additive scores and what builds on them: v^T tanh(...). */
static inline bool clattn__is_additive(clattn_score score)
{
    return score == CLATTN_SCORE_ADDITIVE || score == CLATTN_SCORE_LOCATION_SENSITIVE ||
           score == CLATTN_SCORE_COVERAGE;
}

static inline bool clattn__is_backward(const clattn__problem *problem)
{
    return problem->desc.direction == CLATTN_BACKWARD;
}

static inline bool clattn__is_packed(const clattn__problem *problem)
{
    return (problem->desc.flags & CLATTN_PACKED) != 0;
}

/* Offsets of a tensor's lowest and highest element, relative to its own offset; it is not empty. */
void clattn__tensor_extent(const clattn_tensor *tensor, int64_t *low, int64_t *high);

/* A rank-4 view with its rows and columns in each other's place. */
static inline clattn_tensor clattn__transposed(const clattn_tensor *tensor)
{
    clattn_tensor out = *tensor;
    out.shape[2] = tensor->shape[3], out.shape[3] = tensor->shape[2];
    out.strides[2] = tensor->strides[3], out.strides[3] = tensor->strides[2];
    return out;
}

/* Offset of element (a, b, c, d) of a rank-4 view, in elements of its memory. */
static inline int64_t clattn__at(const clattn_tensor *t, int64_t a, int64_t b, int64_t c, int64_t d)
{
    return t->offset + a * t->strides[0] + b * t->strides[1] + c * t->strides[2] +
           d * t->strides[3];
}

#endif
