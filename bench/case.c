/* case.c: makes problems. */
#include "case.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool bench_case_parse(bench_case *c, const char *text)
{
    int *const sizes[] = {&c->B, &c->H, &c->S, &c->D};
    memset(c, 0, sizeof *c);
    for (size_t i = 0; i < 4; i++) {
        char *end = NULL;
        const long size = strtol(text, &end, 10);
        if (end == text || size < 1 || size > 1 << 20 || (i < 3 && *end != ','))
            return false;
        *sizes[i] = (int)size;
        text = i < 3 ? end + 1 : end;
    }
    c->causal = strcmp(text, ",causal") == 0;
    return c->causal || *text == '\0';
}

size_t bench_case_count(const bench_case *c)
{
    return (size_t)c->B * (size_t)c->H * (size_t)c->S * (size_t)c->D;
}

double bench_case_flops(const bench_case *c)
{
    return 4.0 * (double)bench_case_count(c) * (double)c->S;
}

/* Uniform in [-1, 1): SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). */
static float next_number(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (float)((z ^ (z >> 31)) >> 40) * 0x1p-23f - 1.0f;
}

static bool write_file(bench_case *c)
{
    const size_t count = bench_case_count(c);
    const int32_t length = c->S;
    bool ok = true;
    (void)snprintf(c->file, sizeof c->file, "/tmp/clattn-bench-XXXXXX");
    const int descriptor = mkstemp(c->file);
    FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "wb");
    if (!file)
        return false;
    ok = fwrite(c->query, sizeof(float), count, file) == count &&
         fwrite(c->key, sizeof(float), count, file) == count &&
         fwrite(c->value, sizeof(float), count, file) == count;
    for (int b = 0; b < c->B; b++)
        ok = fwrite(&length, sizeof length, 1, file) == 1 && ok;
    return fclose(file) == 0 && ok;
}

bool bench_case_make(bench_case *c)
{
    const size_t count = bench_case_count(c);
    uint64_t state = 1;
    float **const tensors[] = {&c->query, &c->key, &c->value};
    for (size_t i = 0; i < 3; i++) {
        *tensors[i] = malloc(count * sizeof(float));
        if (!*tensors[i])
            return false;
        for (size_t n = 0; n < count; n++)
            (*tensors[i])[n] = next_number(&state);
    }
    return write_file(c);
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
