/* --backward: gradients are the slopes of a loss, a sum of what forward gives out, each number of it times what
 * is given as its gradient. Forward is written here from its formulas, and its slopes are differences. */
#include "results.h"

#include <math.h>

/* Values are v.npy, (2, 5, 6). */
enum { B = 2, S = 3, T = 5, D = 4, DV = 6 };

typedef struct problem {
    double query[B][S][D], key[B][T][D], value[B][T][DV];
    double weight[D][D], bias[T], slope, sink; /* the bias is the same for all queries */
    double scores[B][S][T];                    /* given ones */
} problem;

static struct gradients {
    double output[B][S][DV], weights[B][S][T], lse[B][S];
} of_loss;

static double kept[B][S][T]; /* what dropout makes of a weight, times it */

static problem problem_of_files;

static const int64_t lengths[B] = {5, 2}; /* n.npy */

static void fill(double *numbers, size_t count, const char *name, uint32_t rank,
                 const int64_t *shape)
{
    float written[B * T * DV];
    for (size_t i = 0; i < count; i++) {
        written[i] = 0.125f * (float)((i * 7 + count) % 13) - 0.75f;
        numbers[i] = (double)written[i];
    }
    write_array(name, 'f', 4, rank, shape, written);
}
#define FILL(array, name, ...)                                                                     \
    fill((double *)&(array), sizeof(array) / sizeof(double), name,                                 \
         sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (int64_t[]){__VA_ARGS__})

static int prepare(void **state)
{
    problem *p = &problem_of_files;
    if (enter_folder(state) != 0)
        return -1;
    FILL(p->query, "q.npy", B, S, D);
    FILL(p->key, "k.npy", B, T, D);
    FILL(p->value, "v.npy", B, T, DV);
    FILL(p->weight, "weight.npy", D, D);
    FILL(p->bias, "bias.npy", 1, T);
    FILL(p->slope, "slopes.npy", 1);
    FILL(p->sink, "sinks.npy", 1);
    FILL(p->scores, "s.npy", B, S, T);
    FILL(of_loss.output, "go.npy", B, S, DV);
    FILL(of_loss.weights, "gw.npy", B, S, T);
    FILL(of_loss.lse, "gl.npy", B, S);
    for (int i = 0; i < B * S * T; i++)
        ((double *)kept)[i] = 1;
    return 0;
}

/* q^T weight k, with a bias, ALiBi, a sink, and n.npy's lengths. */
static double general(const problem *p, int b, int i, int j)
{
    double sum = p->bias[j] - p->slope * fabs((double)i - j);
    for (int d = 0; d < D; d++)
        for (int e = 0; e < D; e++)
            sum += p->query[b][i][d] * p->weight[d][e] * p->key[b][j][e];
    return sum;
}

static double general_loss(const problem *p)
{
    double loss = 0;
    for (int b = 0; b < B; b++)
        for (int i = 0; i < S; i++) {
            double total = exp(p->sink);
            for (int j = 0; j < lengths[b]; j++)
                total += exp(general(p, b, i, j));
            loss += of_loss.lse[b][i] * log(total);
            for (int j = 0; j < lengths[b]; j++) {
                const double w = kept[b][i][j] * exp(general(p, b, i, j)) / total;
                loss += of_loss.weights[b][i][j] * w;
                for (int d = 0; d < DV; d++)
                    loss += of_loss.output[b][i][d] * w * p->value[b][j][d];
            }
        }
    return loss;
}

/* Weights that are the given scores. */
static double given_loss(const problem *p)
{
    double loss = 0;
    for (int b = 0; b < B; b++)
        for (int i = 0; i < S; i++)
            for (int j = 0; j < T; j++)
                for (int d = 0; d < DV; d++)
                    loss += of_loss.output[b][i][d] * p->scores[b][i][j] * p->value[b][j][d];
    return loss;
}

static void assert_slopes(const char *name, double (*loss)(const problem *p), double *numbers,
                          size_t count, double tolerance)
{
    const double step = 1e-5;
    npy_array got = read_array(name, 'f', 4);
    assert_int_equal(count, got.count);
    for (size_t i = 0; i < count; i++) {
        const double there = numbers[i], found = (double)((float *)got.data)[i];
        numbers[i] = there + step;
        const double above = loss(&problem_of_files);
        numbers[i] = there - step;
        const double want = (above - loss(&problem_of_files)) / (2 * step);
        numbers[i] = there;
        if (!(fabs(found - want) <= tolerance))
            fail_msg("%s: element %zu: %g, expected %g", name, i, found, want);
    }
    npy_free(&got);
}
#define ASSERT_SLOPES(name, loss, array, tolerance)                                                \
    assert_slopes(name, loss, (double *)&problem_of_files.array,                                   \
                  sizeof(problem_of_files.array) / sizeof(double), tolerance)

#define FORWARD                                                                                    \
    QKV "--score general --param weight=weight.npy --bias bias.npy --alibi-slopes slopes.npy "     \
        "--sinks sinks.npy --kv-lengths n.npy "
