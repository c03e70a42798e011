/* problem.c: fills defaults and holds every rule about
 * descriptions; call.c does the same for arguments. */
#include "problem.h"

#include "dtype.h"
#include "try.h"

#include <math.h>
#include <string.h>

#define ALL_FLAGS                                                                                  \
    (CLATTN_CAUSAL | CLATTN_WINDOW | CLATTN_SCALE | CLATTN_MASK | CLATTN_BIAS |                    \
     CLATTN_KV_LENGTHS | CLATTN_ALIBI | CLATTN_SINKS | CLATTN_PACKED | CLATTN_PROJECTED_KEYS |     \
     CLATTN_PROJECTED_QUERY | CLATTN_WEIGHTS_HEADS | CLATTN_WEIGHTS_ROWS | CLATTN_SAVED_WEIGHTS)
#define ALL_GRADIENTS                                                                              \
    (CLATTN_GRAD_QUERY | CLATTN_GRAD_KEY | CLATTN_GRAD_VALUE | CLATTN_GRAD_GIVEN_SCORES |          \
     CLATTN_GRAD_BIAS | CLATTN_GRAD_ALIBI_SLOPES | CLATTN_GRAD_SINKS | CLATTN_GRAD_PARAMS)
#define ALL_OUTPUTS                                                                                \
    (CLATTN_OUTPUT | CLATTN_WEIGHTS | CLATTN_SCORES | CLATTN_LSE | CLATTN_COLUMN_SUMS |            \
     CLATTN_ARGMAX | CLATTN_ENTROPY)

/* Beyond it no number of 32 bits would keep a weight. */
#define MOST_DROPOUT (1.0 - 0x1p-32)

clattn_status clattn__struct_copy(void *target, size_t target_size, const void *source,
                                  size_t source_size, const char *name)
{
    if (source_size == 0 || source_size > target_size)
        return FAIL(CLATTN_E_ARGUMENT, 0,
                    "%s.struct_size: %zu, expected sizeof(%s), which is at most %zu in version %s",
                    name, source_size, name, target_size, CLATTN_VERSION);
    memset(target, 0, target_size);
    memcpy(target, source, source_size);
    return CLATTN_OK;
}

static clattn_status check_enums(const clattn_attention_desc *desc)
{
    clattn_status status = CLATTN_OK;
    FAIL_IF(!clattn__dtype_is_float(desc->dtype), CLATTN_E_ARGUMENT,
            "desc.dtype: %s, expected f32, f64, f16 or bf16", clattn_dtype_name(desc->dtype));
    FAIL_IF((unsigned)desc->layout > CLATTN_BSHD, CLATTN_E_ARGUMENT,
            "desc.layout: %d, expected CLATTN_BHSD or CLATTN_BSHD", (int)desc->layout);
    FAIL_IF((unsigned)desc->score > CLATTN_SCORE_RBF, CLATTN_E_ARGUMENT,
            "desc.score: %d, expected a clattn_score", (int)desc->score);
    FAIL_IF((unsigned)desc->normalizer > CLATTN_NORMALIZER_ENTMAX15, CLATTN_E_ARGUMENT,
            "desc.normalizer: %d, expected a clattn_normalizer", (int)desc->normalizer);
    FAIL_IF((unsigned)desc->alignment > CLATTN_BOTTOM_RIGHT, CLATTN_E_ARGUMENT,
            "desc.alignment: %d, expected CLATTN_TOP_LEFT or CLATTN_BOTTOM_RIGHT",
            (int)desc->alignment);
    FAIL_IF((unsigned)desc->precision > CLATTN_PRECISION_FAST, CLATTN_E_ARGUMENT,
            "desc.precision: %d, expected a clattn_precision", (int)desc->precision);
    FAIL_IF((unsigned)desc->scores_stage > CLATTN_SCORES_MODIFIED, CLATTN_E_ARGUMENT,
            "desc.scores_stage: %d, expected a clattn_scores_stage", (int)desc->scores_stage);
    FAIL_IF(
        desc->flags & ~(uint32_t)ALL_FLAGS, CLATTN_E_ARGUMENT,
        "desc.flags: 0x%x has bits without a meaning, expected CLATTN_CAUSAL | CLATTN_WINDOW | ...",
        (unsigned)desc->flags);
    FAIL_IF(desc->outputs & ~(uint32_t)ALL_OUTPUTS, CLATTN_E_ARGUMENT,
            "desc.outputs: 0x%x has bits without a meaning, expected CLATTN_OUTPUT | "
            "CLATTN_WEIGHTS | ...",
            (unsigned)desc->outputs);
    FAIL_IF((unsigned)desc->direction > CLATTN_BACKWARD, CLATTN_E_ARGUMENT,
            "desc.direction: %d, expected CLATTN_FORWARD or CLATTN_BACKWARD", (int)desc->direction);
    FAIL_IF(desc->gradients & ~(uint32_t)ALL_GRADIENTS, CLATTN_E_ARGUMENT,
            "desc.gradients: 0x%x has bits without a meaning, expected CLATTN_GRAD_QUERY | "
            "CLATTN_GRAD_KEY | ...",
            (unsigned)desc->gradients);
done:
    return status;
}

