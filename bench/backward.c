/* backward.c: gradients of query, key and value beside PyTorch's, round by round: the pass backward alone, behind
 * a pass forward that is not timed. The gradient of the output is the query, which has its shape. The products of
 * `lanes` run, too, and nothing else, and then with an exponential for each score: its ceilings. */
#include "measure.h"
#include "on_device.h"
#include "peers.h"
#include "products.h"

#include <clattn/clattn.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 15
#define WARM_UP 0.08 /* seconds of runs that do not count, before each that does */

static const char *const cases[] = {
    "1,8,1024,64", "1,8,1024,64,causal", "1,8,1024,128", "1,8,1024,128,causal",
    "1,4,4096,64", "1,4,4096,64,causal", "8,8,128,64",   "1,32,8,512,512,128"};

enum { CLATTN, STAGED, PYTORCH, PRODUCTS, EXPONENTIALS, RUNNERS };
static const char *const names[RUNNERS] = {"clattn", "clattn staged", "PyTorch SDPA",
                                           "products of lanes alone", "  and exponentials"};

/* A case forward and backward, and its gradients. */
typedef struct problem {
    bench_case data;
    clattn_attention_args args;
    clattn_plan *plans[2];
    clattn_tensor lse;
    bench_products products[2];
    double seconds[RUNNERS][ROUNDS];
} problem;

static bool make_plan(clattn_plan **plan, clattn_device *device, const bench_case *c,
                      clattn_direction direction, const char *variant)
{
    clattn_attention_desc desc = {.struct_size = sizeof desc, .variant = variant};
    desc.query_heads = (size_t)c->H, desc.kv_heads = (size_t)c->Hkv;
    desc.head_size = (size_t)c->D;
    desc.flags = c->causal ? CLATTN_CAUSAL : 0;
    desc.direction = direction;
    if (direction == CLATTN_FORWARD)
        desc.outputs = CLATTN_OUTPUT | CLATTN_LSE;
    return clattn_plan_create(plan, device, &desc) == CLATTN_OK;
}

static bool run_forward(problem *p, clattn_device *device)
{
    clattn_plan *plan = NULL;
    clattn_attention_args args = p->args;
    args.lse = p->lse;
    const bool ok = make_plan(&plan, device, &p->data, CLATTN_FORWARD, NULL) &&
                    clattn_plan_run(plan, &args) == CLATTN_OK &&
                    clattn_device_finish(device) == CLATTN_OK;
    clattn_plan_destroy(plan);
    return ok;
}

static bool make(problem *p, clattn_device *device, const char *text)
{
    const bench_case *c = &p->data;
    clattn_gradients *grad = &p->args.grad;
    if (!bench_case_parse(&p->data, text) || !bench_case_make(&p->data) ||
        !bench_case_save(&p->data) || bench_upload(&p->args, device, c) != CLATTN_OK)
        return false;
    const int64_t queries[4] = {c->B, c->H, c->S, c->D}, keys[4] = {c->B, c->Hkv, c->T, c->D};
    if (clattn_tensor_alloc(&p->lse, device, CLATTN_F32, 3, queries) != CLATTN_OK ||
        !run_forward(p, device) ||
        clattn_tensor_alloc(&grad->query, device, CLATTN_F32, 4, queries) != CLATTN_OK ||
        clattn_tensor_alloc(&grad->key, device, CLATTN_F32, 4, keys) != CLATTN_OK ||
        clattn_tensor_alloc(&grad->value, device, CLATTN_F32, 4, keys) != CLATTN_OK)
        return false;
    p->args.lse = p->lse;
    grad->output = p->args.query;
    return make_plan(&p->plans[CLATTN], device, c, CLATTN_BACKWARD, NULL) &&
           make_plan(&p->plans[STAGED], device, c, CLATTN_BACKWARD, "staged");
}

static void unmake(problem *p, clattn_device *device)
{
    for (int i = 0; i < 2; i++) {
        clattn_plan_destroy(p->plans[i]);
        bench_products_release(&p->products[i]);
    }
    clattn_tensor_free(&p->lse, device);
    clattn_tensor_free(&p->args.grad.query, device);
    clattn_tensor_free(&p->args.grad.key, device);
    clattn_tensor_free(&p->args.grad.value, device);
    bench_unload(&p->args, device);
    bench_case_free(&p->data);
}

/* Seconds of a run of clattn, or of the peer; negative after a failure. */
static double run_once(problem *p, clattn_device *device, bench_peer *peer, int runner)
{
    const double begin = now();
    if (runner == PYTORCH)
        return bench_peer_go(peer);
    if (runner >= PRODUCTS)
        return bench_products_run(&p->products[runner - PRODUCTS], device) ? now() - begin : -1;
    if (clattn_plan_run(p->plans[runner], &p->args) != CLATTN_OK ||
        clattn_device_finish(device) != CLATTN_OK)
        return -1;
    return now() - begin;
}

