/* options.c: one table of options, one pass over argv, then
 * the rules that concern several options at once. */
#include "options.h"

#include "args.h"
#include "backward.h"
#include "numbers.h"
#include "params.h"
#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum kind {
    INPUT,
    OUTPUT,
    CHOICE, /* a word of a list, stored as its number */
    FLAG,
    SCALE,
    SOFTCAP,
    WINDOW,
    DROPOUT,
    DROPOUT_OFFSET,
    SEED,
    PARAM,
    GRAD_PARAM,
    WEIGHTS_HEADS,
    WEIGHTS_ROWS,
    VARIANT,
    DEVICE,
    SAMPLE,
    EXPECT,
    SHAPE,
    VARIANTS,
    ROUNDS,
    HELP
};

enum choice { SCORE, NORMALIZER, ALIGNMENT, LAYOUT, STAGE, PRECISION, DTYPE };
enum flag { CAUSAL, BACKWARD, JSON, EXPLAIN };

typedef struct row {
    const char *name;
    int commands;
    enum kind kind;
    int slot; /* which input, output, choice or flag */
} row;

#define ALL (CLI_RUN | CLI_VERIFY | CLI_BENCH)

static const row rows[] = {
    {"query", ALL, INPUT, CLI_QUERY},
    {"key", ALL, INPUT, CLI_KEY},
    {"value", ALL, INPUT, CLI_VALUE},
    {"given-scores", ALL, INPUT, CLI_GIVEN_SCORES},
    {"mask", ALL, INPUT, CLI_MASK},
    {"bias", ALL, INPUT, CLI_BIAS},
    {"kv-lengths", ALL, INPUT, CLI_KV_LENGTHS},
    {"alibi-slopes", ALL, INPUT, CLI_ALIBI_SLOPES},
    {"sinks", ALL, INPUT, CLI_SINKS},
    {"cu-seqlens-q", ALL, INPUT, CLI_CU_SEQLENS_Q},
    {"cu-seqlens-k", ALL, INPUT, CLI_CU_SEQLENS_K},
    {"grad-output", ALL, INPUT, CLI_GRAD_OUTPUT},
    {"grad-weights", ALL, INPUT, CLI_GRAD_WEIGHTS},
    {"grad-lse", ALL, INPUT, CLI_GRAD_LSE},
    {"output", ALL, OUTPUT, CLI_OUTPUT},
    {"weights", ALL, OUTPUT, CLI_WEIGHTS},
    {"scores", ALL, OUTPUT, CLI_SCORES},
    {"lse", ALL, OUTPUT, CLI_LSE},
    {"column-sums", ALL, OUTPUT, CLI_COLUMN_SUMS},
    {"argmax", ALL, OUTPUT, CLI_ARGMAX},
    {"entropy", ALL, OUTPUT, CLI_ENTROPY},
    {"grad-query", ALL, OUTPUT, CLI_GRAD_QUERY},
    {"grad-key", ALL, OUTPUT, CLI_GRAD_KEY},
    {"grad-value", ALL, OUTPUT, CLI_GRAD_VALUE},
    {"grad-given-scores", ALL, OUTPUT, CLI_GRAD_GIVEN_SCORES},
    {"grad-bias", ALL, OUTPUT, CLI_GRAD_BIAS},
    {"grad-alibi-slopes", ALL, OUTPUT, CLI_GRAD_ALIBI_SLOPES},
    {"grad-sinks", ALL, OUTPUT, CLI_GRAD_SINKS},
    {"grad-param", ALL, GRAD_PARAM, 0},
    {"weights-heads", ALL, WEIGHTS_HEADS, 0},
    {"weights-rows", ALL, WEIGHTS_ROWS, 0},
    {"score", ALL, CHOICE, SCORE},
    {"normalizer", ALL, CHOICE, NORMALIZER},
    {"alignment", ALL, CHOICE, ALIGNMENT},
    {"layout", ALL, CHOICE, LAYOUT},
    {"scores-stage", ALL, CHOICE, STAGE},
    {"precision", ALL, CHOICE, PRECISION},
    {"dtype", ALL, CHOICE, DTYPE},
    {"scale", ALL, SCALE, 0},
    {"softcap", ALL, SOFTCAP, 0},
    {"window", ALL, WINDOW, 0},
    {"dropout", ALL, DROPOUT, 0},
    {"dropout-offset", ALL, DROPOUT_OFFSET, 0},
    {"seed", ALL, SEED, 0},
    {"param", ALL, PARAM, 0},
    {"causal", ALL, FLAG, CAUSAL},
    {"backward", ALL, FLAG, BACKWARD},
    {"json", ALL, FLAG, JSON},
    {"explain", ALL, FLAG, EXPLAIN},
    {"device", ALL, DEVICE, 0},
    {"variant", ALL, VARIANT, 0},
    {"sample", CLI_VERIFY, SAMPLE, 0},
    {"expect", CLI_VERIFY, EXPECT, 0},
    {"shape", CLI_BENCH, SHAPE, 0},
    {"variants", CLI_BENCH, VARIANTS, 0},
    {"rounds", CLI_BENCH, ROUNDS, 0},
    {"help", ALL, HELP, 0},
};
#define ROWS (sizeof rows / sizeof rows[0])
_Static_assert(ROWS <= CLI_MAX_OPTIONS, "too many options");