/* Beyond what any tensor can have, and beyond int64_t, in which sizes are reckoned from here on. */
static clattn_status check_size(size_t size, const char *name)
{
    if (size <= (size_t)INT64_MAX / 8)
        return CLATTN_OK;
    return FAIL(CLATTN_E_ARGUMENT, 0, "desc.%s: %zu, expected a number that a tensor can have",
                name, size);
}

/* A number as the kernels take it: in the type of the sums. */
static double as_sum(const clattn_attention_desc *desc, double number)
{
    return desc->dtype == CLATTN_F64 ? number : (double)(float)number;
}

static bool needs_equal_sizes(clattn_score score)
{
    return score != CLATTN_SCORE_GENERAL && score != CLATTN_SCORE_LOCATION &&
           !clattn__is_additive(score);
}

static clattn_status check_numbers(const clattn_attention_desc *desc)
{
    clattn_status status = CLATTN_OK;
    TRY(check_size(desc->query_heads, "query_heads"));
    TRY(check_size(desc->kv_heads, "kv_heads"));
    TRY(check_size(desc->head_size, "head_size"));
    TRY(check_size(desc->value_size, "value_size"));
    TRY(check_size(desc->key_size, "key_size"));
    TRY(check_size(desc->hidden_size, "hidden_size"));
    FAIL_IF(desc->query_heads % desc->kv_heads, CLATTN_E_ARGUMENT,
            "desc.query_heads: %zu, expected a multiple of desc.kv_heads, which is %zu",
            desc->query_heads, desc->kv_heads);
    FAIL_IF(desc->head_size == 0, CLATTN_E_ARGUMENT,
            "desc.head_size: 0, expected the size of a query, from 1");
    FAIL_IF(desc->value_size == 0, CLATTN_E_ARGUMENT,
            "desc.value_size: 0, expected the size of a value, from 1 (it has no default with "
            "given scores)");
    FAIL_IF(
        desc->key_size != desc->head_size && needs_equal_sizes(desc->score), CLATTN_E_ARGUMENT,
        "desc.key_size: %zu, expected %zu as desc.head_size: the score multiplies the two element "
        "by element",
        desc->key_size, desc->head_size);
    FAIL_IF(desc->hidden_size == 0 && clattn__is_additive(desc->score), CLATTN_E_ARGUMENT,
            "desc.hidden_size: 0, expected the size of v, from 1");
    FAIL_IF(desc->hidden_size && !clattn__is_additive(desc->score), CLATTN_E_ARGUMENT,
            "desc.hidden_size: %zu, expected 0: the score has no hidden units", desc->hidden_size);
    const char *sums = desc->dtype == CLATTN_F64 ? "f64" : "f32";
    FAIL_IF(!(desc->dropout >= 0.0 && desc->dropout <= MOST_DROPOUT), CLATTN_E_ARGUMENT,
            "desc.dropout: %g, expected a probability from 0 to below 1", desc->dropout);
    FAIL_IF((desc->flags & CLATTN_SCALE) && !isfinite(as_sum(desc, desc->scale)), CLATTN_E_ARGUMENT,
            "desc.scale: %g, expected a finite number of %s", desc->scale, sums);
    FAIL_IF((desc->flags & CLATTN_SCALE) && desc->score == CLATTN_SCORE_GIVEN, CLATTN_E_ARGUMENT,
            "desc.scale: given together with given scores, which are taken as they are; expected "
            "one of the two");
    FAIL_IF(!isfinite(as_sum(desc, desc->softcap)) || desc->softcap < 0.0, CLATTN_E_ARGUMENT,
            "desc.softcap: %g, expected a finite number of %s from 0 (0: none)", desc->softcap,
            sums);
    FAIL_IF(desc->softcap > 0.0 && !(as_sum(desc, desc->softcap) > 0.0), CLATTN_E_ARGUMENT,
            "desc.softcap: %g, expected 0 (none) or what %s can tell from 0", desc->softcap, sums);
    FAIL_IF((desc->flags & CLATTN_WINDOW) && (desc->window_left < -1 || desc->window_right < -1),
            CLATTN_E_ARGUMENT, "desc.window: (%lld, %lld), expected numbers from -1 (-1: no bound)",
            (long long)desc->window_left, (long long)desc->window_right);
    FAIL_IF((desc->flags & CLATTN_SINKS) && desc->normalizer != CLATTN_NORMALIZER_SOFTMAX,
            CLATTN_E_ARGUMENT,
            "desc.flags: sinks with another normalizer than softmax, expected normalizer softmax");
    FAIL_IF((desc->outputs & CLATTN_ENTROPY) && desc->normalizer == CLATTN_NORMALIZER_NONE,
            CLATTN_E_ARGUMENT,
            "desc.outputs: entropy with normalizer none, whose weights may be negative; expected "
            "another normalizer");
    FAIL_IF((desc->flags & (CLATTN_WEIGHTS_HEADS | CLATTN_WEIGHTS_ROWS)) &&
                !(desc->outputs & CLATTN_WEIGHTS),
            CLATTN_E_ARGUMENT,
            "desc.flags: heads or rows of weights are chosen, but desc.outputs has no weights; "
            "expected CLATTN_WEIGHTS");
done:
    return status;
}

