#include "vectors.h"

#include "backward_call.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void give_up(const char *what, const char *about)
{
    fprintf(stderr, "vectors: %s: %s\n", what, about);
    exit(1);
}

static FILE *open_file(void)
{
    char path[4096];
    const char *folder = getenv("CLATTN_TEST_DATA");
    FILE *file;
    if (!folder)
        give_up("CLATTN_TEST_DATA", "not set, expected the path of tests/data");
    (void)snprintf(path, sizeof path, "%s/vectors.txt", folder);
    file = fopen(path, "r");
    if (!file)
        give_up(path, "cannot be opened");
    return file;
}

/* The place of `word` among the names of an enum. */
static int choose(const char *word, const char *const *names)
{
    for (int i = 0; names[i]; i++)
        if (strcmp(word, names[i]) == 0)
            return i;
    give_up("unknown word", word);
    return -1;
}

/* True when `field` is one of the sizes of a description, which is then set. */
static bool set_size(clattn_attention_desc *desc, const char *field, const char *value)
{
    const struct {
        const char *name;
        size_t *size;
    } sizes[] = {{"Hq", &desc->query_heads}, {"Hkv", &desc->kv_heads},  {"D", &desc->head_size},
                 {"Dk", &desc->key_size},    {"Dv", &desc->value_size}, {"A", &desc->hidden_size}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (strcmp(field, sizes[i].name) == 0) {
            *sizes[i].size = strtoull(value, NULL, 10);
            return true;
        }
    return false;
}

static void set_field(clattn_attention_desc *desc, const char *field, const char *value,
                      const char *second)
{
    static const char *const scores[] = {
        "scaled-dot",         "dot",      "given",  "general", "additive", "location",
        "location-sensitive", "coverage", "cosine", "rbf",     NULL};
    static const char *const normalizers[] = {"softmax",   "none",     "sigmoid",
                                              "sparsemax", "entmax15", NULL};
    static const char *const alignments[] = {"top-left", "bottom-right", NULL};
    static const char *const layouts[] = {"bhsd", "bshd", NULL};
    static const char *const stages[] = {"raw", "capped", "modified", NULL};
    static const char *const fields[] = {"score",   "normalizer", "alignment", "layout", "stage",
                                         "softcap", "scale",      "causal",    "window", NULL};
    if (set_size(desc, field, value))
        return;
    switch (choose(field, fields)) {
    case 0:
        desc->score = (clattn_score)choose(value, scores);
        break;
    case 1:
        desc->normalizer = (clattn_normalizer)choose(value, normalizers);
        break;
    case 2:
        desc->alignment = (clattn_alignment)choose(value, alignments);
        break;
    case 3:
        desc->layout = (clattn_layout)choose(value, layouts);
        break;
    case 4:
        desc->scores_stage = (clattn_scores_stage)choose(value, stages);
        break;
    case 5:
        desc->softcap = strtod(value, NULL);
        break;
    case 6:
        desc->scale = strtod(value, NULL), desc->flags |= CLATTN_SCALE;
        break;
    case 7:
        desc->flags |= CLATTN_CAUSAL;
        break;
    default:
        desc->window_left = strtoll(value, NULL, 10);
        desc->window_right = strtoll(second, NULL, 10);
        desc->flags |= CLATTN_WINDOW;
    }
}

/* `header` is "NAME DTYPE DIM..."; the elements follow in `file`. */
static void read_tensor(vector *to, const char *header, FILE *file)
{
    vector_tensor *tensor = &to->tensors[to->tensor_count++];
    char dtype[8], word[64];
    int used = 0;
    if (to->tensor_count > sizeof to->tensors / sizeof *to->tensors)
        give_up(to->name, "too many tensors");
    if (sscanf(header, "%31s %7s%n", tensor->name, dtype, &used) != 2)
        give_up(to->name, header);
    tensor->dtype = strcmp(dtype, "bool") == 0  ? CLATTN_BOOL
                    : strcmp(dtype, "int") == 0 ? CLATTN_I32
                                                : CLATTN_F64;
    tensor->count = 1;
    for (char *at = (char *)header + used, *end; tensor->rank < CLATTN_MAX_RANK; at = end) {
        const long long length = strtoll(at, &end, 10);
        if (end == at)
            break;
        tensor->shape[tensor->rank++] = length;
        tensor->count *= (size_t)length;
    }
    tensor->values = calloc(tensor->count + 1, sizeof *tensor->values);
    if (!tensor->values)
        give_up(to->name, "no memory");
    for (size_t i = 0; i < tensor->count; i++) {
        char *end;
        if (fscanf(file, "%63s", word) != 1)
            give_up(to->name, "ends inside a tensor");
        tensor->values[i] = strtod(word, &end);
        if (*end)
            give_up(to->name, word);
    }
}

void vectors_read(vectors *out)
{
    FILE *file = open_file();
    char line[256], word[32], value[32], second[32];
    size_t room = 0;
    *out = (vectors){0};
    while (fgets(line, sizeof line, file)) {
        vector *last = out->count ? &out->list[out->count - 1] : NULL;
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "vector ", 7) == 0) {
            if (out->count == room) {
                room = room ? 2 * room : 64;
                out->list = realloc(out->list, room * sizeof *out->list);
                if (!out->list)
                    give_up(line, "no memory");
            }
            out->list[out->count] = (vector){.desc.struct_size = sizeof(clattn_attention_desc)};
            (void)snprintf(out->list[out->count++].name, sizeof last->name, "%.127s", line + 7);
        } else if (last && strncmp(line, "tensor ", 7) == 0) {
            read_tensor(last, line + 7, file);
        } else if (last && sscanf(line, "set %31s %31s %31s", word, value, second) >= 1) {
            set_field(&last->desc, word, value, second);
        } else if (*line && strcmp(line, "end") != 0) {
            give_up("unknown line", line);
        }
    }
    (void)fclose(file);
    if (!out->count)
        give_up("vectors.txt", "holds no vector");
}

