/* peers.h: other libraries as coprocesses, which take
 * "case", "packed", "go" and "save" on their standard input. */
#ifndef BENCH_PEERS_H
#define BENCH_PEERS_H

#include "case.h"

#include <clattn/clattn.h>

#include <stdio.h>
#include <sys/types.h>

typedef struct bench_peer {
    const char *name;
    const char *why_not; /* NULL while it runs */
    bool takes_packed;
    char way[32]; /* how it computes the case, where it has several ways; else "" */
    pid_t process;
    FILE *to, *from;
} bench_peer;

/* Starts a Python peer with an argument, where the interpreter that BENCH_PYTHON names can import what it
 * needs; `why_not` says so where it cannot. */
void bench_peer_start_python(bench_peer *peer, const char *script, const char *argument,
                             const char *imports);
/* Sends a line and reads the answer; false when the peer is silent. */
bool bench_peer_ask(bench_peer *peer, const char *question, char *answer, int size);
/* Reads `count` numbers of what the peer computed last. */
bool bench_peer_read(bench_peer *peer, float *output, size_t count);
/* The largest difference of our tensors from what the peer computed last, tensor behind tensor, in parts of a
 * tensor's largest element; infinite where a number is not finite, or the peer failed. */
double bench_peer_difference(bench_peer *peer, clattn_device *device, const clattn_tensor *tensors,
                             size_t count);

/* All known peers, started where they are installed. The list ends with a NULL name. */
bench_peer *bench_peers_start(void);
void bench_peers_stop(bench_peer *peers);

/* False when it does not take the case; when it failed, `why_not` says so. */
bool bench_peer_case(bench_peer *peer, const bench_case *c);
/* Seconds of one run; negative when the peer failed. */
double bench_peer_go(bench_peer *peer);
/* Reads what the peer computed last. */
bool bench_peer_output(bench_peer *peer, const bench_case *c, float *output);

#endif
