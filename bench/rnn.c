/* rnn.c: attention of RNN encoder-decoders beside PyTorch's, eager and compiled, round by round: additive
 * scores of projected queries and keys, one decoder step of them, and backward, without and with the projections,
 * behind a pass forward that is not timed; general and dot; sparsemax and entmax15 beside code that sorts. */
#include "case.h"
#include "measure.h"
#include "peers.h"

#include <clattn/clattn.h>

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS 7
#define WARM_UP 0.08 /* seconds of runs that do not count, before each that does */

typedef struct rnn_case {
    const char *title, *kind; /* the peers' word for it */
    clattn_score score;
    clattn_normalizer normalizer;
    clattn_direction direction;
    int B, S, T, N; /* N: size of query, key, value, and hidden units; 1 with given scores */
    bool projects;  /* additive scores by w_query and w_key; else queries and keys come projected */
    bool saves;     /* backward takes the weights of forward, as PyTorch does */
} rnn_case;

/* clang-format off: one row, one case */
static const rnn_case cases[] = {
    {"additive, queries and keys projected before", "additive", CLATTN_SCORE_ADDITIVE,
     CLATTN_NORMALIZER_SOFTMAX, CLATTN_FORWARD, 64, 50, 50, 512, false, false},
    {"a decoder step of it", "additive", CLATTN_SCORE_ADDITIVE, CLATTN_NORMALIZER_SOFTMAX,
     CLATTN_FORWARD, 64, 1, 64, 512, false, false},
    {"additive, backward, queries and keys projected before", "additive", CLATTN_SCORE_ADDITIVE,
     CLATTN_NORMALIZER_SOFTMAX, CLATTN_BACKWARD, 64, 50, 50, 512, false, false},
    {"additive, backward, queries and keys projected before, weights saved", "additive",
     CLATTN_SCORE_ADDITIVE, CLATTN_NORMALIZER_SOFTMAX, CLATTN_BACKWARD, 64, 50, 50, 512, false,
     true},
    {"additive, backward to query, key, value, w_query, w_key, v", "additive_layer",
     CLATTN_SCORE_ADDITIVE, CLATTN_NORMALIZER_SOFTMAX, CLATTN_BACKWARD, 64, 50, 50, 512, true,
     false},
    {"general", "general", CLATTN_SCORE_GENERAL, CLATTN_NORMALIZER_SOFTMAX, CLATTN_FORWARD, 64, 50,
     50, 512, false, false},
    {"dot", "dot", CLATTN_SCORE_DOT, CLATTN_NORMALIZER_SOFTMAX, CLATTN_FORWARD, 64, 50, 50, 512,
     false, false},
    {"sparsemax of 4096 rows", "sparsemax", CLATTN_SCORE_GIVEN, CLATTN_NORMALIZER_SPARSEMAX,
     CLATTN_FORWARD, 1, 4096, 512, 1, false, false},
    {"entmax15 of 4096 rows", "entmax15", CLATTN_SCORE_GIVEN, CLATTN_NORMALIZER_ENTMAX15,
     CLATTN_FORWARD, 1, 4096, 512, 1, false, false},
};
/* clang-format on */
enum { QUERY, KEY, VALUE, PARAMETER, W_QUERY, W_KEY, INPUTS };
/* Behind the inputs, and their gradients in the same order. */
enum { RESULT = INPUTS, LSE, SAVED, GRADIENTS, TENSORS = GRADIENTS + INPUTS };

/* A case on the device, and on file for the peers. */
typedef struct problem {
    clattn_attention_desc desc;
    clattn_attention_args args;
    clattn_tensor tensors[TENSORS];
    clattn_plan *plan;
    clattn_keys *keys;
    clattn_tensor *made; /* that the peers make, too */
    size_t made_count;
    char file[64];
} problem;

/* Random numbers on the device, and behind the others in the file. */
static bool make_tensor(clattn_tensor *to, clattn_device *device, FILE *file, uint64_t *state,
                        double spread, uint32_t rank, const int64_t *shape)
{
    size_t count = 1;
    for (uint32_t i = 0; i < rank; i++)
        count *= (size_t)shape[i];
    float *numbers = malloc(count * sizeof *numbers);
    bool ok = numbers != NULL;
    for (size_t i = 0; ok && i < count; i++)
        numbers[i] = (float)(spread * (double)bench_next_number(state));
    ok = ok && clattn_tensor_alloc(to, device, CLATTN_F32, rank, shape) == CLATTN_OK &&
         clattn_tensor_write(to, device, numbers) == CLATTN_OK &&
         (!file || fwrite(numbers, sizeof *numbers, count, file) == count);
    free(numbers);
    return ok;
}