/* The words of each choice and what they stand for. */
typedef struct word {
    const char *text;
    int value;
} word;

static const word words[][10] = {
    [SCORE] = {{"scaled-dot", CLATTN_SCORE_SCALED_DOT},
               {"dot", CLATTN_SCORE_DOT},
               {"general", CLATTN_SCORE_GENERAL},
               {"additive", CLATTN_SCORE_ADDITIVE},
               {"location", CLATTN_SCORE_LOCATION},
               {"location-sensitive", CLATTN_SCORE_LOCATION_SENSITIVE},
               {"coverage", CLATTN_SCORE_COVERAGE},
               {"cosine", CLATTN_SCORE_COSINE},
               {"rbf", CLATTN_SCORE_RBF}},
    [NORMALIZER] = {{"softmax", CLATTN_NORMALIZER_SOFTMAX},
                    {"none", CLATTN_NORMALIZER_NONE},
                    {"sigmoid", CLATTN_NORMALIZER_SIGMOID},
                    {"sparsemax", CLATTN_NORMALIZER_SPARSEMAX},
                    {"entmax15", CLATTN_NORMALIZER_ENTMAX15}},
    [ALIGNMENT] = {{"top-left", CLATTN_TOP_LEFT}, {"bottom-right", CLATTN_BOTTOM_RIGHT}},
    [LAYOUT] = {{"bhsd", CLATTN_BHSD}, {"bshd", CLATTN_BSHD}},
    [STAGE] = {{"raw", CLATTN_SCORES_RAW},
               {"capped", CLATTN_SCORES_CAPPED},
               {"modified", CLATTN_SCORES_MODIFIED}},
    [PRECISION] = {{"default", CLATTN_PRECISION_DEFAULT},
                   {"strict", CLATTN_PRECISION_STRICT},
                   {"fast", CLATTN_PRECISION_FAST}},
    [DTYPE] = {{"f32", CLATTN_F32},
               {"f64", CLATTN_F64},
               {"f16", CLATTN_F16},
               {"bf16", CLATTN_BF16}},
};

const char *cli_input_name(enum cli_input input)
{
    if (input >= CLI_FIRST_PARAM)
        return cli_param_argument(input);
    return rows[input].name; /* the table begins with the other inputs, in their order */
}

const char *cli_output_option(enum cli_output output)
{
    if (output >= CLI_GRAD_PARAMS)
        return cli_param_gradient_option(output);
    return rows[CLI_FIRST_PARAM + output].name; /* and goes on with the other outputs */
}

