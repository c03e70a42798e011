/* options.h: the options of run, verify and bench, parsed into one struct. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <clattn/attention.h>

/* Which command parses: bits, so that the table of options can say who takes which. */
enum { CLI_RUN = 1, CLI_VERIFY = 2, CLI_BENCH = 4 };

enum cli_input {
    CLI_QUERY,
    CLI_KEY,
    CLI_VALUE,
    CLI_GIVEN_SCORES,
    CLI_MASK,
    CLI_BIAS,
    CLI_KV_LENGTHS,
    CLI_ALIBI_SLOPES,
    CLI_SINKS,
    CLI_CU_SEQLENS_Q,
    CLI_CU_SEQLENS_K,
    CLI_GRAD_OUTPUT, /* with --backward, as the next two */
    CLI_GRAD_WEIGHTS,
    CLI_GRAD_LSE,
    /* The parameters of scores, --param NAME=FILE; params.h says which score takes which. */
    CLI_PARAM_WEIGHT,
    CLI_PARAM_W_QUERY,
    CLI_PARAM_W_KEY,
    CLI_PARAM_V,
    CLI_PARAM_BIAS,
    CLI_PARAM_G,
    CLI_PARAM_CONV,
    CLI_PARAM_W_LOCATION,
    CLI_PARAM_W_COVERAGE,
    CLI_PARAM_BETA,
    CLI_PARAM_GAMMA,
    CLI_PARAM_PREVIOUS_WEIGHTS,
    CLI_PARAM_CUMULATIVE_WEIGHTS,
    CLI_PARAM_COVERAGE,
    CLI_INPUTS
};
#define CLI_FIRST_PARAM CLI_PARAM_WEIGHT

/* In the order of the bits of clattn_attention_desc.outputs: bit i is 1 << i. Then gradients, in that of the
 * bits of its field gradients. */
enum cli_output {
    CLI_OUTPUT,
    CLI_WEIGHTS,
    CLI_SCORES,
    CLI_LSE,
    CLI_COLUMN_SUMS,
    CLI_ARGMAX,
    CLI_ENTROPY,
    CLI_GRAD_QUERY,
    CLI_GRAD_KEY,
    CLI_GRAD_VALUE,
    CLI_GRAD_GIVEN_SCORES,
    CLI_GRAD_BIAS,
    CLI_GRAD_ALIBI_SLOPES,
    CLI_GRAD_SINKS,
    CLI_GRAD_PARAMS, /* the first of them, --grad-param NAME=FILE; all are in the order of the inputs */
    CLI_OUTPUTS = CLI_GRAD_PARAMS + CLI_INPUTS - CLI_FIRST_PARAM
};
#define CLI_FIRST_GRADIENT CLI_GRAD_QUERY

/* --expect NAME[INDEX]=FILE: what an output, or one entry of its leading axis, should be. */
typedef struct cli_expectation {
    enum cli_output output;
    int64_t index; /* -1: the whole output */
    const char *file;
} cli_expectation;

#define CLI_MAX_EXPECTATIONS 16

typedef struct cli_options {
    const char *inputs[CLI_INPUTS];   /* file names, NULL for those not given */
    const char *outputs[CLI_OUTPUTS]; /* file names likewise */
    const char *unknown_param;        /* the first --param whose name no score takes, or NULL */
    uint32_t gradients; /* that are named: bit 0 is CLI_FIRST_GRADIENT, and so on; 0: none is */
    const char *weights_heads, *weights_rows; /* lists of numbers, NULL: all */
    clattn_attention_desc desc; /* what the options say; shapes and dtype come with the files */
    int has_dtype;
    clattn_dtype dtype;            /* --dtype */
    uint64_t seed, dropout_offset; /* the seed is that of random inputs and gradients, too */
    const char *device;            /* --device; NULL: the default */
    int json, explain, help;
    size_t sample;                                      /* verify: rows to check, 0 for all */
    cli_expectation expectations[CLI_MAX_EXPECTATIONS]; /* verify */
    size_t expectation_count;
    int has_shape;
    int64_t shape[7]; /* bench: B, Hq, Hkv, S, T, D, Dv */
    size_t rounds;
    const char *variants; /* bench: names with commas, "all", or NULL for the chosen one */
} cli_options;

/* "query", "kv-lengths", "param w_query", "grad-key", ...: how an input or output is given, without the
 * dashes. */
const char *cli_input_name(enum cli_input input);
const char *cli_output_option(enum cli_output output);

/* "column_sums", "grad.params.v", ...: what reports and --expect call an output, as the library does. */
const char *cli_output_name(enum cli_output output);

/* Of which input a gradient, an output from CLI_FIRST_GRADIENT, is. */
enum cli_input cli_gradient_input(enum cli_output gradient);

/* "additive", ...: the word of --score; "given" for given scores. */
const char *cli_score_name(clattn_score score);

/* Takes an output, or a gradient, for one that is wanted. */
void cli_options_want(cli_options *options, enum cli_output output);

/* Parses the arguments of `command` (argv[0] is its name). Strings stay argv's. Returns an exit
 * code of text.h. */
int cli_options_parse(cli_options *options, int command, int argc, char **argv);

#endif
