/* attention.h: what to compute (a description), and on what (the arguments).
 *
 *   scores  = scale * score(query, key), or the given scores as they are
 *   weights = normalizer(modify(scores))
 *   output  = weights @ value
 *
 * modify, in this order: softcap; position bias (ALiBi), bias, additive mask; boolean masks
 * (causal, window, lengths, mask); sink. A row in which every key is masked gives weights 0, output
 * 0, lse -infinity (without a sink), never NaN. A masked key's value never reaches the output, even
 * when it is NaN; a NaN in a visible one shows.
 *
 * Shapes: B batch, Hq query heads, Hkv key/value heads (Hq a multiple of Hkv), S query length, T
 * key length, D head size of query, Dk of key, Dv of value. Dk = D but for GENERAL, ADDITIVE and what
 * builds on it. In the words of RNN encoder-decoders a decoder state is a query, the encoder outputs
 * are keys and values.
 *
 *   tensor            rank 4, BHSD       rank 4, BSHD       rank 3 (one head)   rank 2
 *   query             (B, Hq, S, D)      (B, S, Hq, D)      (B, S, D)           (S, D)
 *   key               (B, Hkv, T, Dk)    (B, T, Hkv, Dk)    (B, T, Dk)          (T, Dk)
 *   value             (B, Hkv, T, Dv)    (B, T, Hkv, Dv)    (B, T, Dv)          (T, Dv)
 *   output            (B, Hq, S, Dv)     (B, S, Hq, Dv)     (B, S, Dv)          (S, Dv)
 *   weights, scores   (B, Hq, S, T)      the same           (B, S, T)           (S, T)
 *   lse, entropy      (B, Hq, S)         the same           (B, S)              (S)
 *   argmax            (B, Hq, S)         the same           (B, S)              (S)
 *   column_sums       (B, Hq, T)         the same           (B, T)              (T)
 *
 * Backward (CLATTN_BACKWARD): from the gradients of output, weights or lse to those of all inputs that are real
 * numbers; args.grad has them. What forward was told, backward is told again.
 *
 * Packed sequences (CLATTN_PACKED) lie one behind the other instead of beside each other with gaps:
 * query (total_q, Hq, D), key (total_k, Hkv, Dk), value (total_k, Hkv, Dv), output (total_q, Hq, Dv),
 * lse (Hq, total_q). Sequence b has the queries cu_seqlens_q[b] up to cu_seqlens_q[b + 1] and the
 * keys cu_seqlens_k[b] up to cu_seqlens_k[b + 1], and each is a call of its own: positions begin
 * with it, S and T are its lengths.
 */
#ifndef CLATTN_ATTENTION_H
#define CLATTN_ATTENTION_H

#include <clattn/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum clattn_layout { CLATTN_BHSD = 0, CLATTN_BSHD } clattn_layout;

/** How a query q meets a key k. Parameters have the names of clattn_score_params. */
typedef enum clattn_score {
    /** q.k, with scale 1/sqrt(D) unless given (Vaswani et al., arXiv:1706.03762). */
    CLATTN_SCORE_SCALED_DOT = 0,
    /** q.k (Luong et al., arXiv:1508.04025). */
    CLATTN_SCORE_DOT,
    /** The caller's scores, in place of query and key; scale does not apply. */
    CLATTN_SCORE_GIVEN,
    /** q^T weight k (Luong et al., arXiv:1508.04025). */
    CLATTN_SCORE_GENERAL,
    /** v^T tanh(w_query q + w_key k + bias) (Bahdanau et al., arXiv:1409.0473); Luong's concat is the
     * same with its matrix split into w_query and w_key. */
    CLATTN_SCORE_ADDITIVE,
    /** weight q: element j is the score of key j. No key is read, and key may be absent (Luong et al.,
     * arXiv:1508.04025). */
    CLATTN_SCORE_LOCATION,
    /** v^T tanh(w_query q + w_key k + w_location f + bias), f the features that conv finds in the
     * previous weights around the key, and in the cumulative ones where they are given (Chorowski et
     * al., arXiv:1506.07503; Tacotron 2, arXiv:1712.05884). */
    CLATTN_SCORE_LOCATION_SENSITIVE,
    /** v^T tanh(w_query q + w_key k + w_coverage c + bias), c the coverage of the key, as the sum of its
     * past weights (See et al., arXiv:1704.04368). */
    CLATTN_SCORE_COVERAGE,
    /** beta cos(q, k), 0 where a vector is zero (content addressing, Graves et al., arXiv:1410.5401). */
    CLATTN_SCORE_COSINE,
    /** -gamma |q - k|^2 (the kernel of Nadaraya and Watson, 1964). */
    CLATTN_SCORE_RBF
} clattn_score;

