/* cmd_plot.c: `clattn plot`: one head's weights as a heat map. */
#include "args.h"
#include "arrays.h"
#include "commands.h"
#include "convert.h"
#include "files.h"
#include "heatmap.h"
#include "labels.h"
#include "numbers.h"
#include "report.h"
#include "text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: clattn plot --weights W.npy --output P.png|P.svg [options]\n"
    "\n"
    "Draws the attention weights of one head as a labelled heat map: a row per query, a column per "
    "key.\n"
    "\n"
    "  Head 1 of the first sentence, with its words on both axes:\n"
    "    clattn plot --weights w.npy --head 1 --query-labels words.txt --key-labels words.txt "
    "--output w.png\n"
    "  The same of the sixth sentence, to scale in a document:\n"
    "    clattn plot --weights w.npy --batch 5 --head 1 --query-labels words.txt --key-labels "
    "words.txt --output w.svg\n"
    "\n"
    "  --weights W            (B,Hq,S,T), (B,S,T) or (S,T), in FILE.npy or FILE.safetensors:NAME\n"
    "  --output P             .png or .svg\n"
    "  --batch I, --head I    which matrix; default 0\n"
    "  --query-labels FILE    one label per line, or a line of words for each entry of the batch\n"
    "  --key-labels FILE      likewise; rows and columns beyond the labels are padding and left "
    "out\n"
    "  --json                 the report as JSON on stdout\n";

typedef struct plot_options {
    const char *weights, *output, *query_labels, *key_labels;
    int64_t batch, head;
    int json, help;
} plot_options;

/* Sums are of values rounded to as few as 8 bits. */
#define SUM_TOLERANCE 0.01

/* What is drawn: rows and columns after cropping, and what its rows sum to. */
typedef struct picture {
    double *values; /* of the chosen matrix, S rows of T */
    size_t queries, keys, rows, columns;
    size_t odd_rows, worst_row; /* rows that do not sum to 1, the one farthest from it */
    double worst_sum;
} picture;

enum { WEIGHTS, OUTPUT, BATCH, HEAD, QUERY_LABELS, KEY_LABELS, JSON, HELP, OPTIONS };

static const cli_option table[OPTIONS] = {
    [WEIGHTS] = {"weights", CLI_TAKES_ONE},
    [OUTPUT] = {"output", CLI_TAKES_ONE},
    [BATCH] = {"batch", CLI_TAKES_ONE},
    [HEAD] = {"head", CLI_TAKES_ONE},
    [QUERY_LABELS] = {"query-labels", CLI_TAKES_ONE},
    [KEY_LABELS] = {"key-labels", CLI_TAKES_ONE},
    [JSON] = {"json", CLI_TAKES_NOTHING},
    [HELP] = {"help", CLI_TAKES_NOTHING},
};

static int apply(plot_options *o, size_t option, const char *value)
{
    switch (option) {
    case WEIGHTS:
        o->weights = value;
        break;
    case OUTPUT:
        o->output = value;
        break;
    case BATCH:
        return cli_parse_integer(&o->batch, "batch", value, 0, INT64_MAX);
    case HEAD:
        return cli_parse_integer(&o->head, "head", value, 0, INT64_MAX);
    case QUERY_LABELS:
        o->query_labels = value;
        break;
    case KEY_LABELS:
        o->key_labels = value;
        break;
    case JSON:
        o->json = 1;
        break;
    default:
        o->help = 1;
    }
    return CLI_DONE;
}

static int parse(plot_options *o, int argc, char **argv)
{
    cli_args args = cli_args_of(argc, argv, table, OPTIONS);
    size_t option = 0;
    int result = CLI_DONE;
    memset(o, 0, sizeof *o);
    while (option != OPTIONS) {
        const char *value = NULL;
        CLI_TRY(cli_args_next(&args, &option, &value));
        if (option != OPTIONS)
            CLI_TRY(apply(o, option, value));
    }
    if (o->help)
        goto done;
    if (!o->weights)
        result = CLI_FAIL(CLI_BAD_INPUT, "--weights: missing; expected a file");
    else if (!o->output)
        result =
            CLI_FAIL(CLI_BAD_INPUT, "--output: missing; expected a file that ends in .png or .svg");
done:
    return result;
}

static int picture_type(cli_picture_type *type, const char *path)
{
    size_t length = strlen(path);
    const char *end = length >= 4 ? path + length - 4 : path;
    *type = strcmp(end, ".svg") == 0 ? CLI_SVG : CLI_PNG;
    if (*type == CLI_SVG || strcmp(end, ".png") == 0)
        return CLI_DONE;
    return CLI_FAIL(CLI_BAD_INPUT, "--output: %s; expected a name that ends in .png or .svg", path);
}

static int check_index(const char *option, int64_t index, int64_t count, const char *path)
{
    if (index < count)
        return CLI_DONE;
    return CLI_FAIL(CLI_BAD_INPUT, "--%s: %" PRId64 "; %s has %" PRId64 ", counted from 0", option,
                    index, path, count);
}

