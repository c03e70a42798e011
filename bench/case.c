/* case.c: makes problems. */
#include "case.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where 32 sequences of 16 to 512 begin, in no order; a few are long, as in most collections. */
#define RAGGED 32
static const int32_t ragged_starts[RAGGED + 1] = {
    0,    512,  528,  828,  873,  1001, 1078, 1488, 1521, 1741, 1837,
    1901, 2401, 2420, 2580, 2930, 2988, 3263, 3373, 3397, 3877, 4017,
    4100, 4490, 4530, 4735, 4806, 5136, 5153, 5598, 5778, 5830, 6080};

/* `count` sizes with commas behind all but the last; where they end, or NULL. */
static const char *parse_sizes(int *const sizes[], size_t count, const char *text)
{
    for (size_t i = 0; i < count; i++) {
        char *end = NULL;
        const long size = strtol(text, &end, 10);
        const bool last = i + 1 == count;
        if (end == text || size < 1 || size > 1 << 20 || (!last && *end != ','))
            return NULL;
        *sizes[i] = (int)size;
        text = last ? end : end + 1;
    }
    return text;
}

bool bench_case_parse(bench_case *c, const char *text)
{
    static const char ragged[] = "ragged,";
    int *const six[] = {&c->B, &c->H, &c->Hkv, &c->S, &c->T, &c->D};
    int *const four[] = {&c->B, &c->H, &c->S, &c->D}, *const of_ragged[] = {&c->H, &c->D};
    memset(c, 0, sizeof *c);
    const char *end = parse_sizes(six, 6, text);
    if (strncmp(text, ragged, sizeof ragged - 1) == 0) {
        end = parse_sizes(of_ragged, 2, text + sizeof ragged - 1);
        c->starts = ragged_starts;
        c->B = RAGGED, c->S = c->T = ragged_starts[RAGGED], c->Hkv = c->H;
    } else if (!end) {
        end = parse_sizes(four, 4, text);
        c->T = c->S, c->Hkv = c->H;
    }
    c->causal = end && strcmp(end, ",causal") == 0;
    return (c->causal || (end && *end == '\0')) && c->H % c->Hkv == 0;
}

static size_t elements(const bench_case *c, int heads, int rows)
{
    return (size_t)(c->starts ? 1 : c->B) * (size_t)heads * (size_t)rows * (size_t)c->D;
}

size_t bench_case_queries(const bench_case *c)
{
    return elements(c, c->H, c->S);
}

size_t bench_case_keys(const bench_case *c)
{
    return elements(c, c->Hkv, c->T);
}

/* Keys of sequence b; packed ones have as many queries. */
static int length_of(const bench_case *c, int b)
{
    return c->starts ? c->starts[b + 1] - c->starts[b] : c->T;
}

double bench_case_flops(const bench_case *c)
{
    double pairs = 0;
    for (int b = 0; b < c->B; b++)
        pairs += (double)(c->starts ? length_of(c, b) : c->S) * (double)length_of(c, b);
    return 4.0 * (double)c->H * (double)c->D * pairs;
}

float bench_next_number(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (float)((z ^ (z >> 31)) >> 40) * 0x1p-23f - 1.0f;
}

bool bench_case_save(bench_case *c)
{
    const size_t queries = bench_case_queries(c), keys = bench_case_keys(c);
    bool ok = true;
    (void)snprintf(c->file, sizeof c->file, "/tmp/clattn-bench-XXXXXX");
    const int descriptor = mkstemp(c->file);
    FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "wb");
    if (!file)
        return false;
    ok = fwrite(c->query, sizeof(float), queries, file) == queries &&
         fwrite(c->key, sizeof(float), keys, file) == keys &&
         fwrite(c->value, sizeof(float), keys, file) == keys;
    for (int b = 0; b < c->B; b++) {
        const int32_t length = length_of(c, b);
        ok = fwrite(&length, sizeof length, 1, file) == 1 && ok;
    }
    return fclose(file) == 0 && ok;
}

bool bench_case_make(bench_case *c)
{
    uint64_t state = 1;
    float **const tensors[] = {&c->query, &c->key, &c->value};
    for (size_t i = 0; i < 3; i++) {
        const size_t count = i == 0 ? bench_case_queries(c) : bench_case_keys(c);
        *tensors[i] = malloc(count * sizeof(float));
        if (!*tensors[i])
            return false;
        for (size_t n = 0; n < count; n++)
            (*tensors[i])[n] = bench_next_number(&state);
    }
    return true;
}

void bench_case_free(bench_case *c)
{
    free(c->query);
    free(c->key);
    free(c->value);
    if (c->file[0])
        (void)unlink(c->file);
    memset(c, 0, sizeof *c);
}
