/* cmd_plot.c: `clattn plot`: weights as a heat map, in a file or on the terminal. */
#include "args.h"
#include "commands.h"
#include "files.h"
#include "heatmap.h"
#include "labels.h"
#include "numbers.h"
#include "report.h"
#include "text.h"
#include "weights.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const char help[] =
    "usage: clattn plot --weights W.npy [--output P.png|P.svg] [options]\n"
    "\n"
    "Draws attention weights as labelled heat maps, of all heads or of one: a row per query, a "
    "column per key.\n"
    "Says on stderr when rows do not add up to 1, as those of softmax, sparsemax and entmax15 do.\n"
    "\n"
    "  All heads of the first sentence, with its words on both axes:\n"
    "    clattn plot --weights w.npy --query-labels words.txt --key-labels words.txt --output "
    "w.png\n"
    "  Head 1 of the sixth sentence, to scale in a document:\n"
    "    clattn plot --weights w.npy --batch 5 --head 1 --query-labels words.txt --key-labels "
    "words.txt --output w.svg\n"
    "  A look at it in the terminal:\n"
    "    clattn plot --weights w.npy --head 1\n"
    "\n"
    "  --weights W            (B,Hq,S,T), (B,S,T) or (S,T), in FILE.npy or FILE.safetensors:NAME\n"
    "  --output P             .png or .svg; default -, text on stdout as wide as the terminal\n"
    "  --batch I              which entry of the batch; default 0\n"
    "  --head I               which head; default all, beside each other on one scale\n"
    "  --query-labels FILE    one label per line, or a line of words for each entry of the batch; "
    "where run's\n"
    "                         --weights-rows chose rows, labels of those alone\n"
    "  --key-labels FILE      likewise; rows and columns beyond the labels are padding and left "
    "out\n"
    "  --json                 the report on a picture as JSON on stdout\n";

typedef struct plot_options {
    const char *weights, *query_labels, *key_labels;
    const char *output;  /* NULL: text on stdout */
    int64_t batch, head; /* -1: all heads */
    int json, help;
} plot_options;

/* What is drawn: rows and columns are those of the weights that have labels. */
typedef struct plot {
    cli_weights weights;
    size_t rows, columns;
    cli_labels row_labels, column_labels;
    cli_sums sums;
} plot;

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
        o->output = strcmp(value, "-") == 0 ? NULL : value;
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
    *o = (plot_options){.head = -1};
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
    else if (o->json && !o->output)
        result = CLI_FAIL(CLI_BAD_INPUT,
                          "--json: given with a drawing on stdout; expected --output FILE.png or "
                          "FILE.svg beside it");
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
    return CLI_FAIL(CLI_BAD_INPUT,
                    "--output: %s; expected a name that ends in .png or .svg, or - for text", path);
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

static int load(plot *p, const plot_options *o)
{
    int result = CLI_DONE;
    CLI_TRY(cli_weights_read(&p->weights, o->weights, o->batch, o->head));
    CLI_TRY(load_labels(&p->row_labels, &p->rows, p->weights.queries, "query-labels",
                        o->query_labels, o->batch));
    CLI_TRY(load_labels(&p->column_labels, &p->columns, p->weights.keys, "key-labels",
                        o->key_labels, o->batch));
    p->sums = cli_weights_sum(&p->weights, p->rows);
done:
    return result;
}

static int print_report(const plot *p, const plot_options *o)
{
    if (!o->json) {
        printf("%s: %zu rows, %zu columns", o->output, p->rows, p->columns);
        if (p->weights.heads > 1)
            printf(", %zu heads", p->weights.heads);
        putchar('\n');
        return CLI_DONE;
    }
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "output", o->output);
    cJSON_AddNumberToObject(root, "rows", (double)p->rows);
    cJSON_AddNumberToObject(root, "columns", (double)p->columns);
    cJSON_AddNumberToObject(root, "batch", (double)o->batch);
    cJSON_AddNumberToObject(root, "head", (double)p->weights.first);
    cJSON_AddNumberToObject(root, "heads", (double)p->weights.heads);
    cJSON_AddNumberToObject(root, "rows_not_one", (double)p->sums.odd);
    return cli_json_print(root);
}

