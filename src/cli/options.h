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

/* In the order of the bits of clattn_attention_desc.outputs: bit i is 1 << i. */
enum cli_output {
    CLI_OUTPUT,
    CLI_WEIGHTS,
    CLI_SCORES,
    CLI_LSE,
    CLI_COLUMN_SUMS,
    CLI_ARGMAX,
    CLI_ENTROPY,
    CLI_OUTPUTS
};

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
    const char *weights_heads, *weights_rows; /* lists of numbers, NULL: all */
    clattn_attention_desc desc; /* what the options say; shapes and dtype come with the files */
    int has_dtype;
    clattn_dtype dtype; /* --dtype */
    const char *device; /* --device; NULL: the default */
    int json, explain, help;
    size_t sample;                                      /* verify: rows to check, 0 for all */
    cli_expectation expectations[CLI_MAX_EXPECTATIONS]; /* verify */
    size_t expectation_count;
    int has_shape;
    int64_t shape[7]; /* bench: B, Hq, Hkv, S, T, D, Dv */
    size_t rounds;
    const char *variants; /* bench: names with commas, "all", or NULL for the chosen one */
} cli_options;

/* "query", "kv-lengths", "param w_query", ...: how an input or output is given, without the dashes. */
const char *cli_input_name(enum cli_input input);
const char *cli_output_option(enum cli_output output);

/* "column_sums", ...: what reports and --expect call an output, as the library does. */
const char *cli_output_name(enum cli_output output);

/* "additive", ...: the word of --score; "given" for given scores. */
const char *cli_score_name(clattn_score score);

/* Parses the arguments of `command` (argv[0] is its name). Strings stay argv's. Returns an exit
 * code of text.h. */
int cli_options_parse(cli_options *options, int command, int argc, char **argv);

#endif
