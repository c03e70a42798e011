/* Scores with parameters: each file arrives where the score's formula has its name. */
#include "program.h"

#include <math.h>

/* Keys are v.npy, (2, 5, 6), so that they differ from queries in size. */
enum { B = 2, S = 3, T = 5, D = 4, DK = 6, A = 3, C = 2, K = 3, M = 7 };

#define QV "--query q.npy --key v.npy --value v.npy "
#define HIDDEN "--param w_query=w_query.npy --param w_key=w_key.npy --param v=units.npy "

static float q[B][S][D], key[B][T][DK], weight[D][DK], rows[M][D], w_query[A][D], w_key[A][DK],
    units[A], bias[A], conv[C][2][K], w_location[A][C], w_coverage[A], previous[B][T],
    cumulative[B][T];

static void fill(const char *name, float *data, uint32_t rank, const int64_t *shape, int seed)
{
    const int64_t step = 3 * (int64_t)seed;
    int64_t count = 1;
    for (uint32_t i = 0; i < rank; i++)
        count *= shape[i];
    for (int64_t i = 0; i < count; i++)
        data[i] = 0.125f * (float)((i * 5 + step) % 11 - 5);
    write_array(name, 'f', 4, rank, shape, data);
}
#define FILL(array, rank, seed, ...)                                                               \
    fill(#array ".npy", (float *)(array), rank, (int64_t[]){__VA_ARGS__}, seed)

static void load(const char *name, void *data, size_t bytes)
{
    npy_array array;
    assert_int_equal(CLI_DONE, npy_read(&array, "input", name));
    assert_int_equal(bytes, array.count * array.size);
    memcpy(data, array.data, bytes);
    npy_free(&array);
}

static int prepare(void **state)
{
    if (enter_folder(state) != 0)
        return -1;
    load("q.npy", q, sizeof q);
    load("v.npy", key, sizeof key);
    FILL(weight, 2, 1, D, DK);
    FILL(rows, 2, 2, M, D);
    FILL(w_query, 2, 3, A, D);
    FILL(w_key, 2, 4, A, DK);
    FILL(units, 1, 5, A);
    FILL(bias, 1, 6, A);
    FILL(conv, 3, 7, C, 2, K);
    FILL(w_location, 2, 8, A, C);
    FILL(w_coverage, 1, 9, A);
    FILL(previous, 2, 10, B, T);
    FILL(cumulative, 2, 11, B, T);
    write_array("half.npy", 'f', 4, 0, NULL, (float[]){0.5f}); /* as np.save() writes a scalar */
    return 0;
}

static double general(int b, int i, int j)
{
    double sum = 0;
    for (int d = 0; d < D; d++)
        for (int e = 0; e < DK; e++)
            sum += (double)q[b][i][d] * (double)weight[d][e] * (double)key[b][j][e];
    return sum;
}

static double location(int b, int i, int j)
{
    double sum = 0;
    for (int d = 0; d < D; d++)
        sum += (double)rows[j][d] * (double)q[b][i][d];
    return sum;
}

/* v^T tanh(w_query q + w_key k + what a score adds to unit `a`). */
static double additive_with(double (*extra)(int b, int j, int a), int b, int i, int j)
{
    double sum = 0;
    for (int a = 0; a < A; a++) {
        double unit = extra(b, j, a);
        for (int d = 0; d < D; d++)
            unit += (double)w_query[a][d] * (double)q[b][i][d];
        for (int e = 0; e < DK; e++)
            unit += (double)w_key[a][e] * (double)key[b][j][e];
        sum += (double)units[a] * tanh(unit);
    }
    return sum;
}

static double bias_of(int b, int j, int a)
{
    (void)b;
    (void)j;
    return (double)bias[a];
}

/* With |v| as v's length and g = 0.5 in its place. */
static double additive(int b, int i, int j)
{
    double square = 0;
    for (int a = 0; a < A; a++)
        square += (double)units[a] * (double)units[a];
    return 0.5 / sqrt(square) * additive_with(bias_of, b, i, j);
}

static double features_of(int b, int j, int a)
{
    double sum = 0;
    for (int c = 0; c < C; c++)
        for (int n = 0; n < K; n++) {
            const int t = j + n - K / 2;
            if (t >= 0 && t < T)
                sum +=
                    (double)w_location[a][c] * ((double)conv[c][0][n] * (double)previous[b][t] +
                                                (double)conv[c][1][n] * (double)cumulative[b][t]);
        }
    return sum;
}

static double location_sensitive(int b, int i, int j)
{
    return additive_with(features_of, b, i, j);
}

static double coverage_of(int b, int j, int a)
{
    return (double)w_coverage[a] * (double)previous[b][j];
}

static double coverage(int b, int i, int j)
{
    return additive_with(coverage_of, b, i, j);
}

/* Queries meet queries, which are vectors of one size. */
static double cosine(int b, int i, int j)
{
    double product = 0, of_i = 0, of_j = 0;
    for (int d = 0; d < D; d++) {
        product += (double)q[b][i][d] * (double)q[b][j][d];
        of_i += (double)q[b][i][d] * (double)q[b][i][d];
        of_j += (double)q[b][j][d] * (double)q[b][j][d];
    }
    return 0.5 * product / sqrt(of_i * of_j);
}

static double rbf(int b, int i, int j)
{
    double sum = 0;
    for (int d = 0; d < D; d++)
        sum += pow((double)q[b][i][d] - (double)q[b][j][d], 2);
    return -0.5 * sum;
}

static const struct score {
    const char *arguments;
    double (*formula)(int b, int i, int j);
    int keys;
} scores[] = {
    {QV "--score general --param weight=weight.npy", general, T},
    {QV HIDDEN "--param bias=bias.npy --param g=half.npy --score additive", additive, T},
    {"--query q.npy --value v.npy --score location --param weight=rows.npy", location, T},
    {QV HIDDEN "--score location-sensitive --param conv=conv.npy --param w_location=w_location.npy "
               "--param previous_weights=previous.npy --param cumulative_weights=cumulative.npy",
     location_sensitive, T},
    {QV HIDDEN "--score coverage --param w_coverage=w_coverage.npy --param coverage=previous.npy",
     coverage, T},
    {"--query q.npy --key q.npy --value q.npy --score cosine --param beta=half.npy", cosine, S},
    {"--query q.npy --key q.npy --value q.npy --score rbf --param gamma=half.npy", rbf, S},
};

static void run_well(const char *command, const char *arguments, const char *more)
{
    char text[1024];
    snprintf(text, sizeof text, "%s %s %s", command, arguments, more);
    const int code = run_program("", text);
    if (code != 0)
        fail_msg("exit code %d: %s", code, standard_error);
    assert_string_equal("", standard_error);
}

static void scores_are_their_formulas(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof scores / sizeof scores[0]; n++) {
        const struct score *s = &scores[n];
        float got[B][S][T];
        run_well("run", s->arguments, "--device reference --scores s.npy");
        load("s.npy", got, sizeof(float) * B * S * (size_t)s->keys);
        for (int e = 0; e < B * S * s->keys; e++) {
            const int b = e / (S * s->keys), i = e / s->keys % S, j = e % s->keys;
            const double found = (double)((float *)got)[e], want = s->formula(b, i, j);
            if (!(fabs(found - want) < 1e-5))
                fail_msg("%s: (%d, %d, %d): %g, expected %g", s->arguments, b, i, j, found, want);
        }
    }
}

