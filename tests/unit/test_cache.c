/* src/cache: what was saved comes back byte for byte, or
 * not at all. Each test has a folder of its own. */
#include "cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOBODY 65534
#define PROCESSES 8
#define ROUNDS 60
#define FILE_SIZE 4096

static const char key[] = "source, options, device, driver";
static const char payload[] = "\177ELF, or what else a driver calls a program";

static char root[PATH_MAX / 4];   /* made for each test */
static char folder[PATH_MAX / 2]; /* the cache's, below it */

static int set_up(void **state)
{
    (void)state;
    const char *temporary = getenv("TMPDIR");
    (void)snprintf(root, sizeof root, "%s/clattn-cache-XXXXXX", temporary ? temporary : "/tmp");
    if (!mkdtemp(root))
        return -1;
    (void)snprintf(folder, sizeof folder, "%s/cache", root);
    return setenv("CLATTN_CACHE_DIR", folder, 1);
}

static int tear_down(void **state)
{
    (void)state;
    char command[PATH_MAX];
    (void)snprintf(command, sizeof command, "chmod -R u+rwX '%s' && rm -rf '%s'", root, root);
    return system(command); /* NOLINT(cert-env33-c): the path is ours */
}

static bool hits(const char *wanted_key, const void *wanted, size_t wanted_size)
{
    void *data = NULL;
    size_t size = 0;
    if (!clattn__cache_load(wanted_key, strlen(wanted_key), &data, &size))
        return false;
    bool same = size == wanted_size && memcmp(data, wanted, size) == 0;
    free(data);
    assert_true(same);
    return true;
}

static void save(void)
{
    clattn__cache_save(key, strlen(key), payload, sizeof payload);
}

static bool saved(void)
{
    return hits(key, payload, sizeof payload);
}

/* The path of the only file of a folder; fails when there is another number of them. */
static void only_file(char path[PATH_MAX], const char *of)
{
    DIR *list = opendir(of);
    int files = 0;
    assert_non_null(list);
    for (struct dirent *entry; (entry = readdir(list));) {
        if (entry->d_name[0] == '.')
            continue;
        const int length = snprintf(path, PATH_MAX, "%s/%s", of, entry->d_name);
        assert_true(length > 0 && length < PATH_MAX);
        files++;
    }
    (void)closedir(list);
    assert_int_equal(files, 1);
}

static size_t read_file(const char *path, unsigned char bytes[FILE_SIZE])
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t size = fread(bytes, 1, FILE_SIZE, file);
    assert_int_equal(fclose(file), 0);
    assert_in_range(size, 1, FILE_SIZE - 1);
    return size;
}

static void write_file(const char *path, const unsigned char *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void comes_back(void **state)
{
    (void)state;
    char path[PATH_MAX];
    struct stat made;
    assert_false(saved());
    save();
    assert_true(saved());
    assert_false(hits("another key", payload, sizeof payload));
    assert_int_equal(stat(folder, &made), 0);
    assert_int_equal(made.st_mode & 0777, 0700);
    only_file(path, folder);
    assert_int_equal(stat(path, &made), 0);
    assert_int_equal(made.st_mode & 0777, 0600);
}

static void last_one_wins(void **state)
{
    (void)state;
    char path[PATH_MAX];
    save();
    clattn__cache_save(key, strlen(key), "new", 3);
    assert_true(hits(key, "new", 3));
    only_file(path, folder);
}

static void large_data_come_back(void **state)
{
    (void)state;
    size_t size = (size_t)5 << 20;
    char *data = malloc(size);
    assert_non_null(data);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i * i >> 7);
    clattn__cache_save(key, strlen(key), data, size);
    assert_true(hits(key, data, size));
    free(data);
}

static void cut_anywhere_is_a_miss(void **state)
{
    (void)state;
    char path[PATH_MAX];
    unsigned char bytes[FILE_SIZE];
    save();
    only_file(path, folder);
    size_t size = read_file(path, bytes);
    for (size_t length = 0; length < size; length++) {
        write_file(path, bytes, length);
        assert_false(saved());
    }
    bytes[size] = 0;
    write_file(path, bytes, size + 1);
    assert_false(saved());
    write_file(path, bytes, size);
    assert_true(saved());
}

