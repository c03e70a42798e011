/* The reader of .safetensors entries on files made byte by byte: every type, and files that lie. */
#include "arrays.h"
#include "support/named_tests.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[64];
static char path[128], entry[160]; /* the file, and the entry "x" in it */

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/clattn-safetensors-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(path, sizeof path, "%s/a.safetensors", folder);
    (void)snprintf(entry, sizeof entry, "%s:x", path);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static void write_bytes(const void *bytes, size_t count)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(count, fwrite(bytes, 1, count, file));
    assert_int_equal(0, fclose(file));
}

/* Puts a file together in `bytes` and gives its length. */
static size_t assemble(unsigned char *bytes, const char *header, const void *data, size_t count)
{
    const size_t length = strlen(header);
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)((uint64_t)length >> (8 * i));
    for (size_t i = 0; i < length; i++)
        bytes[8 + i] = (unsigned char)header[i];
    memcpy(bytes + 8 + length, data, count);
    return 8 + length + count;
}

/* Twelve bytes of elements. */
static const char twelve[] = "\0\0\x80\x3f\0\0\0\x40\0\0\x40\xc0";

static const struct good_entry {
    const char *name, *header;
    const char *type;
    int64_t shape[3]; /* -1 behind the last */
    const char *bytes;
    size_t count; /* of bytes */
} good_entries[] = {
    {"F32",
     "{\"x\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}}",
     "float32",
     {3, -1},
     "\0\0\x80\x3f\0\0\0\x40\0\0\x40\xc0",
     12},
    {"F16",
     "{\"x\":{\"dtype\":\"F16\",\"shape\":[2,3],\"data_offsets\":[0,12]}}",
     "float16",
     {2, 3, -1},
     twelve,
     12},
    {"BF16",
     "{\"x\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[2,6]}}",
     "bfloat16",
     {2, -1},
     "\x80\x3f\0\0",
     4},
    {"F64",
     "{\"x\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[4,12]}}",
     "float64",
     {1, -1},
     "\0\0\0\x40\0\0\x40\xc0",
     8},
    {"BOOL",
     "{\"x\":{\"dtype\":\"BOOL\",\"shape\":[2],\"data_offsets\":[1,3]}}",
     "bool",
     {2, -1},
     "\0\x80",
     2},
    {"I32",
     "{\"x\":{\"dtype\":\"I32\",\"shape\":[1,1],\"data_offsets\":[8,12]}}",
     "int32",
     {1, 1, -1},
     "\0\0\x40\xc0",
     4},
    {"I64",
     "{\"x\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]}}",
     "int64",
     {1, -1},
     "\0\0\x80\x3f\0\0\0\x40",
     8},
    {"U8",
     "{\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[11,12]}}",
     "uint8",
     {1, -1},
     "\xc0",
     1},
    {"the second of two, behind metadata, blanks at the end",
     "{\"__metadata__\":{\"format\":\"pt\"},"
     "\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
     "\"x\":{\"data_offsets\":[4,12],\"shape\":[2],\"dtype\":\"F32\"}}      ",
     "float32",
     {2, -1},
     "\0\0\0\x40\0\0\x40\xc0",
     8},
    {"nothing",
     "{\"x\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[12,12]}}",
     "float32",
     {0, 7, -1},
     "",
     0},
    {"one number",
     "{\"x\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}",
     "float32",
     {-1},
     "\0\0\x80\x3f",
     4},
};

static void is_read(void **state)
{
    const struct good_entry *g = *state;
    unsigned char bytes[512];
    npy_array a;
    write_bytes(bytes, assemble(bytes, g->header, twelve, 12));
    if (cli_array_read(&a, "query", entry) != CLI_DONE)
        fail_msg("%s", cli_sentence());
    assert_string_equal(g->type, npy_type_name(a.kind, a.size));
    for (uint32_t axis = 0; axis < a.rank; axis++)
        assert_int_equal(g->shape[axis], a.shape[axis]);
    assert_int_equal(-1, g->shape[a.rank]);
    assert_int_equal(g->count, a.count * a.size);
    assert_memory_equal(g->bytes, a.data, g->count);
    npy_free(&a);
}

