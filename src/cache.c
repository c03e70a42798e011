/* cache.c: files of a header, the whole key and the data.
 *
 * Drivers die on a cut program binary and some run a garbled one, so nothing leaves this file that
 * is not, byte for byte, what was saved. A file appears under its name only when it is whole: it is
 * written under another name and renamed, and of several writers the last one wins. */
#include "cache.h"

#include <clattn/base.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#define FORMAT 1u
#define BODY_MAX ((size_t)1 << 30)
#define TEMPORARY ".tmp"
#define TEMPORARY_SECONDS ((time_t)24 * 60 * 60)
#define NAME_SIZE 128

/* Its bytes are compared as a whole, so it has no padding. The byte order is the machine's: a file
 * of another one has another `format`. */
typedef struct file_header {
    char magic[8];
    uint32_t format;
    char version[20];
    uint64_t key_size, data_size;
    XXH128_canonical_t checksum; /* of key and data, which follow */
} file_header;
_Static_assert(sizeof(file_header) == 64, "file_header has padding");

static void fill_header(file_header *header, const void *body, size_t key_size, size_t data_size)
{
    memset(header, 0, sizeof *header);
    memcpy(header->magic, "clattn\r\n", sizeof header->magic);
    header->format = FORMAT;
    (void)snprintf(header->version, sizeof header->version, "%s", CLATTN_VERSION);
    header->key_size = key_size;
    header->data_size = data_size;
    XXH128_canonicalFromHash(&header->checksum, XXH3_128bits(body, key_size + data_size));
}

static void file_name(char name[NAME_SIZE], const void *key, size_t key_size)
{
    XXH128_hash_t hash = XXH3_128bits(key, key_size);
    (void)snprintf(name, NAME_SIZE, "%016llx%016llx.bin", (unsigned long long)hash.high64,
                   (unsigned long long)hash.low64);
}

/* Joins two parts; false when the path is too long. */
static bool join(char path[PATH_MAX], const char *folder, const char *below)
{
    int length = snprintf(path, PATH_MAX, "%s%s", folder, below);
    return length > 0 && length < PATH_MAX;
}

static bool folder_path(char path[PATH_MAX])
{
    const char *own = getenv("CLATTN_CACHE_DIR");
    if (own)
        return join(path, own, "");
    const char *caches = getenv("XDG_CACHE_HOME");
    if (caches && caches[0] == '/')
        return join(path, caches, "/clattn");
    const char *home = getenv("HOME");
    if (home && home[0] == '/')
        return join(path, home, "/.cache/clattn");
    struct passwd entry, *found = NULL;
    char strings[4096];
    if (getpwuid_r(geteuid(), &entry, strings, sizeof strings, &found) != 0 || !found)
        return false;
    return join(path, found->pw_dir, "/.cache/clattn");
}

/* Makes a folder and those above it, as far as they are missing; the caller sees by opening it
 * whether that went well. */
static void make_folder(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
    (void)mkdir(path, 0700);
}

/* A descriptor of the folder, -1 without one that can be trusted. Files are named relative to it,
 * so that all work is done in the folder that was looked at. */
static int open_folder(bool make)
{
    char path[PATH_MAX];
    if (!folder_path(path))
        return -1;
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 && make && errno == ENOENT) {
        make_folder(path);
        folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    struct stat state;
    if (folder >= 0 && (fstat(folder, &state) != 0 || state.st_uid != geteuid() ||
                        (state.st_mode & (S_IWGRP | S_IWOTH)))) {
        (void)close(folder);
        folder = -1;
    }
    return folder;
}

bool clattn__cache_is_there(void)
{
    const int folder = open_folder(true);
    if (folder < 0)
        return false;
    (void)close(folder);
    return true;
}