static clattn_status check_projected(const clattn_attention_desc *desc)
{
    clattn_status status = CLATTN_OK;
    const bool additive = clattn__is_additive(desc->score);
    FAIL_IF(
        desc->flags & CLATTN_PROJECTED_KEYS && !additive && desc->score != CLATTN_SCORE_GENERAL &&
            desc->score != CLATTN_SCORE_COSINE,
        CLATTN_E_ARGUMENT,
        "projected_keys: given with a score that makes nothing of keys alone, expected general, "
        "additive, location-sensitive, coverage or cosine");
    FAIL_IF(
        desc->flags & CLATTN_PROJECTED_KEYS && desc->flags & CLATTN_PACKED, CLATTN_E_ARGUMENT,
        "projected_keys: given with packed sequences (cu_seqlens_q, cu_seqlens_k), expected one "
        "of the two");
    FAIL_IF(desc->flags & CLATTN_PROJECTED_QUERY && !additive, CLATTN_E_ARGUMENT,
            "desc.flags: CLATTN_PROJECTED_QUERY with a score without w_query, expected additive, "
            "location-sensitive or coverage");
    FAIL_IF(desc->flags & CLATTN_PROJECTED_QUERY && desc->head_size != desc->hidden_size,
            CLATTN_E_ARGUMENT,
            "desc.head_size: %zu, expected %zu as desc.hidden_size, since queries are projected",
            desc->head_size, desc->hidden_size);
done:
    return status;
}

