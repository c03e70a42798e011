/* What the commands give when all is well: results, files and reports. */
#include "results.h"

#include <math.h>
#include <sys/stat.h>

#define SENTENCES                                                                                  \
    "--query \"$CLATTN_DATA/sentences/query.npy\" --key \"$CLATTN_DATA/sentences/key.npy\" "       \
    "--value \"$CLATTN_DATA/sentences/value.npy\" "                                                \
    "--kv-lengths \"$CLATTN_DATA/sentences/kv_lengths.npy\" "

static void assert_same_files(const char *a, const char *b)
{
    char command[128];
    snprintf(command, sizeof command, "cmp %s %s", a, b);
    assert_int_equal(0, system(command));
}

static void sentences_give_the_expected_output(void **state)
{
    (void)state;
    char path[512];
    double worst = 0;
    run_well("run " SENTENCES "--output o.npy --weights w.npy --lse l.npy");
    npy_array got = read_array("o.npy", 'f', 4);
    snprintf(path, sizeof path, "%s/sentences/expected_output.npy", getenv("CLATTN_DATA"));
    npy_array want = read_array(path, 'f', 4);
    assert_int_equal(8 * 12 * 34 * 32, got.count);
    assert_memory_equal(want.shape, got.shape, sizeof want.shape);
    for (size_t i = 0; i < got.count; i++)
        worst = fmax(worst, fabs((double)((float *)got.data)[i] - (double)((float *)want.data)[i]));
    assert_true(worst < 1e-5);
    npy_free(&want);
    npy_free(&got);
    npy_array weights = read_array("w.npy", 'f', 4);
    size_t it_to_animal = (1 * 34 + 9) * 34 + 2; /* sentence 0, head 1 */
    assert_true(fabs((double)((float *)weights.data)[it_to_animal] - 0.69) < 0.01);
    npy_free(&weights);
}

/* Column-major, big-endian doubles that hold what q.npy holds. */
static void write_other_form(const char *name, const npy_array *a)
{
    FILE *file = fopen(name, "wb");
    char dict[119];
    assert_non_null(file);
    memset(dict, ' ', sizeof dict);
    dict[snprintf(dict, sizeof dict,
                  "{'descr': '>f8', 'fortran_order': True, 'shape': (2, %d, %d), }",
                  (int)a->shape[1], (int)a->shape[2])] = ' ';
    assert_int_equal(10, fwrite("\x93NUMPY\1\0\x77\0", 1, 10, file));
    assert_int_equal(sizeof dict, fwrite(dict, 1, sizeof dict, file));
    for (int64_t k = 0; k < a->shape[2]; k++)
        for (int64_t j = 0; j < a->shape[1]; j++)
            for (int64_t i = 0; i < 2; i++) {
                double value = (double)((float *)a->data)[(i * a->shape[1] + j) * a->shape[2] + k];
                uint64_t bits;
                memcpy(&bits, &value, sizeof bits);
                for (int byte = 7; byte >= 0; byte--)
                    assert_int_not_equal(EOF, fputc((int)(bits >> (8 * byte) & 255), file));
            }
    assert_int_equal(0, fclose(file));
}

static void orders_and_endians_make_no_difference(void **state)
{
    (void)state;
    static const char *const names[][2] = {
        {"q.npy", "q_other.npy"}, {"k.npy", "k_other.npy"}, {"v.npy", "v_other.npy"}};
    for (size_t i = 0; i < 3; i++) {
        npy_array array = read_array(names[i][0], 'f', 4);
        write_other_form(names[i][1], &array);
        npy_free(&array);
    }
    run_well("run " QKV "--causal --output plain.npy");
    run_well("run --query q_other.npy --key k_other.npy --value v_other.npy --dtype f32 --causal "
             "--output other.npy");
    assert_same_files("plain.npy", "other.npy");
}