#define GENERAL FORWARD "--backward "
#define OF_ALL "--grad-output go.npy --grad-weights gw.npy --grad-lse gl.npy "
#define INTO_ALL                                                                                   \
    "--grad-query dq.npy --grad-key dk.npy --grad-value dv.npy --grad-bias db.npy "                \
    "--grad-alibi-slopes da.npy --grad-sinks ds.npy --grad-param weight=dw.npy "

static void assert_all_slopes(double tolerance)
{
    ASSERT_SLOPES("dq.npy", general_loss, query, tolerance);
    ASSERT_SLOPES("dk.npy", general_loss, key, tolerance);
    ASSERT_SLOPES("dv.npy", general_loss, value, tolerance);
    ASSERT_SLOPES("db.npy", general_loss, bias, tolerance);
    ASSERT_SLOPES("da.npy", general_loss, slope, tolerance);
    ASSERT_SLOPES("ds.npy", general_loss, sink, tolerance);
    ASSERT_SLOPES("dw.npy", general_loss, weight, tolerance);
}

static void gradients_are_slopes(void **state)
{
    (void)state;
    static const char *const devices[] = {"", "--device reference"};
    for (size_t i = 0; i < 2; i++) {
        char arguments[640];
        snprintf(arguments, sizeof arguments, "run " GENERAL OF_ALL INTO_ALL "%s", devices[i]);
        run_well(arguments);
        assert_all_slopes(2e-5);
    }
    run_well("run --given-scores s.npy --value v.npy --normalizer none --backward "
             "--grad-output go.npy --grad-given-scores dg.npy --grad-value dv.npy");
    ASSERT_SLOPES("dg.npy", given_loss, scores, 2e-5);
    ASSERT_SLOPES("dv.npy", given_loss, value, 2e-5);
}

/* Forward says by its weights what it dropped. Of the output alone, backward may read what forward made of it. */
static void backward_drops_the_same(void **state)
{
    (void)state;
    static const char *const draws[] = {"--dropout 0.25 --seed 9",
                                        "--dropout 0.25 --seed 9 --dropout-offset 1",
                                        "--dropout 0.25 --seed 9 --device reference"};
    const struct gradients of_all = of_loss;
    size_t dropped = 0;
    run_well("run " FORWARD "--weights all.npy");
    npy_array all = read_array("all.npy", 'f', 4);
    for (size_t n = 0; n < sizeof draws / sizeof draws[0]; n++) {
        char arguments[640];
        snprintf(arguments, sizeof arguments, "run " FORWARD "--weights w.npy %s", draws[n]);
        run_well(arguments);
        npy_array w = read_array("w.npy", 'f', 4);
        for (size_t i = 0; i < w.count; i++) {
            const double before = (double)((float *)all.data)[i];
            ((double *)kept)[i] = before == 0 ? 1 : (double)((float *)w.data)[i] / before;
            dropped += ((double *)kept)[i] == 0;
        }
        npy_free(&w);
        snprintf(arguments, sizeof arguments, "run " GENERAL OF_ALL INTO_ALL "%s", draws[n]);
        run_well(arguments);
        assert_all_slopes(4e-5);
        memset(of_loss.weights, 0, sizeof of_loss.weights);
        memset(of_loss.lse, 0, sizeof of_loss.lse);
        snprintf(arguments, sizeof arguments, "run " GENERAL "--grad-output go.npy " INTO_ALL "%s",
                 draws[n]);
        run_well(arguments);
        assert_all_slopes(4e-5);
        of_loss = of_all;
    }
    assert_true(dropped > 0);
    npy_free(&all);
    for (int i = 0; i < B * S * T; i++)
        ((double *)kept)[i] = 1;
}

/* Gradients that come in are converted as the inputs are, but for those of lse; bf16 is written as f32. */
static void any_type_is_taken(void **state)
{
    (void)state;
    run_well("run " GENERAL OF_ALL INTO_ALL "--dtype bf16 --device reference");
    assert_all_slopes(0.1);
    run_well("run " GENERAL OF_ALL "--grad-query wide.npy --dtype f64 --device reference");
    npy_array wide = read_array("wide.npy", 'f', 8);
    npy_free(&wide);
}

/* What is not given adds nothing: the three together are their sum. */
static void any_of_them_is_enough(void **state)
{
    (void)state;
    static const char *const each[] = {"--grad-output go.npy", "--grad-weights gw.npy",
                                       "--grad-lse gl.npy"};
    double sums[B * S * D] = {0};
    for (size_t n = 0; n < 3; n++) {
        char arguments[320];
        snprintf(arguments, sizeof arguments, "run " GENERAL "%s --grad-query dq.npy", each[n]);
        run_well(arguments);
        npy_array got = read_array("dq.npy", 'f', 4);
        for (size_t i = 0; i < got.count; i++)
            sums[i] += (double)((float *)got.data)[i];
        npy_free(&got);
    }
    run_well("run " GENERAL OF_ALL "--grad-query dq.npy");
    npy_array got = read_array("dq.npy", 'f', 4);
    for (size_t i = 0; i < got.count; i++)
        assert_true(fabs((double)((float *)got.data)[i] - sums[i]) < 1e-5);
    npy_free(&got);
}

