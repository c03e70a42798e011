/* A decoder's steps against the reference, which is handed each step what the one before left: on the
 * device and on the reference itself. */
#include "support/device_runs.h"

#include <clattn/decoder.h>

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS 4

typedef struct decoder_case {
    clattn_case call; /* of one step; S is 1 */
    uint32_t flags;
    bool forgets; /* keeps no alignments */
} decoder_case;

#define STEP .S = 1, .T = 21, .D = 6, .Dv = 5
/* clang-format off: one row, one case */
static const decoder_case cases[] = {
    {{"dot", .B = 2, .Hq = 4, .Hkv = 2, STEP, .score = CLATTN_SCORE_DOT}, .forgets = true},
    {{"general", .B = 3, STEP, .Dk = 9, .score = CLATTN_SCORE_GENERAL, .flags = CLATTN_KV_LENGTHS},
     0,
     false},
    {{"general of grouped heads", .B = 2, .Hq = 4, .Hkv = 2, STEP, .score = CLATTN_SCORE_GENERAL,
      .params = PARAMS_OF_HEADS},
     0,
     false},
    {{"additive", .B = 3, STEP, .Dk = 9, .A = 17, .score = CLATTN_SCORE_ADDITIVE,
      .params = PARAM_BIAS | PARAM_G, .flags = CLATTN_KV_LENGTHS | CLATTN_MASK, .mask = MASK_KEYS},
     0,
     false},
    {{"additive, forgetful", .B = 3, STEP, .A = 17, .score = CLATTN_SCORE_ADDITIVE},
     .forgets = true},
    {{"additive, one sequence of rank 2", .rank = 2, STEP, .A = 17, .score = CLATTN_SCORE_ADDITIVE},
     0,
     false},
    {{"additive, rank 3", .rank = 3, .B = 2, STEP, .A = 17, .score = CLATTN_SCORE_ADDITIVE},
     0,
     false},
    {{"location", .B = 2, STEP, .score = CLATTN_SCORE_LOCATION}, 0, false},
    {{"cosine", .B = 2, .Hq = 2, STEP, .score = CLATTN_SCORE_COSINE, .layout = CLATTN_BSHD},
     0,
     false},
    {{"rbf, sparsemax", .B = 2, STEP, .score = CLATTN_SCORE_RBF,
      .normalizer = CLATTN_NORMALIZER_SPARSEMAX},
     0,
     false},
    {{"location-sensitive", .B = 2, STEP, .A = 17, .score = CLATTN_SCORE_LOCATION_SENSITIVE},
     0,
     false},
    {{"location-sensitive, forgetful", .B = 2, .Hq = 2, STEP, .A = 17,
      .score = CLATTN_SCORE_LOCATION_SENSITIVE},
     .forgets = true},
    {{"location-sensitive of heads, two channels", .B = 2, .Hq = 4, .Hkv = 2, STEP, .A = 17,
      .score = CLATTN_SCORE_LOCATION_SENSITIVE, .params = PARAMS_OF_HEADS | PARAM_CUMULATIVE,
      .flags = CLATTN_KV_LENGTHS},
     CLATTN_DECODER_CUMULATIVE,
     false},
    {{"coverage", .B = 2, .Hq = 2, STEP, .A = 17, .score = CLATTN_SCORE_COVERAGE,
      .strides = STRIDES_PADDED},
     0,
     false},
    {{"coverage, doubles", .dtype = CLATTN_F64, .B = 2, STEP, .A = 17,
      .score = CLATTN_SCORE_COVERAGE},
     0,
     false},
};
/* clang-format on */

static clattn_device *device, *reference;

/* Weights of earlier steps, in doubles: (B, Hq, T). */
typedef struct memory_of_steps {
    clattn_tensor previous, sums;
} memory_of_steps;

static void set_state(clattn_tensor *param, const clattn_tensor *state)
{
    if (param->rank)
        *param = *state;
}