/* One score is enough, as a driver compiles its kernels: all parameters go the same way to a device. */
static void a_device_takes_them(void **state)
{
    (void)state;
    run_well("verify", scores[1].arguments, "--variant staged");
    assert_non_null(strstr(standard_output, "score additive, Dk 6, A 3"));
}

static void normalizers_have_their_names(void **state)
{
    (void)state;
    static const char *const names[] = {"softmax", "sparsemax", "entmax15"};
    float weights[B][S][T];
    for (size_t n = 0; n < 3; n++) {
        char more[96];
        snprintf(more, sizeof more, "--normalizer %s --device reference --weights w.npy", names[n]);
        run_well("run", scores[0].arguments, more);
        load("w.npy", weights, sizeof weights);
        for (int e = 0; e < B * S; e++) {
            double sum = 0;
            for (int j = 0; j < T; j++)
                sum += (double)((float *)weights)[e * T + j];
            assert_true(fabs(sum - 1) < 1e-6);
        }
    }
    run_well("run", scores[0].arguments,
             "--normalizer sigmoid --device reference --weights w.npy --json");
    assert_non_null(strstr(standard_output, "\"score\":\t\"general\""));
    load("w.npy", weights, sizeof weights);
    for (int e = 0; e < B * S * T; e++) {
        const double want = 1 / (1 + exp(-general(e / (S * T), e / T % S, e % T)));
        assert_true(fabs((double)((float *)weights)[e] - want) < 1e-6);
    }
}

