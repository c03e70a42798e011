/* Every rule about descriptions: what breaks it is refused with a sentence that names it. */
#include "problem.h"
#include "support/checks.h"
#include "support/named_tests.h"

#include <math.h>
#include <string.h>

typedef struct refusal {
    const char *words; /* that the sentence must hold; also the test's name */
    clattn_attention_desc desc;
} refusal;

#define DESC .struct_size = sizeof(clattn_attention_desc), .head_size = 8

#define BACKWARD DESC, .direction = CLATTN_BACKWARD

static const refusal refusals[] = {
    {"clattn_attention_desc.struct_size: 0", {.head_size = 8}},
    {"desc.dtype: bool", {DESC, .dtype = CLATTN_BOOL}},
    {"desc.layout: 2", {DESC, .layout = (clattn_layout)2}},
    {"desc.score: 99", {DESC, .score = (clattn_score)99}},
    {"desc.normalizer: 9", {DESC, .normalizer = (clattn_normalizer)9}},
    {"desc.alignment: 3", {DESC, .alignment = (clattn_alignment)3}},
    {"desc.precision: 4", {DESC, .precision = (clattn_precision)4}},
    {"desc.scores_stage: 5", {DESC, .scores_stage = (clattn_scores_stage)5}},
    {"desc.flags: 0x10000", {DESC, .flags = 1u << 16}},
    {"desc.outputs: 0x100", {DESC, .outputs = 1u << 8}},
    {"desc.query_heads: 6, expected a multiple of desc.kv_heads",
     {DESC, .query_heads = 6, .kv_heads = 4}},
    {"desc.query_heads: 18446744073709551615", {DESC, .query_heads = SIZE_MAX, .kv_heads = 1}},
    {"desc.kv_heads: 18446744073709551615", {DESC, .query_heads = 4, .kv_heads = SIZE_MAX}},
    {"desc.head_size: 18446744073709551615",
     {.struct_size = sizeof(clattn_attention_desc), .head_size = SIZE_MAX}},
    {"desc.value_size: 18446744073709551615", {DESC, .value_size = SIZE_MAX}},
    {"desc.head_size: 0", {.struct_size = sizeof(clattn_attention_desc)}},
    {"desc.value_size: 0",
     {.struct_size = sizeof(clattn_attention_desc), .score = CLATTN_SCORE_GIVEN}},
    {"desc.scale: inf", {DESC, .flags = CLATTN_SCALE, .scale = (double)INFINITY}},
    {"desc.scale: given together with given scores",
     {DESC, .value_size = 8, .score = CLATTN_SCORE_GIVEN, .flags = CLATTN_SCALE, .scale = 1}},
    {"desc.scale: 1e+39, expected a finite number of f32",
     {DESC, .flags = CLATTN_SCALE, .scale = 1e39}},
    {"desc.softcap: -1", {DESC, .softcap = -1}},
    {"desc.softcap: 1e+40, expected a finite number of f32", {DESC, .softcap = 1e40}},
    {"desc.softcap: 1e-46, expected 0 (none) or what f32", {DESC, .softcap = 1e-46}},
    {"desc.window: (-2, 0)", {DESC, .flags = CLATTN_WINDOW, .window_left = -2}},
    {"desc.window: (0, -7)", {DESC, .flags = CLATTN_WINDOW, .window_right = -7}},
    {"given_scores: given with packed sequences (cu_seqlens_q, cu_seqlens_k), expected one of",
     {DESC, .value_size = 8, .score = CLATTN_SCORE_GIVEN, .flags = CLATTN_PACKED}},
    {"mask: given with packed sequences", {DESC, .flags = CLATTN_PACKED | CLATTN_MASK}},
    {"bias: given with packed sequences", {DESC, .flags = CLATTN_PACKED | CLATTN_BIAS}},
    {"kv_lengths: given with packed sequences", {DESC, .flags = CLATTN_PACKED | CLATTN_KV_LENGTHS}},
    {"weights: given with packed sequences",
     {DESC, .flags = CLATTN_PACKED, .outputs = CLATTN_OUTPUT | CLATTN_WEIGHTS}},
    {"scores: given with packed sequences",
     {DESC, .flags = CLATTN_PACKED, .outputs = CLATTN_SCORES}},
    {"column_sums: given with packed sequences",
     {DESC, .flags = CLATTN_PACKED, .outputs = CLATTN_COLUMN_SUMS}},
    {"argmax: given with packed sequences",
     {DESC, .flags = CLATTN_PACKED, .outputs = CLATTN_ARGMAX}},
    {"entropy: given with packed sequences",
     {DESC, .flags = CLATTN_PACKED, .outputs = CLATTN_ENTROPY}},
    {"entropy with normalizer none",
     {DESC, .outputs = CLATTN_ENTROPY, .normalizer = CLATTN_NORMALIZER_NONE}},
    {"heads or rows of weights are chosen, but desc.outputs has no weights",
     {DESC, .flags = CLATTN_WEIGHTS_ROWS, .outputs = CLATTN_OUTPUT}},
    {"desc.direction: 2", {DESC, .direction = (clattn_direction)2}},
    {"desc.gradients: 0x100 has bits without a meaning", {BACKWARD, .gradients = 1u << 8}},
    {"desc.gradients: 0x1 with direction forward", {DESC, .gradients = CLATTN_GRAD_QUERY}},
    {"desc.gradients: CLATTN_GRAD_QUERY, expected it only with a query",
     {BACKWARD, .value_size = 8, .score = CLATTN_SCORE_GIVEN, .gradients = CLATTN_GRAD_QUERY}},
    {"desc.gradients: CLATTN_GRAD_KEY, expected it only with a key, which the score does not read",
     {BACKWARD, .score = CLATTN_SCORE_LOCATION, .gradients = CLATTN_GRAD_KEY}},
    {"desc.gradients: CLATTN_GRAD_GIVEN_SCORES, expected it only with CLATTN_SCORE_GIVEN",
     {BACKWARD, .gradients = CLATTN_GRAD_GIVEN_SCORES}},
    {"desc.gradients: CLATTN_GRAD_BIAS, expected it only with CLATTN_BIAS",
     {BACKWARD, .gradients = CLATTN_GRAD_BIAS}},
    {"desc.gradients: CLATTN_GRAD_ALIBI_SLOPES, expected it only with CLATTN_ALIBI",
     {BACKWARD, .gradients = CLATTN_GRAD_ALIBI_SLOPES}},
    {"desc.gradients: CLATTN_GRAD_SINKS, expected it only with CLATTN_SINKS",
     {BACKWARD, .gradients = CLATTN_GRAD_SINKS}},
    {"desc.gradients: CLATTN_GRAD_PARAMS, expected it only with a score that has parameters",
     {BACKWARD, .gradients = CLATTN_GRAD_PARAMS}},
    {"desc.outputs: 0x5 with direction backward",
     {BACKWARD, .outputs = CLATTN_OUTPUT | CLATTN_SCORES}},
    {"heads or rows of weights are chosen with direction backward",
     {BACKWARD, .outputs = CLATTN_WEIGHTS, .flags = CLATTN_WEIGHTS_HEADS}},
    {"desc.flags: CLATTN_SAVED_WEIGHTS with direction forward",
     {DESC, .flags = CLATTN_SAVED_WEIGHTS}},
    {"weights: given with packed sequences",
     {BACKWARD, .flags = CLATTN_PACKED | CLATTN_SAVED_WEIGHTS}},
    {"desc.gradients: CLATTN_GRAD_PARAMS, expected it only with keys that have not met the weight",
     {BACKWARD, .score = CLATTN_SCORE_GENERAL, .flags = CLATTN_PROJECTED_KEYS,
      .gradients = CLATTN_GRAD_PARAMS}},
    {"sinks with another normalizer",
     {DESC, .flags = CLATTN_SINKS, .normalizer = CLATTN_NORMALIZER_NONE}},
};

