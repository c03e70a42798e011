/* bench.c: clattn's variants and other libraries side by side, interleaved
 * round by round, best and median, beside what the machine can do at all. */
#include "measure.h"
#include "on_device.h"
#include "peers.h"

#include <clattn/clattn.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_ENTRIES 16
#define MAX_ROUNDS 1000
#define MAX_CASES 32
#define WARM_UP 0.08 /* seconds */

/* One row of the table: a variant of ours, or a peer. */
typedef struct entry {
    char name[64];
    clattn_plan *plan;
    bench_peer *peer;
    double seconds[MAX_ROUNDS];
    double error; /* the largest difference from the first entry's output */
} entry;

typedef struct limits {
    double gflops, triad, read; /* of yardsticks/limits.c, GFLOP/s and GB/s */
} limits;

/* Lets threads of the last runner go to sleep: OpenMP's and OpenBLAS's
 * spin for a while after their work, on the next one's cores. */
static void settle(void)
{
    const struct timespec pause = {.tv_nsec = 100000000};
    (void)nanosleep(&pause, NULL);
}

static bool measure_limits(limits *out)
{
    char line[512] = "";
    FILE *pipe = popen(LIMITS, "r"); /* a path of our own build */
    const char *at;
    if (!pipe)
        return false;
    if (!fgets(line, sizeof line, pipe))
        line[0] = '\0';
    if (pclose(pipe) != 0)
        return false;
    const struct {
        const char *key;
        double *value;
    } wanted[] = {
        {"\"gflops\": ", &out->gflops}, {"\"triad\": ", &out->triad}, {"\"read\": ", &out->read}};
    for (size_t i = 0; i < 3; i++) {
        at = strstr(line, wanted[i].key);
        if (!at)
            return false;
        *wanted[i].value = strtod(at + strlen(wanted[i].key), NULL);
    }
    return true;
}

static int print_table(const bench_case *c, entry *entries, size_t count, int rounds,
                       const limits *machine)
{
    const double flops = bench_case_flops(c),
                 bytes = 8.0 * (double)(bench_case_queries(c) + bench_case_keys(c));
    /* Causal work is counted whole and half as much is
     * needed: the column says what a user waits for. */
    int wrong = 0;
    if (c->starts)
        printf("\n%d packed sequences, (rows, H, D) = (%d, %d, %d)", c->B, c->S, c->H, c->D);
    else
        printf("\n(B, Hq, Hkv, S, T, D) = (%d, %d, %d, %d, %d, %d)", c->B, c->H, c->Hkv, c->S, c->T,
               c->D);
    printf("%s, f32\n", c->causal ? ", causal" : "");
    printf("%-30s %10s %10s %9s %7s %8s %9s %9s\n", "", "best ms", "median ms", "GFLOP/s",
           "of peak", "GB/s", "x clattn", "max diff");
    for (size_t i = 0; i < count; i++)
        qsort(entries[i].seconds, (size_t)rounds, sizeof(double), ascending);
    for (size_t i = 0; i < count; i++) {
        const double best = entries[i].seconds[0], median = entries[i].seconds[rounds / 2];
        /* Inputs are in [-1, 1): two right results in f32 differ by far less. */
        const bool bad = !(entries[i].error < 1e-4);
        printf("%-30s %10.2f %10.2f %9.1f %6.0f%% %8.2f %9.2f %9.1e%s\n", entries[i].name,
               1e3 * best, 1e3 * median, 1e-9 * flops / best, 1e-7 * flops / best / machine->gflops,
               1e-9 * bytes / best, median / entries[0].seconds[rounds / 2], entries[i].error,
               bad ? "  WRONG" : "");
        wrong += bad;
    }
    return wrong;
}

static double largest_difference(const float *a, const float *b, size_t count)
{
    double most = 0;
    for (size_t i = 0; i < count; i++) {
        const double difference = fabs((double)a[i] - (double)b[i]);
        if (!(difference <= most))
            most = difference;
    }
    return most;
}