/* One bfloat16 of -1.5, as query, key and value of one key. */
static void write_bf16_entry(void)
{
    static const char header[] =
        "{\"q\":{\"dtype\":\"BF16\",\"shape\":[1,1],\"data_offsets\":[0,2]}}";
    FILE *file = fopen("b.safetensors", "wb");
    assert_non_null(file);
    assert_int_equal((int)sizeof header - 1, fputc((int)sizeof header - 1, file));
    assert_int_equal(7, fwrite("\0\0\0\0\0\0", 1, 7, file));
    assert_true(fputs(header, file) >= 0);
    assert_int_equal(2, fwrite("\xc0\xbf", 1, 2, file));
    assert_int_equal(0, fclose(file));
}

static void entries_of_a_file_of_tensors_are_inputs(void **state)
{
    (void)state;
    run_well("run " QKV "--kv-lengths n.npy --mask m.npy --output plain.npy");
    run_well("run --query t.safetensors:q --key t.safetensors:k --value ./t.safetensors:v "
             "--kv-lengths t.safetensors:n --mask t.safetensors:m --output other.npy");
    assert_same_files("plain.npy", "other.npy");
    run_well("verify " QKV "--kv-lengths t.safetensors:n --mask t.safetensors:m "
             "--expect output=plain.npy");
    write_bf16_entry();
    run_well("run --query b.safetensors:q --key b.safetensors:q --value b.safetensors:q "
             "--output b.npy --json");
    cJSON *root = parse_report();
    assert_string_equal("bf16", string_of(root, "dtype"));
    cJSON_Delete(root);
    npy_array a = read_array("b.npy", 'f', 4);
    assert_int_equal(1, a.count);
    assert_true(((float *)a.data)[0] == -1.5f);
    npy_free(&a);
}

static void every_type_gives_files_numpy_knows(void **state)
{
    (void)state;
    static const struct {
        const char *arguments;
        size_t size;
        double tolerance;
    } types[] = {{"--dtype f32", 4, 1e-6}, {"--dtype f16", 2, 1e-2}, {"--dtype bf16", 4, 1e-1}};
    run_well("run " QKV "--device reference --output want.npy");
    npy_array want = read_array("want.npy", 'f', 4);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        char arguments[256];
        snprintf(arguments, sizeof arguments, "run " QKV "%s --output o.npy --lse l.npy",
                 types[i].arguments);
        run_well(arguments);
        npy_array got = read_array("o.npy", 'f', types[i].size);
        npy_array lse = read_array("l.npy", 'f', 4);
        assert_int_equal(2, lse.rank);
        assert_int_equal(36, got.count);
        for (size_t j = 0; got.size == 4 && j < 36; j++)
            assert_true(fabs((double)((float *)got.data)[j] - (double)((float *)want.data)[j]) <
                        types[i].tolerance);
        npy_free(&lse);
        npy_free(&got);
    }
    npy_free(&want);
}

static void lengths_masks_and_given_scores_are_taken(void **state)
{
    (void)state;
    npy_array w;
    run_well("run " QKV
             "--kv-lengths n.npy --mask m.npy --output o.npy --weights w.npy --scores s.npy "
             "--scores-stage modified");
    w = read_array("w.npy", 'f', 4);
    const float *first = w.data,
                *last = first + 15; /* row 0 of sequence 0, whose mask is 1 1 1 0 0 */
    assert_true(first[2] > 0 && first[3] == 0 && first[4] == 0);
    assert_true(last[1] > 0 && last[2] == 0); /* sequence 1 has two keys */
    npy_free(&w);
    run_well("run --given-scores s.npy --value v.npy --output again.npy");
    npy_array a = read_array("o.npy", 'f', 4);
    npy_array b = read_array("again.npy", 'f', 4);
    for (size_t i = 0; i < a.count; i++)
        assert_true(fabs((double)((float *)a.data)[i] - (double)((float *)b.data)[i]) < 1e-6);
    npy_free(&a);
    npy_free(&b);
    run_well("run --given-scores w.npy --normalizer none --value v.npy --output again.npy");
}

static void assert_floats(const char *name, const float *want, size_t count)
{
    npy_array got = read_array(name, 'f', 4);
    assert_int_equal(count, got.count);
    for (size_t i = 0; i < count; i++)
        assert_true(fabs((double)((float *)got.data)[i] - (double)want[i]) < 1e-6);
    npy_free(&got);
}

#define TOLD                                                                                       \
    "--given-scores told.npy --mask seen.npy --value v1.npy --column-sums c.npy --argmax a.npy "   \
    "--entropy e.npy --weights w.npy "

