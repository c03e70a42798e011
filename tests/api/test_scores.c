/* Scores with parameters, and normalizers. */
#include "support/whole_calls.h"

int main(int argc, char **argv)
{
    const case_table tables[] = {cases_of_scores};
    return whole_calls_main(argc, argv, tables, sizeof tables / sizeof *tables);
}