static clattn_status plan_variant(entry *e, clattn_device *device, const bench_case *c,
                                  const char *variant, const clattn_attention_args *args)
{
    clattn_attention_desc desc = {.struct_size = sizeof desc};
    desc.query_heads = (size_t)c->H;
    desc.kv_heads = (size_t)c->Hkv;
    desc.head_size = (size_t)c->D;
    desc.flags = (c->causal ? CLATTN_CAUSAL : 0u) | (c->starts ? CLATTN_PACKED : 0u);
    desc.variant = variant;
    clattn_status status = clattn_plan_create(&e->plan, device, &desc);
    if (status != CLATTN_OK)
        return status;
    /* The first run compiles and fills caches; it is nobody's time here. Only a run tells the variant. */
    status = clattn_plan_run(e->plan, args);
    (void)snprintf(e->name, sizeof e->name, "clattn %s", clattn_plan_variant(e->plan));
    return status == CLATTN_OK ? clattn_device_finish(device) : status;
}

/* Seconds of one run; negative after a failure. */
static double run_once(entry *e, clattn_device *device, const clattn_attention_args *args)
{
    const double begin = now();
    if (e->peer)
        return bench_peer_go(e->peer);
    if (clattn_plan_run(e->plan, args) != CLATTN_OK || clattn_device_finish(device) != CLATTN_OK)
        return -1;
    return now() - begin;
}

/* One turn: runs that do not count for WARM_UP seconds, since threads that wake up
 * together may share a core until the system has spread them, and the last turn left
 * its own data in the caches; then the one that counts. Negative after a failure. */
static double take_turn(entry *e, clattn_device *device, const clattn_attention_args *args)
{
    double seconds = 0;
    settle();
    for (const double begin = now(); seconds >= 0 && now() - begin < WARM_UP;)
        seconds = run_once(e, device, args);
    return seconds < 0 ? seconds : run_once(e, device, args);
}

/* Runs one case; negative for a failure of ours, else the number of wrong entries. */
static int run_case(const bench_case *c, clattn_device *device, bench_peer *peers, int rounds,
                    bool all_variants, const limits *machine)
{
    static entry entries[MAX_ENTRIES];
    clattn_attention_args args = {.struct_size = sizeof args};
    size_t count = 0;
    int result = -1;
    float *ours = malloc(bench_case_queries(c) * sizeof(float)),
          *theirs = malloc(bench_case_queries(c) * sizeof(float));
    memset(entries, 0, sizeof entries);
    if (!ours || !theirs || bench_upload(&args, device, c) != CLATTN_OK ||
        plan_variant(&entries[count++], device, c, NULL, &args) != CLATTN_OK)
        goto done;
    if (all_variants && !c->starts && strcmp(entries[0].name, "clattn staged-clblast") != 0 &&
        plan_variant(&entries[count++], device, c, "staged-clblast", &args) != CLATTN_OK)
        goto done;
    for (bench_peer *peer = peers; peer->name; peer++) {
        /* Each runs once for its own caches, too. */
        if (!bench_peer_case(peer, c) || bench_peer_go(peer) < 0)
            continue;
        entries[count].peer = peer;
        (void)snprintf(entries[count++].name, sizeof entries[0].name, "%s%s%s", peer->name,
                       peer->way[0] ? ", " : "", peer->way);
    }
    for (int round = 0; round < rounds; round++)
        for (size_t i = 0; i < count; i++) {
            entries[i].seconds[round] = take_turn(&entries[i], device, &args);
            if (entries[i].seconds[round] < 0)
                goto done;
        }
    for (size_t i = 0; i < count; i++) {
        float *to = i == 0 ? ours : theirs;
        if (entries[i].peer ? !bench_peer_output(entries[i].peer, c, to)
                            : clattn_plan_run(entries[i].plan, &args) != CLATTN_OK ||
                                  clattn_tensor_read(&args.output, device, to) != CLATTN_OK)
            goto done;
        entries[i].error = i == 0 ? 0 : largest_difference(ours, theirs, bench_case_queries(c));
    }
    result = print_table(c, entries, count, rounds, machine);
done:
    if (result < 0)
        (void)fprintf(stderr, "bench: %s\n", clattn_last_error());
    for (size_t i = 0; i < count; i++)
        clattn_plan_destroy(entries[i].plan);
    bench_unload(&args, device);
    free(ours);
    free(theirs);
    return result;
}