static const struct bad_entry {
    const char *words, *header;
} bad_entries[] = {
    {"its header is no JSON object", ""},
    {"its header is no JSON object", "[1, 2]"},
    {"its header is no JSON object",
     "{\"x\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}"},
    {"its header goes on behind the JSON object",
     "{\"x\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}} {}"},
    {"holds no entry", "{}"},
    {"holds no entry", "{\"__metadata__\":{}}"},
    {"has no entry of this name; expected FILE.safetensors:NAME with one of X, y",
     "{\"X\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]},\"y\":1}"},
    {"twice", "{\"x\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]},"
              "\"x\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}}"},
    {"'dtype' is no string", "{\"x\":3}"},
    {"'dtype' is no string", "{\"x\":{\"dtype\":4,\"shape\":[3],\"data_offsets\":[0,12]}}"},
    {"'dtype' is no string", "{\"x\":{\"shape\":[3],\"data_offsets\":[0,12]}}"},
    {"elements of type 'F8_E4M3'; expected F16",
     "{\"x\":{\"dtype\":\"F8_E4M3\",\"shape\":[3],\"data_offsets\":[0,3]}}"},
    {"'shape' is no list", "{\"x\":{\"dtype\":\"F32\",\"shape\":3,\"data_offsets\":[0,12]}}"},
    {"'shape' is no list", "{\"x\":{\"dtype\":\"F32\",\"data_offsets\":[0,12]}}"},
    {"no size", "{\"x\":{\"dtype\":\"F32\",\"shape\":[-3],\"data_offsets\":[0,12]}}"},
    {"no size", "{\"x\":{\"dtype\":\"F32\",\"shape\":[1.5,2],\"data_offsets\":[0,12]}}"},
    {"no size", "{\"x\":{\"dtype\":\"F32\",\"shape\":[\"3\"],\"data_offsets\":[0,12]}}"},
    {"no size", "{\"x\":{\"dtype\":\"F32\",\"shape\":[1e300],\"data_offsets\":[0,12]}}"},
    {"5 axes; expected at most 4",
     "{\"x\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,3],\"data_offsets\":[0,12]}}"},
    {"larger than memory",
     "{\"x\":{\"dtype\":\"F32\",\"shape\":[9007199254740992,9007199254740992],"
     "\"data_offsets\":[0,12]}}"},
    {"larger than memory",
     "{\"x\":{\"dtype\":\"F32\",\"shape\":[0,9007199254740992,9007199254740992],"
     "\"data_offsets\":[0,0]}}"},
    {"'data_offsets'", "{\"x\":{\"dtype\":\"F32\",\"shape\":[3]}}"},
    {"'data_offsets'", "{\"x\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":12}}"},
    {"'data_offsets'", "{\"x\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[12]}}"},
    {"'data_offsets'", "{\"x\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,6,12]}}"},
    {"'data_offsets'", "{\"x\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[-12,0]}}"},
    {"'data_offsets'", "{\"x\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[12,0]}}"},
    {"'data_offsets'", "{\"x\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0.5,12.5]}}"},
    {"'data_offsets'", "{\"x\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[1e18,1e18]}}"},
    {"8 bytes of elements; expected 12 for its type and shape",
     "{\"x\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}"},
    {"12 bytes of elements; expected 24 for its type and shape",
     "{\"x\":{\"dtype\":\"F64\",\"shape\":[3],\"data_offsets\":[0,12]}}"},
    {"is cut: 12 bytes of elements; expected 13",
     "{\"x\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[1,13]}}"},
    {"is cut: 12 bytes of elements; expected 9007199254740992",
     "{\"x\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[9007199254740988,9007199254740992]}"
     "}"},
};

static void assert_refused(const char *words)
{
    npy_array a;
    assert_int_equal(CLI_BAD_INPUT, cli_array_read(&a, "query", entry));
    assert_null(a.data);
    if (!strstr(cli_sentence(), words) || !strstr(cli_sentence(), "--query") ||
        !strstr(cli_sentence(), path))
        fail_msg("'%s' is not in: %s", words, cli_sentence());
}

static void is_refused(void **state)
{
    const struct bad_entry *b = *state;
    unsigned char bytes[512];
    write_bytes(bytes, assemble(bytes, b->header, twelve, 12));
    assert_refused(b->words);
}

#define GOOD "{\"x\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}}"

static void cut_anywhere_is_refused(void **state)
{
    (void)state;
    unsigned char bytes[512];
    const size_t whole = assemble(bytes, GOOD, twelve, 12);
    for (size_t length = 0; length < whole; length++) {
        write_bytes(bytes, length);
        assert_refused(length == 0           ? "is empty"
                       : length < 8          ? "first 8 bytes"
                       : length < whole - 12 ? "bytes of header; expected 55"
                                             : "bytes of elements; expected 12");
    }
}