/* What the caller of single steps does between them. */
static void remember(memory_of_steps *m, const host_call *call)
{
    for (size_t i = 0; i < clattn_tensor_count(&m->sums); i++) {
        const double weight = host_tensor_get(&call->args.weights, i);
        host_tensor_set(&m->previous, i, weight);
        host_tensor_set(&m->sums, i, host_tensor_get(&m->sums, i) + weight);
    }
}

/* New numbers for a step's query, the same for both. */
static void next_query(host_call *call, int step)
{
    const clattn_tensor *query = &call->args.query;
    for (size_t i = 0; i < clattn_tensor_count(query); i++)
        host_tensor_set(query, i, sin(1.7 * (double)i + 2.9 * step));
}

static clattn_tensor rows_of(const clattn_tensor *of_call, int64_t B, int64_t Hq)
{
    const int64_t N = of_call->shape[of_call->rank - 1];
    clattn_tensor rows = *of_call;
    const int64_t column = of_call->strides[of_call->rank - 1];
    rows.rank = 3;
    rows.shape[0] = B, rows.shape[1] = Hq, rows.shape[2] = N;
    rows.strides[2] = column;
    rows.strides[0] = of_call->rank == 2 ? 0 : of_call->strides[0];
    rows.strides[1] = of_call->rank < 4 ? 0 : of_call->strides[of_call->shape[1] == 1 ? 2 : 1];
    return rows;
}

static void assert_near(const clattn_tensor *got, const clattn_tensor *want, const char *about)
{
    assert_int_equal(clattn_tensor_count(got), clattn_tensor_count(want));
    for (size_t i = 0; i < clattn_tensor_count(got); i++) {
        const double a = host_tensor_get(got, i), b = host_tensor_get(want, i);
        /* Errors of earlier steps add to those of a step, which verify's bounds know nothing of. */
        if (!(fabs(a - b) <= 2e-5))
            fail_msg("%s: element %zu is %.9g, expected %.9g", about, i, a, b);
    }
}

static void steps_are_right(clattn_device *on, const decoder_case *c)
{
    host_call stepped, plain;
    clattn_decoder *decoder = NULL;
    clattn_case one = c->call;
    one.outputs = CLATTN_OUTPUT | CLATTN_WEIGHTS;
    if (!device_takes_case(on, &one))
        skip();
    case_make(&plain, &one);
    case_make(&stepped, &one);
    const int64_t B = one.B ? one.B : 1, Hq = one.Hq ? one.Hq : 1, T = one.T, S = STEPS;
    const int64_t state_shape[] = {B, Hq, T}, all_shape[] = {B, Hq, S, T};
    memory_of_steps m = {host_call_tensor(&plain, CLATTN_F64, 3, state_shape, STRIDES_DENSE),
                         host_call_tensor(&plain, CLATTN_F64, 3, state_shape, STRIDES_DENSE)};
    const clattn_tensor all = host_call_tensor(&stepped, one.dtype, 4, all_shape, STRIDES_PADDED);
    set_state(&plain.args.params.previous_weights, &m.previous);
    set_state(&plain.args.params.cumulative_weights, &m.sums);
    set_state(&plain.args.params.coverage, &m.sums);
    const clattn_tensor none = {0}, query = rows_of(&stepped.args.query, B, Hq),
                        output = rows_of(&stepped.args.output, B, Hq);
    clattn_attention_args shared = stepped.args;
    shared.query = shared.output = shared.weights = none;
    shared.params.previous_weights = shared.params.cumulative_weights = shared.params.coverage =
        none;
    assert_status(CLATTN_OK, clattn_decoder_create(&decoder, on, &stepped.desc,
                                                   c->forgets ? 0 : STEPS, c->flags));
    /* Twice: nothing of the first batch is left in the second one. */
    for (int batch = 0; batch < 2; batch++) {
        for (size_t i = 0; i < clattn_tensor_count(&m.sums); i++)
            host_tensor_set(&m.previous, i, 0), host_tensor_set(&m.sums, i, 0);
        assert_status(CLATTN_OK, clattn_decoder_begin(decoder, &shared));
        for (int s = 0; s < STEPS; s++) {
            next_query(&plain, s + batch), next_query(&stepped, s + batch);
            assert_status(CLATTN_OK, clattn_reference_run(&plain.desc, &plain.args));
            assert_status(CLATTN_OK, clattn_decoder_step(decoder, &query, &output));
            assert_status(CLATTN_OK, clattn_device_finish(on));
            assert_near(&stepped.args.output, &plain.args.output, "output");
            remember(&m, &plain);
            assert_int_equal(s + 1, clattn_decoder_steps(decoder));
        }
        if (c->forgets)
            continue;
        assert_status(CLATTN_OK, clattn_decoder_alignments(decoder, &all));
        clattn_tensor last = all;
        last.offset += (S - 1) * all.strides[2];
        last.shape[2] = 1;
        assert_near(&last, &plain.args.weights, "the last step's alignment");
        assert_true(host_tensor_gaps_untouched(&stepped, &all));
        assert_argument_refused(clattn_decoder_step(decoder, &query, &output), "max_steps");
    }
    clattn_decoder_destroy(decoder);
    host_call_free(&plain);
    host_call_free(&stepped);
}