const char *cli_output_name(enum cli_output output)
{
    static const char *const names[CLI_OUTPUTS] = {"output",
                                                   "weights",
                                                   "scores",
                                                   "lse",
                                                   "column_sums",
                                                   "argmax",
                                                   "entropy",
                                                   "grad.query",
                                                   "grad.key",
                                                   "grad.value",
                                                   "grad.given_scores",
                                                   "grad.bias",
                                                   "grad.alibi_slopes",
                                                   "grad.sinks"};
    return output < CLI_GRAD_PARAMS ? names[output] : cli_param_gradient_name(output);
}

enum cli_input cli_gradient_input(enum cli_output gradient)
{
    static const enum cli_input inputs[] = {
        CLI_QUERY, CLI_KEY, CLI_VALUE, CLI_GIVEN_SCORES, CLI_BIAS, CLI_ALIBI_SLOPES, CLI_SINKS};
    return gradient < CLI_GRAD_PARAMS
               ? inputs[gradient - CLI_FIRST_GRADIENT]
               : (enum cli_input)(CLI_FIRST_PARAM + (int)gradient - CLI_GRAD_PARAMS);
}

void cli_options_want(cli_options *o, enum cli_output output)
{
    if (output < CLI_FIRST_GRADIENT)
        o->desc.outputs |= 1u << output;
    else
        o->gradients |= 1u << (output - CLI_FIRST_GRADIENT);
}

const char *cli_score_name(clattn_score score)
{
    for (const word *w = words[SCORE]; w->text; w++) {
        if (w->value == (int)score)
            return w->text;
    }
    return "given";
}

static int parse_shape(cli_options *o, const char *option, const char *text)
{
    int64_t *const n = o->shape;
    int result = cli_parse_integers(n, 7, option, "B,Hq,Hkv,S,T,D,Dv", text, 0);
    if (result)
        return result;
    if (n[1] == 0 || n[2] == 0 || n[5] == 0 || n[6] == 0)
        return CLI_FAIL(CLI_BAD_INPUT,
                        "--%s: '%s'; expected at least 1 for each of Hq, Hkv, D and Dv", option,
                        text);
    if (n[1] % n[2] != 0)
        return CLI_FAIL(CLI_BAD_INPUT,
                        "--%s: '%s'; found Hq %" PRId64 ", expected a multiple of Hkv %" PRId64,
                        option, text, n[1], n[2]);
    return CLI_DONE;
}

static int parse_choice(cli_options *o, const row *r, const char *text)
{
    const word *const list = words[r->slot], *found = list;
    while (found->text && strcmp(found->text, text) != 0)
        found++;
    if (!found->text) {
        char all[128] = "";
        size_t used = 0;
        for (const word *w = list; w->text; w++)
            used += (size_t)snprintf(all + used, sizeof all - used, "%s%s",
                                     w == list   ? ""
                                     : w[1].text ? ", "
                                                 : " or ",
                                     w->text);
        return CLI_FAIL(CLI_BAD_INPUT, "--%s: '%s' is not known; expected %s", r->name, text, all);
    }
    const int value = found->value;
    switch ((enum choice)r->slot) {
    case SCORE:
        o->desc.score = (clattn_score)value;
        break;
    case NORMALIZER:
        o->desc.normalizer = (clattn_normalizer)value;
        break;
    case ALIGNMENT:
        o->desc.alignment = (clattn_alignment)value;
        break;
    case LAYOUT:
        o->desc.layout = (clattn_layout)value;
        break;
    case STAGE:
        o->desc.scores_stage = (clattn_scores_stage)value;
        break;
    case PRECISION:
        o->desc.precision = (clattn_precision)value;
        break;
    case DTYPE:
        o->dtype = (clattn_dtype)value;
        o->has_dtype = 1;
        break;
    }
    return CLI_DONE;
}

