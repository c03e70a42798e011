/* program.h: runs the program as a user does, in a folder of its own with small input files.
 *
 * The files: q.npy (2, 3, 4), k.npy (2, 5, 4), v.npy (2, 5, 6), n.npy (2) int32 lengths 5 and 2,
 * m.npy (3, 5) bool; t.safetensors with the same five as entries q, k, v, n and m. */
#ifndef TESTS_CLI_PROGRAM_H
#define TESTS_CLI_PROGRAM_H

#include "npy.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define QKV "--query q.npy --key k.npy --value v.npy "

/* Before the program: a machine without a device, on which the reference may take over. */
#define NO_DEVICE                                                                                  \
    "OCL_ICD_VENDORS=/nowhere OCL_ICD_FILENAMES= CLATTN_DEVICE= CLATTN_REQUIRE_DEVICE="

static char folder[64];
static char standard_output[1 << 16], standard_error[1 << 16];

static inline void read_back(char *text, size_t capacity, const char *path)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    text[fread(text, 1, capacity - 1, file)] = '\0';
    assert_int_equal(0, fclose(file));
}

/* Runs `before` "$CLATTN_PROGRAM" `arguments` by the shell, in the folder; gives the exit code,
 * keeps what was said. */
static inline int run_program(const char *before, const char *arguments)
{
    char command[2048];
    snprintf(command, sizeof command, "%s \"$CLATTN_PROGRAM\" %s >stdout.txt 2>stderr.txt", before,
             arguments);
    int status = system(command);
    read_back(standard_output, sizeof standard_output, "stdout.txt");
    read_back(standard_error, sizeof standard_error, "stderr.txt");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline void write_array(const char *name, char kind, size_t size, uint32_t rank,
                               const int64_t *shape, const void *data)
{
    char header[NPY_HEADER_MAX];
    size_t bytes = size;
    FILE *file = fopen(name, "wb");
    assert_non_null(file);
    for (uint32_t i = 0; i < rank; i++)
        bytes *= (size_t)shape[i];
    size_t length = npy_header(header, kind, size, rank, shape);
    assert_int_equal(length, fwrite(header, 1, length, file));
    assert_int_equal(bytes, fwrite(data, 1, bytes, file));
    assert_int_equal(0, fclose(file));
}

static inline void write_text(const char *name, const char *text)
{
    FILE *file = fopen(name, "wb");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(0, fclose(file));
}

static inline void write_tensors(const float *q, const float *k, const float *v, const int32_t *n,
                                 const char *m)
{
    static const char header[] =
        "{\"q\":{\"dtype\":\"F32\",\"shape\":[2,3,4],\"data_offsets\":[0,96]},"
        "\"k\":{\"dtype\":\"F32\",\"shape\":[2,5,4],\"data_offsets\":[96,256]},"
        "\"v\":{\"dtype\":\"F32\",\"shape\":[2,5,6],\"data_offsets\":[256,496]},"
        "\"n\":{\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[496,504]},"
        "\"m\":{\"dtype\":\"BOOL\",\"shape\":[3,5],\"data_offsets\":[504,519]}}";
    const char length[8] = {(char)((sizeof header - 1) & 255), (char)((sizeof header - 1) >> 8)};
    FILE *file = fopen("t.safetensors", "wb");
    assert_non_null(file);
    assert_int_equal(8, fwrite(length, 1, 8, file));
    assert_true(fputs(header, file) >= 0);
    assert_int_equal(24, fwrite(q, 4, 24, file));
    assert_int_equal(40, fwrite(k, 4, 40, file));
    assert_int_equal(60, fwrite(v, 4, 60, file));
    assert_int_equal(2, fwrite(n, 4, 2, file));
    assert_int_equal(15, fwrite(m, 1, 15, file));
    assert_int_equal(0, fclose(file));
}

/* Goes into a new folder and leaves its name in `folder`. */
static inline int enter_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/clattn-cli-XXXXXX");
    if (!mkdtemp(folder) || chdir(folder) != 0)
        return -1;
    static const char m[] = "\1\1\1\0\0\1\1\1\1\0\1\1\1\1\1";
    const int32_t n[] = {5, 2};
    float q[24], k[40], v[60];
    for (int i = 0; i < 60; i++) {
        if (i < 24)
            q[i] = (float)(i % 7) - 3;
        if (i < 40)
            k[i] = 0.25f * (float)(i % 5) - 0.5f;
        v[i] = 0.125f * (float)i;
    }
    write_array("q.npy", 'f', 4, 3, (int64_t[]){2, 3, 4}, q);
    write_array("k.npy", 'f', 4, 3, (int64_t[]){2, 5, 4}, k);
    write_array("v.npy", 'f', 4, 3, (int64_t[]){2, 5, 6}, v);
    write_array("n.npy", 'i', 4, 1, (int64_t[]){2}, n);
    write_array("m.npy", 'b', 1, 2, (int64_t[]){3, 5}, m);
    write_tensors(q, k, v, n, m);
    return 0;
}

static inline int leave_folder(void **state)
{
    (void)state;
    char command[128];
    if (chdir("/") != 0)
        return -1;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

#endif