static void on_the_device(void **state)
{
    steps_are_right(device, *state);
}

static void on_the_reference(void **state)
{
    steps_are_right(reference, *state);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    host_call call;
    clattn_decoder *decoder = NULL;
    clattn_case one = cases[3].call;
    one.outputs = CLATTN_OUTPUT;
    case_make(&call, &one);
    clattn_attention_desc desc = call.desc;
    const clattn_tensor none = {0}, query = rows_of(&call.args.query, 3, 1),
                        output = rows_of(&call.args.output, 3, 1);
    assert_argument_refused(clattn_decoder_create(NULL, device, &desc, 1, 0), "out");
    assert_argument_refused(clattn_decoder_create(&decoder, device, &desc, 1, 6), "flags: 0x6");
    assert_argument_refused(
        clattn_decoder_create(&decoder, device, &desc, 1, CLATTN_DECODER_CUMULATIVE),
        "location-sensitive");
    desc.flags |= CLATTN_CAUSAL;
    assert_argument_refused(clattn_decoder_create(&decoder, device, &desc, 1, 0), "causal");
    assert_null(decoder);
    assert_status(CLATTN_OK, clattn_decoder_create(&decoder, device, &call.desc, 1, 0));
    assert_argument_refused(clattn_decoder_step(decoder, &query, &output), "clattn_decoder_begin");
    assert_argument_refused(clattn_decoder_alignments(decoder, &output), "begun");
    assert_argument_refused(clattn_decoder_begin(decoder, &call.args), "with each step");
    clattn_attention_args shared = call.args;
    shared.query = shared.output = none;
    host_tensor_set(&shared.kv_lengths, 1, 99);
    assert_argument_refused(clattn_decoder_begin(decoder, &shared), "kv_lengths: element 1 is 99");
    host_tensor_set(&shared.kv_lengths, 1, 9);
    shared.params.w_key = none;
    assert_argument_refused(clattn_decoder_begin(decoder, &shared), "params.w_key: missing");
    shared.params.w_key = call.args.params.w_key;
    assert_status(CLATTN_OK, clattn_decoder_begin(decoder, &shared));
    assert_argument_refused(clattn_decoder_step(decoder, &output, &output), "query: shape");
    assert_argument_refused(clattn_decoder_alignments(decoder, &output), "alignments");
    assert_int_equal(0, clattn_decoder_steps(decoder));
    clattn_decoder_destroy(decoder);
    clattn_decoder_destroy(NULL);
    host_call_free(&call);
}