void vectors_free(vectors *all)
{
    for (size_t v = 0; v < all->count; v++)
        for (size_t t = 0; t < all->list[v].tensor_count; t++)
            free(all->list[v].tensors[t].values);
    free(all->list);
    *all = (vectors){0};
}

const vector_tensor *vector_find(const vector *from, const char *name)
{
    for (size_t t = 0; t < from->tensor_count; t++)
        if (strcmp(from->tensors[t].name, name) == 0)
            return &from->tensors[t];
    return NULL;
}

static void fill(const clattn_tensor *to, const vector_tensor *from)
{
    for (size_t i = 0; i < from->count; i++)
        host_tensor_set(to, i, from->values[i]);
}

void vector_make_call(host_call *out, const vector *from, clattn_dtype dtype)
{
    *out = (host_call){.desc = from->desc, .args.struct_size = sizeof out->args};
    clattn_attention_args *args = &out->args;
    clattn_score_params *params = &args->params;
    const struct {
        const char *name;
        clattn_tensor *to;
        uint32_t flag;
        bool output;
    } all[] = {{"query", &args->query, 0, false},
               {"key", &args->key, 0, false},
               {"value", &args->value, 0, false},
               {"given_scores", &args->given_scores, 0, false},
               {"mask", &args->mask, CLATTN_MASK, false},
               {"bias", &args->bias, CLATTN_BIAS, false},
               {"kv_lengths", &args->kv_lengths, CLATTN_KV_LENGTHS, false},
               {"alibi_slopes", &args->alibi_slopes, CLATTN_ALIBI, false},
               {"sinks", &args->sinks, CLATTN_SINKS, false},
               {"cu_seqlens_q", &args->cu_seqlens_q, CLATTN_PACKED, false},
               {"cu_seqlens_k", &args->cu_seqlens_k, CLATTN_PACKED, false},
               {"params.weight", &params->weight, 0, false},
               {"params.w_query", &params->w_query, 0, false},
               {"params.w_key", &params->w_key, 0, false},
               {"params.v", &params->v, 0, false},
               {"params.bias", &params->bias, 0, false},
               {"params.g", &params->g, 0, false},
               {"params.conv", &params->conv, 0, false},
               {"params.w_location", &params->w_location, 0, false},
               {"params.w_coverage", &params->w_coverage, 0, false},
               {"params.beta", &params->beta, 0, false},
               {"params.gamma", &params->gamma, 0, false},
               {"params.previous_weights", &params->previous_weights, 0, false},
               {"params.cumulative_weights", &params->cumulative_weights, 0, false},
               {"params.coverage", &params->coverage, 0, false},
               {"output", &args->output, CLATTN_OUTPUT, true},
               {"weights", &args->weights, CLATTN_WEIGHTS, true},
               {"scores", &args->scores, CLATTN_SCORES, true},
               {"lse", &args->lse, CLATTN_LSE, true},
               {"column_sums", &args->column_sums, CLATTN_COLUMN_SUMS, true},
               {"argmax", &args->argmax, CLATTN_ARGMAX, true},
               {"entropy", &args->entropy, CLATTN_ENTROPY, true}};
    out->desc.dtype = dtype;
    for (size_t a = 0; a < sizeof all / sizeof *all; a++) {
        const vector_tensor *tensor = vector_find(from, all[a].name);
        if (!tensor)
            continue;
        clattn_dtype stored = tensor->dtype == CLATTN_F64 ? dtype : tensor->dtype;
        if (all[a].to == &args->lse || all[a].to == &args->column_sums ||
            all[a].to == &args->entropy)
            stored = dtype == CLATTN_F64 ? CLATTN_F64 : CLATTN_F32;
        *all[a].to = host_call_tensor(out, stored, tensor->rank, tensor->shape, STRIDES_DENSE);
        *(all[a].output ? &out->desc.outputs : &out->desc.flags) |= all[a].flag;
        if (!all[a].output)
            fill(all[a].to, tensor);
    }
}