/* Three rows of four keys: weights of 1/4 and 3/4 on two of them, of 1/4 on each, and none. */
static void weights_are_told_of_without_all_of_them(void **state)
{
    (void)state;
    const float ln3 = 1.0986123f, scores[] = {0, ln3, 7, 7, 2, 2, 2, 2, 0, 0, 0, 0};
    const float columns[] = {0.5f, 1, 0.25f, 0.25f}, entropies[] = {0.5623351f, 1.3862944f, 0};
    const float rows[] = {0.25f, 0.75f, 0, 0, 0, 0, 0, 0};
    const int64_t keys[] = {1, 0, -1};
    write_array("told.npy", 'f', 4, 2, (int64_t[]){3, 4}, scores);
    write_array("seen.npy", 'b', 1, 2, (int64_t[]){3, 4}, "\1\1\0\0\1\1\1\1\0\0\0\0");
    write_array("v1.npy", 'f', 4, 2, (int64_t[]){4, 1}, scores);
    run_well("run " TOLD "--weights-heads 0 --weights-rows 0,2 --json");
    cJSON *root = parse_report();
    const cJSON *files = cJSON_GetObjectItem(root, "files");
    assert_int_equal(4, cJSON_GetArraySize(files)); /* of the output nobody asked for */
    assert_string_equal("column_sums", string_of(cJSON_GetArrayItem(files, 1), "name"));
    assert_string_equal("int64", string_of(cJSON_GetArrayItem(files, 2), "dtype"));
    cJSON_Delete(root);
    assert_floats("c.npy", columns, 4);
    assert_floats("e.npy", entropies, 3);
    assert_floats("w.npy", rows, 8);
    npy_array a = read_array("a.npy", 'i', 8);
    assert_int_equal(1, a.rank);
    assert_int_equal(3, a.count);
    assert_memory_equal(keys, a.data, sizeof keys);
    npy_free(&a);
    run_well("run --given-scores told.npy --value v1.npy --weights w.npy --weights-rows 0-0,1-2");
    a = read_array("w.npy", 'f', 4);
    assert_int_equal(3, a.shape[0]);
    npy_free(&a);
}

static void verify_holds_what_is_told_against_bounds(void **state)
{
    (void)state;
    static const char *const names[] = {"output", "weights", "column_sums", "argmax", "entropy"};
    run_well("verify " TOLD "--weights-rows 1 --json");
    cJSON *root = parse_report();
    const cJSON *outputs = cJSON_GetObjectItem(root, "outputs");
    assert_int_equal(5, cJSON_GetArraySize(outputs));
    for (int i = 0; i < 5; i++) {
        const cJSON *output = cJSON_GetArrayItem(outputs, i);
        assert_string_equal(names[i], string_of(output, "name"));
        assert_true(number_of(output, "error") <= number_of(output, "bound"));
    }
    cJSON_Delete(root);
    run_well(
        "verify --given-scores told.npy --mask seen.npy --value v1.npy --weights-rows 1 --expect "
        "column_sums=c.npy --expect argmax=a.npy --expect entropy=e.npy --expect weights=w.npy");
    write_array("a.npy", 'i', 4, 1, (int64_t[]){3}, (int32_t[]){1, 1, -1});
    assert_int_equal(1, run_program("", "verify --given-scores told.npy --mask seen.npy --value "
                                        "v1.npy --expect argmax=a.npy"));
    assert_non_null(strstr(standard_error, "a.npy: error 1; expected at most 0"));
    run_well("bench " TOLD "--weights-rows 0-2 --rounds 2");
    assert_non_null(strstr(standard_output, "a.npy (3,) int64"));
#undef TOLD
}