/* Keys as they are, by the unit matrix. */
static bool project(problem *p, clattn_device *device, int N)
{
    float *unit = calloc((size_t)N * (size_t)N, sizeof *unit);
    for (int i = 0; unit && i < N; i++)
        unit[i * N + i] = 1;
    clattn_attention_args args = {.struct_size = sizeof args};
    args.key = p->tensors[KEY];
    args.params.w_key = clattn_tensor_host(CLATTN_F32, unit, 2, (int64_t[]){N, N});
    const bool ok = unit && clattn_keys_create(&p->keys, p->plan, &args) == CLATTN_OK &&
                    clattn_device_finish(device) == CLATTN_OK;
    p->args.projected_keys = p->keys;
    free(unit);
    return ok;
}

static bool make_given(problem *p, clattn_device *device, const rnn_case *c, FILE *file)
{
    uint64_t state = 1;
    const int64_t rows[] = {c->S, c->T}, value[] = {c->T, 1};
    p->desc.value_size = 1;
    p->desc.outputs = CLATTN_WEIGHTS;
    const bool ok =
        make_tensor(&p->tensors[QUERY], device, file, &state, 3, 2, rows) &&
        make_tensor(&p->tensors[VALUE], device, NULL, &state, 1, 2, value) &&
        clattn_tensor_alloc(&p->tensors[RESULT], device, CLATTN_F32, 2, rows) == CLATTN_OK;
    p->args.given_scores = p->tensors[QUERY];
    p->args.weights = p->tensors[RESULT];
    return ok;
}

static bool make_scored(problem *p, clattn_device *device, const rnn_case *c, FILE *file)
{
    uint64_t state = 1;
    const bool additive = c->score == CLATTN_SCORE_ADDITIVE,
               general = c->score == CLATTN_SCORE_GENERAL,
               backward = c->direction == CLATTN_BACKWARD;
    const int64_t queries[] = {c->B, c->S, c->N}, keys[] = {c->B, c->T, c->N},
                  weights[] = {c->B, c->S, c->T}, matrix[] = {c->N, c->N}, vector[] = {c->N};
    const double spread = sqrt(3.0 / c->N); /* of standard deviation 1 / sqrt(N) */
    p->desc.head_size = (size_t)c->N;
    p->desc.hidden_size = additive ? (size_t)c->N : 0;
    p->desc.flags = additive && !c->projects ? CLATTN_PROJECTED_KEYS | CLATTN_PROJECTED_QUERY : 0;
    p->desc.outputs = CLATTN_OUTPUT | (backward ? CLATTN_LSE : 0) | (c->saves ? CLATTN_WEIGHTS : 0);
    const bool ok =
        make_tensor(&p->tensors[QUERY], device, file, &state, 1.7, 3, queries) &&
        make_tensor(&p->tensors[KEY], device, file, &state, 1.7, 3, keys) &&
        make_tensor(&p->tensors[VALUE], device, file, &state, 1, 3, keys) &&
        (!additive ||
         make_tensor(&p->tensors[PARAMETER], device, file, &state, spread, 1, vector)) &&
        (!general ||
         make_tensor(&p->tensors[PARAMETER], device, file, &state, spread, 2, matrix)) &&
        (!c->projects ||
         (make_tensor(&p->tensors[W_QUERY], device, file, &state, spread, 2, matrix) &&
          make_tensor(&p->tensors[W_KEY], device, file, &state, spread, 2, matrix))) &&
        clattn_tensor_alloc(&p->tensors[RESULT], device, CLATTN_F32, 3, queries) == CLATTN_OK &&
        (!backward ||
         clattn_tensor_alloc(&p->tensors[LSE], device, CLATTN_F32, 2, queries) == CLATTN_OK) &&
        (!c->saves ||
         clattn_tensor_alloc(&p->tensors[SAVED], device, CLATTN_F32, 3, weights) == CLATTN_OK);
    p->args.query = p->tensors[QUERY];
    if (!(p->desc.flags & CLATTN_PROJECTED_KEYS))
        p->args.key = p->tensors[KEY];
    if (additive)
        p->args.params.v = p->tensors[PARAMETER];
    if (general)
        p->args.params.weight = p->tensors[PARAMETER];
    p->args.params.w_query = p->tensors[W_QUERY];
    p->args.params.w_key = p->tensors[W_KEY];
    p->args.output = p->tensors[RESULT];
    p->args.lse = p->tensors[LSE];
    p->args.weights = p->tensors[SAVED];
    return ok;
}

