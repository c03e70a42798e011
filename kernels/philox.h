/* philox.h: random numbers that are a function of where they are used, for host and kernels alike
 *
 * Formula   Philox4x32-10: ten rounds of multiplications whose halves change places, with a key that grows
 * Source    Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11, 2011
 * Use       weight (row, key) is kept where number key % 4 of counter (block, offset) is at least the threshold,
 *           block = row * ceil(keys / 4) + key / 4, with the seed as key; a row is (batch, query head, query) of
 *           the caller's whole call
 * See       tests/unit/test_philox.c, which has the source's known answers
 */
#ifndef CLATTN_PHILOX_H
#define CLATTN_PHILOX_H
#include "arguments.h"

#ifdef __OPENCL_VERSION__
typedef uint clattn_uint32;
typedef ulong clattn_uint64;
#else
typedef uint32_t clattn_uint32;
typedef uint64_t clattn_uint64;
#endif

/* One counter, or in a kernel that says so a vector of them. */
#ifndef CLATTN_PHILOX_WORD
#define CLATTN_PHILOX_WORD clattn_uint32
#endif
#ifdef __OPENCL_VERSION__
#define CLATTN_MULTIPLY_HIGH(a, b) mul_hi(a, (CLATTN_PHILOX_WORD)(b))
#else
#define CLATTN_MULTIPLY_HIGH(a, b) ((clattn_uint32)((clattn_uint64)(a) * (b) >> 32))
#endif

/* In place. */
static inline void clattn_philox(CLATTN_PHILOX_WORD counter[4], clattn_uint32 key_low,
                                 clattn_uint32 key_high)
{
#ifdef __OPENCL_VERSION__
#pragma unroll 1
#endif
    for (int round = 0; round < 10; round++) {
        const CLATTN_PHILOX_WORD first = CLATTN_MULTIPLY_HIGH(counter[2], 0xCD9E8D57u) ^
                                         counter[1] ^ key_low,
                                 third = CLATTN_MULTIPLY_HIGH(counter[0], 0xD2511F53u) ^
                                         counter[3] ^ key_high;
        counter[1] = counter[2] * 0xCD9E8D57u;
        counter[3] = counter[0] * 0xD2511F53u;
        counter[0] = first;
        counter[2] = third;
        key_low += 0x9E3779B9u;
        key_high += 0xBB67AE85u;
    }
}

/* The row of query i of head h and batch b of a slice, among all rows of the call. */
static inline clattn_int clattn_dropout_row(const clattn_dropout *dropout, clattn_int b,
                                            clattn_int h, clattn_int i)
{
    return ((dropout->first_batch + b) * dropout->heads + dropout->first_head + h) * dropout->rows +
           dropout->first_row + i;
}

/* The block of a row's first keys; the next four keys have the next one. */
static inline clattn_int clattn_dropout_block(const clattn_dropout *dropout, clattn_int row)
{
    return row * ((dropout->keys + 3) / 4);
}

/* Numbers of blocks, given in halves. */
static inline void clattn_dropout_of_blocks(const clattn_dropout *dropout, CLATTN_PHILOX_WORD low,
                                            CLATTN_PHILOX_WORD high, CLATTN_PHILOX_WORD numbers[4])
{
    const clattn_uint64 offset = (clattn_uint64)dropout->offset,
                        seed = (clattn_uint64)dropout->seed;
    numbers[0] = low, numbers[1] = high;
    numbers[2] = (CLATTN_PHILOX_WORD)((clattn_uint32)offset);
    numbers[3] = (CLATTN_PHILOX_WORD)((clattn_uint32)(offset >> 32));
    clattn_philox(numbers, (clattn_uint32)seed, (clattn_uint32)(seed >> 32));
}

/* Numbers for keys j - j % 4 to j - j % 4 + 3 of a row. */
static inline void clattn_dropout_numbers(const clattn_dropout *dropout, clattn_int row,
                                          clattn_int j, CLATTN_PHILOX_WORD numbers[4])
{
    const clattn_uint64 block = (clattn_uint64)(clattn_dropout_block(dropout, row) + j / 4);
    clattn_dropout_of_blocks(dropout, (CLATTN_PHILOX_WORD)((clattn_uint32)block),
                             (CLATTN_PHILOX_WORD)((clattn_uint32)(block >> 32)), numbers);
}

#endif
