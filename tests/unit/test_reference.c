/* The reference on numbers that a reader can check by hand. */
#include "support/checks.h"
#include "support/host_call.h"

#include <math.h>

/* One head of S rows and T keys, D = Dv = 2, in f64. */
typedef struct small {
    double query[4], key[6], value[6], output[4], weights[6], lse[2];
    clattn_attention_desc desc;
    clattn_attention_args args;
} small;

static void small_make(small *s, int64_t S, int64_t T)
{
    const double encoder[6] = {0.1, 0.2, 0.2, 0.3, 0.3, 0.4};
    *s = (small){.query = {0.4, 0.5, 0.4, 0.5}};
    for (int i = 0; i < 6; i++)
        s->key[i] = s->value[i] = encoder[i];
    s->desc = (clattn_attention_desc){.struct_size = sizeof s->desc,
                                      .dtype = CLATTN_F64,
                                      .score = CLATTN_SCORE_DOT,
                                      .head_size = 2,
                                      .outputs = CLATTN_OUTPUT | CLATTN_WEIGHTS | CLATTN_LSE};
    s->args.struct_size = sizeof s->args;
    s->args.query = clattn_tensor_host(CLATTN_F64, s->query, 2, (int64_t[]){S, 2});
    s->args.key = clattn_tensor_host(CLATTN_F64, s->key, 2, (int64_t[]){T, 2});
    s->args.value = clattn_tensor_host(CLATTN_F64, s->value, 2, (int64_t[]){T, 2});
    s->args.output = clattn_tensor_host(CLATTN_F64, s->output, 2, (int64_t[]){S, 2});
    s->args.weights = clattn_tensor_host(CLATTN_F64, s->weights, 2, (int64_t[]){S, T});
    s->args.lse = clattn_tensor_host(CLATTN_F64, s->lse, 1, (int64_t[]){S});
}

static void dot_scores_of_a_decoder_state(void **state)
{
    const double weights[3] = {0.30382285, 0.33243515, 0.36374199},
                 context[2] = {0.20599191, 0.30599191};
    small s;
    (void)state;
    small_make(&s, 1, 3);
    assert_status(CLATTN_OK, clattn_reference_run(&s.desc, &s.args));
    for (size_t i = 0; i < 3; i++)
        assert_close(s.weights[i], weights[i], 1e-8, "weights", i);
    for (size_t i = 0; i < 2; i++)
        assert_close(s.output[i], context[i], 1e-8, "context", i);
}

static void context_of_given_weights(void **state)
{
    const double given[3] = {0.1, 0.3, 0.6}, context[2] = {0.25, 0.35};
    small s;
    (void)state;
    small_make(&s, 1, 3);
    s.desc.score = CLATTN_SCORE_GIVEN;
    s.desc.normalizer = CLATTN_NORMALIZER_NONE;
    s.desc.value_size = 2;
    s.args.query = s.args.key = (clattn_tensor){0};
    s.args.given_scores = clattn_tensor_host(CLATTN_F64, given, 2, (int64_t[]){1, 3});
    assert_status(CLATTN_OK, clattn_reference_run(&s.desc, &s.args));
    for (size_t i = 0; i < 2; i++)
        assert_close(s.output[i], context[i], 1e-15, "context", i);
}

static void a_row_that_sees_nothing_gives_zeros(void **state)
{
    const uint8_t mask[6] = {0, 0, 0, 1, 1, 1};
    small s;
    (void)state;
    small_make(&s, 2, 3);
    s.desc.flags = CLATTN_MASK;
    s.args.mask = clattn_tensor_host(CLATTN_BOOL, mask, 2, (int64_t[]){2, 3});
    s.value[0] = (double)NAN; /* the second row sees it */
    assert_status(CLATTN_OK, clattn_reference_run(&s.desc, &s.args));
    for (size_t i = 0; i < 3; i++)
        assert_close(s.weights[i], 0, 0, "weights", i);
    assert_close(s.output[0], 0, 0, "output", 0);
    assert_close(s.output[1], 0, 0, "output", 1);
    assert_close(s.lse[0], -(double)INFINITY, 0, "lse", 0);
    assert_true(isnan(s.output[2]));
    assert_close(s.output[3], 0.30599191, 1e-8, "output", 3);
}

static void a_hidden_nan_has_no_effect(void **state)
{
    small plain, spoilt;
    (void)state;
    small_make(&plain, 2, 3);
    plain.desc.flags = CLATTN_CAUSAL; /* top-left: nobody sees the third key */
    small_make(&spoilt, 2, 3);
    spoilt.desc.flags = CLATTN_CAUSAL;
    spoilt.key[4] = spoilt.value[5] = (double)NAN;
    assert_status(CLATTN_OK, clattn_reference_run(&plain.desc, &plain.args));
    assert_status(CLATTN_OK, clattn_reference_run(&spoilt.desc, &spoilt.args));
    for (size_t i = 0; i < 4; i++)
        assert_close(spoilt.output[i], plain.output[i], 0, "output", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dot_scores_of_a_decoder_state),
        cmocka_unit_test(context_of_given_weights),
        cmocka_unit_test(a_row_that_sees_nothing_gives_zeros),
        cmocka_unit_test(a_hidden_nan_has_no_effect),
    };
    return cmocka_run_group_tests_name("reference", tests, NULL, NULL);
}