/* NAME=FILE or NAME[INDEX]=FILE. */
static int parse_expectation(cli_options *o, const char *text)
{
    const char *equals = strchr(text, '=');
    size_t name_length = strcspn(text, "[=");
    cli_expectation *e = &o->expectations[o->expectation_count];
    if (o->expectation_count == CLI_MAX_EXPECTATIONS)
        return CLI_FAIL(CLI_BAD_INPUT, "--expect: given more than %d times", CLI_MAX_EXPECTATIONS);
    if (!equals || !equals[1])
        return CLI_FAIL(CLI_BAD_INPUT,
                        "--expect: '%s'; expected NAME=FILE.npy or NAME[INDEX]=FILE.npy", text);
    int output = 0;
    for (; output < CLI_OUTPUTS; output++) {
        const char *name = cli_output_name((enum cli_output)output);
        if (strlen(name) == name_length && strncmp(text, name, name_length) == 0)
            break;
    }
    if (output == CLI_OUTPUTS)
        return CLI_FAIL(
            CLI_BAD_INPUT,
            "--expect: '%s'; expected output, weights, scores, lse, column_sums, argmax, entropy "
            "or a gradient (grad.query, grad.params.v, ...) before '='",
            text);
    e->output = (enum cli_output)output;
    e->index = -1;
    e->file = equals + 1;
    if (text[name_length] == '[') {
        char index[24];
        const char *first = text + name_length + 1;
        size_t length = strcspn(first, "]");
        if (length >= sizeof index || first[length] != ']' || first + length + 1 != equals)
            return CLI_FAIL(CLI_BAD_INPUT, "--expect: '%s'; expected NAME[INDEX]=FILE.npy", text);
        memcpy(index, first, length);
        index[length] = '\0';
        int result = cli_parse_integer(&e->index, "expect", index, 0, INT64_MAX);
        if (result)
            return result;
    }
    cli_options_want(o, e->output);
    o->expectation_count++;
    return CLI_DONE;
}

/* Names with commas between them: none is empty. */
static int check_list(const row *r, const char *text)
{
    if (text[0] != ',' && text[strlen(text) - 1] != ',' && !strstr(text, ",,"))
        return CLI_DONE;
    return CLI_FAIL(CLI_BAD_INPUT, "--%s: '%s'; expected names with commas between them, or all",
                    r->name, text);
}

static int apply(cli_options *o, const row *r, const char *value)
{
    int64_t number = 0;
    int64_t pair[2];
    int result = CLI_DONE;
    switch (r->kind) {
    case INPUT:
        o->inputs[r->slot] = value;
        break;
    case OUTPUT:
        o->outputs[r->slot] = value;
        cli_options_want(o, (enum cli_output)r->slot);
        break;
    case CHOICE:
        return parse_choice(o, r, value);
    case FLAG:
        if (r->slot == CAUSAL)
            o->desc.flags |= CLATTN_CAUSAL;
        if (r->slot == BACKWARD)
            o->desc.direction = CLATTN_BACKWARD;
        if (r->slot == JSON)
            o->json = 1;
        if (r->slot == EXPLAIN)
            o->explain = 1;
        break;
    case SCALE:
        o->desc.flags |= CLATTN_SCALE;
        return cli_parse_number(&o->desc.scale, r->name, value);
    case SOFTCAP:
        return cli_parse_number(&o->desc.softcap, r->name, value);
    case WINDOW:
        result = cli_parse_integers(pair, 2, r->name, "LEFT,RIGHT", value, -1);
        if (result)
            return result;
        o->desc.flags |= CLATTN_WINDOW;
        o->desc.window_left = pair[0];
        o->desc.window_right = pair[1];
        break;
    case DROPOUT:
        return cli_parse_number(&o->desc.dropout, r->name, value);
    case DROPOUT_OFFSET:
        return cli_parse_unsigned(&o->dropout_offset, r->name, value);
    case SEED:
        return cli_parse_unsigned(&o->seed, r->name, value);
    case PARAM:
        return cli_param_parse(o, value);
    case GRAD_PARAM:
        return cli_param_gradient_parse(o, value);
    case WEIGHTS_HEADS:
        o->weights_heads = value;
        o->desc.flags |= CLATTN_WEIGHTS_HEADS;
        break;
    case WEIGHTS_ROWS:
        o->weights_rows = value;
        o->desc.flags |= CLATTN_WEIGHTS_ROWS;
        break;
    case VARIANT:
        o->desc.variant = value;
        break;
    case DEVICE:
        o->device = value;
        return check_list(r, value);
    case SAMPLE:
        result = cli_parse_integer(&number, r->name, value, 1, INT64_MAX);
        o->sample = (size_t)number;
        return result;
    case EXPECT:
        return parse_expectation(o, value);
    case SHAPE:
        o->has_shape = 1;
        return parse_shape(o, r->name, value);
    case VARIANTS:
        o->variants = value;
        return check_list(r, value);
    case ROUNDS:
        result = cli_parse_integer(&number, r->name, value, 1, 1000000);
        o->rounds = (size_t)number;
        return result;
    case HELP:
        o->help = 1;
        break;
    }
    return CLI_DONE;
}