/* What is given of earlier steps is held against the batch, whatever the score. */
static void states_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    static const struct {
        size_t offset;
        const char *name;
        clattn_score score;
        uint32_t flags;
    } given[] = {
        {offsetof(clattn_score_params, previous_weights), "params.previous_weights",
         CLATTN_SCORE_LOCATION_SENSITIVE, 0},
        {offsetof(clattn_score_params, cumulative_weights), "params.cumulative_weights",
         CLATTN_SCORE_LOCATION_SENSITIVE, CLATTN_DECODER_CUMULATIVE},
        {offsetof(clattn_score_params, coverage), "params.coverage", CLATTN_SCORE_COVERAGE, 0},
    };
    static const int64_t shapes[][2] = {{2, 22}, {3, 21}, {2, 0}, {0, 21}};
    static const double zeros[3 * 22];
    for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
        host_call call;
        clattn_decoder *decoder = NULL;
        const clattn_case one = {"",
                                 .B = 2,
                                 STEP,
                                 .A = 17,
                                 .score = given[i].score,
                                 .outputs = CLATTN_OUTPUT,
                                 .params = given[i].flags ? PARAM_CUMULATIVE : 0};
        const clattn_tensor none = {0};
        case_make(&call, &one);
        clattn_attention_args args = call.args;
        clattn_tensor *of_state = (clattn_tensor *)(void *)((char *)&args.params + given[i].offset);
        args.query = args.output = none;
        assert_status(CLATTN_OK,
                      clattn_decoder_create(&decoder, device, &call.desc, 0, given[i].flags));
        assert_status(CLATTN_OK, clattn_decoder_begin(decoder, &args));
        for (size_t n = 0; n < sizeof shapes / sizeof *shapes; n++) {
            *of_state = clattn_tensor_host(CLATTN_F64, zeros, 2, shapes[n]);
            assert_argument_refused(clattn_decoder_begin(decoder, &args), given[i].name);
        }
        *of_state = clattn_tensor_host(CLATTN_I32, zeros, 2, (int64_t[]){2, 21});
        assert_argument_refused(clattn_decoder_begin(decoder, &args), given[i].name);
        *of_state = clattn_tensor_host(CLATTN_F64, zeros, 2, (int64_t[]){2, 21});
        assert_status(CLATTN_OK, clattn_decoder_begin(decoder, &args));
        clattn_decoder_destroy(decoder);
        if (given[i].flags) { /* which nobody would look at without the flag */
            assert_status(CLATTN_OK, clattn_decoder_create(&decoder, device, &call.desc, 0, 0));
            assert_argument_refused(clattn_decoder_begin(decoder, &args), given[i].name);
            clattn_decoder_destroy(decoder);
        }
        host_call_free(&call);
    }
}

int main(void)
{
    int failures = 0;
    named_tests on_device = {0}, on_reference = {0}, more = {0};
    if (clattn_device_open(&device, NULL, 0) != CLATTN_OK ||
        clattn_device_open(&reference, "reference", 0) != CLATTN_OK) {
        (void)fprintf(stderr, "%s\n", clattn_last_error());
        return 1;
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        named_tests_add(&on_device, cases[i].call.name, on_the_device, &cases[i]);
        named_tests_add(&on_reference, cases[i].call.name, on_the_reference, &cases[i]);
    }
    named_tests_add(&more, "what does not fit is refused", what_does_not_fit_is_refused, NULL);
    named_tests_add(&more, "states that do not fit are refused", states_that_do_not_fit_are_refused,
                    NULL);
    failures += named_tests_run(&on_device, "decoder, device", NULL, NULL);
    failures += named_tests_run(&on_reference, "decoder, reference", NULL, NULL);
    failures += named_tests_run(&more, "decoder, more", NULL, NULL);
    clattn_device_close(device);
    clattn_device_close(reference);
    return failures;
}
