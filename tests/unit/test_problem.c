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

int main(void)
{
    named_tests tests = {0};
    named_tests_add(&tests, "defaults are filled", defaults_are_filled, NULL);
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        named_tests_add(&tests, refusals[i].words, is_refused, &refusals[i]);
    return named_tests_run(&tests, "descriptions", NULL, NULL);
}