static int is_given(enum kind kind, const unsigned char *seen)
{
    size_t i = 0;
    while (rows[i].kind != kind)
        i++;
    return seen[i];
}

/* A seed needs something that is random. */
static int check_seed(const cli_options *o, const unsigned char *seen)
{
    const int dropout = is_given(DROPOUT, seen);
    const int gradient = o->desc.direction == CLATTN_BACKWARD && !o->desc.outputs;
    if (is_given(DROPOUT_OFFSET, seen) && !dropout)
        return CLI_FAIL(CLI_BAD_INPUT,
                        "--dropout-offset: given without --dropout, which it is about");
    if (is_given(SEED, seen) && !dropout && !gradient && !o->has_shape)
        return CLI_FAIL(
            CLI_BAD_INPUT,
            "--seed: given where nothing is random; expected it with --dropout, or with "
            "random inputs (bench --shape) or gradients (verify and bench --backward)");
    return CLI_DONE;
}

/* What an option needs beside it, or cannot stand beside. */
static int check_together(const cli_options *o, int command, const unsigned char *seen)
{
    int given = o->inputs[CLI_GIVEN_SCORES] != NULL;
    if (o->has_shape) {
        for (int i = 0; i < CLI_INPUTS; i++) {
            const int made = i <= CLI_GIVEN_SCORES || i >= CLI_CU_SEQLENS_Q;
            if (made && o->inputs[i])
                return CLI_FAIL(
                    CLI_BAD_INPUT,
                    "--%s: given with --shape, which makes random inputs; expected one of them",
                    cli_input_name((enum cli_input)i));
        }
    } else if (given) {
        if (o->inputs[CLI_QUERY] || o->inputs[CLI_KEY])
            return CLI_FAIL(
                CLI_BAD_INPUT,
                "--given-scores: takes the place of --query and --key, but --%s is given too",
                o->inputs[CLI_QUERY] ? "query" : "key");
    }
    for (size_t i = 0; i < ROWS; i++) {
        int about_scores =
            rows[i].kind == SCALE || (rows[i].kind == CHOICE && rows[i].slot == SCORE);
        if (given && seen[i] && about_scores)
            return CLI_FAIL(CLI_BAD_INPUT, "--%s: has no meaning with --given-scores",
                            rows[i].name);
    }
    for (int i = CLI_QUERY; i <= CLI_VALUE && !o->has_shape; i++) {
        const int needless =
            (given && i != CLI_VALUE) || (o->desc.score == CLATTN_SCORE_LOCATION && i == CLI_KEY);
        if (!o->inputs[i] && !needless)
            return CLI_FAIL(CLI_BAD_INPUT,
                            "--%s: missing; expected a file (query, key and value, or given-scores "
                            "and value)%s",
                            cli_input_name((enum cli_input)i),
                            command == CLI_BENCH ? ", or --shape instead of files" : "");
    }
    if (cli_params_check(o))
        return CLI_BAD_INPUT;
    if (!o->inputs[CLI_CU_SEQLENS_Q] != !o->inputs[CLI_CU_SEQLENS_K]) {
        const enum cli_input missing =
            o->inputs[CLI_CU_SEQLENS_Q] ? CLI_CU_SEQLENS_K : CLI_CU_SEQLENS_Q;
        return CLI_FAIL(
            CLI_BAD_INPUT, "--%s: missing; expected cumulative lengths beside --%s",
            cli_input_name(missing),
            cli_input_name(missing == CLI_CU_SEQLENS_K ? CLI_CU_SEQLENS_Q : CLI_CU_SEQLENS_K));
    }
    if (o->desc.scores_stage != CLATTN_SCORES_RAW && !(o->desc.outputs & CLATTN_SCORES))
        return CLI_FAIL(CLI_BAD_INPUT, "--scores-stage: given without --scores, which it is about");
    if ((o->weights_heads || o->weights_rows) && !(o->desc.outputs & CLATTN_WEIGHTS))
        return CLI_FAIL(CLI_BAD_INPUT, "--weights-%s: given without --weights, which it is about",
                        o->weights_heads ? "heads" : "rows");
    if (o->desc.outputs & CLATTN_ENTROPY && o->desc.normalizer == CLATTN_NORMALIZER_NONE)
        return CLI_FAIL(CLI_BAD_INPUT,
                        "--entropy: given with --normalizer none, whose weights may be negative; "
                        "expected another one");
    if (o->inputs[CLI_SINKS] && o->desc.normalizer != CLATTN_NORMALIZER_SOFTMAX)
        return CLI_FAIL(CLI_BAD_INPUT,
                        "--sinks: given with another --normalizer; expected softmax, as a sink is "
                        "part of its sum");
    if (o->variants && o->desc.variant)
        return CLI_FAIL(CLI_BAD_INPUT, "--variant: given with --variants; expected one of them");
    return check_seed(o, seen);
}

