/* --dropout, --seed and --dropout-offset: weights are 0 or larger, and the same ones everywhere. */
#include "results.h"

#include <math.h>
#include <stdbool.h>

/* Values are v.npy, (2, 5, 6), of which n.npy shows two keys in the second sentence. */
enum { B = 2, S = 3, T = 5, DV = 6, WEIGHTS = B * S * T };

#define CALL QKV "--kv-lengths n.npy "

/* The numbers of `name` after a good run. */
static npy_array numbers_after(const char *arguments, const char *name)
{
    run_well(arguments);
    return read_array(name, 'f', 4);
}

static bool are_same(const npy_array *a, const npy_array *b)
{
    assert_int_equal(a->count, b->count);
    return memcmp(a->data, b->data, a->count * a->size) == 0;
}

static void assert_is_product(const npy_array *output, const float *weights, const npy_array *value)
{
    for (size_t row = 0; row < (size_t)B * S; row++) {
        for (size_t d = 0; d < DV; d++) {
            double want = 0;
            for (size_t j = 0; j < T; j++)
                want += (double)weights[row * T + j] *
                        (double)((float *)value->data)[(row / S * T + j) * DV + d];
            assert_true(fabs((double)((float *)output->data)[row * DV + d] - want) < 1e-5);
        }
    }
}

static void weights_are_dropped_or_larger(void **state)
{
    (void)state;
    static const char *const devices[] = {"", "--device reference"};
    bool is_dropped[WEIGHTS] = {0};
    npy_array value = read_array("v.npy", 'f', 4);
    npy_array all = numbers_after("run " CALL "--weights w.npy", "w.npy");
    for (size_t n = 0; n < 2; n++) {
        char arguments[256];
        size_t dropped = 0, left = 0;
        snprintf(arguments, sizeof arguments,
                 "run " CALL "--dropout 0.25 --seed 3 --weights w.npy --output o.npy %s",
                 devices[n]);
        npy_array w = numbers_after(arguments, "w.npy");
        npy_array output = read_array("o.npy", 'f', 4);
        const float *weights = w.data;
        for (size_t i = 0; i < WEIGHTS; i++) {
            const double before = (double)((float *)all.data)[i];
            if (before > 0 && weights[i] != 0)
                assert_true(fabs((double)weights[i] - before / 0.75) < 1e-6);
            dropped += before > 0 && weights[i] == 0;
            left += weights[i] != 0;
            if (n == 0)
                is_dropped[i] = weights[i] == 0;
            assert_int_equal(is_dropped[i], weights[i] == 0);
        }
        assert_true(dropped > 0 && left > 0);
        assert_is_product(&output, weights, &value);
        npy_free(&output);
        npy_free(&w);
    }
    npy_free(&all);
    npy_free(&value);
}

/* Each draw is another one, down to the highest bits, and the same each time. */
static void seed_and_offset_choose(void **state)
{
    (void)state;
    static const char *const draws[] = {"",
                                        "--seed 1",
                                        "--dropout-offset 1",
                                        "--seed 1 --dropout-offset 1",
                                        "--seed 4294967296",
                                        "--dropout-offset 4294967296",
                                        "--seed 18446744073709551615"};
    enum { DRAWS = sizeof draws / sizeof draws[0] };
    npy_array found[DRAWS];
    for (size_t n = 0; n < DRAWS; n++) {
        char arguments[256];
        snprintf(arguments, sizeof arguments, "run " QKV "--dropout 0.5 --weights w.npy %s",
                 draws[n]);
        found[n] = numbers_after(arguments, "w.npy");
        npy_array again = numbers_after(arguments, "w.npy");
        assert_true(are_same(&again, &found[n]));
        npy_free(&again);
        for (size_t other = 0; other < n; other++)
            assert_false(are_same(&found[other], &found[n]));
    }
    for (size_t n = 0; n < DRAWS; n++)
        npy_free(&found[n]);
}

static void verify_judges_what_is_dropped(void **state)
{
    (void)state;
    run_well("verify " CALL "--dropout 0.4 --seed 5 --dropout-offset 6 --weights w.npy --lse l.npy "
             "--column-sums c.npy --entropy e.npy --json");
    cJSON *root = parse_report();
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(root, "ok")));
    assert_true(number_of(root, "dropout") == 0.4);
    assert_int_equal(5, cJSON_GetArraySize(cJSON_GetObjectItem(root, "outputs")));
    cJSON_Delete(root);
    run_well("verify " CALL "--dropout 0.4 --seed 5 --sample 2");
    assert_non_null(strstr(standard_output, ", dropout 0.4\n"));
    run_well("verify " CALL "--dropout 0.4 --seed 5 --backward");
    run_well("verify " CALL "--dropout 0 --seed 5");
    assert_null(strstr(standard_output, "dropout"));
}

/* What another seed dropped is not what was expected. */
static void verify_sees_another_draw(void **state)
{
    (void)state;
    static const char *const others[] = {"--dropout 0.4 --seed 6",
                                         "--dropout 0.4 --seed 5 --dropout-offset 1",
                                         "--dropout 0.3 --seed 5", ""};
    run_well("run " CALL "--dropout 0.4 --seed 5 --output o.npy --device reference");
    run_well("verify " CALL "--dropout 0.4 --seed 5 --expect output=o.npy");
    for (size_t n = 0; n < sizeof others / sizeof others[0]; n++) {
        char arguments[256];
        snprintf(arguments, sizeof arguments, "verify " CALL "--expect output=o.npy %s", others[n]);
        assert_int_equal(CLI_CHECK_FAILED, run_program("", arguments));
    }
}

static void bench_times_it(void **state)
{
    (void)state;
    static const char *const directions[] = {"", "--backward"};
    for (size_t n = 0; n < 2; n++) {
        char arguments[256];
        snprintf(arguments, sizeof arguments,
                 "bench --shape 2,4,2,9,17,8,16 --dropout 0.25 --rounds 2 --json %s",
                 directions[n]);
        run_well(arguments);
        cJSON *root = parse_report();
        const cJSON *entry = cJSON_GetArrayItem(root, 0);
        assert_true(number_of(entry, "dropout") == 0.25);
        assert_true(number_of(entry, "median") > 0);
        cJSON_Delete(root);
    }
    run_well("bench --shape 2,4,2,9,17,8,16 --dropout 0.25 --rounds 2");
    assert_non_null(strstr(standard_output, ", dropout 0.25; 2 rounds"));
}

/* The seed is that of random inputs and of a random gradient, too. */
static void random_numbers_have_the_seed(void **state)
{
    (void)state;
    static const char *const calls[] = {
        "bench --shape 2,4,2,9,17,8,16 --rounds 1 --output r.npy --seed",
        "verify " QKV "--backward --grad-value r.npy --seed"};
    for (size_t n = 0; n < 2; n++) {
        char first[256], second[256];
        snprintf(first, sizeof first, "%s 1", calls[n]);
        snprintf(second, sizeof second, "%s 2", calls[n]);
        npy_array one = numbers_after(first, "r.npy");
        npy_array two = numbers_after(second, "r.npy");
        npy_array again = numbers_after(first, "r.npy");
        assert_false(are_same(&one, &two));
        assert_true(are_same(&one, &again));
        npy_free(&again);
        npy_free(&two);
        npy_free(&one);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_are_dropped_or_larger),
        cmocka_unit_test(seed_and_offset_choose),
        cmocka_unit_test(verify_judges_what_is_dropped),
        cmocka_unit_test(verify_sees_another_draw),
        cmocka_unit_test(bench_times_it),
        cmocka_unit_test(random_numbers_have_the_seed),
    };
    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