bool vector_has_gradients(const vector *from)
{
    return vector_find(from, "grad.value") != NULL;
}

void vector_make_backward(host_call *out, const vector *from, clattn_dtype dtype)
{
    clattn_attention_args *args = &out->args;
    const struct {
        const vector_tensor *gradient;
        const clattn_tensor *to;
        uint32_t output;
    } incoming[] = {
        {vector_find(from, "grad.output"), &args->grad.output, CLATTN_OUTPUT},
        {vector_find(from, "grad.weights"), &args->grad.weights, CLATTN_WEIGHTS},
        {vector_find(from, "grad.lse"), &args->grad.lse, CLATTN_LSE},
    };
    const size_t count = sizeof incoming / sizeof *incoming;
    uint32_t outputs = 0;
    vector_make_call(out, from, dtype);
    fill(&args->output, vector_find(from, "output"));
    fill(&args->lse, vector_find(from, "lse"));
    for (size_t n = 0; n < count; n++)
        outputs |= incoming[n].gradient ? incoming[n].output : 0;
    backward_call_turn(out, outputs, STRIDES_DENSE);
    for (size_t n = 0; n < count; n++)
        if (incoming[n].gradient)
            fill(incoming[n].to, incoming[n].gradient);
}

int vectors_run(const vector_group *groups, size_t count)
{
    vectors all;
    int failures = 0;
    vectors_read(&all);
    for (size_t g = 0; g < count; g++) {
        named_tests tests = {0};
        for (size_t v = 0; v < all.count; v++)
            if (!groups[g].backward || vector_has_gradients(&all.list[v]))
                named_tests_add(&tests, all.list[v].name, groups[g].test, &all.list[v]);
        failures += named_tests_run(&tests, groups[g].name, NULL, NULL);
    }
    vectors_free(&all);
    return failures;
}
