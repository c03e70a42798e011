/* cmd_verify.c: `clattn verify`: a device's results against
 * the reference, and against files made elsewhere. */
#include "arrays.h"
#include "commands.h"
#include "convert.h"
#include "execute.h"
#include "text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: clattn verify --query Q.npy --key K.npy --value V.npy [options]\n"
    "\n"
    "Runs a call on an OpenCL device and on the reference, which is plain C in double precision, "
    "and holds each\n"
    "largest error against its bound. Takes the options of `clattn run`; needs no output file.\n"
    "Exits with 1 when an error is outside its bound, with 3 when there is no device to verify.\n"
    "\n"
    "  Output, weights and log-sum-exp of a causal call:\n"
    "    clattn verify --query q.npy --key k.npy --value v.npy --causal --weights w.npy --lse "
    "l.npy\n"
    "  A long sequence, only 64 of its rows, spread evenly:\n"
    "    clattn verify --query q.npy --key k.npy --value v.npy --sample 64\n"
    "  All gradients, of random gradients of the output:\n"
    "    clattn verify --query q.npy --key k.npy --value v.npy --causal --backward\n"
    "  Also against what another program computed, for all or for the first entry of the batch:\n"
    "    clattn verify --query q.npy --key k.npy --value v.npy --expect output=o.npy --expect "
    "'weights[0]=w.npy'\n"
    "\n"
    "Only verify\n"
    "  --sample ROWS                 checks that many rows of queries; with --column-sums or "
    "--backward all\n"
    "  --expect NAME=FILE            output, weights, scores, lse, column_sums, argmax, entropy, "
    "or a "
    "gradient as\n"
    "                                grad.key or grad.params.v should be the numbers of FILE\n"
    "  --expect NAME[I]=FILE         ... or entry I of its leading axis should\n"
    "\n";

/* One result beside a file. */
typedef struct comparison {
    char name[64];
    const char *file;
    double error, bound;
    int ok;
} comparison;

static const clattn_verdict *verdict_of(const clattn_report *report, const char *name)
{
    for (size_t i = 0; i < report->count; i++) {
        const char *found = report->verdicts[i].name;
        if (found && strcmp(found, name) == 0)
            return &report->verdicts[i];
    }
    return NULL;
}

/* One unit in the last place of numbers as large as `magnitude`. */
static double last_place(clattn_dtype dtype, double magnitude)
{
    int digits = dtype == CLATTN_F64 ? 52 : dtype == CLATTN_F32 ? 23 : 10;
    int exponent = 0;
    if (magnitude == 0 || dtype == CLATTN_I64)
        return 0;
    frexp(magnitude, &exponent);
    return ldexp(1.0, exponent - 1 - digits);
}

/* The file was rounded to its type once: that is allowed on top of the verdict's bound. */
static void compare(comparison *c, const clattn_tensor *got, size_t first,
                    const clattn_tensor *want)
{
    double magnitude = 0;
    for (size_t i = 0; i < clattn_tensor_count(want); i++) {
        double a = clattn_element_load(got->dtype, got->host, first + i);
        double b = clattn_element_load(want->dtype, want->host, i);
        double error = a == b || (isnan(a) && isnan(b)) ? 0 : fabs(a - b);
        if (isnan(error))
            error = HUGE_VAL;
        if (error > c->error)
            c->error = error;
        if (isfinite(b) && fabs(b) > magnitude)
            magnitude = fabs(b);
    }
    c->bound += last_place(want->dtype, magnitude);
    c->ok = c->error <= c->bound;
}

static int check_expectation(comparison *c, const cli_expectation *e, cli_call *call,
                             const clattn_report *report)
{
    const clattn_tensor *got = cli_output_of(&call->args, e->output);
    const char *name = cli_output_name(e->output);
    const clattn_verdict *verdict = verdict_of(report, name);
    const bool keys = e->output == CLI_ARGMAX;
    uint32_t skip = e->index >= 0 ? 1 : 0;
    clattn_tensor want = {0};
    npy_array array = {0};
    char found[NPY_SHAPE_TEXT], expected[NPY_SHAPE_TEXT];
    size_t first = 0;
    int result = CLI_DONE;
    snprintf(c->name, sizeof c->name, e->index >= 0 ? "%s[%" PRId64 "]" : "%s", name, e->index);
    c->file = e->file;
    c->bound = verdict && !keys ? verdict->bound : 0; /* that of argmax is one of scores */
    if (skip && e->index >= got->shape[0]) {
        result = CLI_FAIL(CLI_BAD_INPUT, "--expect: %s: the leading axis has %" PRId64 " entries",
                          c->name, got->shape[0]);
        goto done;
    }
    CLI_TRY(cli_array_read(&array, "expect", e->file));
    CLI_TRY(
        cli_tensor_from_npy(&want, &array, keys ? CLI_INTEGERS : CLI_FLOATS, "expect", e->file));
    if (want.rank != got->rank - skip ||
        memcmp(want.shape, got->shape + skip, want.rank * sizeof want.shape[0]) != 0) {
        result = CLI_FAIL(CLI_BAD_INPUT, "--expect: %s: shape %s; expected %s, that of %s", e->file,
                          npy_shape_text(found, want.rank, want.shape),
                          npy_shape_text(expected, got->rank - skip, got->shape + skip), c->name);
        goto done;
    }
    if (skip)
        first = (size_t)e->index * clattn_tensor_count(&want);
    compare(c, got, first, &want);
done:
    npy_free(&array);
    free(want.host);
    return result;
}