static void garbled_anywhere_is_a_miss(void **state)
{
    (void)state;
    char path[PATH_MAX];
    unsigned char bytes[FILE_SIZE];
    save();
    only_file(path, folder);
    size_t size = read_file(path, bytes);
    for (size_t i = 0; i < size; i++) {
        for (unsigned bit = 0; bit < 8; bit += 7) {
            bytes[i] = (unsigned char)(bytes[i] ^ (1u << bit));
            write_file(path, bytes, size);
            assert_false(saved());
            bytes[i] = (unsigned char)(bytes[i] ^ (1u << bit));
        }
    }
    save();
    assert_true(saved());
}

/* As when two keys had one hash: the file of one under the
 * name of the other, with keys of one length. */
static void foreign_key_is_a_miss(void **state)
{
    (void)state;
    char path[PATH_MAX], other_path[PATH_MAX], other_folder[PATH_MAX];
    unsigned char bytes[FILE_SIZE];
    save();
    only_file(path, folder);
    (void)snprintf(other_folder, sizeof other_folder, "%s/other", root);
    assert_int_equal(setenv("CLATTN_CACHE_DIR", other_folder, 1), 0);
    clattn__cache_save("Source, options, device, driver", strlen(key), payload, sizeof payload);
    only_file(other_path, other_folder);
    assert_string_not_equal(strrchr(path, '/'), strrchr(other_path, '/'));
    write_file(path, bytes, read_file(other_path, bytes));
    assert_int_equal(setenv("CLATTN_CACHE_DIR", folder, 1), 0);
    assert_false(saved());
}

static void neither_link_nor_pipe_nor_folder_is_read(void **state)
{
    (void)state;
    char path[PATH_MAX], target[PATH_MAX];
    save();
    only_file(path, folder);
    (void)snprintf(target, sizeof target, "%s/elsewhere", root);
    assert_int_equal(rename(path, target), 0);
    assert_int_equal(symlink(target, path), 0);
    assert_false(saved());
    save();
    assert_true(saved());
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_false(saved());
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_false(saved());
    save(); /* cannot take the folder's place, and leaves no temporary file */
    only_file(path, folder);
}

static void folder_that_others_may_write_is_refused(void **state)
{
    (void)state;
    static const mode_t modes[] = {0720, 0702, 0777};
    save();
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        assert_int_equal(chmod(folder, modes[i]), 0);
        assert_false(saved());
        assert_int_equal(chmod(folder, 0755), 0);
        assert_true(saved());
    }
    char path[PATH_MAX];
    only_file(path, folder);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(chmod(folder, 0777), 0);
    save();
    assert_int_equal(chmod(folder, 0700), 0);
    assert_false(saved());
}

/* Runs a check in a process without the rights of root, to
 * whom no folder is read-only or foreign. */
static void check_without_rights(bool (*check)(void))
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit((geteuid() == 0 && setuid(NOBODY) != 0) || !check());
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static bool reads_but_cannot_save(void)
{
    clattn__cache_save("another key", strlen("another key"), payload, sizeof payload);
    return saved() && !hits("another key", payload, sizeof payload);
}

static bool misses(void)
{
    save();
    return !saved();
}

static void give_to_nobody(const char *path)
{
    if (geteuid() == 0)
        assert_int_equal(chown(path, NOBODY, NOBODY), 0);
}

static void read_only_folder_is_read(void **state)
{
    (void)state;
    char path[PATH_MAX];
    save();
    only_file(path, folder);
    give_to_nobody(path);
    give_to_nobody(folder);
    give_to_nobody(root);
    assert_int_equal(chmod(folder, 0500), 0);
    check_without_rights(reads_but_cannot_save);
}

static void folder_of_another_user_is_refused(void **state)
{
    (void)state;
    char path[PATH_MAX];
    if (geteuid() != 0)
        skip();
    save();
    only_file(path, folder);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(chmod(root, 0755), 0);
    check_without_rights(misses);
    give_to_nobody(folder); /* root is not its owner then */
    assert_false(saved());
}

static void folder_that_cannot_be_made_is_no_cache(void **state)
{
    (void)state;
    write_file(folder, (const unsigned char *)"in the way", 10);
    assert_true(misses());
    (void)snprintf(folder, sizeof folder, "%s/cache/below", root);
    assert_int_equal(setenv("CLATTN_CACHE_DIR", folder, 1), 0);
    assert_true(misses());
    assert_int_equal(setenv("CLATTN_CACHE_DIR", "", 1), 0);
    assert_true(misses());
    assert_false(clattn__cache_is_there());
}

