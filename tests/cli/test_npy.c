/* The .npy reader on files made byte by byte: all versions,
 * orders and types, and headers that lie. */
#include "npy.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static char path[64];

static int make_folder(void **state)
{
    (void)state;
    char folder[] = "/tmp/clattn-npy-XXXXXX";
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(path, sizeof path, "%s/a.npy", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    *strrchr(path, '/') = '\0';
    return rmdir(path);
}

/* Writes magic, version, the dict with its length, and the elements. */
static void write_file(int major, const char *dict, const void *data, size_t bytes)
{
    size_t length = strlen(dict);
    unsigned char head[12] = {0x93, 'N', 'U', 'M', 'P', 'Y', (unsigned char)major, 0};
    size_t head_bytes = major == 1 ? 10 : 12;
    head[8] = (unsigned char)(length & 255);
    head[9] = (unsigned char)(length >> 8);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(head_bytes, fwrite(head, 1, head_bytes, file));
    assert_int_equal(length, fwrite(dict, 1, length, file));
    if (bytes)
        assert_int_equal(bytes, fwrite(data, 1, bytes, file));
    assert_int_equal(0, fclose(file));
}

/* 2 by 3, as float32, in each way a file can hold it; the values are exact in all of them. */
static const float matrix[6] = {0, 1, 2, 3, 4, 5};
#define LITTLE_C "\0\0\0\0\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40\0\0\x80\x40\0\0\xa0\x40"
#define BIG_C "\0\0\0\0\x3f\x80\0\0\x40\0\0\0\x40\x40\0\0\x40\x80\0\0\x40\xa0\0\0"
#define LITTLE_F "\0\0\0\0\0\0\x40\x40\0\0\x80\x3f\0\0\x80\x40\0\0\0\x40\0\0\xa0\x40"
#define BIG_F "\0\0\0\0\x40\x40\0\0\x3f\x80\0\0\x40\x80\0\0\x40\0\0\0\x40\xa0\0\0"

static const struct good_file {
    const char *name;
    int major;
    const char *dict, *bytes;
} good_files[] = {
    {"1.0, C, little", 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", LITTLE_C},
    {"2.0, C, big", 2, "{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3), }\n", BIG_C},
    {"3.0, Fortran, little", 3, "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}   \n",
     LITTLE_F},
    {"1.0, Fortran, big", 1, "{'descr': '>f4', 'fortran_order': True, 'shape': (2, 3), }", BIG_F},
    {"keys in another order, double quotes, sizes of Python 2", 1,
     "{\"shape\":(2L,3L),\"fortran_order\":False,\"descr\":\"<f4\"}", LITTLE_C},
};

static void reads_a_matrix_in_every_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good_files / sizeof good_files[0]; i++) {
        const struct good_file *g = &good_files[i];
        npy_array a;
        print_message("%s\n", g->name);
        write_file(g->major, g->dict, g->bytes, 24);
        assert_int_equal(CLI_DONE, npy_read(&a, "query", path));
        assert_int_equal('f', a.kind);
        assert_int_equal(4, a.size);
        assert_int_equal(2, a.rank);
        assert_int_equal(2, a.shape[0]);
        assert_int_equal(3, a.shape[1]);
        assert_memory_equal(matrix, a.data, sizeof matrix);
        npy_free(&a);
    }
}

static void turns_four_fortran_axes(void **state)
{
    (void)state;
    unsigned char file[2 * 3 * 4 * 5], want[2 * 3 * 4 * 5];
    npy_array a;
    for (size_t i = 0; i < 2; i++)
        for (size_t j = 0; j < 3; j++)
            for (size_t k = 0; k < 4; k++)
                for (size_t l = 0; l < 5; l++) {
                    unsigned char value = (unsigned char)(((i * 3 + j) * 4 + k) * 5 + l);
                    want[value] = value;
                    file[((l * 4 + k) * 3 + j) * 2 + i] = value;
                }
    write_file(1, "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3, 4, 5), }", file,
               sizeof file);
    assert_int_equal(CLI_DONE, npy_read(&a, "mask", path));
    assert_memory_equal(want, a.data, sizeof want);
    npy_free(&a);
}

static void reads_each_type(void **state)
{
    (void)state;
    static const struct {
        const char *type, *name;
    } types[] = {{"<f2", "float16"}, {"<f4", "float32"}, {">f8", "float64"}, {"|b1", "bool"},
                 {"|i1", "int8"},    {"<i2", "int16"},   {">i4", "int32"},   {"<i8", "int64"},
                 {"|u1", "uint8"},   {">u2", "uint16"},  {"<u4", "uint32"},  {"<u8", "uint64"}};
    const unsigned char bytes[16] = {0};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        char dict[96];
        npy_array a;
        snprintf(dict, sizeof dict, "{'descr': '%s', 'fortran_order': False, 'shape': (2,), }",
                 types[i].type);
        write_file(1, dict, bytes, (size_t)(types[i].type[2] - '0') * 2);
        assert_int_equal(CLI_DONE, npy_read(&a, "kv-lengths", path));
        assert_string_equal(types[i].name, npy_type_name(a.kind, a.size));
        assert_int_equal(2, a.count);
        npy_free(&a);
    }
}

