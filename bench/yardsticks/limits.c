/* Prints what the machine can do: single precision fused multiply-adds per second on all cores (AVX-512 or AVX2),
   the bandwidth of the STREAM triad a[i] = b[i] + s * c[i] (three arrays counted), and of reading 128 MiB. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#if defined(__AVX512F__)
#define WIDTH 16
#define ISA "avx512"
#elif defined(__AVX2__) && defined(__FMA__)
#define WIDTH 8
#define ISA "avx2"
#else
#define WIDTH 4
#define ISA "generic"
#endif
#define CHAINS 12
#define STEPS 20000000L
#define COUNT (1L << 25)

typedef float vec __attribute__((vector_size(4 * WIDTH)));
static float *a, *b, *c;
static int threads;
static volatile float sink;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

#if WIDTH == 4
#define FMA(r) r = r * x + y;
#else
#define FMA(r) __asm__ volatile("vfmadd213ps %2, %1, %0" : "+v"(r) : "v"(x), "v"(y));
#endif

static void *multiply(void *unused)
{
    vec x, y, r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11;
    for (int l = 0; l < WIDTH; l++)
        x[l] = 0.9999f, y[l] = 1e-5f;
    r0 = r1 = r2 = r3 = r4 = r5 = r6 = r7 = r8 = r9 = r10 = r11 = y;
    for (long k = 0; k < STEPS; k++) {
        FMA(r0)
        FMA(r1) FMA(r2) FMA(r3) FMA(r4) FMA(r5) FMA(r6) FMA(r7) FMA(r8) FMA(r9) FMA(r10) FMA(r11)
    }
    r0 += r1 + r2 + r3 + r4 + r5 + r6 + r7 + r8 + r9 + r10 + r11;
    sink = r0[0];
    return unused;
}

static void *triad(void *which)
{
    long part = COUNT / threads, first = part * (long)which;
    for (long i = first; i < first + part; i++)
        a[i] = b[i] + 3.0f * c[i];
    return NULL;
}

static void *reading(void *which)
{
    long part = COUNT / threads, first = part * (long)which;
    vec s0 = {0}, s1 = s0, s2 = s0, s3 = s0;
    const vec *p = (const vec *)(b + first);
    for (long i = 0; i < part / WIDTH; i += 4)
        s0 += p[i], s1 += p[i + 1], s2 += p[i + 2], s3 += p[i + 3];
    s0 += s1 + s2 + s3;
    sink = s0[0];
    return NULL;
}

static double run(void *(*work)(void *))
{
    pthread_t t[256];
    double begin = now();
    for (long i = 0; i < threads; i++)
        pthread_create(&t[i], NULL, work, (void *)i);
    for (int i = 0; i < threads; i++)
        pthread_join(t[i], NULL);
    return now() - begin;
}

int main(void)
{
    double fma = 1e9, copy = 1e9, read = 1e9, t;
    threads = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (threads > 256)
        threads = 256;
    a = aligned_alloc(64, 4 * COUNT), b = aligned_alloc(64, 4 * COUNT),
    c = aligned_alloc(64, 4 * COUNT);
    if (!a || !b || !c)
        return 1;
    for (long i = 0; i < COUNT; i++)
        a[i] = 0, b[i] = 1, c[i] = 2;
    for (int round = 0; round < 5; round++) {
        if ((t = run(multiply)) < fma)
            fma = t;
        if ((t = run(triad)) < copy)
            copy = t;
        if ((t = run(reading)) < read)
            read = t;
    }
    printf(
        "{\"isa\": \"%s\", \"threads\": %d, \"gflops\": %.1f, \"triad\": %.2f, \"read\": %.2f}\n",
        ISA, threads, 1e-9 * threads * STEPS * CHAINS * WIDTH * 2 / fma,
        1e-9 * 3 * 4 * COUNT / copy, 1e-9 * 4 * COUNT / read);
    return 0;
}