static int takes(enum kind kind)
{
    if (kind == FLAG || kind == HELP)
        return CLI_TAKES_NOTHING;
    return kind == EXPECT || kind == PARAM || kind == GRAD_PARAM ? CLI_TAKES_MANY : CLI_TAKES_ONE;
}

int cli_options_parse(cli_options *options, int command, int argc, char **argv)
{
    cli_option table[ROWS];
    const row *row_of[ROWS];
    unsigned char seen[ROWS] = {0};
    size_t count = 0;
    int result = CLI_DONE;
    memset(options, 0, sizeof *options);
    options->desc.struct_size = sizeof options->desc;
    options->rounds = 10;
    for (size_t i = 0; i < ROWS; i++) {
        if (!(rows[i].commands & command))
            continue;
        table[count].name = rows[i].name;
        switch (takes(rows[i].kind)) {
        case CLI_TAKES_NOTHING:
            table[count].takes = CLI_TAKES_NOTHING;
            break;
        case CLI_TAKES_ONE:
            table[count].takes = CLI_TAKES_ONE;
            break;
        default:
            table[count].takes = CLI_TAKES_MANY;
            break;
        }
        row_of[count++] = &rows[i];
    }
    cli_args args = cli_args_of(argc, argv, table, count);
    for (;;) {
        size_t option = 0;
        const char *value = NULL;
        CLI_TRY(cli_args_next(&args, &option, &value));
        if (option == count)
            break;
        seen[row_of[option] - rows] = 1;
        CLI_TRY(apply(options, row_of[option], value));
    }
    if (options->help)
        return CLI_DONE;
    if (options->inputs[CLI_GIVEN_SCORES])
        options->desc.score = CLATTN_SCORE_GIVEN;
    CLI_TRY(cli_backward_check(options, command));
    const int forward = options->desc.direction == CLATTN_FORWARD;
    if (forward && command == CLI_RUN && !options->desc.outputs)
        return CLI_FAIL(CLI_BAD_INPUT, "--output: missing; expected a file for the result (or "
                                       "--weights, --scores, --lse, --column-sums, --argmax, "
                                       "--entropy)");
    if (forward && (command == CLI_VERIFY || !options->desc.outputs))
        options->desc.outputs |= CLATTN_OUTPUT;
    result = check_together(options, command, seen);
done:
    return result;
}