static bool read_all(int file, void *bytes, size_t size)
{
    for (char *at = bytes; size > 0;) {
        ssize_t got = read(file, at, size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += got;
        size -= (size_t)got;
    }
    return true;
}

static bool write_all(int file, const void *bytes, size_t size)
{
    for (const char *at = bytes; size > 0;) {
        ssize_t put = write(file, at, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        at += put;
        size -= (size_t)put;
    }
    return true;
}

bool clattn__cache_load(const void *key, size_t key_size, void **data, size_t *size)
{
    char name[NAME_SIZE];
    struct stat state;
    file_header found, wanted;
    char *body = NULL;
    bool hit = false;
    int file = -1;
    int folder = open_folder(false);
    if (folder < 0)
        return false;
    file_name(name, key, key_size);
    /* Not blocking, because a pipe of that name would wait for its writer. */
    file = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0 || fstat(file, &state) != 0 || !S_ISREG(state.st_mode))
        goto done;
    /* Lengths are the file's own, never those that its header claims. */
    if (state.st_size < (off_t)sizeof found || state.st_size > (off_t)(sizeof found + BODY_MAX))
        goto done;
    size_t body_size = (size_t)state.st_size - sizeof found;
    if (body_size <= key_size)
        goto done;
    body = malloc(body_size);
    if (!body || !read_all(file, &found, sizeof found) || !read_all(file, body, body_size))
        goto done;
    fill_header(&wanted, body, key_size, body_size - key_size);
    if (memcmp(&found, &wanted, sizeof found) != 0 || memcmp(body, key, key_size) != 0)
        goto done;
    *size = body_size - key_size;
    memmove(body, body + key_size, *size);
    *data = body;
    body = NULL;
    hit = true;
done:
    free(body);
    if (file >= 0)
        (void)close(file);
    (void)close(folder);
    return hit;
}

/* Removes what killed writers left behind. */
static void remove_old_temporaries(int folder)
{
    int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = copy >= 0 ? fdopendir(copy) : NULL;
    if (!list) {
        if (copy >= 0)
            (void)close(copy);
        return;
    }
    time_t now = time(NULL);
    for (struct dirent *entry; (entry = readdir(list));) {
        const char *end = strrchr(entry->d_name, '.');
        struct stat state;
        if (!end || strcmp(end, TEMPORARY) != 0)
            continue;
        if (fstatat(folder, entry->d_name, &state, AT_SYMLINK_NOFOLLOW) == 0 &&
            now - state.st_mtime > TEMPORARY_SECONDS)
            (void)unlinkat(folder, entry->d_name, 0);
    }
    (void)closedir(list);
}

void clattn__cache_save(const void *key, size_t key_size, const void *data, size_t size)
{
    static atomic_uint count; /* tells the files of this process apart */
    char name[NAME_SIZE], temporary[2 * NAME_SIZE];
    file_header header;
    struct timespec now = {0};
    if (size == 0 || key_size > BODY_MAX || size > BODY_MAX - key_size)
        return;
    int folder = open_folder(true);
    if (folder < 0)
        return;
    char *body = malloc(key_size + size);
    if (!body)
        goto done;
    memcpy(body, key, key_size);
    memcpy(body + key_size, data, size);
    fill_header(&header, body, key_size, size);
    remove_old_temporaries(folder);
    file_name(name, key, key_size);
    /* The time tells processes of one number apart, as on two machines that share a home folder. */
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)snprintf(temporary, sizeof temporary, "%s.%ld.%u.%ld" TEMPORARY, name, (long)getpid(),
                   atomic_fetch_add(&count, 1), now.tv_nsec);
    int file =
        openat(folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0)
        goto done;
    bool written =
        write_all(file, &header, sizeof header) && write_all(file, body, key_size + size);
    /* Some file systems tell only at the closing that they are full. */
    written = close(file) == 0 && written;
    if (!written || renameat(folder, temporary, folder, name) != 0)
        (void)unlinkat(folder, temporary, 0);
done:
    free(body);
    (void)close(folder);
}