/* Two packed sequences, of 1 query and 2 keys, and of 2 queries and 3 keys, are what each of them is. */
static void packed_sequences_are_taken(void **state)
{
    (void)state;
    float q[3 * 2 * 4], k[5 * 2 * 4], v[5 * 2 * 6];
    for (int i = 0; i < 60; i++) {
        if (i < 24)
            q[i] = (float)(i * 7 % 11) - 5;
        if (i < 40)
            k[i] = (float)(i * 5 % 13) - 6;
        v[i] = (float)(i * 3 % 17) - 8;
    }
    write_array("pq.npy", 'f', 4, 3, (int64_t[]){3, 2, 4}, q);
    write_array("pk.npy", 'f', 4, 3, (int64_t[]){5, 2, 4}, k);
    write_array("pv.npy", 'f', 4, 3, (int64_t[]){5, 2, 6}, v);
    write_array("pm.npy", 'i', 8, 1, (int64_t[]){3}, (int64_t[]){0, 1, 3});
    write_array("pn.npy", 'i', 8, 1, (int64_t[]){3}, (int64_t[]){0, 2, 5});
    write_array("q1.npy", 'f', 4, 4, (int64_t[]){1, 2, 2, 4}, q + 8);
    write_array("k1.npy", 'f', 4, 4, (int64_t[]){1, 3, 2, 4}, k + 16);
    write_array("v1.npy", 'f', 4, 4, (int64_t[]){1, 3, 2, 6}, v + 24);
#define PACKED                                                                                     \
    "--query pq.npy --key pk.npy --value pv.npy --cu-seqlens-q pm.npy --cu-seqlens-k pn.npy "      \
    "--causal --alignment bottom-right "
    run_well("run " PACKED "--output o.npy --lse l.npy --json");
    cJSON *root = parse_report();
    const cJSON *shape = cJSON_GetObjectItem(root, "shape");
    assert_int_equal(2, (int)number_of(shape, "B"));
    assert_int_equal(3, (int)number_of(shape, "total_q"));
    assert_int_equal(5, (int)number_of(shape, "total_k"));
    cJSON_Delete(root);
    run_well("run --query q1.npy --key k1.npy --value v1.npy --layout bshd --causal --alignment "
             "bottom-right --output o1.npy --lse l1.npy");
    npy_array all = read_array("o.npy", 'f', 4), one = read_array("o1.npy", 'f', 4);
    assert_int_equal(3, all.rank);
    assert_int_equal(36, all.count);
    assert_memory_equal((float *)all.data + 12, one.data, 24 * sizeof(float));
    npy_free(&all);
    npy_free(&one);
    all = read_array("l.npy", 'f', 4), one = read_array("l1.npy", 'f', 4);
    assert_int_equal(2, all.rank);
    const float *rows = all.data, *rows_of_one = one.data;
    assert_memory_equal(rows + 1, rows_of_one, 2 * sizeof(float)); /* of one head, and the other */
    assert_memory_equal(rows + 4, rows_of_one + 2, 2 * sizeof(float));
    npy_free(&all);
    npy_free(&one);
    run_well("verify " PACKED "--dtype bf16 --lse l.npy --json");
    root = parse_report();
    assert_int_equal(6, (int)number_of(root, "rows"));
    cJSON_Delete(root);
    run_well("verify " PACKED "--expect output=o.npy");
    run_well("bench " PACKED "--rounds 2 --variants lanes,staged");
    assert_non_null(strstr(standard_output, "B 2, Hq 2, Hkv 2, total_q 3, total_k 5, D 4, Dv 6"));
    assert_non_null(strstr(standard_output, "staged"));
    assert_null(strstr(standard_output, "refused"));
#undef PACKED
}

static void empty_batches_give_empty_files(void **state)
{
    (void)state;
    write_array("q0.npy", 'f', 4, 3, (int64_t[]){2, 0, 4}, "");
    run_well("run --query q0.npy --key k.npy --value v.npy --output o.npy");
    npy_array a = read_array("o.npy", 'f', 4);
    assert_int_equal(0, a.count);
    assert_int_equal(6, a.shape[2]);
    npy_free(&a);
}

static void outputs_keep_links_rights_and_devices(void **state)
{
    (void)state;
    struct stat status;
    assert_int_equal(
        0, system("echo old >real.npy; chmod 640 real.npy; ln -s real.npy soft.npy; umask 022"));
    run_well("run " QKV "--output soft.npy --weights /dev/null");
    assert_int_equal(0, lstat("soft.npy", &status));
    assert_true(S_ISLNK(status.st_mode));
    assert_int_equal(0, stat("real.npy", &status));
    assert_int_equal(0640, status.st_mode & 0777);
    npy_array a = read_array("real.npy", 'f', 4);
    assert_int_equal(36, a.count);
    npy_free(&a);
    assert_int_equal(0, stat("/dev/null", &status));
    assert_true(S_ISCHR(status.st_mode));
    assert_int_not_equal(0, system("ls | grep -q tmp-"));
}