/* Weights of other normalizers are drawn as well as any, but should be known for what they are. */
static void note_sums(const cli_sums *sums)
{
    char words[160];
    if (sums->odd == 0)
        return;
    snprintf(words, sizeof words,
             "%zu of %zu rows do not add up to 1 (farthest: row %zu of head %zu, %.4g); with "
             "normalizer none or sigmoid they need not",
             sums->odd, sums->rows, sums->worst_row, sums->worst_head, sums->worst);
    cli_note(words);
}

/* Columns of the terminal, else what COLUMNS says, else 80. */
static size_t text_width(void)
{
    struct winsize size;
    const char *variable = getenv("COLUMNS");
    int64_t columns = 0;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    if (variable && cli_parse_integer(&columns, "columns", variable, 1, 10000) == CLI_DONE)
        return (size_t)columns;
    return 80;
}

/* A terminal that says it knows all colours, of a user who has not said that none are wanted. */
static int has_colours(void)
{
    const char *known = getenv("COLORTERM"), *unwanted = getenv("NO_COLOR");
    return isatty(STDOUT_FILENO) && known &&
           (strcmp(known, "truecolor") == 0 || strcmp(known, "24bit") == 0) &&
           !(unwanted && unwanted[0]);
}

static int draw_file(const cli_heatmap *map, const char *path, cli_picture_type type)
{
    cli_picture drawn = {0};
    cli_files files = {0};
    int result = CLI_DONE;
    CLI_TRY(cli_heatmap_draw(&drawn, map, type));
    CLI_TRY(cli_files_write(&files, "output", path, NULL, 0, drawn.bytes, drawn.size));
    CLI_TRY(cli_files_commit(&files));
done:
    cli_files_discard(&files);
    free(drawn.bytes);
    return result;
}

int cli_plot(int argc, char **argv)
{
    plot_options o;
    plot p = {0};
    cli_picture_type type = CLI_PNG;
    char title[96];
    int result = CLI_DONE;
    CLI_TRY(parse(&o, argc, argv));
    if (o.help) {
        fputs(help, stdout);
        goto done;
    }
    if (o.output)
        CLI_TRY(picture_type(&type, o.output));
    const cli_name inputs[] = {
        {"weights", o.weights}, {"query-labels", o.query_labels}, {"key-labels", o.key_labels}};
    const cli_name output = {"output", o.output};
    CLI_TRY(cli_files_check(inputs, sizeof inputs / sizeof inputs[0], &output, 1));
    CLI_TRY(load(&p, &o));
    if (p.weights.heads > 1)
        snprintf(title, sizeof title, "Attention weights, batch %" PRId64 ", %zu heads", o.batch,
                 p.weights.heads);
    else
        snprintf(title, sizeof title, "Attention weights, batch %" PRId64 ", head %zu", o.batch,
                 p.weights.first);
    const cli_heatmap map = {.values = p.weights.values,
                             .matrices = p.weights.heads,
                             .matrix_stride = p.weights.queries * p.weights.keys,
                             .rows = p.rows,
                             .columns = p.columns,
                             .stride = p.weights.keys,
                             .row_labels = p.row_labels.words,
                             .column_labels = p.column_labels.words,
                             .title = title,
                             .subtitle = "A row is a query, a column is a key."};
    if (o.output) {
        CLI_TRY(draw_file(&map, o.output, type));
        CLI_TRY(print_report(&p, &o));
    } else {
        cli_heatmap_print(stdout, &map, text_width(), has_colours());
    }
    if (fflush(stdout) == 0) /* a failure is one line alone */
        note_sums(&p.sums);
done:
    cli_labels_free(&p.row_labels);
    cli_labels_free(&p.column_labels);
    cli_weights_free(&p.weights);
    return result;
}
