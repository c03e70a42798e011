/* params.c: one table of parameters, with the scores that take each. */
#include "params.h"

#include "text.h"

#include <stdio.h>
#include <string.h>

#define BIT(score) (1u << CLATTN_SCORE_##score)
#define ADDITIVE (BIT(ADDITIVE) | BIT(LOCATION_SENSITIVE) | BIT(COVERAGE))

#define OPTION "param "

static const struct {
    const char *argument;
    uint32_t required, optional; /* by which scores */
} params[CLI_INPUTS] = {
    [CLI_PARAM_WEIGHT] = {OPTION "weight", BIT(GENERAL) | BIT(LOCATION), 0},
    [CLI_PARAM_W_QUERY] = {OPTION "w_query", ADDITIVE, 0},
    [CLI_PARAM_W_KEY] = {OPTION "w_key", ADDITIVE, 0},
    [CLI_PARAM_V] = {OPTION "v", ADDITIVE, 0},
    [CLI_PARAM_BIAS] = {OPTION "bias", 0, ADDITIVE},
    [CLI_PARAM_G] = {OPTION "g", 0, ADDITIVE},
    [CLI_PARAM_CONV] = {OPTION "conv", BIT(LOCATION_SENSITIVE), 0},
    [CLI_PARAM_W_LOCATION] = {OPTION "w_location", BIT(LOCATION_SENSITIVE), 0},
    [CLI_PARAM_W_COVERAGE] = {OPTION "w_coverage", BIT(COVERAGE), 0},
    [CLI_PARAM_BETA] = {OPTION "beta", BIT(COSINE), 0},
    [CLI_PARAM_GAMMA] = {OPTION "gamma", BIT(RBF), 0},
    [CLI_PARAM_PREVIOUS_WEIGHTS] = {OPTION "previous_weights", BIT(LOCATION_SENSITIVE), 0},
    [CLI_PARAM_CUMULATIVE_WEIGHTS] = {OPTION "cumulative_weights", 0, BIT(LOCATION_SENSITIVE)},
    [CLI_PARAM_COVERAGE] = {OPTION "coverage", BIT(COVERAGE), 0},
};

const char *cli_param_argument(enum cli_input param)
{
    return params[param].argument;
}

static const char *name_of(int param)
{
    return params[param].argument + strlen(OPTION);
}

bool cli_param_is_required(enum cli_input param, clattn_score score)
{
    return params[param].required >> score & 1;
}

static bool is_taken(int param, clattn_score score)
{
    return (params[param].required | params[param].optional) >> score & 1;
}

int cli_param_parse(cli_options *o, const char *text)
{
    const size_t length = strcspn(text, "=");
    if (length == 0 || !text[length] || !text[length + 1])
        return CLI_FAIL(CLI_BAD_INPUT, "--param: '%s'; expected NAME=FILE.npy", text);
    int i = CLI_FIRST_PARAM;
    while (i < CLI_INPUTS && (strncmp(name_of(i), text, length) != 0 || name_of(i)[length] != '\0'))
        i++;
    if (i == CLI_INPUTS) {
        if (!o->unknown_param)
            o->unknown_param = text;
        return CLI_DONE;
    }
    if (o->inputs[i])
        return CLI_FAIL(CLI_BAD_INPUT, "--%s: given twice; expected once", params[i].argument);
    o->inputs[i] = text + length + 1;
    return CLI_DONE;
}

/* "weight", or "w_query, w_key, v, and optionally bias, g"; "" for a score without parameters. */
#define NAMES_TEXT 160
static const char *names_of(char text[NAMES_TEXT], clattn_score score)
{
    size_t used = 0;
    text[0] = '\0';
    for (int optional = 0; optional < 2; optional++) {
        const char *comma = optional ? ", and optionally " : "";
        for (int i = CLI_FIRST_PARAM; i < CLI_INPUTS; i++) {
            if (!is_taken(i, score) || optional == cli_param_is_required((enum cli_input)i, score))
                continue;
            used += (size_t)snprintf(text + used, NAMES_TEXT - used, "%s%s", comma, name_of(i));
            comma = ", ";
        }
    }
    return text;
}

/* A parameter that the score does not take; only the first `length` bytes of `name` are its name. */
static int refuse(const char *name, size_t length, clattn_score score)
{
    char names[NAMES_TEXT];
    if (names_of(names, score)[0])
        return CLI_FAIL(CLI_BAD_INPUT, "--param %.*s: no parameter of score %s; expected %s",
                        (int)length, name, cli_score_name(score), names);
    if (score == CLATTN_SCORE_GIVEN)
        return CLI_FAIL(CLI_BAD_INPUT,
                        "--param %.*s: given with --given-scores, which take no parameters",
                        (int)length, name);
    return CLI_FAIL(CLI_BAD_INPUT, "--param %.*s: score %s takes no parameters", (int)length, name,
                    cli_score_name(score));
}

int cli_params_check(const cli_options *o)
{
    const clattn_score score = o->desc.score;
    char names[NAMES_TEXT];
    if (o->unknown_param)
        return refuse(o->unknown_param, strcspn(o->unknown_param, "="), score);
    for (int i = CLI_FIRST_PARAM; i < CLI_INPUTS; i++) {
        if (o->inputs[i] && !is_taken(i, score))
            return refuse(name_of(i), strlen(name_of(i)), score);
    }
    for (int i = CLI_FIRST_PARAM; i < CLI_INPUTS && !o->has_shape; i++) {
        if (!o->inputs[i] && cli_param_is_required((enum cli_input)i, score))
            return CLI_FAIL(CLI_BAD_INPUT, "--%s: missing; score %s expects %s", params[i].argument,
                            cli_score_name(score), names_of(names, score));
    }
    return CLI_DONE;
}
