/* params.c: one table of parameters, with the scores that take each. */
#include "params.h"

#include "text.h"

#include <stdio.h>
#include <string.h>

#define BIT(score) (1u << CLATTN_SCORE_##score)
#define ADDITIVE (BIT(ADDITIVE) | BIT(LOCATION_SENSITIVE) | BIT(COVERAGE))

#define OPTION "param "

static const struct {
    const char *argument, *gradient_option, *gradient_name;
    uint32_t required, optional; /* by which scores */
} params[CLI_INPUTS] = {
#define PARAM(name) OPTION #name, "grad-" OPTION #name, "grad.params." #name
    [CLI_PARAM_WEIGHT] = {PARAM(weight), BIT(GENERAL) | BIT(LOCATION), 0},
    [CLI_PARAM_W_QUERY] = {PARAM(w_query), ADDITIVE, 0},
    [CLI_PARAM_W_KEY] = {PARAM(w_key), ADDITIVE, 0},
    [CLI_PARAM_V] = {PARAM(v), ADDITIVE, 0},
    [CLI_PARAM_BIAS] = {PARAM(bias), 0, ADDITIVE},
    [CLI_PARAM_G] = {PARAM(g), 0, ADDITIVE},
    [CLI_PARAM_CONV] = {PARAM(conv), BIT(LOCATION_SENSITIVE), 0},
    [CLI_PARAM_W_LOCATION] = {PARAM(w_location), BIT(LOCATION_SENSITIVE), 0},
    [CLI_PARAM_W_COVERAGE] = {PARAM(w_coverage), BIT(COVERAGE), 0},
    [CLI_PARAM_BETA] = {PARAM(beta), BIT(COSINE), 0},
    [CLI_PARAM_GAMMA] = {PARAM(gamma), BIT(RBF), 0},
    [CLI_PARAM_PREVIOUS_WEIGHTS] = {PARAM(previous_weights), BIT(LOCATION_SENSITIVE), 0},
    [CLI_PARAM_CUMULATIVE_WEIGHTS] = {PARAM(cumulative_weights), 0, BIT(LOCATION_SENSITIVE)},
    [CLI_PARAM_COVERAGE] = {PARAM(coverage), BIT(COVERAGE), 0},
#undef PARAM
};

const char *cli_param_argument(enum cli_input param)
{
    return params[param].argument;
}

const char *cli_param_gradient_option(enum cli_output gradient)
{
    return params[cli_gradient_input(gradient)].gradient_option;
}

const char *cli_param_gradient_name(enum cli_output gradient)
{
    return params[cli_gradient_input(gradient)].gradient_name;
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

/* The parameter and the file of NAME=FILE; CLI_INPUTS for a name that no score has. */
static int find(int *param, const char **file, const char *option, const char *text)
{
    const size_t length = strcspn(text, "=");
    if (length == 0 || !text[length] || !text[length + 1])
        return CLI_FAIL(CLI_BAD_INPUT, "--%s: '%s'; expected NAME=FILE.npy", option, text);
    int i = CLI_FIRST_PARAM;
    while (i < CLI_INPUTS && (strncmp(name_of(i), text, length) != 0 || name_of(i)[length] != '\0'))
        i++;
    *param = i;
    *file = text + length + 1;
    return CLI_DONE;
}

static int refuse_second(const char *option)
{
    return CLI_FAIL(CLI_BAD_INPUT, "--%s: given twice; expected once", option);
}

int cli_param_parse(cli_options *o, const char *text)
{
    int param = 0;
    const char *file = NULL;
    const int result = find(&param, &file, "param", text);
    if (result)
        return result;
    if (param == CLI_INPUTS) {
        if (!o->unknown_param)
            o->unknown_param = text;
        return CLI_DONE;
    }
    if (o->inputs[param])
        return refuse_second(params[param].argument);
    o->inputs[param] = file;
    return CLI_DONE;
}

int cli_param_gradient_parse(cli_options *o, const char *text)
{
    int param = 0;
    const char *file = NULL;
    const int result = find(&param, &file, "grad-param", text);
    if (result)
        return result;
    if (param == CLI_INPUTS)
        return CLI_FAIL(CLI_BAD_INPUT, "--grad-param: '%s'; no score has a parameter of that name",
                        text);
    const enum cli_output gradient = (enum cli_output)(CLI_GRAD_PARAMS + param - CLI_FIRST_PARAM);
    if (o->outputs[gradient])
        return refuse_second(params[param].gradient_option);
    o->outputs[gradient] = file;
    cli_options_want(o, gradient);
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
