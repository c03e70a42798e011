/* files.c: written beside, then renamed. */
#include "files.h"

#include "arrays.h"
#include "convert.h"
#include "npy.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The folder of a path, in new memory: "a/b" -> "a", "b" -> ".", "/b" -> "/". */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return strdup(".");
    return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

/* Two names of one file: links are followed, and a file that does not exist yet is known by its
 * folder and name. */
static int same_file(const char *a, const char *b)
{
    struct stat of_a, of_b;
    int has_a = stat(a, &of_a) == 0;
    int has_b = stat(b, &of_b) == 0;
    if (has_a != has_b)
        return 0;
    if (has_a)
        return S_ISREG(of_a.st_mode) && of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
    const char *name_a = strrchr(a, '/') ? strrchr(a, '/') + 1 : a;
    const char *name_b = strrchr(b, '/') ? strrchr(b, '/') + 1 : b;
    char *folder_a = folder_of(a);
    char *folder_b = folder_of(b);
    int same = folder_a && folder_b && strcmp(name_a, name_b) == 0 && stat(folder_a, &of_a) == 0 &&
               stat(folder_b, &of_b) == 0 && of_a.st_dev == of_b.st_dev &&
               of_a.st_ino == of_b.st_ino;
    free(folder_a);
    free(folder_b);
    return same;
}

/* An input may be an entry of a file of several. */
static int is_same_as_input(const char *output, const char *input)
{
    char *file = cli_array_file(input);
    int same = !file || same_file(output, file); /* what cannot be told is not written over */
    free(file);
    return same;
}

/* A typing error in a folder's name should not cost a long run. */
static int check_target(const cli_name *output)
{
    struct stat status;
    char *folder = NULL;
    int result = CLI_DONE;
    if (stat(output->path, &status) == 0) {
        if (S_ISDIR(status.st_mode))
            result = CLI_FAIL(CLI_SYSTEM, "--%s: %s: is a folder; expected the name of a file",
                              output->argument, output->path);
        goto done;
    }
    folder = folder_of(output->path);
    if (!folder) {
        result = CLI_FAIL(CLI_SYSTEM, "--%s: no memory", output->argument);
        goto done;
    }
    if (stat(folder, &status) != 0)
        result = CLI_FAIL(CLI_SYSTEM, "--%s: %s: cannot be written: folder %s: %s",
                          output->argument, output->path, folder, strerror(errno));
done:
    free(folder);
    return result;
}

int cli_files_check(const cli_name *inputs, size_t input_count, const cli_name *outputs,
                    size_t output_count)
{
    for (size_t o = 0; o < output_count; o++) {
        if (!outputs[o].path)
            continue;
        for (size_t i = 0; i < input_count; i++) {
            if (inputs[i].path && is_same_as_input(outputs[o].path, inputs[i].path))
                return CLI_FAIL(CLI_BAD_INPUT,
                                "--%s: %s is also the input --%s; expected another file",
                                outputs[o].argument, outputs[o].path, inputs[i].argument);
        }
        for (size_t other = 0; other < o; other++) {
            if (outputs[other].path && same_file(outputs[o].path, outputs[other].path))
                return CLI_FAIL(CLI_BAD_INPUT,
                                "--%s: %s is also the output --%s; expected another file",
                                outputs[o].argument, outputs[o].path, outputs[other].argument);
        }
    }
    for (size_t o = 0; o < output_count; o++) {
        int result = outputs[o].path ? check_target(&outputs[o]) : CLI_DONE;
        if (result)
            return result;
    }
    return CLI_DONE;
}

/* What a signal that ends the program must remove, as
 * unlink() is allowed in a handler and a search is not. */
static char *volatile unfinished[CLI_MAX_FILES];

static void remove_and_die(int number)
{
    for (int i = 0; i < CLI_MAX_FILES; i++) {
        if (unfinished[i])
            unlink(unfinished[i]);
    }
    signal(number, SIG_DFL);
    raise(number);
}

static void watch_signals(void)
{
    static const int deadly[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof deadly / sizeof deadly[0]; i++) {
        struct sigaction action;
        if (sigaction(deadly[i], NULL, &action) != 0 || action.sa_handler != SIG_DFL)
            continue;
        memset(&action, 0, sizeof action);
        action.sa_handler = remove_and_die;
        sigaction(deadly[i], &action, NULL);
    }
    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes then shows as a failed write */
}