static void run_reports_json(void **state)
{
    (void)state;
    run_well("run " QKV "--output o.npy --json --explain");
    cJSON *root = parse_report();
    assert_true(number_of(root, "seconds") > 0);
    assert_true(number_of(root, "gflops") >= 0);
    assert_true(strlen(string_of(root, "device")) > 0);
    assert_string_equal("decode", string_of(root, "variant"));
    assert_true(cJSON_GetArraySize(cJSON_GetObjectItem(root, "explain")) >= 2);
    const cJSON *file = cJSON_GetArrayItem(cJSON_GetObjectItem(root, "files"), 0);
    assert_string_equal("o.npy", string_of(file, "file"));
    assert_int_equal(5, (int)number_of(cJSON_GetObjectItem(root, "shape"), "T"));
    cJSON_Delete(root);
}

static void the_reference_takes_over_with_a_warning(void **state)
{
    (void)state;
    assert_int_equal(0, run_program(NO_DEVICE, "run " QKV "--output o.npy --json"));
    assert_non_null(strstr(standard_error, "warning"));
    cJSON *root = parse_report();
    assert_string_equal("reference", string_of(root, "variant"));
    assert_non_null(strstr(string_of(root, "warning"), "no OpenCL device"));
    cJSON_Delete(root);
    assert_int_equal(0, run_program(NO_DEVICE, "devices --json"));
    assert_string_equal("[]\n", standard_output);
    assert_int_equal(0, run_program(NO_DEVICE, "devices"));
    assert_non_null(strstr(standard_output, "reference"));
}

static void values_may_look_like_options(void **state)
{
    (void)state;
    run_well("run " QKV "--output=--causal --scale -1 --window -1,0 --lse=l.npy");
    npy_array a = read_array("./--causal", 'f', 4);
    assert_int_equal(36, a.count);
    npy_free(&a);
}

static void devices_are_listed(void **state)
{
    (void)state;
    run_well("devices --json");
    cJSON *root = parse_report();
    assert_true(cJSON_GetArraySize(root) > 0);
    assert_int_equal(0, (int)number_of(cJSON_GetArrayItem(root, 0), "index"));
    run_well("devices");
    assert_non_null(strstr(standard_output, string_of(cJSON_GetArrayItem(root, 0), "name")));
    cJSON_Delete(root);
}

static void verify_holds_errors_against_bounds(void **state)
{
    (void)state;
    run_well("verify " SENTENCES "--json --weights w.npy --sample 20 "
             "--expect output=\"$CLATTN_DATA/sentences/expected_output.npy\" "
             "--expect 'weights[0]'=\"$CLATTN_DATA/sentences/expected_weights_sentence0.npy\"");
    cJSON *root = parse_report();
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(root, "ok")));
    assert_int_equal(20, (int)number_of(root, "rows"));
    const cJSON *outputs = cJSON_GetObjectItem(root, "outputs");
    assert_int_equal(2, cJSON_GetArraySize(outputs));
    assert_string_equal("weights", string_of(cJSON_GetArrayItem(outputs, 1), "name"));
    assert_true(number_of(cJSON_GetArrayItem(outputs, 0), "error") <=
                number_of(cJSON_GetArrayItem(outputs, 0), "bound"));
    assert_int_equal(2, cJSON_GetArraySize(cJSON_GetObjectItem(root, "expected")));
    cJSON_Delete(root);
}