/* Runs forward, whose output and lse backward reads, and turns the plan round. The gradient of the output is the
 * query, which has its shape. */
static bool turn_backward(problem *p, clattn_device *device, const rnn_case *c)
{
    clattn_tensor *made = &p->tensors[GRADIENTS];
    const int inputs = c->projects ? INPUTS : W_QUERY;
    bool ok = clattn_plan_run(p->plan, &p->args) == CLATTN_OK &&
              clattn_device_finish(device) == CLATTN_OK;
    clattn_plan_destroy(p->plan);
    p->plan = NULL;
    for (int i = 0; ok && i < inputs; i++)
        ok = clattn_tensor_alloc(&made[i], device, CLATTN_F32, p->tensors[i].rank,
                                 p->tensors[i].shape) == CLATTN_OK;
    p->desc.direction = CLATTN_BACKWARD;
    p->desc.outputs = CLATTN_OUTPUT;
    p->desc.flags |= c->saves ? CLATTN_SAVED_WEIGHTS : 0;
    p->desc.gradients =
        CLATTN_GRAD_QUERY | CLATTN_GRAD_KEY | CLATTN_GRAD_VALUE | CLATTN_GRAD_PARAMS;
    p->args.grad.output = p->args.query;
    p->args.grad.query = made[QUERY];
    p->args.grad.key = made[KEY];
    p->args.grad.value = made[VALUE];
    p->args.grad.params.v = made[PARAMETER];
    p->args.grad.params.w_query = made[W_QUERY];
    p->args.grad.params.w_key = made[W_KEY];
    p->made = made;
    p->made_count = (size_t)inputs;
    return ok && clattn_plan_create(&p->plan, device, &p->desc) == CLATTN_OK;
}

static bool make(problem *p, clattn_device *device, const rnn_case *c)
{
    *p = (problem){
        .desc = {.struct_size = sizeof p->desc, .score = c->score, .normalizer = c->normalizer},
        .args = {.struct_size = sizeof p->args},
        .made = &p->tensors[RESULT],
        .made_count = 1};
    (void)snprintf(p->file, sizeof p->file, "/tmp/clattn-bench-XXXXXX");
    const int descriptor = mkstemp(p->file);
    FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "wb");
    if (!file)
        return false;
    const bool made = c->score == CLATTN_SCORE_GIVEN ? make_given(p, device, c, file)
                                                     : make_scored(p, device, c, file);
    p->args.value = p->tensors[VALUE];
    return fclose(file) == 0 && made &&
           clattn_plan_create(&p->plan, device, &p->desc) == CLATTN_OK &&
           (!(p->desc.flags & CLATTN_PROJECTED_KEYS) || project(p, device, c->N)) &&
           (c->direction == CLATTN_FORWARD || turn_backward(p, device, c));
}

static void unmake(problem *p, clattn_device *device)
{
    clattn_keys_destroy(p->keys);
    clattn_plan_destroy(p->plan);
    for (int i = 0; i < TENSORS; i++)
        clattn_tensor_free(&p->tensors[i], device);
    (void)unlink(p->file);
}

/* Seconds of a run of clattn, or of a peer; negative after a failure. */
static double run_once(problem *p, clattn_device *device, bench_peer *peer)
{
    const double begin = now();
    if (peer)
        return bench_peer_go(peer);
    if (clattn_plan_run(p->plan, &p->args) != CLATTN_OK ||
        clattn_device_finish(device) != CLATTN_OK)
        return -1;
    return now() - begin;
}

static double take_turn(problem *p, clattn_device *device, bench_peer *peer)
{
    /* OpenMP's threads spin for a while after their work, on the next one's cores. */
    const struct timespec pause = {.tv_nsec = 100000000};
    (void)nanosleep(&pause, NULL);
    double seconds = 0;
    for (const double begin = now(); seconds >= 0 && now() - begin < WARM_UP;)
        seconds = run_once(p, device, peer);
    return seconds < 0 ? seconds : run_once(p, device, peer);
}