/** From modified scores to weights; hidden keys have weight 0. */
typedef enum clattn_normalizer {
    CLATTN_NORMALIZER_SOFTMAX = 0,
    CLATTN_NORMALIZER_NONE,      /* the weights are the modified scores */
    CLATTN_NORMALIZER_SIGMOID,   /* 1 / (1 + e^-s), each key for itself */
    CLATTN_NORMALIZER_SPARSEMAX, /* the nearest point of the simplex (arXiv:1602.02068) */
    CLATTN_NORMALIZER_ENTMAX15   /* 1.5-entmax, between softmax and sparsemax (arXiv:1905.05702) */
} clattn_normalizer;

/** Where query i stands among the keys: at i + offset. It moves causal, window and ALiBi. */
typedef enum clattn_alignment {
    CLATTN_TOP_LEFT = 0, /* offset 0 (PyTorch) */
    CLATTN_BOTTOM_RIGHT /* offset T - S, with lengths that of the sequence (FlashAttention, ONNX) */
} clattn_alignment;

/** At which stage scores are given out. */
typedef enum clattn_scores_stage {
    CLATTN_SCORES_RAW = 0, /* before any modification, at masked keys too */
    CLATTN_SCORES_CAPPED,  /* after softcap */
    CLATTN_SCORES_MODIFIED /* after all, masked = -infinity */
} clattn_scores_stage;

/** How much rounding there may be on the way. */
typedef enum clattn_precision {
    /** f16 and bf16 may round weights to the values' type where a matrix unit asks for it. */
    CLATTN_PRECISION_DEFAULT = 0,
    /** Weights stay f32 until they have met the values. */
    CLATTN_PRECISION_STRICT,
    /** Also inputs rounded to 11 bits, and native exponentials. */
    CLATTN_PRECISION_FAST
} clattn_precision;

/** Which way a plan goes. */
typedef enum clattn_direction {
    CLATTN_FORWARD = 0,
    CLATTN_BACKWARD /* from the gradient of the output to those of what it was made of; below */
} clattn_direction;

/** clattn_attention_desc.flags: what takes part. A tensor that is given without its flag is
 * refused, and vice versa. With p = i + offset, the place of query i among the keys: */
enum {
    CLATTN_CAUSAL = 1 << 0,     /* key j is visible to query i when j <= p */
    CLATTN_WINDOW = 1 << 1,     /* ... when p - window_left <= j <= p + window_right */
    CLATTN_SCALE = 1 << 2,      /* `scale` counts */
    CLATTN_MASK = 1 << 3,       /* args.mask: bool (true: may attend) or float (added) */
    CLATTN_BIAS = 1 << 4,       /* args.bias: float (added) */
    CLATTN_KV_LENGTHS = 1 << 5, /* args.kv_lengths: keys of each sequence */
    CLATTN_ALIBI = 1 << 6,      /* args.alibi_slopes: -slope * |p - j| is added */
    CLATTN_SINKS = 1 << 7,      /* args.sinks: a logit more in a head's softmax, without a value */
    /* args.cu_seqlens_q, args.cu_seqlens_k: packed sequences; not with given scores, mask, bias,
     * kv_lengths, and of outputs only with output and lse. The layout has no meaning then. */
    CLATTN_PACKED = 1 << 8,
    /* args.projected_keys, in place of key, w_key and, of GENERAL, weight; see plan.h. With GENERAL,
     * ADDITIVE, LOCATION_SENSITIVE, COVERAGE and COSINE. grad.key is the gradient of what they hold. */
    CLATTN_PROJECTED_KEYS = 1 << 9,
    /* query is w_query query already, (B, Hq, S, A), and w_query absent; head_size is A. With ADDITIVE,
     * LOCATION_SENSITIVE and COVERAGE. grad.query is the gradient of that. */
    CLATTN_PROJECTED_QUERY = 1 << 10,
    /* args.weights_heads, args.weights_rows: of these query heads, of these queries, weights are given out
     * and no others; with CLATTN_WEIGHTS. */
    CLATTN_WEIGHTS_HEADS = 1 << 11,
    CLATTN_WEIGHTS_ROWS = 1 << 12,
    /* With BACKWARD: args.weights are forward's, all of them. `staged` takes them instead of making scores
     * again where they tell all: f32 and f64, without softcap and dropout, not of NONE or given scores, and lse
     * without a gradient where the normalizer is not softmax. Other variants make scores again, and so does the reference. */
    CLATTN_SAVED_WEIGHTS = 1 << 13
};

/** clattn_attention_desc.outputs: what is wanted. The last three tell of the weights w what one mostly
 * looks for in them, without S x T numbers in memory. */
