#include "watched.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void give_up(const char *what)
{
    perror(what);
    exit(1);
}

/* All of a file, with an end. */
static char *text_of(FILE *file)
{
    const long size = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    char *text = size < 0 ? NULL : calloc(1, (size_t)size + 1);
    if (!text)
        give_up("watched: what was said");
    rewind(file);
    if (fread(text, 1, (size_t)size, file) != (size_t)size)
        give_up("watched: fread");
    return text;
}

int watched(int (*body)(const void *argument), const void *argument, char **said)
{
    int status = 0;
    FILE *log = tmpfile();
    if (!log)
        give_up("watched: tmpfile");
    (void)fflush(NULL);
    const pid_t child = fork();
    if (child < 0)
        give_up("watched: fork");
    if (child == 0) {
        if (dup2(fileno(log), STDERR_FILENO) < 0)
            give_up("watched: dup2");
        const int answer = body(argument);
        /* Without exit's handlers: one of CLBlast's releases its programs, when variables of the thread
         * that Oclgrind needs for that are gone. */
        (void)fflush(NULL);
        _exit(answer);
    }
    if (waitpid(child, &status, 0) != child)
        give_up("watched: waitpid");
    *said = text_of(log);
    (void)fclose(log);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 0;
}
