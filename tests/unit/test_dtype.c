/* Conversions between double and the 16-bit types: every number they have, and what lies between
 * two of them. */
#include "support/checks.h"
#include "support/named_tests.h"

#include <math.h>

typedef struct format {
    const char *name;
    clattn_dtype dtype;
    uint16_t infinity; /* its bits; below lie the magnitudes of all numbers, in order */
} format;

static const format formats[] = {{"f16", CLATTN_F16, 0x7c00}, {"bf16", CLATTN_BF16, 0x7f80}};

static double load(const format *f, uint16_t bits)
{
    return clattn_element_load(f->dtype, &bits, 0);
}

static uint16_t store(const format *f, double value)
{
    uint16_t bits = 0;
    clattn_element_store(f->dtype, &bits, 0, value);
    return bits;
}

static void every_number_comes_back(void **state)
{
    const format *f = *state;
    for (unsigned sign = 0; sign <= 0x8000; sign += 0x8000)
        for (unsigned bits = 0; bits <= f->infinity; bits++)
            assert_int_equal(store(f, load(f, (uint16_t)(sign | bits))), sign | bits);
}

static void between_two_numbers_the_nearer_one_or_the_even(void **state)
{
    const format *f = *state;
    for (unsigned bits = 0; bits + 1 < f->infinity; bits++) {
        const double below = load(f, (uint16_t)bits), above = load(f, (uint16_t)(bits + 1));
        const double middle = (below + above) / 2;
        assert_int_equal(store(f, middle), bits + bits % 2);
        assert_int_equal(store(f, nextafter(middle, below)), bits);
        assert_int_equal(store(f, -nextafter(middle, above)), 0x8000 | (bits + 1));
    }
}

static void past_the_largest_number(void **state)
{
    const format *f = *state;
    const double largest = load(f, (uint16_t)(f->infinity - 1)),
                 last_place = largest - load(f, (uint16_t)(f->infinity - 2));
    assert_int_equal(store(f, largest + last_place / 2), f->infinity);
    assert_int_equal(store(f, nextafter(largest + last_place / 2, 0)), f->infinity - 1);
    assert_int_equal(store(f, -(double)INFINITY), 0x8000 | f->infinity);
    assert_true(isnan(load(f, store(f, (double)NAN))));
}

int main(void)
{
    int failures = 0;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        named_tests tests = {0};
        named_tests_add(&tests, "every number comes back", every_number_comes_back, &formats[i]);
        named_tests_add(&tests, "between two numbers, the nearer one or the even",
                        between_two_numbers_the_nearer_one_or_the_even, &formats[i]);
        named_tests_add(&tests, "past the largest number", past_the_largest_number, &formats[i]);
        failures += named_tests_run(&tests, formats[i].name, NULL, NULL);
    }
    return failures;
}