/* Packed sequences have no tensor of all queries times all keys, and lengths of their own. */
static clattn_status check_packed(const clattn_attention_desc *desc)
{
    clattn_status status = CLATTN_OK;
    const struct {
        bool given;
        const char *name;
    } others[] = {
        {desc->score == CLATTN_SCORE_GIVEN, "given_scores"},
        {desc->score == CLATTN_SCORE_LOCATION, "score location"},
        {desc->score == CLATTN_SCORE_LOCATION_SENSITIVE, "previous_weights"},
        {desc->score == CLATTN_SCORE_COVERAGE, "coverage"},
        {desc->flags & CLATTN_MASK, "mask"},
        {desc->flags & CLATTN_BIAS, "bias"},
        {desc->flags & CLATTN_KV_LENGTHS, "kv_lengths"},
        {desc->outputs & CLATTN_WEIGHTS || desc->flags & CLATTN_SAVED_WEIGHTS, "weights"},
        {desc->outputs & CLATTN_SCORES, "scores"},
        {desc->outputs & CLATTN_COLUMN_SUMS, "column_sums"},
        {desc->outputs & CLATTN_ARGMAX, "argmax"},
        {desc->outputs & CLATTN_ENTROPY, "entropy"},
    };
    for (size_t i = 0; desc->flags & CLATTN_PACKED && i < sizeof others / sizeof *others; i++)
        FAIL_IF(others[i].given, CLATTN_E_ARGUMENT,
                "%s: given with packed sequences (cu_seqlens_q, cu_seqlens_k), expected one of the "
                "two",
                others[i].name);
done:
    return status;
}

static uint32_t default_gradients(clattn_score score)
{
    switch (score) {
    case CLATTN_SCORE_GIVEN:
        return CLATTN_GRAD_GIVEN_SCORES | CLATTN_GRAD_VALUE;
    case CLATTN_SCORE_LOCATION:
        return CLATTN_GRAD_QUERY | CLATTN_GRAD_VALUE;
    default:
        return CLATTN_GRAD_QUERY | CLATTN_GRAD_KEY | CLATTN_GRAD_VALUE;
    }
}