static void print_json(cJSON *root, const clattn_report *report, const comparison *comparisons,
                       size_t count, int ok)
{
    cJSON_AddBoolToObject(root, "ok", ok);
    cJSON_AddNumberToObject(root, "rows", (double)report->rows);
    cJSON *outputs = cJSON_AddArrayToObject(root, "outputs");
    for (size_t i = 0; i < report->count; i++) {
        const clattn_verdict *v = &report->verdicts[i];
        cJSON *o = cJSON_CreateObject();
        cJSON_AddItemToArray(outputs, o);
        cJSON_AddStringToObject(o, "name", v->name);
        cli_json_number(o, "error", v->error);
        cli_json_number(o, "bound", v->bound);
        cJSON_AddNumberToObject(o, "worst", (double)v->worst);
        cJSON_AddNumberToObject(o, "checked", (double)v->checked);
        cJSON_AddNumberToObject(o, "left_out", (double)v->left_out);
        cJSON_AddBoolToObject(o, "ok", v->ok);
    }
    cJSON *expected = cJSON_AddArrayToObject(root, "expected");
    for (size_t i = 0; i < count; i++) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddItemToArray(expected, o);
        cJSON_AddStringToObject(o, "name", comparisons[i].name);
        cJSON_AddStringToObject(o, "file", comparisons[i].file);
        cli_json_number(o, "error", comparisons[i].error);
        cli_json_number(o, "bound", comparisons[i].bound);
        cJSON_AddBoolToObject(o, "ok", comparisons[i].ok);
    }
}

static void print_line(int width, const char *name, double error, double bound, int ok,
                       const char *against)
{
    printf("%-*s  %-10.3g  %-10.3g  %-7s  %s\n", width, name, error, bound, ok ? "ok" : "OUTSIDE",
           against);
}

/* Of the first column. */
static int widest(const clattn_report *report, const comparison *comparisons, size_t count)
{
    size_t width = 12;
    for (size_t i = 0; i < report->count + count; i++) {
        const char *name =
            i < report->count ? report->verdicts[i].name : comparisons[i - report->count].name;
        if (name && strlen(name) > width)
            width = strlen(name);
    }
    return (int)width;
}

static int print_report(const cli_execution *execution, const cli_options *options,
                        const clattn_report *report, const comparison *comparisons, int ok)
{
    if (options->json) {
        cJSON *root = cJSON_CreateObject();
        cli_json_summary(root, &execution->summary, &execution->call);
        print_json(root, report, comparisons, options->expectation_count, ok);
        cli_json_files(root, options, &execution->call);
        return cli_json_print(root);
    }
    cli_print_summary(&execution->summary, &execution->call);
    const int width = widest(report, comparisons, options->expectation_count);
    printf("rows      %zu checked\n\n", report->rows);
    printf("%-*s  %-10s  %-10s  %-7s  %s\n", width, "what", "error", "bound", "verdict", "against");
    for (size_t i = 0; i < report->count; i++) {
        const clattn_verdict *v = &report->verdicts[i];
        print_line(width, v->name, v->error, v->bound, v->ok, "the reference");
    }
    for (size_t i = 0; i < options->expectation_count; i++) {
        const comparison *c = &comparisons[i];
        print_line(width, c->name, c->error, c->bound, c->ok, c->file);
    }
    cli_print_files(options, &execution->call);
    return CLI_DONE;
}

int cli_verify(int argc, char **argv)
{
    cli_options options;
    cli_execution execution = {0};
    clattn_report report = {0};
    comparison comparisons[CLI_MAX_EXPECTATIONS] = {0};
    const char *outside = NULL;
    double error = 0, bound = 0;
    int result = CLI_DONE;
    CLI_TRY(cli_options_parse(&options, CLI_VERIFY, argc, argv));
    if (options.help) {
        cli_print_help(help);
        goto done;
    }
    CLI_TRY(cli_execute(&execution, &options, CLI_VERIFY));
    CLI_TRY(cli_check(
        clattn_verify(&report, &execution.call.desc, &execution.call.args, options.sample)));
    for (size_t i = 0; i < report.count; i++) {
        const clattn_verdict *v = &report.verdicts[i];
        if (!v->ok && !outside)
            outside = v->name, error = v->error, bound = v->bound;
    }
    for (size_t i = 0; i < options.expectation_count; i++) {
        comparison *c = &comparisons[i];
        CLI_TRY(check_expectation(c, &options.expectations[i], &execution.call, &report));
        if (!c->ok && !outside)
            outside = c->file, error = c->error, bound = c->bound;
    }
    CLI_TRY(cli_execution_write(&execution, &options));
    CLI_TRY(cli_files_commit(&execution.files));
    CLI_TRY(print_report(&execution, &options, &report, comparisons, report.ok && !outside));
    if (outside)
        result = CLI_FAIL(CLI_CHECK_FAILED, "verify: %s: error %.3g; expected at most %.3g",
                          outside, error, bound);
done:
    cli_execution_free(&execution);
    return result;
}