static double take_turn(problem *p, clattn_device *device, bench_peer *peer, int runner)
{
    /* OpenMP's threads spin for a while after their work, on the next one's cores. */
    const struct timespec pause = {.tv_nsec = 100000000};
    (void)nanosleep(&pause, NULL);
    double seconds = 0;
    for (const double begin = now(); seconds >= 0 && now() - begin < WARM_UP;)
        seconds = run_once(p, device, peer, runner);
    return seconds < 0 ? seconds : run_once(p, device, peer, runner);
}

static double largest_difference(problem *p, clattn_device *device, bench_peer *peer)
{
    const clattn_tensor made[] = {p->args.grad.query, p->args.grad.key, p->args.grad.value};
    if (run_once(p, device, peer, CLATTN) < 0) /* `staged` wrote them last */
        return (double)INFINITY;
    return bench_peer_difference(peer, device, made, sizeof made / sizeof *made);
}

/* GFLOP/s of multiply-adds, by the yardstick. */
static double measure_peak(void)
{
    char line[512] = "";
    FILE *pipe = popen(LIMITS, "r"); /* a path of our own build */
    if (!pipe)
        return 0;
    if (!fgets(line, sizeof line, pipe))
        line[0] = '\0';
    (void)pclose(pipe);
    const char *at = strstr(line, "\"gflops\": ");
    return at ? strtod(at + strlen("\"gflops\": "), NULL) : 0;
}

static bool run_case(const char *text, clattn_device *device, bench_peer *peer, double peak)
{
    problem p = {.data = {.B = 0}};
    bool ok = make(&p, device, text);
    const bool takes[RUNNERS] = {
        true, true, ok && bench_peer_case(peer, &p.data),
        ok && bench_products_make(&p.products[0], device, &p.data, &p.args, false),
        ok && bench_products_make(&p.products[1], device, &p.data, &p.args, true)};
    for (int round = 0; ok && round < ROUNDS; round++)
        for (int n = 0; ok && n < RUNNERS; n++)
            if (takes[n]) {
                p.seconds[n][round] = take_turn(&p, device, peer, n);
                ok = p.seconds[n][round] >= 0;
            }
    if (ok) {
        /* Five products where forward has two. */
        const double gflop = 2.5e-9 * bench_case_flops(&p.data);
        const double difference = takes[PYTORCH] ? largest_difference(&p, device, peer) : 0;
        printf("\n%s, by %s\n  %-24s %9s %9s %9s %9s %9s %9s\n", text,
               clattn_plan_variant(p.plans[CLATTN]), "", "best ms", "median ms", "GFLOP/s",
               "% of peak", "x clattn", "max diff");
        for (int n = 0; n < RUNNERS; n++)
            if (takes[n])
                qsort(p.seconds[n], ROUNDS, sizeof(double), ascending);
        for (int n = 0; n < RUNNERS; n++)
            if (takes[n])
                printf("  %-24s %9.2f %9.2f %9.1f %9.1f %9.2f %9.1e\n", names[n],
                       1e3 * p.seconds[n][0], 1e3 * p.seconds[n][ROUNDS / 2],
                       gflop / p.seconds[n][0], 100 * gflop / p.seconds[n][0] / peak,
                       p.seconds[n][ROUNDS / 2] / p.seconds[CLATTN][ROUNDS / 2],
                       n == PYTORCH ? difference : 0);
    }
    unmake(&p, device);
    return ok;
}

int main(int count, char *arguments[])
{
    bench_peer peers[] = {{.name = "PyTorch SDPA"}, {.name = NULL}};
    clattn_device *device = NULL;
    const double peak = measure_peak();
    bool ok = clattn_device_open(&device, NULL, 0) == CLATTN_OK;
    bench_peer_start_python(&peers[0], PYTHON_PEERS, "torch-backward", "import torch, numpy");
    if (ok)
        printf("device   %s, %s; FMA peak %.1f GFLOP/s; %d rounds, interleaved\n",
               clattn_device_get_info(device)->name, clattn_device_get_info(device)->driver_version,
               peak, ROUNDS);
    for (int i = 1; ok && i < count; i++)
        ok = run_case(arguments[i], device, peers, peak);
    for (size_t i = 0; ok && count == 1 && i < sizeof cases / sizeof *cases; i++) {
        ok = run_case(cases[i], device, peers, peak);
        (void)fflush(stdout);
    }
    if (!ok)
        (void)fprintf(stderr, "bench: %s\n", clattn_last_error());
    if (peers[0].why_not)
        printf("%s: %s\n", peers[0].name, peers[0].why_not);
    bench_peers_stop(peers);
    clattn_device_close(device);
    return ok ? 0 : 3;
}
