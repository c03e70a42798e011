/* peers.c: starts the peers and speaks with them. */
#include "peers.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef CLBLAST3
#define CLBLAST3 NULL
#endif
#ifndef OPENBLAS3
#define OPENBLAS3 NULL
#endif

static bench_peer peers[] = {
    {.name = "CLBlast, three steps"},
    {.name = "OpenBLAS, three steps"},
    {.name = "PyTorch SDPA", .takes_packed = true},
    {.name = "ONNX Runtime", .takes_packed = true},
    {.name = NULL},
};

static void start(bench_peer *peer, const char *program, char *const arguments[])
{
    int in[2], out[2];
    if (!program) {
        peer->why_not = "not installed when this was built";
        return;
    }
    if (pipe(in) != 0 || pipe(out) != 0) {
        peer->why_not = "no pipe";
        return;
    }
    /* No other peer may hold these ends: a peer ends when its input does. */
    (void)fcntl(in[1], F_SETFD, FD_CLOEXEC);
    (void)fcntl(out[0], F_SETFD, FD_CLOEXEC);
    peer->process = fork();
    if (peer->process == 0) {
        (void)dup2(in[0], STDIN_FILENO);
        (void)dup2(out[1], STDOUT_FILENO);
        (void)execvp(program, arguments);
        _exit(127);
    }
    (void)close(in[0]);
    (void)close(out[1]);
    peer->to = fdopen(in[1], "w");
    peer->from = fdopen(out[0], "r");
    if (peer->process < 0 || !peer->to || !peer->from)
        peer->why_not = "it does not start";
}

/* Whether the interpreter can import what a peer needs. */
static bool can_import(const char *python, const char *statement)
{
    const pid_t process = fork();
    int status = 1;
    if (process == 0) {
        if (!freopen("/dev/null", "w", stderr))
            _exit(127);
        (void)execlp(python, python, "-c", statement, (char *)NULL);
        _exit(127);
    }
    return process > 0 && waitpid(process, &status, 0) == process && status == 0;
}

void bench_peer_start_python(bench_peer *peer, const char *script, const char *argument,
                             const char *imports)
{
    const char *named = getenv("BENCH_PYTHON"), *python = named ? named : "python3";
    (void)signal(SIGPIPE, SIG_IGN); /* a peer that ended is found by its silence */
    if (!can_import(python, imports)) {
        peer->why_not = "not installed (BENCH_PYTHON names an interpreter that has it)";
        return;
    }
    start(peer, python, (char *[]){(char *)python, (char *)script, (char *)argument, NULL});
}

bench_peer *bench_peers_start(void)
{
    const char *clblast = CLBLAST3, *openblas = OPENBLAS3;
    (void)signal(SIGPIPE, SIG_IGN); /* a peer that ended is found by its silence */
    start(&peers[0], clblast, (char *[]){(char *)clblast, NULL});
    start(&peers[1], openblas, (char *[]){(char *)openblas, NULL});
    bench_peer_start_python(&peers[2], PYTHON_PEERS, "torch", "import torch, numpy");
    bench_peer_start_python(&peers[3], PYTHON_PEERS, "onnxruntime",
                            "import onnxruntime, onnx, numpy");
    return peers;
}

bool bench_peer_ask(bench_peer *peer, const char *question, char *answer, int size)
{
    if (peer->why_not)
        return false;
    if (fprintf(peer->to, "%s\n", question) > 0 && fflush(peer->to) == 0 &&
        fgets(answer, size, peer->from))
        return true;
    peer->why_not = "it failed";
    return false;
}

bool bench_peer_case(bench_peer *peer, const bench_case *c)
{
    char line[256], answer[64];
    if (c->starts && !peer->takes_packed)
        return false;
    (void)snprintf(line, sizeof line, "%s %d %d %d %d %d %d %.9g %d %s",
                   c->starts ? "packed" : "case", c->B, c->H, c->Hkv, c->S, c->T, c->D,
                   1.0 / sqrt((double)c->D), c->causal, c->file);
    if (!bench_peer_ask(peer, line, answer, sizeof answer) || strncmp(answer, "ready", 5) != 0)
        return false;
    if (sscanf(answer, "ready %31[^\n]", peer->way) != 1)
        peer->way[0] = '\0';
    return true;
}

double bench_peer_go(bench_peer *peer)
{
    char answer[64];
    return bench_peer_ask(peer, "go", answer, sizeof answer) ? strtod(answer, NULL) : -1;
}

bool bench_peer_read(bench_peer *peer, float *output, size_t count)
{
    char path[] = "/tmp/clattn-peer-XXXXXX", line[64], answer[64];
    const int descriptor = mkstemp(path);
    bool ok = false;
    if (descriptor < 0)
        return false;
    (void)snprintf(line, sizeof line, "save %s", path);
    FILE *file = fdopen(descriptor, "rb");
    if (file && bench_peer_ask(peer, line, answer, sizeof answer))
        ok = fread(output, sizeof *output, count, file) == count;
    if (file)
        (void)fclose(file);
    (void)unlink(path);
    return ok;
}

double bench_peer_difference(bench_peer *peer, clattn_device *device, const clattn_tensor *tensors,
                             size_t count)
{
    size_t total = 0, at = 0;
    double most = 0;
    for (size_t t = 0; t < count; t++)
        total += clattn_tensor_count(&tensors[t]);
    float *ours = total ? malloc(total * sizeof *ours) : NULL,
          *theirs = total ? malloc(total * sizeof *theirs) : NULL;
    bool ok = ours && theirs && bench_peer_read(peer, theirs, total);
    for (size_t t = 0; ok && t < count; t++) {
        const size_t end = at + clattn_tensor_count(&tensors[t]);
        double difference = 0, size = 0;
        ok = clattn_tensor_read(&tensors[t], device, ours + at) == CLATTN_OK;
        for (; ok && at < end; at++) {
            const double apart = fabs((double)ours[at] - (double)theirs[at]);
            difference = fmax(difference, apart);
            size = fmax(size, fabs((double)theirs[at]));
            ok = isfinite(apart);
        }
        most = fmax(most, difference / size);
    }
    free(ours);
    free(theirs);
    return ok ? most : (double)INFINITY;
}

bool bench_peer_output(bench_peer *peer, const bench_case *c, float *output)
{
    return bench_peer_read(peer, output, bench_case_queries(c));
}

void bench_peers_stop(bench_peer *all)
{
    for (bench_peer *peer = all; peer->name; peer++) {
        if (peer->to)
            (void)fclose(peer->to);
        if (peer->from)
            (void)fclose(peer->from);
        if (peer->process > 0)
            (void)waitpid(peer->process, NULL, 0);
    }
}