static void folder_follows_the_environment(void **state)
{
    (void)state;
    char path[PATH_MAX], caches[PATH_MAX];
    const char *old_home = getenv("HOME");
    char *home = old_home ? strdup(old_home) : NULL;
    assert_int_equal(unsetenv("CLATTN_CACHE_DIR"), 0);
    (void)snprintf(caches, sizeof caches, "%s/made/on the way", root);
    assert_int_equal(setenv("XDG_CACHE_HOME", caches, 1), 0);
    assert_true(clattn__cache_is_there());
    save();
    assert_true(saved());
    (void)snprintf(path, sizeof path, "%s/made/on the way/clattn", root);
    only_file(caches, path);
    assert_int_equal(unsetenv("XDG_CACHE_HOME"), 0);
    assert_int_equal(setenv("HOME", root, 1), 0);
    save();
    assert_true(saved());
    (void)snprintf(path, sizeof path, "%s/.cache/clattn", root);
    only_file(caches, path);
    if (home)
        assert_int_equal(setenv("HOME", home, 1), 0);
    free(home);
}

/* A temporary file of a writer that was killed goes at a
 * save, once it is too old to be somebody's work. */
static void old_temporary_files_are_removed(void **state)
{
    (void)state;
    char old[PATH_MAX], young[PATH_MAX];
    save();
    (void)snprintf(old, sizeof old, "%s/old.tmp", folder);
    (void)snprintf(young, sizeof young, "%s/young.tmp", folder);
    write_file(old, (const unsigned char *)"", 0);
    write_file(young, (const unsigned char *)"", 0);
    struct timespec times[2] = {{.tv_sec = time(NULL) - (time_t)2 * 24 * 60 * 60}};
    times[1] = times[0];
    assert_int_equal(utimensat(AT_FDCWD, old, times, 0), 0);
    save();
    assert_true(saved());
    assert_int_equal(access(old, F_OK), -1);
    assert_int_equal(access(young, F_OK), 0);
}

/* Data of every process and round differ in length and bytes, and tell whose they are. */
static size_t data_of(char *data, size_t process, size_t round)
{
    size_t size = 1 + (process * 7919 + round * 104729) % 70000;
    memset(data, (int)('a' + process), size);
    return size;
}

static bool all_of_one_process(const char *data, size_t size)
{
    bool known = data[0] >= 'a' && data[0] < 'a' + PROCESSES;
    for (size_t i = 1; i < size; i++)
        known = known && data[i] == data[0];
    return known;
}

static bool loads_one_whole(const char *wanted_key, bool expected, char owner)
{
    void *data = NULL;
    size_t size = 0;
    if (!clattn__cache_load(wanted_key, strlen(wanted_key), &data, &size))
        return !expected;
    bool whole = all_of_one_process(data, size) && (!owner || *(char *)data == owner);
    free(data);
    return whole;
}

static bool saves_and_loads(size_t process)
{
    static char data[70000];
    char own[32];
    (void)snprintf(own, sizeof own, "key of process %zu", process);
    for (size_t round = 0; round < ROUNDS; round++) {
        size_t size = data_of(data, process, round);
        if (!loads_one_whole("shared", round > 0, 0))
            return false;
        clattn__cache_save("shared", 6, data, size);
        clattn__cache_save(own, strlen(own), data, size);
        if (!loads_one_whole(own, true, data[0]) || !loads_one_whole("shared", true, 0))
            return false;
    }
    return true;
}

static void processes_do_not_mix(void **state)
{
    (void)state;
    pid_t children[PROCESSES];
    for (size_t i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0)
            _exit(!saves_and_loads(i));
    }
    int failures = 0;
    for (size_t i = 0; i < PROCESSES; i++) {
        int status = -1;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        failures += status != 0;
    }
    assert_int_equal(failures, 0);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(comes_back),
        IN_FOLDER(last_one_wins),
        IN_FOLDER(large_data_come_back),
        IN_FOLDER(cut_anywhere_is_a_miss),
        IN_FOLDER(garbled_anywhere_is_a_miss),
        IN_FOLDER(foreign_key_is_a_miss),
        IN_FOLDER(neither_link_nor_pipe_nor_folder_is_read),
        IN_FOLDER(folder_that_others_may_write_is_refused),
        IN_FOLDER(read_only_folder_is_read),
        IN_FOLDER(folder_of_another_user_is_refused),
        IN_FOLDER(folder_that_cannot_be_made_is_no_cache),
        IN_FOLDER(folder_follows_the_environment),
        IN_FOLDER(old_temporary_files_are_removed),
        IN_FOLDER(processes_do_not_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
