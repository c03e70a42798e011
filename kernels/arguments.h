/* arguments.h: the structs that host and kernels share, passed by value. All fields are 64 bits
 * wide, so that no compiler pads them differently. */
#ifndef CLATTN_ARGUMENTS_H
#define CLATTN_ARGUMENTS_H

#ifdef __OPENCL_VERSION__
typedef long clattn_int;
#else
#include <stdint.h>
typedef int64_t clattn_int;
#endif

/* How a kernel finds element (b, h, row, column) of a tensor: offset and strides in elements. */
typedef struct clattn_view {
    clattn_int offset, batch, head, row, column;
    clattn_int kind; /* KIND_ABSENT, or a clattn_dtype */
} clattn_view;

enum {
    KIND_ABSENT = -1,
    KIND_F32 = 0, /* from here on the values of clattn_dtype */
    KIND_F64,
    KIND_F16,
    KIND_BF16,
    KIND_BOOL,
    KIND_I32,
    KIND_I64
};

/* What is done to a score on its way to a weight; see modify.clh. */
typedef struct clattn_modifications {
    clattn_int S, T;                /* rows of the slice, keys */
    clattn_int first_row, all_rows; /* query i of the slice is query i + first_row of all_rows */
    clattn_int bottom_right;        /* positions count from the last key */
    clattn_int causal;
    clattn_int window_left, window_right; /* -1: no bound */
    clattn_view mask, bias, kv_lengths, alibi_slopes, sinks;
    clattn_view cu_seqlens_q, cu_seqlens_k; /* of packed sequences; see packed.clh */
    clattn_int sequences;
} clattn_modifications;

/* How the chunks of a head's keys are shared out, and what is kept of each row until its weights are known;
 * see attend.clh. */
typedef struct clattn_split {
    clattn_int items, item_chunks; /* work-items of the same rows, chunks of each */
    clattn_int kept_step;          /* scores that are kept of a row; 0: none */
    clattn_int keeps_weights;      /* in place of the scores, once they are known */
} clattn_split;

/* What is told of the weights of a row; see row_outputs.clh. */
typedef struct clattn_row_outputs {
    clattn_view weights, argmax, entropy;
    clattn_view heads, rows; /* lists of those whose weights are wanted; all, where absent */
    clattn_int head_count, row_count; /* of the lists */
    clattn_int first_head, first_row; /* of the slice, in the lists' numbers */
} clattn_row_outputs;

/* Which weights are dropped; see philox.h. */
typedef struct clattn_dropout {
    clattn_int threshold; /* of 2^32 equally likely numbers; 0: none is */
    clattn_int seed, offset;
    clattn_int first_batch, first_head, first_row; /* of a slice */
    clattn_int heads, rows, keys; /* of the caller's whole call; of packed sequences, all of them */
} clattn_dropout;

#endif