static const char usage[] =
    "usage: bench [--rounds N] [--case "
    "B,H,S,D[,causal]|B,Hq,Hkv,S,T,D[,causal]|ragged,H,D[,causal]]... "
    "[--all-variants]\n"
    "Times clattn's default variant (or all of them) and the peers that are installed, round by "
    "round.\n";

int main(int argc, char **argv)
{
    static const char *const standard[] = {
        "1,8,1024,64",        "1,8,1024,64,causal", "1,8,1024,128",      "1,8,1024,128,causal",
        "1,4,4096,64",        "1,4,4096,64,causal", "8,8,128,64",        "8,12,34,32",
        "1,32,8,512,512,128", "16,8,8,1,2048,128",  "4,32,8,1,2048,128", "ragged,8,64",
        "ragged,8,64,causal"};
    const char *chosen[MAX_CASES];
    size_t count = 0;
    int rounds = 10, wrong = 0;
    bool all_variants = false;
    limits machine;
    clattn_device *device = NULL;
    for (int i = 1; i < argc; i++) {
        const bool more = i + 1 < argc;
        if (strcmp(argv[i], "--all-variants") == 0) {
            all_variants = true;
        } else if (strcmp(argv[i], "--rounds") == 0 && more) {
            rounds = (int)strtol(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--case") == 0 && more && count < MAX_CASES) {
            chosen[count++] = argv[++i];
        } else {
            (void)fputs(usage, stderr);
            return 2;
        }
    }
    if (rounds < 1 || rounds > MAX_ROUNDS) {
        (void)fprintf(stderr, "bench: --rounds: %d, expected 1 to %d\n", rounds, MAX_ROUNDS);
        return 2;
    }
    for (; count == 0 || (chosen[0] == standard[0] && count < sizeof standard / sizeof *standard);
         count++)
        chosen[count] = standard[count];
    if (!measure_limits(&machine) || clattn_device_open(&device, NULL, 0) != CLATTN_OK) {
        (void)fprintf(stderr, "bench: %s\n",
                      device ? "the machine's limits cannot be measured" : clattn_last_error());
        clattn_device_close(device);
        return 3;
    }
    bench_peer *peers = bench_peers_start();
    printf("device   %s, %s\n", clattn_device_get_info(device)->name,
           clattn_device_get_info(device)->driver_version);
    printf("machine  %.1f GFLOP/s multiply-add in f32, %.1f GB/s triad, %.1f GB/s reading\n",
           machine.gflops, machine.triad, machine.read);
    printf("rounds   %d, interleaved; x clattn is the ratio of medians\n", rounds);
    for (size_t i = 0; i < count && wrong >= 0; i++) {
        bench_case c;
        if (!bench_case_parse(&c, chosen[i])) {
            (void)fprintf(stderr,
                          "bench: --case: \"%s\", expected B,H,S,D, B,Hq,Hkv,S,T,D or ragged,H,D, "
                          "and ,causal or nothing\n",
                          chosen[i]);
            wrong = -2;
        } else if (!bench_case_make(&c) || !bench_case_save(&c)) {
            (void)fprintf(stderr, "bench: no memory or no disk for case %s\n", chosen[i]);
            wrong = -1;
        } else {
            const int here = run_case(&c, device, peers, rounds, all_variants, &machine);
            wrong = here < 0 ? -1 : wrong + here;
        }
        bench_case_free(&c);
        (void)fflush(stdout);
    }
    for (const bench_peer *peer = peers; peer->name; peer++)
        if (peer->why_not)
            printf("%s: %s\n", peer->name, peer->why_not);
    bench_peers_stop(peers);
    clattn_device_close(device);
    return wrong == -2 ? 2 : (wrong < 0 ? 3 : wrong > 0);
}