static void is_refused(void **state)
{
    const refusal *r = *state;
    clattn__problem problem;
    assert_status(CLATTN_E_ARGUMENT, clattn__problem_init(&problem, &r->desc));
    if (!strstr(clattn_last_error(), r->words))
        fail_msg("\"%s\" does not say \"%s\"", clattn_last_error(), r->words);
}

static void defaults_are_filled(void **state)
{
    const clattn_attention_desc desc = {DESC, .query_heads = 4, .window_left = 3};
    clattn__problem problem;
    (void)state;
    assert_status(CLATTN_OK, clattn__problem_init(&problem, &desc));
    assert_int_equal(problem.desc.kv_heads, 4);
    assert_int_equal(problem.desc.value_size, 8);
    assert_int_equal(problem.desc.outputs, CLATTN_OUTPUT);
    assert_int_equal(problem.desc.window_left, -1); /* without its flag a field does not count */
    assert_close(problem.scale, 1 / sqrt(8.0), 1e-16, "scale", 0);
    assert_false(clattn__problem_hides_keys(&problem));
}

static void gradients_have_defaults(void **state)
{
    static const struct {
        clattn_score score;
        uint32_t gradients;
    } defaults[] = {
        {CLATTN_SCORE_SCALED_DOT, CLATTN_GRAD_QUERY | CLATTN_GRAD_KEY | CLATTN_GRAD_VALUE},
        {CLATTN_SCORE_LOCATION, CLATTN_GRAD_QUERY | CLATTN_GRAD_VALUE},
        {CLATTN_SCORE_GIVEN, CLATTN_GRAD_GIVEN_SCORES | CLATTN_GRAD_VALUE}};
    (void)state;
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++) {
        const clattn_attention_desc desc = {BACKWARD, .value_size = 8, .score = defaults[i].score};
        clattn__problem problem;
        assert_status(CLATTN_OK, clattn__problem_init(&problem, &desc));
        assert_int_equal(problem.desc.gradients, defaults[i].gradients);
    }
}

int main(void)
{
    named_tests tests = {0};
    named_tests_add(&tests, "gradients have defaults", gradients_have_defaults, NULL);
    named_tests_add(&tests, "defaults are filled", defaults_are_filled, NULL);
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        named_tests_add(&tests, refusals[i].words, is_refused, &refusals[i]);
    return named_tests_run(&tests, "descriptions", NULL, NULL);
}
