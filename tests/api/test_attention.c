/* Dot products and given scores with all modifications, packed sequences too. */
#include "support/whole_calls.h"

int main(int argc, char **argv)
{
    const case_table tables[] = {cases_that_hurt, cases_of_pairs, cases_packed};
    return whole_calls_main(argc, argv, tables, sizeof tables / sizeof *tables);
}