enum {
    CLATTN_OUTPUT = 1 << 0,
    CLATTN_WEIGHTS = 1 << 1,
    CLATTN_SCORES = 1 << 2,
    CLATTN_LSE = 1 << 3,
    /* How much each key is looked at: the sum of w over the queries of a head. */
    CLATTN_COLUMN_SUMS = 1 << 4,
    /* The key with the largest modified score of a row, which no weight is larger than; the first one of
     * several, a NaN before all others, -1 where every key is masked. */
    CLATTN_ARGMAX = 1 << 5,
    /* How spread a row is: the sum of -w ln w over its keys, in nats. Not with normalizer NONE, whose
     * weights may be negative. */
    CLATTN_ENTROPY = 1 << 6
};

/** clattn_attention_desc.gradients: of what the gradient is wanted, with direction BACKWARD. */
enum {
    CLATTN_GRAD_QUERY = 1 << 0,
    CLATTN_GRAD_KEY = 1 << 1,
    CLATTN_GRAD_VALUE = 1 << 2,
    CLATTN_GRAD_GIVEN_SCORES = 1 << 3, /* with CLATTN_SCORE_GIVEN, which has no query and no key */
    CLATTN_GRAD_BIAS = 1 << 4,
    CLATTN_GRAD_ALIBI_SLOPES = 1 << 5,
    CLATTN_GRAD_SINKS = 1 << 6,
    CLATTN_GRAD_PARAMS = 1 << 7 /* those that have a place in args.grad.params */
};

/** What to compute. Zero asks for the default in brackets, so a caller names only what differs. */
typedef struct clattn_attention_desc {
    size_t struct_size;           /* sizeof(clattn_attention_desc): lets the struct grow */
    clattn_dtype dtype;           /* [F32] of query, key, value, output, weights and scores */
    clattn_layout layout;         /* [BHSD] of query, key, value and output of rank 4 */
    clattn_score score;           /* [SCALED_DOT] */
    clattn_normalizer normalizer; /* [SOFTMAX] */
    clattn_alignment alignment;   /* [TOP_LEFT] */
    clattn_precision precision;   /* [DEFAULT] */
    uint32_t flags;               /* [0] CLATTN_CAUSAL | CLATTN_WINDOW | ... */
    uint32_t outputs;             /* [CLATTN_OUTPUT] which tensors of the arguments are written */
    clattn_scores_stage scores_stage; /* [RAW] with CLATTN_SCORES */
    size_t query_heads;               /* [1] Hq */
    size_t kv_heads;     /* [Hq] Hkv: query head h reads key and value head h / (Hq / Hkv) */
    size_t head_size;    /* D; required, but for given scores */
    size_t value_size;   /* [D] Dv */
    double scale;        /* [1/sqrt(D) for SCALED_DOT, else 1] with CLATTN_SCALE; finite */
    double softcap;      /* [0: none] scores become softcap * tanh(score / softcap); not negative */
    int64_t window_left; /* with CLATTN_WINDOW; -1: no bound */
    int64_t window_right; /* with CLATTN_WINDOW; -1: no bound */
    const char *variant;  /* [NULL: the first that accepts] the name of the variant to take */
    size_t key_size;    /* [D] Dk; for GENERAL, ADDITIVE, LOCATION, LOCATION_SENSITIVE, COVERAGE */
    size_t hidden_size; /* A; required for ADDITIVE, LOCATION_SENSITIVE, COVERAGE */
    clattn_direction direction; /* [FORWARD] */
    uint32_t gradients;         /* [QUERY | KEY | VALUE, or GIVEN_SCORES | VALUE] with BACKWARD */
    double
        dropout; /* [0] the probability, below 1, that a weight is 0 where it meets its value; the
                       others are divided by 1 - dropout. Weights and column sums are told so, too */
} clattn_attention_desc;

/** The parameters of a score, and what it takes beside query and key. Those that a score does not
 * take stay all zero; any float type. A matrix or vector may have one axis (Hq) more in front where
 * heads differ. M >= T; A hidden size; C filters of odd width K. */