/* Gradients of what there is, from what can have one. */
static clattn_status check_direction(const clattn_attention_desc *desc)
{
    clattn_status status = CLATTN_OK;
    const bool given = desc->score == CLATTN_SCORE_GIVEN, dot = desc->score <= CLATTN_SCORE_DOT,
               met = desc->score == CLATTN_SCORE_GENERAL && desc->flags & CLATTN_PROJECTED_KEYS;
    const struct {
        uint32_t gradient;
        bool there;
        const char *name, *of;
    } each[] = {
        {CLATTN_GRAD_QUERY, !given, "CLATTN_GRAD_QUERY", "a query, which given scores do without"},
        {CLATTN_GRAD_KEY, !given && desc->score != CLATTN_SCORE_LOCATION, "CLATTN_GRAD_KEY",
         "a key, which the score does not read"},
        {CLATTN_GRAD_GIVEN_SCORES, given, "CLATTN_GRAD_GIVEN_SCORES", "CLATTN_SCORE_GIVEN"},
        {CLATTN_GRAD_BIAS, desc->flags & CLATTN_BIAS, "CLATTN_GRAD_BIAS", "CLATTN_BIAS"},
        {CLATTN_GRAD_ALIBI_SLOPES, desc->flags & CLATTN_ALIBI, "CLATTN_GRAD_ALIBI_SLOPES",
         "CLATTN_ALIBI"},
        {CLATTN_GRAD_SINKS, desc->flags & CLATTN_SINKS, "CLATTN_GRAD_SINKS", "CLATTN_SINKS"},
        {CLATTN_GRAD_PARAMS, !given && !dot && !met, "CLATTN_GRAD_PARAMS",
         met ? "keys that have not met the weight before: these are projected"
             : "a score that has parameters"},
    };
    if (desc->direction == CLATTN_FORWARD) {
        FAIL_IF(desc->gradients, CLATTN_E_ARGUMENT,
                "desc.gradients: 0x%x with direction forward, expected 0, or CLATTN_BACKWARD",
                (unsigned)desc->gradients);
        FAIL_IF(
            desc->flags & CLATTN_SAVED_WEIGHTS, CLATTN_E_ARGUMENT,
            "desc.flags: CLATTN_SAVED_WEIGHTS with direction forward, expected CLATTN_BACKWARD");
        goto done;
    }
    for (size_t i = 0; i < sizeof each / sizeof *each; i++)
        FAIL_IF(desc->gradients & each[i].gradient && !each[i].there, CLATTN_E_ARGUMENT,
                "desc.gradients: %s, expected it only with %s", each[i].name, each[i].of);
    FAIL_IF(desc->outputs & ~(uint32_t)(CLATTN_OUTPUT | CLATTN_WEIGHTS | CLATTN_LSE),
            CLATTN_E_ARGUMENT,
            "desc.outputs: 0x%x with direction backward, expected those whose gradients are taken: "
            "CLATTN_OUTPUT, CLATTN_WEIGHTS, CLATTN_LSE",
            (unsigned)desc->outputs);
    FAIL_IF(desc->flags & (CLATTN_WEIGHTS_HEADS | CLATTN_WEIGHTS_ROWS), CLATTN_E_ARGUMENT,
            "desc.flags: heads or rows of weights are chosen with direction backward, which takes "
            "gradients of all weights; expected neither");
done:
    return status;
}

clattn_status clattn__problem_init(clattn__problem *problem, const clattn_attention_desc *given)
{
    clattn_status status = CLATTN_OK;
    clattn_attention_desc *desc = &problem->desc;
    TRY(clattn__struct_copy(desc, sizeof *desc, given, given->struct_size,
                            "clattn_attention_desc"));
    desc->struct_size = sizeof *desc;
    problem->query_dtype = problem->key_dtype = desc->dtype;
    TRY(check_enums(desc));
    if (desc->outputs == 0)
        desc->outputs = CLATTN_OUTPUT;
    if (desc->direction == CLATTN_BACKWARD && desc->gradients == 0)
        desc->gradients = default_gradients(desc->score);
    if (desc->query_heads == 0)
        desc->query_heads = 1;
    if (desc->kv_heads == 0)
        desc->kv_heads = desc->query_heads;
    if (desc->score == CLATTN_SCORE_GIVEN) {
        /* No query and no key: D has no meaning, and 1 keeps it out of everybody's way. */
        desc->head_size = desc->key_size = 1;
    } else if (desc->value_size == 0) {
        desc->value_size = desc->head_size;
    }
    if (desc->key_size == 0)
        desc->key_size = desc->head_size;
    if (!(desc->flags & CLATTN_WINDOW))
        desc->window_left = desc->window_right = -1;
    TRY(check_numbers(desc));
    TRY(check_packed(desc));
    TRY(check_projected(desc));
    TRY(check_direction(desc));
    if (desc->flags & CLATTN_SCALE)
        problem->scale = desc->scale;
    else
        problem->scale =
            desc->score == CLATTN_SCORE_SCALED_DOT ? 1.0 / sqrt((double)desc->head_size) : 1.0;
done:
    return status;
}

bool clattn__problem_hides_keys(const clattn__problem *problem)
{
    const clattn_attention_desc *desc = &problem->desc;
    return (desc->flags & (CLATTN_CAUSAL | CLATTN_MASK | CLATTN_BIAS | CLATTN_KV_LENGTHS)) ||
           desc->window_left >= 0 || desc->window_right >= 0;
}
