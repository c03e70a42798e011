/* report.c: the parts of reports that several commands share. */
#include "report.h"

#include "convert.h"
#include "npy.h"
#include "text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

void cli_json_number(cJSON *object, const char *name, double value)
{
    if (isfinite(value))
        cJSON_AddNumberToObject(object, name, value);
    else
        cJSON_AddStringToObject(object, name, isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
}

void cli_json_lines(cJSON *object, const char *name, const char *text)
{
    cJSON *list = cJSON_AddArrayToObject(object, name);
    while (*text) {
        char line[1024];
        size_t length = strcspn(text, "\n");
        snprintf(line, sizeof line, "%.*s", (int)(length < sizeof line ? length : sizeof line - 1),
                 text);
        cJSON_AddItemToArray(list, cJSON_CreateString(line));
        text += length + (text[length] == '\n');
    }
}

void cli_json_shape(cJSON *object, const cli_call *call)
{
    const int packed = cli_call_is_packed(call);
    const char *const names[7] = {
        "B", "Hq", "Hkv", packed ? "total_q" : "S", packed ? "total_k" : "T", "D", "Dv"};
    cJSON *shape = cJSON_AddObjectToObject(object, "shape");
    int64_t sizes[7];
    cli_call_sizes(call, sizes);
    for (int i = 0; i < 7; i++)
        cJSON_AddNumberToObject(shape, names[i], (double)sizes[i]);
    if (call->desc.key_size)
        cJSON_AddNumberToObject(shape, "Dk", (double)call->desc.key_size);
    if (call->desc.hidden_size)
        cJSON_AddNumberToObject(shape, "A", (double)call->desc.hidden_size);
    cJSON_AddStringToObject(object, "score", cli_score_name(call->desc.score));
    cli_json_number(object, "dropout", call->desc.dropout);
    const bool backward = call->desc.direction == CLATTN_BACKWARD;
    cJSON_AddStringToObject(object, "direction", backward ? "backward" : "forward");
    if (backward)
        cJSON_AddBoolToObject(object, "random_gradient", call->has_random_gradient);
}

int cli_json_print(cJSON *root)
{
    char *text = root ? cJSON_Print(root) : NULL;
    cJSON_Delete(root);
    if (!text)
        return CLI_FAIL(CLI_SYSTEM, "no memory for the report");
    puts(text);
    cJSON_free(text);
    return CLI_DONE;
}

const char *cli_seconds_text(char text[CLI_SECONDS_TEXT], double seconds)
{
    double scale = seconds < 1e-3 ? 1e6 : seconds < 1 ? 1e3 : 1;
    const char *unit = seconds < 1e-3 ? "us" : seconds < 1 ? "ms" : "s";
    snprintf(text, CLI_SECONDS_TEXT, "%.3g %s", seconds * scale, unit);
    return text;
}

void cli_json_summary(cJSON *object, const cli_summary *summary, const cli_call *call)
{
    cJSON_AddStringToObject(object, "device", summary->device->name);
    cJSON_AddStringToObject(object, "kind", clattn_device_kind_name(summary->device->kind));
    cJSON_AddStringToObject(object, "variant", summary->variant);
    cJSON_AddStringToObject(object, "dtype", clattn_dtype_name(call->desc.dtype));
    cli_json_shape(object, call);
    cli_json_number(object, "seconds", summary->seconds);
    cli_json_number(object, "build_seconds", summary->build_seconds);
    cli_json_number(object, "transfer_seconds", summary->transfer_seconds);
    cli_json_number(object, "gflops", summary->gflops);
    if (summary->warning)
        cJSON_AddStringToObject(object, "warning", summary->warning);
    if (summary->explain)
        cli_json_lines(object, "explain", summary->explain);
}

void cli_print_problem(const cli_call *call)
{
    const int packed = cli_call_is_packed(call);
    int64_t n[7];
    cli_call_sizes(call, n);
    printf("problem   B %" PRId64 ", Hq %" PRId64 ", Hkv %" PRId64 ", %s %" PRId64 ", %s %" PRId64
           ", D %" PRId64 ", Dv %" PRId64 ", %s",
           n[0], n[1], n[2], packed ? "total_q" : "S", n[3], packed ? "total_k" : "T", n[4], n[5],
           n[6], clattn_dtype_name(call->desc.dtype));
    if (call->desc.score != CLATTN_SCORE_SCALED_DOT)
        printf(", score %s", cli_score_name(call->desc.score));
    if (call->desc.key_size)
        printf(", Dk %zu", call->desc.key_size);
    if (call->desc.hidden_size)
        printf(", A %zu", call->desc.hidden_size);
    if (call->desc.dropout > 0)
        printf(", dropout %g", call->desc.dropout);
    if (call->desc.direction == CLATTN_BACKWARD)
        printf(", backward%s", call->has_random_gradient ? " of a random gradient" : "");
}

void cli_print_summary(const cli_summary *summary, const cli_call *call)
{
    char run[CLI_SECONDS_TEXT], build[CLI_SECONDS_TEXT], transfer[CLI_SECONDS_TEXT];
    printf("device    %s (%s)\n", summary->device->name,
           clattn_device_kind_name(summary->device->kind));
    printf("variant   %s\n", summary->variant);
    cli_print_problem(call);
    putchar('\n');
    printf("time      %s (build %s, transfer %s)\n", cli_seconds_text(run, summary->seconds),
           cli_seconds_text(build, summary->build_seconds),
           cli_seconds_text(transfer, summary->transfer_seconds));
    printf("speed     %.3g GFLOP/s\n", summary->gflops);
    for (const char *line = summary->explain; line && *line;) {
        size_t length = strcspn(line, "\n");
        printf("%-9s %.*s\n", line == summary->explain ? "variants" : "", (int)length, line);
        line += length + (line[length] == '\n');
    }
}

/* A bf16 output is written as float32. */
static const char *file_type(const clattn_tensor *tensor)
{
    size_t size = clattn_dtype_size(tensor->dtype);
    return npy_type_name(cli_npy_kind(tensor->dtype), tensor->dtype == CLATTN_BF16 ? 4 : size);
}

void cli_json_files(cJSON *object, const cli_options *options, const cli_call *call)
{
    clattn_attention_args args = call->args;
    cJSON *list = cJSON_AddArrayToObject(object, "files");
    for (int i = 0; i < CLI_OUTPUTS; i++) {
        enum cli_output output = (enum cli_output)i;
        const clattn_tensor *t = cli_output_of(&args, output);
        if (!options->outputs[i])
            continue;
        cJSON *file = cJSON_CreateObject();
        cJSON_AddItemToArray(list, file);
        cJSON_AddStringToObject(file, "name", cli_output_name(output));
        cJSON_AddStringToObject(file, "file", options->outputs[i]);
        cJSON_AddStringToObject(file, "dtype", file_type(t));
        cJSON *shape = cJSON_AddArrayToObject(file, "shape");
        for (uint32_t axis = 0; axis < t->rank; axis++)
            cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)t->shape[axis]));
    }
}

void cli_print_files(const cli_options *options, const cli_call *call)
{
    clattn_attention_args args = call->args;
    for (int i = 0; i < CLI_OUTPUTS; i++) {
        enum cli_output output = (enum cli_output)i;
        const clattn_tensor *t = cli_output_of(&args, output);
        char shape[NPY_SHAPE_TEXT];
        if (!options->outputs[i])
            continue;
        printf("%-9s %s %s %s\n", cli_output_name(output), options->outputs[i],
               npy_shape_text(shape, t->rank, t->shape), file_type(t));
    }
}