/* Opens the file that is written to: a temporary one beside the target, with the rights the target
 * has or would get. */
static int open_beside(cli_files *files, cli_file *file, int *fd)
{
    struct stat status;
    int exists = stat(file->path, &status) == 0;
    if (exists && !S_ISREG(status.st_mode)) {
        *fd = open(file->path, O_WRONLY | O_CLOEXEC);
        return *fd >= 0;
    }
    file->target =
        exists ? realpath(file->path, NULL) : strdup(file->path); /* a link stays a link */
    if (!file->target)
        return 0;
    size_t length = strlen(file->target) + sizeof ".tmp-0123456789-01";
    char *name = malloc(length);
    if (!name)
        return 0;
    *fd = -1;
    for (int attempt = 0; *fd < 0 && attempt < 100; attempt++) {
        snprintf(name, length, "%s.tmp-%ld-%d", file->target, (long)getpid() % 10000000000,
                 attempt);
        *fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                   exists ? status.st_mode & 0777 : 0666);
        if (*fd < 0 && errno != EEXIST)
            break;
    }
    if (*fd < 0) {
        int cause = errno;
        free(name);
        errno = cause;
        return 0;
    }
    file->temporary = name;
    unfinished[file - files->files] = name;
    return 1;
}

static int write_all(int fd, const void *data, size_t bytes)
{
    const char *at = data;
    while (bytes > 0) {
        ssize_t written = write(fd, at, bytes < (1u << 30) ? bytes : (1u << 30));
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return 0;
        at += written;
        bytes -= (size_t)written;
    }
    return 1;
}

int cli_files_write(cli_files *files, const char *argument, const char *path, const void *head,
                    size_t head_bytes, const void *body, size_t body_bytes)
{
    int fd = -1;
    cli_file *file = &files->files[files->count];
    memset(file, 0, sizeof *file);
    file->argument = argument;
    file->path = path;
    if (files->count == 0)
        watch_signals();
    files->count++; /* from here on discard() knows of it */
    int ok = open_beside(files, file, &fd) && write_all(fd, head, head_bytes) &&
             write_all(fd, body, body_bytes);
    int cause = errno;
    if (fd >= 0 && close(fd) != 0 && ok) {
        ok = 0;
        cause = errno;
    }
    if (ok)
        return CLI_DONE;
    return CLI_FAIL(CLI_SYSTEM, "--%s: %s: cannot be written: %s", argument, path, strerror(cause));
}

int cli_files_write_npy(cli_files *files, const char *argument, const char *path,
                        const clattn_tensor *tensor)
{
    char header[NPY_HEADER_MAX];
    clattn_tensor wide = {0};
    int result = CLI_DONE;
    if (tensor->dtype == CLATTN_BF16) {
        CLI_TRY(cli_tensor_new(&wide, CLATTN_F32, tensor->rank, tensor->shape, argument));
        for (size_t i = 0; i < clattn_tensor_count(tensor); i++)
            ((float *)wide.host)[i] = (float)clattn_element_load(CLATTN_BF16, tensor->host, i);
        tensor = &wide;
    }
    size_t size = clattn_dtype_size(tensor->dtype);
    size_t head =
        npy_header(header, cli_npy_kind(tensor->dtype), size, tensor->rank, tensor->shape);
    CLI_TRY(cli_files_write(files, argument, path, header, head, tensor->host,
                            size * clattn_tensor_count(tensor)));
done:
    free(wide.host);
    return result;
}

int cli_files_commit(cli_files *files)
{
    int result = CLI_DONE;
    for (size_t i = 0; i < files->count && result == CLI_DONE; i++) {
        cli_file *file = &files->files[i];
        if (!file->temporary)
            continue;
        if (rename(file->temporary, file->target) != 0) {
            result = CLI_FAIL(CLI_SYSTEM, "--%s: %s: cannot be renamed to its name: %s",
                              file->argument, file->path, strerror(errno));
        } else {
            unfinished[i] = NULL;
            free(file->temporary);
            file->temporary = NULL;
        }
    }
    return result;
}

void cli_files_discard(cli_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        if (files->files[i].temporary)
            unlink(files->files[i].temporary);
        unfinished[i] = NULL;
        free(files->files[i].temporary);
        free(files->files[i].target);
    }
    memset(files, 0, sizeof *files);
}