static void reads_empty_and_scalar(void **state)
{
    (void)state;
    npy_array a;
    write_file(1, "{'descr': '<f4', 'fortran_order': True, 'shape': (0, 7), }", NULL, 0);
    assert_int_equal(CLI_DONE, npy_read(&a, "query", path));
    assert_int_equal(0, a.count);
    assert_int_equal(7, a.shape[1]);
    npy_free(&a);
    write_file(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (), }", "\0\0\x80\x3f", 4);
    assert_int_equal(CLI_DONE, npy_read(&a, "query", path));
    assert_int_equal(0, a.rank);
    assert_int_equal(1, a.count);
    npy_free(&a);
}

/* Each is refused in one sentence that names the argument and the file and holds `word`. */
static const struct bad_file {
    const char *word, *dict;
} bad_files[] = {
    {"is cut", "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000), }"},
    {"larger than memory", "{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, "
                           "4294967296), }"},
    {"larger than memory",
     "{'descr': '<f8', 'fortran_order': False, 'shape': (0, 4294967296, 4294967296), }"},
    {"larger than memory",
     "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,), }"},
    {"beyond 64 bits",
     "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }"},
    {"no size", "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3), }"},
    {"not a tuple", "{'descr': '<f4', 'fortran_order': False, 'shape': (6), }"},
    {"not a tuple", "{'descr': '<f4', 'fortran_order': False, 'shape': [2, 3], }"},
    {"comma", "{'descr': '<f4', 'fortran_order': False, 'shape': (2 3), }"},
    {"5 axes", "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 2, 3), }"},
    {"'<c8'", "{'descr': '<c8', 'fortran_order': False, 'shape': (3,), }"},
    {"'|O'", "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }"},
    {"'<f16'", "{'descr': '<f16', 'fortran_order': False, 'shape': (1,), }"},
    {"''", "{'descr': '', 'fortran_order': False, 'shape': (1,), }"},
    {"simple type", "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }"},
    {"neither True nor False", "{'descr': '<f4', 'fortran_order': 1, 'shape': (2, 3), }"},
    {"'shape'", "{'descr': '<f4', 'fortran_order': False, }"},
    {"'descr'", "{'fortran_order': False, 'shape': (2, 3), }"},
    {"'fortran_order'", "{'descr': '<f4', 'shape': (2, 3), }"},
    {"twice", "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"},
    {"'evil'", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'evil': 1}"},
    {"cut", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), "},
    {"comma", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3"},
    {"simple type", "{'descr': '<f4"},
    {"behind the dict", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } x"},
    {"not a dict", "descr: '<f4'"},
    {"not a dict", ""},
};

static void refuses_headers_that_lie(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_files / sizeof bad_files[0]; i++) {
        npy_array a;
        print_message("%s\n", bad_files[i].dict);
        write_file(1, bad_files[i].dict, LITTLE_C, 24);
        assert_int_equal(CLI_BAD_INPUT, npy_read(&a, "query", path));
        assert_null(a.data);
        assert_non_null(strstr(cli_sentence(), bad_files[i].word));
        assert_non_null(strstr(cli_sentence(), "--query"));
        assert_non_null(strstr(cli_sentence(), path));
    }
}

static void refuses_other_files(void **state)
{
    (void)state;
    static const struct {
        const char *word, *bytes;
        size_t length;
    } others[] = {
        {"is empty", "", 0},
        {"\\x93NUMPY", "PK\3\4", 4},
        {"\\x93NUMPY", "\x93NUMPX\1\0\0\0", 10},
        {"version 9.0", "\x93NUMPY\x09\0\0\0", 10},
        {"version 1.1", "\x93NUMPY\1\1\0\0", 10},
        {"header", "\x93NUMPY\1\0\xff\xff{", 11},
        {"header of 4294967295 bytes", "\x93NUMPY\2\0\xff\xff\xff\xff{", 13},
        {"not a dict", "\x93NUMPY\2\0\xff\xff", 10},
    };
    npy_array a;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        assert_int_equal(others[i].length, fwrite(others[i].bytes, 1, others[i].length, file));
        assert_int_equal(0, fclose(file));
        assert_int_equal(CLI_BAD_INPUT, npy_read(&a, "key", path));
        assert_non_null(strstr(cli_sentence(), others[i].word));
    }
    assert_int_equal(CLI_BAD_INPUT, npy_read(&a, "key", "/tmp"));
    assert_int_equal(CLI_BAD_INPUT, npy_read(&a, "key", "/nowhere/at/all.npy"));
    assert_non_null(strstr(cli_sentence(), "No such file"));
}

static void writes_what_it_reads(void **state)
{
    (void)state;
    const int64_t shape[4] = {1, 2, 3, 1};
    char header[NPY_HEADER_MAX];
    npy_array a;
    size_t length = npy_header(header, 'f', 4, 4, shape);
    assert_int_equal(0, length % 64);
    assert_int_equal('\n', header[length - 1]);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(length, fwrite(header, 1, length, file));
    assert_int_equal(sizeof matrix, fwrite(matrix, 1, sizeof matrix, file));
    assert_int_equal(0, fclose(file));
    assert_int_equal(CLI_DONE, npy_read(&a, "query", path));
    assert_int_equal(4, a.rank);
    assert_memory_equal(shape, a.shape, sizeof shape);
    assert_memory_equal(matrix, a.data, sizeof matrix);
    npy_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_matrix_in_every_form),
        cmocka_unit_test(turns_four_fortran_axes),
        cmocka_unit_test(reads_each_type),
        cmocka_unit_test(reads_empty_and_scalar),
        cmocka_unit_test(refuses_headers_that_lie),
        cmocka_unit_test(refuses_other_files),
        cmocka_unit_test(writes_what_it_reads),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
