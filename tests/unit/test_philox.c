/* test_philox.c: the random numbers of dropout, on the host, which compiles what kernels do. */
#include "../../kernels/philox.h"

#include "support/named_tests.h"

#include <string.h>

/* From the known answers that the authors publish with Random123, "philox4x32 10". */
typedef struct answer {
    const char *name;
    uint32_t counter[4], key[2], expected[4];
} answer;

static const answer answers[] = {
    {"zeros", {0, 0, 0, 0}, {0, 0}, {0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}},
    {"ones",
     {0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu},
     {0xffffffffu, 0xffffffffu},
     {0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}},
    {"digits of pi",
     {0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u},
     {0xa4093822u, 0x299f31d0u},
     {0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}},
};

static void answers_as_published(void **state)
{
    const answer *a = *state;
    uint32_t numbers[4];
    memcpy(numbers, a->counter, sizeof numbers);
    clattn_philox(numbers, a->key[0], a->key[1]);
    for (int n = 0; n < 4; n++)
        assert_int_equal(numbers[n], a->expected[n]);
}

/* Numbers of a slice are those of the whole call at its place. */
static void does_not_depend_on_pieces(void **state)
{
    const clattn_dropout call = {
        .seed = 5, .offset = ((int64_t)1 << 40) + 3, .heads = 3, .rows = 7, .keys = 10};
    clattn_dropout slice = call;
    (void)state;
    slice.first_batch = 1, slice.first_head = 2, slice.first_row = 4;
    for (int64_t i = 0; i < 3; i++)
        for (int64_t j = 0; j < call.keys; j++) {
            uint32_t whole[4], piece[4];
            clattn_dropout_numbers(&call, clattn_dropout_row(&call, 1, 2, 4 + i), j, whole);
            clattn_dropout_numbers(&slice, clattn_dropout_row(&slice, 0, 0, i), j, piece);
            assert_memory_equal(whole, piece, sizeof whole);
        }
}

/* No block of four is used twice within a call. */
static void every_weight_has_a_number_of_its_own(void **state)
{
    const clattn_dropout call = {.seed = 1, .heads = 2, .rows = 3, .keys = 9};
    uint32_t seen[2 * 2 * 3 * 3][4];
    size_t count = 0;
    (void)state;
    for (int64_t b = 0; b < 2; b++)
        for (int64_t h = 0; h < 2; h++)
            for (int64_t i = 0; i < 3; i++)
                for (int64_t j = 0; j < 9; j += 4, count++) {
                    clattn_dropout_numbers(&call, clattn_dropout_row(&call, b, h, i), j,
                                           seen[count]);
                    for (size_t n = 0; n < count; n++)
                        assert_memory_not_equal(seen[n], seen[count], sizeof seen[n]);
                }
}

int main(void)
{
    named_tests tests = {0};
    for (size_t a = 0; a < sizeof answers / sizeof *answers; a++)
        named_tests_add(&tests, answers[a].name, answers_as_published, &answers[a]);
    named_tests_add(&tests, "a slice", does_not_depend_on_pieces, NULL);
    named_tests_add(&tests, "all of a call", every_weight_has_a_number_of_its_own, NULL);
    return named_tests_run(&tests, "philox", NULL, NULL) != 0;
}