static void verify_fails_on_what_is_not_expected(void **state)
{
    (void)state;
    run_well("run " QKV "--output o.npy");
    npy_array a = read_array("o.npy", 'f', 4);
    ((float *)a.data)[7] += 1e-3f;
    write_array("off.npy", 'f', 4, 3, a.shape, a.data);
    ((float *)a.data)[7] = NAN;
    write_array("nan.npy", 'f', 4, 3, a.shape, a.data);
    npy_free(&a);
    run_well("verify " QKV "--expect output=o.npy");
    assert_int_equal(1, run_program("", "verify " QKV "--expect output=off.npy"));
    assert_non_null(strstr(standard_error, "off.npy"));
    assert_non_null(strstr(standard_output, "OUTSIDE"));
    assert_int_equal(1, run_program("", "verify " QKV "--json --expect output=nan.npy"));
    cJSON *root = parse_report();
    assert_true(cJSON_IsFalse(cJSON_GetObjectItem(root, "ok")));
    assert_string_equal(
        "inf", string_of(cJSON_GetArrayItem(cJSON_GetObjectItem(root, "expected"), 0), "error"));
    cJSON_Delete(root);
}

static void bench_times_variants_side_by_side(void **state)
{
    (void)state;
    run_well("bench --shape 2,4,2,9,17,8,16 --causal --variants staged,reference --rounds 3 --json "
             "--explain --lse l.npy");
    cJSON *root = parse_report();
    assert_int_equal(2, cJSON_GetArraySize(root));
    const cJSON *staged = cJSON_GetArrayItem(root, 0);
    assert_string_equal("staged", string_of(staged, "variant"));
    assert_true(number_of(staged, "best") > 0);
    assert_true(number_of(staged, "best") <= number_of(staged, "median"));
    assert_true(number_of(staged, "gflops") > 0);
    assert_true(number_of(staged, "gbs") > 0);
    assert_true(number_of(staged, "peak_share") > 0);
    assert_true(number_of(staged, "bandwidth_share") > 0);
    const cJSON *reference = cJSON_GetArrayItem(root, 1);
    assert_true(strlen(string_of(reference, "refused")) > 0);
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(reference, "seconds")));
    /* Of the library's own choice, not of a forced one. */
    const cJSON *line;
    cJSON_ArrayForEach(line, cJSON_GetObjectItem(staged, "explain"))
        assert_null(strstr(cJSON_GetStringValue(line), "asked for"));
    cJSON_Delete(root);
    npy_array lse = read_array("l.npy", 'f', 4);
    assert_int_equal(2 * 4 * 9, lse.count);
    npy_free(&lse);
    run_well("bench " QKV "--device all --rounds 2");
    assert_non_null(strstr(standard_output, "GFLOP/s"));
}

static void help_teaches(void **state)
{
    (void)state;
    static const char *const commands[] = {"", "devices", "run", "verify", "bench", "plot"};
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        char arguments[32];
        snprintf(arguments, sizeof arguments, "%s --help", commands[i]);
        run_well(arguments);
        assert_non_null(strstr(standard_output, "usage: clattn"));
        assert_non_null(strstr(standard_output, commands[i]));
    }
    run_well("run -h");
    assert_non_null(strstr(standard_output, "usage: clattn run"));
    run_well("--version");
    assert_int_equal(0, strncmp("clattn ", standard_output, 7));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentences_give_the_expected_output),
        cmocka_unit_test(orders_and_endians_make_no_difference),
        cmocka_unit_test(entries_of_a_file_of_tensors_are_inputs),
        cmocka_unit_test(every_type_gives_files_numpy_knows),
        cmocka_unit_test(lengths_masks_and_given_scores_are_taken),
        cmocka_unit_test(weights_are_told_of_without_all_of_them),
        cmocka_unit_test(verify_holds_what_is_told_against_bounds),
        cmocka_unit_test(packed_sequences_are_taken),
        cmocka_unit_test(empty_batches_give_empty_files),
        cmocka_unit_test(outputs_keep_links_rights_and_devices),
        cmocka_unit_test(run_reports_json),
        cmocka_unit_test(the_reference_takes_over_with_a_warning),
        cmocka_unit_test(values_may_look_like_options),
        cmocka_unit_test(devices_are_listed),
        cmocka_unit_test(verify_holds_errors_against_bounds),
        cmocka_unit_test(verify_fails_on_what_is_not_expected),
        cmocka_unit_test(bench_times_variants_side_by_side),
        cmocka_unit_test(help_teaches),
    };
    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