/* Takes the matrix of --batch and --head out of the file. */
static int load_matrix(picture *p, const plot_options *o)
{
    npy_array array = {0};
    clattn_tensor t = {0};
    char shape[NPY_SHAPE_TEXT];
    int result = CLI_DONE;
    CLI_TRY(cli_array_read(&array, "weights", o->weights));
    CLI_TRY(cli_tensor_from_npy(&t, &array, CLI_FLOATS, "weights", o->weights));
    npy_shape_text(shape, t.rank, t.shape);
    if (t.rank < 2 || t.shape[t.rank - 1] == 0 || t.shape[t.rank - 2] == 0) {
        result = CLI_FAIL(
            CLI_BAD_INPUT,
            "--weights: %s: shape %s; expected (B,Hq,S,T), (B,S,T) or (S,T), S and T above 0",
            o->weights, shape);
        goto done;
    }
    int64_t heads = t.rank == 4 ? t.shape[1] : 1;
    CLI_TRY(check_index("batch", o->batch, t.rank > 2 ? t.shape[0] : 1, o->weights));
    CLI_TRY(check_index("head", o->head, heads, o->weights));
    p->queries = (size_t)t.shape[t.rank - 2];
    p->keys = (size_t)t.shape[t.rank - 1];
    p->values = calloc(p->queries, p->keys * sizeof *p->values);
    if (!p->values) {
        result = CLI_FAIL(CLI_SYSTEM, "--weights: no memory for a matrix of %zu by %zu", p->queries,
                          p->keys);
        goto done;
    }
    size_t first = (size_t)(o->batch * heads + o->head) * p->queries * p->keys;
    for (size_t i = 0; i < p->queries * p->keys; i++)
        p->values[i] = clattn_element_load(t.dtype, t.host, first + i);
done:
    npy_free(&array);
    free(t.host);
    return result;
}

/* Labels of one axis; fewer than the axis is long crop it. */
static int load_labels(cli_labels *labels, size_t *shown, size_t length, const char *argument,
                       const char *path, int64_t batch)
{
    *shown = length;
    if (!path)
        return CLI_DONE;
    int result = cli_labels_read(labels, argument, path, (size_t)batch);
    if (result)
        return result;
    if (labels->count > length)
        return CLI_FAIL(CLI_BAD_INPUT, "--%s: %s: %zu labels; expected at most %zu", argument, path,
                        labels->count, length);
    *shown = labels->count;
    return CLI_DONE;
}

static void sum_rows(picture *p)
{
    for (size_t i = 0; i < p->rows; i++) {
        double sum = 0;
        for (size_t j = 0; j < p->keys; j++)
            sum += p->values[i * p->keys + j];
        if (fabs(sum - 1) <= SUM_TOLERANCE)
            continue;
        if (p->odd_rows++ == 0 || !(fabs(sum - 1) <= fabs(p->worst_sum - 1))) {
            p->worst_row = i;
            p->worst_sum = sum;
        }
    }
}

static int print_report(const picture *p, const plot_options *o)
{
    if (o->json) {
        cJSON *root = cJSON_CreateObject();
        cJSON_AddStringToObject(root, "output", o->output);
        cJSON_AddNumberToObject(root, "rows", (double)p->rows);
        cJSON_AddNumberToObject(root, "columns", (double)p->columns);
        cJSON_AddNumberToObject(root, "batch", (double)o->batch);
        cJSON_AddNumberToObject(root, "head", (double)o->head);
        cJSON_AddNumberToObject(root, "rows_not_one", (double)p->odd_rows);
        return cli_json_print(root);
    }
    printf("%s: %zu rows, %zu columns\n", o->output, p->rows, p->columns);
    if (p->odd_rows)
        printf("%zu of %zu rows do not sum to 1 (row %zu: %.3g)\n", p->odd_rows, p->rows,
               p->worst_row, p->worst_sum);
    return CLI_DONE;
}

int cli_plot(int argc, char **argv)
{
    plot_options o;
    picture p = {0};
    cli_picture_type type = CLI_PNG;
    cli_labels row_labels = {0}, column_labels = {0};
    cli_picture drawn = {0};
    cli_files files = {0};
    char title[96];
    int result = CLI_DONE;
    CLI_TRY(parse(&o, argc, argv));
    if (o.help) {
        fputs(help, stdout);
        goto done;
    }
    CLI_TRY(picture_type(&type, o.output));
    const cli_name inputs[] = {
        {"weights", o.weights}, {"query-labels", o.query_labels}, {"key-labels", o.key_labels}};
    const cli_name output = {"output", o.output};
    CLI_TRY(cli_files_check(inputs, sizeof inputs / sizeof inputs[0], &output, 1));
    CLI_TRY(load_matrix(&p, &o));
    CLI_TRY(load_labels(&row_labels, &p.rows, p.queries, "query-labels", o.query_labels, o.batch));
    CLI_TRY(load_labels(&column_labels, &p.columns, p.keys, "key-labels", o.key_labels, o.batch));
    sum_rows(&p);
    snprintf(title, sizeof title, "Attention weights, batch %" PRId64 ", head %" PRId64, o.batch,
             o.head);
    const cli_heatmap map = {.values = p.values,
                             .rows = p.rows,
                             .columns = p.columns,
                             .stride = p.keys,
                             .row_labels = row_labels.words,
                             .column_labels = column_labels.words,
                             .title = title,
                             .subtitle = "A row is a query, a column is a key."};
    CLI_TRY(cli_heatmap_draw(&drawn, &map, type));
    CLI_TRY(cli_files_write(&files, "output", o.output, NULL, 0, drawn.bytes, drawn.size));
    CLI_TRY(cli_files_commit(&files));
    CLI_TRY(print_report(&p, &o));
done:
    cli_files_discard(&files);
    cli_labels_free(&row_labels);
    cli_labels_free(&column_labels);
    free(drawn.bytes);
    free(p.values);
    return result;
}
