/* case.h: one problem of the benchmark, and its data, on file for the peers. */
#ifndef BENCH_CASE_H
#define BENCH_CASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct bench_case {
    int B, H, Hkv, S, T, D; /* Dv = D, float32 */
    bool causal;
    const int32_t
        *starts; /* NULL, or B + 1 cumulative lengths of packed sequences; S is their total */
    /* (B, H, S, D) and twice (B, Hkv, T, D) or, packed, (S, H, D) each, from a fixed seed */
    float *query, *key, *value;
    char file[64]; /* query, key, value as raw f32, then B lengths as int32 */
} bench_case;

/* Reads "B,H,S,D" (T = S), "B,Hq,Hkv,S,T,D" or "ragged,H,D", 32 packed sequences of 16 to 512, with
 * ",causal" behind it or not; false when it is none of them. */
bool bench_case_parse(bench_case *c, const char *text);

/* Fills the tensors; false when there is no memory. */
bool bench_case_make(bench_case *c);
/* Writes the file; false when the disk fails. */
bool bench_case_save(bench_case *c);
void bench_case_free(bench_case *c);

/* Uniform in [-1, 1): SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). */
float bench_next_number(uint64_t *state);

/* Elements of query and output, and of key or value. */
size_t bench_case_queries(const bench_case *c);
size_t bench_case_keys(const bench_case *c);
double bench_case_flops(const bench_case *c);

#endif