static void a_length_that_lies_is_refused(void **state)
{
    (void)state;
    unsigned char bytes[512];
    const size_t whole = assemble(bytes, GOOD, twelve, 12);
    memset(bytes, 255, 8);
    write_bytes(bytes, whole);
    assert_refused("a header of 18446744073709551615 bytes");
    memset(bytes, 0, 8);
    write_bytes(bytes, whole);
    assert_refused("no JSON object");
}

/* Whatever a byte of the header becomes, it is read or refused. */
static void a_spoilt_byte_does_no_harm(void **state)
{
    (void)state;
    static const unsigned char becomes[] = {0, '"', '{', '}', '[', ',', '9', '-', 'e', '\\', 255};
    unsigned char bytes[512];
    const size_t whole = assemble(bytes, GOOD, twelve, 12);
    for (size_t at = 0; at < whole; at++) {
        const unsigned char was = bytes[at];
        for (size_t i = 0; i < sizeof becomes; i++) {
            npy_array a;
            bytes[at] = becomes[i];
            write_bytes(bytes, whole);
            const int result = cli_array_read(&a, "query", entry);
            assert_true(result == CLI_BAD_INPUT || (result == CLI_DONE && a.count * a.size <= 12));
            npy_free(&a);
        }
        bytes[at] = was;
    }
}

static void names_may_hold_anything(void **state)
{
    (void)state;
    unsigned char bytes[512];
    char named[256];
    npy_array a;
    write_bytes(bytes, assemble(bytes,
                                "{\"a:b.safetensors:\xc3\xbc c\":{\"dtype\":\"F32\",\"shape\":[3],"
                                "\"data_offsets\":[0,12]}}",
                                twelve, 12));
    (void)snprintf(named, sizeof named, "%s:a:b.safetensors:\xc3\xbc c", path);
    assert_int_equal(CLI_DONE, cli_array_read(&a, "query", named));
    npy_free(&a);
    assert_int_equal(CLI_BAD_INPUT, cli_array_read(&a, "query", path));
    assert_non_null(strstr(cli_sentence(), "names a file of several tensors; expected "
                                           "FILE.safetensors:NAME with one of a:b.safetensors"));
    (void)snprintf(named, sizeof named, "%s:", path);
    assert_int_equal(CLI_BAD_INPUT, cli_array_read(&a, "query", named));
    assert_non_null(strstr(cli_sentence(), "names a file of several tensors"));
}

static void many_names_are_cut_short(void **state)
{
    (void)state;
    static unsigned char bytes[8192];
    static char header[8000];
    size_t used = 0;
    for (int i = 0; i < 100; i++)
        used += (size_t)snprintf(header + used, sizeof header - used,
                                 "%s\"name %d\":{\"dtype\":\"F32\"}", i ? "," : "{", i);
    (void)snprintf(header + used, sizeof header - used, "}");
    write_bytes(bytes, assemble(bytes, header, "", 0));
    assert_refused("name 0, name 1, ");
    assert_non_null(strstr(cli_sentence(), ", ..."));
}

static void other_files_are_refused(void **state)
{
    (void)state;
    npy_array a;
    unlink(path);
    assert_refused("No such file or directory; expected a .safetensors file");
    assert_int_equal(0, symlink("/tmp", path));
    assert_refused("no regular file; expected a .safetensors file");
    unlink(path);
    assert_int_equal(CLI_BAD_INPUT, cli_array_read(&a, "query", "no.safetensors/file.npy"));
    assert_non_null(strstr(cli_sentence(), "expected an .npy file"));
}

int main(void)
{
    named_tests good = {0}, bad = {0};
    int failures;
    for (size_t i = 0; i < sizeof good_entries / sizeof good_entries[0]; i++)
        named_tests_add(&good, good_entries[i].name, is_read, &good_entries[i]);
    named_tests_add(&good, "names may hold anything", names_may_hold_anything, NULL);
    for (size_t i = 0; i < sizeof bad_entries / sizeof bad_entries[0]; i++)
        named_tests_add(&bad, bad_entries[i].header, is_refused, &bad_entries[i]);
    named_tests_add(&bad, "cut anywhere", cut_anywhere_is_refused, NULL);
    named_tests_add(&bad, "a length that lies", a_length_that_lies_is_refused, NULL);
    named_tests_add(&bad, "a spoilt byte", a_spoilt_byte_does_no_harm, NULL);
    named_tests_add(&bad, "many names are cut short", many_names_are_cut_short, NULL);
    named_tests_add(&bad, "other files", other_files_are_refused, NULL);
    failures = named_tests_run(&good, "safetensors, read", make_folder, remove_folder);
    failures += named_tests_run(&bad, "safetensors, refused", make_folder, remove_folder);
    return failures;
}
