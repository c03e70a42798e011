/* openblas3.c: attention in three steps with OpenBLAS: product, softmax,
 * product, a head at a time. A coprocess that speaks as yardsticks/clblast3.c
 * does (case, go, save). `go` runs both ways of using the cores, threads inside
 * OpenBLAS and a thread for each head, and prints the faster one's seconds. */
#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef _OPENMP
#include <omp.h>
#else
static int omp_get_max_threads(void)
{
    return 1;
}
#endif

static int B, Hq, Hkv, S, T, D, causal;
static float scale, *query, *key, *value, *weights, *output;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void must(int ok, const char *what)
{
    if (ok)
        return;
    (void)fprintf(stderr, "openblas3: %s\n", what);
    exit(1);
}

static float *load(FILE *file, size_t count)
{
    float *data = malloc(count * sizeof *data);
    must(data && fread(data, sizeof *data, count, file) == count, "data file");
    return data;
}

static void prepare(const char *path)
{
    const size_t heads = (size_t)B * (size_t)Hq,
                 keys = (size_t)B * (size_t)Hkv * (size_t)T * (size_t)D;
    FILE *file = fopen(path, "rb");
    must(file != NULL, path);
    free(query), free(key), free(value), free(weights), free(output);
    query = load(file, heads * (size_t)S * (size_t)D);
    key = load(file, keys), value = load(file, keys);
    (void)fclose(file);
    weights = malloc(heads * (size_t)S * (size_t)T * sizeof *weights);
    output = malloc(heads * (size_t)S * (size_t)D * sizeof *output);
    must(weights && output, "no memory");
}

static void softmax_row(float *x, int n)
{
    float top = -INFINITY, sum = 0.0f;
    for (int j = 0; j < n; j++)
        top = x[j] > top ? x[j] : top;
    for (int j = 0; j < n; j++) {
        x[j] = expf(x[j] - top);
        sum += x[j];
    }
    for (int j = 0; j < n; j++)
        x[j] /= sum;
    for (int j = n; j < T; j++)
        x[j] = 0.0f;
}

static void one_head(int h, int rows_in_parallel)
{
    const size_t kv = (size_t)(h / Hq * Hkv + h % Hq / (Hq / Hkv)) * (size_t)T * (size_t)D;
    const size_t q = (size_t)h * (size_t)S * (size_t)D;
    float *w = weights + (size_t)h * (size_t)S * (size_t)T;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, S, T, D, scale, query + q, D, key + kv, D,
                0.0f, w, T);
#pragma omp parallel for if (rows_in_parallel)
    for (int i = 0; i < S; i++)
        softmax_row(w + (size_t)i * (size_t)T, causal && i + 1 < T ? i + 1 : T);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, S, D, T, 1.0f, w, T, value + kv, D, 0.0f,
                output + q, D);
}

static double go(void)
{
    double begin = now(), inside, outside;
    openblas_set_num_threads(omp_get_max_threads());
    for (int h = 0; h < B * Hq; h++)
        one_head(h, 1);
    inside = now() - begin;
    openblas_set_num_threads(1);
    begin = now();
#pragma omp parallel for schedule(dynamic)
    for (int h = 0; h < B * Hq; h++)
        one_head(h, 0);
    outside = now() - begin;
    return inside < outside ? inside : outside;
}

int main(void)
{
    char line[4096], path[3000];
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "case %d %d %d %d %d %d %f %d %2999s", &B, &Hq, &Hkv, &S, &T, &D, &scale,
                   &causal, path) == 9) {
            prepare(path);
            printf("ready\n");
        } else if (!strncmp(line, "go", 2)) {
            printf("%.9f\n", go());
        } else if (sscanf(line, "save %2999s", path) == 1) {
            const size_t count = (size_t)B * (size_t)Hq * (size_t)S * (size_t)D;
            FILE *file = fopen(path, "wb");
            must(file && fwrite(output, sizeof *output, count, file) == count && !fclose(file),
                 path);
            printf("saved\n");
        } else {
            must(0, "unknown command");
        }
        (void)fflush(stdout);
    }
    return 0;
}