static void write_entry(const char *name, const void *data, size_t bytes)
{
    static const char header[] =
        "{\"attention.w\":{\"dtype\":\"F32\",\"shape\":[4,6],\"data_offsets\":[0,96]}}";
    const char length[8] = {(char)(sizeof header - 1)};
    FILE *file = fopen(name, "wb");
    assert_non_null(file);
    assert_int_equal(8, fwrite(length, 1, 8, file));
    assert_true(fputs(header, file) >= 0);
    assert_int_equal(bytes, fwrite(data, 1, bytes, file));
    assert_int_equal(0, fclose(file));
}

/* --dtype is about the inputs; entries of a file of tensors are parameters, too. */
static void parameters_keep_their_type(void **state)
{
    (void)state;
    double wide[D][DK];
    for (int e = 0; e < D * DK; e++)
        ((double *)wide)[e] = (double)((float *)weight)[e];
    write_array("wide.npy", 'f', 8, 2, (int64_t[]){D, DK}, wide);
    run_well("run", scores[0].arguments, "--device reference --dtype f16 --scores s.npy");
    run_well("run", QV,
             "--score general --param weight=wide.npy --device reference --dtype f16 "
             "--scores wide_s.npy");
    assert_int_equal(0, system("cmp s.npy wide_s.npy"));
    write_entry("e.safetensors", weight, sizeof weight);
    run_well("run", QV,
             "--score general --param weight=e.safetensors:attention.w --device reference "
             "--dtype f16 --scores entry_s.npy");
    assert_int_equal(0, system("cmp s.npy entry_s.npy"));
}

static void bench_makes_them(void **state)
{
    (void)state;
    static const char *const names[] = {"general",  "additive", "location", "location-sensitive",
                                        "coverage", "cosine",   "rbf"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char text[160];
        snprintf(text, sizeof text,
                 "--shape 2,2,1,3,5,4,6 --score %s --device reference --rounds 1", names[i]);
        run_well("bench", text, "--output o.npy");
        npy_array output;
        assert_int_equal(CLI_DONE, npy_read(&output, "output", "o.npy"));
        assert_int_equal(2 * 2 * 3 * 6, output.count);
        for (size_t e = 0; e < output.count; e++)
            assert_true(isfinite(((float *)output.data)[e]));
        npy_free(&output);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_their_formulas),
        cmocka_unit_test(a_device_takes_them),
        cmocka_unit_test(normalizers_have_their_names),
        cmocka_unit_test(parameters_keep_their_type),
        cmocka_unit_test(bench_makes_them),
    };
    return cmocka_run_group_tests(tests, prepare, leave_folder);
}