static const cJSON *with_name(const cJSON *list, const char *name)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        if (strcmp(name, string_of(item, "name")) == 0)
            return item;
    }
    fail_msg("no %s", name);
    return NULL;
}

static void reports_say_so(void **state)
{
    (void)state;
    run_well("run " GENERAL OF_ALL INTO_ALL "--variant staged --json");
    cJSON *root = parse_report();
    assert_string_equal("staged", string_of(root, "variant"));
    assert_string_equal("backward", string_of(root, "direction"));
    assert_true(cJSON_IsFalse(cJSON_GetObjectItem(root, "random_gradient")));
    const cJSON *file = with_name(cJSON_GetObjectItem(root, "files"), "grad.params.weight");
    assert_string_equal("dw.npy", string_of(file, "file"));
    assert_int_equal(2, cJSON_GetArraySize(cJSON_GetObjectItem(file, "shape")));
    cJSON_Delete(root);
    run_well("run " QKV "--output o.npy --json");
    root = parse_report();
    assert_string_equal("forward", string_of(root, "direction"));
    cJSON_Delete(root);
}

/* All gradients that there are, where none is named; random ones of the output, where none is given. */
static void verify_judges_them(void **state)
{
    (void)state;
    static const char *const names[] = {"grad.query",        "grad.key",          "grad.value",
                                        "grad.bias",         "grad.alibi_slopes", "grad.sinks",
                                        "grad.params.weight"};
    run_well("verify " GENERAL "--json");
    cJSON *root = parse_report();
    const cJSON *outputs = cJSON_GetObjectItem(root, "outputs");
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(root, "ok")));
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(root, "random_gradient")));
    assert_int_equal(7, cJSON_GetArraySize(outputs));
    for (size_t i = 0; i < 7; i++)
        assert_true(number_of(with_name(outputs, names[i]), "error") > 0);
    cJSON_Delete(root);
    run_well("verify " GENERAL);
    assert_non_null(strstr(standard_output, "backward of a random gradient\n"));
    run_well("run " GENERAL OF_ALL INTO_ALL "--device reference");
    run_well("verify " GENERAL OF_ALL
             "--expect grad.key=dk.npy --expect grad.params.weight=dw.npy");
}

static void verify_sees_what_is_wrong(void **state)
{
    (void)state;
    run_well("run " GENERAL OF_ALL "--grad-key dk.npy");
    npy_array got = read_array("dk.npy", 'f', 4);
    ((float *)got.data)[7] += 0.01f;
    write_array("wrong.npy", 'f', 4, 3, (int64_t[]){B, T, D}, got.data);
    npy_free(&got);
    assert_int_equal(CLI_CHECK_FAILED,
                     run_program("", "verify " GENERAL OF_ALL "--expect grad.key=wrong.npy"));
    assert_non_null(strstr(standard_error, "wrong.npy"));
    run_well("verify " GENERAL OF_ALL "--expect grad.key=dk.npy");
}

static void bench_counts_its_operations(void **state)
{
    (void)state;
    static const struct {
        const char *arguments;
        double operations;
    } cases[] = {{"--shape 2,4,2,9,17,8,16 --backward", 2.0 * 4 * 9 * 17 * (6 * 8 + 4 * 16)},
                 {"--shape 2,4,2,9,17,8,16", 2.0 * 4 * 9 * 17 * (2 * 8 + 2 * 16)},
                 {"--given-scores s.npy --value v.npy --backward", 1.0 * B * S * T * 4 * DV}};
    for (size_t n = 0; n < sizeof cases / sizeof cases[0]; n++) {
        char arguments[128];
        snprintf(arguments, sizeof arguments, "bench %s --device reference --rounds 2 --json",
                 cases[n].arguments);
        run_well(arguments);
        cJSON *root = parse_report();
        const cJSON *entry = cJSON_GetArrayItem(root, 0);
        const double operations = 1e9 * number_of(entry, "gflops") * number_of(entry, "median");
        assert_true(fabs(operations / cases[n].operations - 1) < 1e-6);
        cJSON_Delete(root);
    }
    run_well(
        "bench --shape 2,4,2,9,17,8,16 --backward --variants all --rounds 2 --grad-key dk.npy");
    assert_non_null(strstr(standard_output, "backward of a random gradient; 2 rounds"));
    npy_array key = read_array("dk.npy", 'f', 4);
    assert_int_equal(2 * 2 * 17 * 8, key.count);
    npy_free(&key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_slopes),
        cmocka_unit_test(backward_drops_the_same),
        cmocka_unit_test(any_type_is_taken),
        cmocka_unit_test(any_of_them_is_enough),
        cmocka_unit_test(reports_say_so),
        cmocka_unit_test(verify_judges_them),
        cmocka_unit_test(verify_sees_what_is_wrong),
        cmocka_unit_test(bench_counts_its_operations),
    };
    return cmocka_run_group_tests(tests, prepare, leave_folder);
}