typedef struct clattn_score_params {
    clattn_tensor weight;  /* GENERAL: (D, Dk). LOCATION: (M, D), the first T rows count */
    clattn_tensor w_query; /* (A, D), of ADDITIVE and what builds on it, as the next ones */
    clattn_tensor w_key;   /* (A, Dk) */
    clattn_tensor v;       /* (A) */
    clattn_tensor bias;    /* (A), or absent */
    clattn_tensor
        g; /* (1) or (Hq), or absent: v counts as g v / |v| (normalised Bahdanau attention) */
    clattn_tensor conv;       /* LOCATION_SENSITIVE: (C, K), or (C, 2, K) with cumulative weights; a
                           cross-correlation with (K - 1) / 2 zeros at each end */
    clattn_tensor w_location; /* (A, C) */
    clattn_tensor w_coverage; /* COVERAGE: (A) */
    clattn_tensor beta;       /* COSINE: (1), (Hq), (B, S) or (B, Hq, S), finite */
    clattn_tensor gamma;      /* RBF: (1) or (Hq), finite */
    clattn_tensor previous_weights;   /* LOCATION_SENSITIVE: (B, T) or (B, Hq, T) */
    clattn_tensor cumulative_weights; /* likewise, or absent */
    clattn_tensor coverage;           /* COVERAGE: (B, T) or (B, Hq, T) */
} clattn_score_params;

/** Gradients of a scalar, the loss, as backward takes and makes them: of what forward gave out, and of what
 * it was made of. With direction BACKWARD, desc.outputs says what the loss was computed from: OUTPUT, WEIGHTS,
 * LSE, or several of them. Those of inputs have the shapes of the inputs, where one of the inputs broadcasts a
 * sum over all that it was used for. Hidden keys, and queries that see no key, have gradients of 0. That of
 * projected keys has the shape of what is made of them, (B, H, T, N) as key is laid out and has its rank: N is A,
 * of GENERAL and COSINE D, and H is Hkv, or Hq where each head had a w_key or weight of its own (heads with a
 * stride of 0 share one). What they have met, key, w_key and weight, has none then.
 * Memory for gradients has to be readable, too: some are summed up where they belong. */
typedef struct clattn_gradients {
    clattn_tensor output, weights, lse; /* come in */
    clattn_tensor query, key, value;    /* come out, of the desc's dtype */
    clattn_tensor given_scores, bias;   /* of the desc's dtype or f32 */
    clattn_tensor alibi_slopes, sinks;  /* of any float type */
    clattn_score_params
        params; /* those that are wanted, of any float type; the rows of LOCATION's weight
                                   from T on, which no key has, get 0 */
} clattn_gradients;

/** Keys that have met the parameters of a score, in the memory of a device: plan.h. */
typedef struct clattn_keys clattn_keys;

/** On what. Tensors that do not take part stay all zero.
 * Outputs must not overlap inputs or each other. */
typedef struct clattn_attention_args {
    size_t struct_size; /* sizeof(clattn_attention_args) */
    clattn_tensor query,
        key;             /* see the table above; absent with given scores; LOCATION needs no key */
    clattn_tensor value; /* see the table above */
    clattn_tensor given_scores; /* as weights, of the desc's dtype or f32; CLATTN_SCORE_GIVEN */
    clattn_tensor mask;         /* bool, f32 or the desc's dtype; broadcasts to that of weights */
    clattn_tensor bias;         /* f32 or the desc's dtype; broadcasts likewise */
    clattn_tensor kv_lengths;   /* (B), i32 or i64, each 0 to T; those of a device are clamped */
    clattn_tensor alibi_slopes; /* (Hq), any float type, finite */
    clattn_tensor sinks;        /* (Hq), any float type, finite */
    clattn_tensor output;
    clattn_tensor weights;
    clattn_tensor scores;
    clattn_tensor lse; /* f32 (f64 for f64): log-sum-exp of the modified scores, natural logarithm,
                          sink included */
    /* (B + 1), i32 or i64: the first query or key of each of B packed sequences, and the total: from
     * 0, never falling. Those of a device are clamped to 0 to the total; rows of the output and lse
     * that they give to no sequence, or to several, are undefined. */
    clattn_tensor cu_seqlens_q, cu_seqlens_k;
    clattn_score_params params;
    const clattn_keys *projected_keys;  /* with CLATTN_PROJECTED_KEYS */
    clattn_tensor column_sums, entropy; /* f32 (f64 for f64) */
    clattn_tensor argmax;               /* i32 or i64 */
    /* (n), i32 or i64, rising numbers of heads and queries: then the axis of weights is n long. Those of a
     * device are not looked at. */
    clattn_tensor weights_heads, weights_rows;
    /* With BACKWARD, which reads output and lse, as forward made them, where the normalizer is softmax; other
     * normalizers ask for neither. Weights it reads with CLATTN_SAVED_WEIGHTS. */
    clattn_gradients grad;
    /* Which weights desc.dropout drops is a function of these and of a weight's place (batch, head, query, key),
     * Philox4x32-10, on every device: backward is told those of forward. A training step takes another offset. */
    uint64_t dropout_seed, dropout_offset;
} clattn_attention_args;

#ifdef __cplusplus
}
#endif
#endif