static bool ask_for_case(bench_peer *peer, const rnn_case *c, const char *file)
{
    char line[160], answer[64];
    (void)snprintf(line, sizeof line, "%s %s %d %d %d %d %s",
                   c->direction == CLATTN_BACKWARD ? "backward" : "case", c->kind, c->B, c->S, c->T,
                   c->N, file);
    return bench_peer_ask(peer, line, answer, sizeof answer) && strncmp(answer, "ready", 5) == 0;
}

static void print_row(const char *name, double *seconds, const double *ours, double difference)
{
    printf("  %-28s %9.3f %9.3f %9.2f %9.1e\n", name, 1e3 * seconds[0], 1e3 * seconds[ROUNDS / 2],
           seconds[ROUNDS / 2] / ours[ROUNDS / 2], difference);
}

static bool run_case(const rnn_case *c, clattn_device *device, bench_peer *peers, double read)
{
    problem p;
    double seconds[3][ROUNDS];
    bool takes[3] = {true, false, false}, ok = make(&p, device, c);
    for (int n = 1; ok && n < 3; n++)
        takes[n] = ask_for_case(&peers[n - 1], c, p.file);
    for (int round = 0; ok && round < ROUNDS; round++)
        for (int n = 0; ok && n < 3; n++)
            if (takes[n]) {
                seconds[n][round] = take_turn(&p, device, n ? &peers[n - 1] : NULL);
                ok = seconds[n][round] >= 0;
            }
    if (ok) {
        printf("\n%s: B %d, S %d, T %d", c->title, c->B, c->S, c->T);
        printf(c->N > 1 ? ", A = D = Dv %d\n" : "\n", c->N);
        printf("  %-28s %9s %9s %9s %9s\n", "", "best ms", "median ms", "x clattn", "max diff");
        for (int n = 0; n < 3; n++) {
            if (!takes[n])
                continue;
            qsort(seconds[n], ROUNDS, sizeof(double), ascending);
            char name[40];
            (void)snprintf(name, sizeof name, "clattn %s", clattn_plan_variant(p.plan));
            print_row(n ? peers[n - 1].name : name, seconds[n], seconds[0],
                      n ? bench_peer_difference(&peers[n - 1], device, p.made, p.made_count) : 0);
        }
        if (p.keys && c->direction == CLATTN_FORWARD)
            printf("  %-28s %9.3f\n", "reading the keys once",
                   1e3 * 4.0 * c->B * c->T * c->N / (1e9 * read));
    }
    unmake(&p, device);
    return ok;
}

/* GB/s of reading, by the yardstick. */
static double measure_reading(void)
{
    char line[512] = "";
    FILE *pipe = popen(LIMITS, "r"); /* a path of our own build */
    if (!pipe)
        return 0;
    if (!fgets(line, sizeof line, pipe))
        line[0] = '\0';
    (void)pclose(pipe);
    const char *at = strstr(line, "\"read\": ");
    return at ? strtod(at + strlen("\"read\": "), NULL) : 0;
}

int main(void)
{
    bench_peer peers[] = {
        {.name = "PyTorch, eager"}, {.name = "PyTorch, torch.compile"}, {.name = NULL}};
    clattn_device *device = NULL;
    const double read = measure_reading();
    bool ok = clattn_device_open(&device, NULL, 0) == CLATTN_OK;
    bench_peer_start_python(&peers[0], RNN_PEERS, "eager", "import torch, numpy");
    bench_peer_start_python(&peers[1], RNN_PEERS, "compile", "import torch, numpy");
    if (ok)
        printf("device   %s, %s; %.1f GB/s reading; %d rounds, interleaved\n",
               clattn_device_get_info(device)->name, clattn_device_get_info(device)->driver_version,
               read, ROUNDS);
    for (size_t i = 0; ok && i < sizeof cases / sizeof *cases; i++) {
        ok = run_case(&cases[i], device, peers, read);
        (void)fflush(stdout);
    }
    if (!ok)
        (void)fprintf(stderr, "bench: %s\n", clattn_last_error());
    for (const bench_peer *peer = peers; peer->name; peer++)
        if (peer->why_not)
            printf("%s: %s\n", peer->name, peer->why_not);
    bench_peers_stop(peers);
    clattn_device_close(device);
    return ok ? 0 : 3;
}
