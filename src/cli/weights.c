/* weights.c: matrices out of a file, and whether they are weights. */
#include "weights.h"

#include "arrays.h"
#include "convert.h"
#include "text.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Sums are of values rounded to as few as 8 bits. */
#define SUM_TOLERANCE 0.01

static int check_index(const char *option, int64_t index, int64_t count, const char *path)
{
    if (index < count)
        return CLI_DONE;
    return CLI_FAIL(CLI_BAD_INPUT, "--%s: %" PRId64 "; %s has %" PRId64 ", counted from 0", option,
                    index, path, count);
}

int cli_weights_read(cli_weights *out, const char *path, int64_t batch, int64_t head)
{
    npy_array array = {0};
    clattn_tensor t = {0};
    char shape[NPY_SHAPE_TEXT];
    int result = CLI_DONE;
    memset(out, 0, sizeof *out);
    CLI_TRY(cli_array_read(&array, "weights", path));
    CLI_TRY(cli_tensor_from_npy(&t, &array, CLI_FLOATS, "weights", path));
    npy_shape_text(shape, t.rank, t.shape);
    if (t.rank < 2 || t.shape[t.rank - 1] == 0 || t.shape[t.rank - 2] == 0 ||
        (t.rank == 4 && t.shape[1] == 0)) {
        result = CLI_FAIL(
            CLI_BAD_INPUT,
            "--weights: %s: shape %s; expected (B,Hq,S,T), (B,S,T) or (S,T), Hq, S and T above 0",
            path, shape);
        goto done;
    }
    const int64_t heads = t.rank == 4 ? t.shape[1] : 1;
    CLI_TRY(check_index("batch", batch, t.rank > 2 ? t.shape[0] : 1, path));
    CLI_TRY(check_index("head", head, heads, path));
    out->heads = head < 0 ? (size_t)heads : 1;
    out->first = head < 0 ? 0 : (size_t)head;
    out->queries = (size_t)t.shape[t.rank - 2];
    out->keys = (size_t)t.shape[t.rank - 1];
    const size_t matrix = out->queries * out->keys;
    out->values = calloc(out->heads, matrix * sizeof *out->values);
    if (!out->values) {
        result = CLI_FAIL(CLI_SYSTEM, "--weights: no memory for %zu matrices of %zu by %zu",
                          out->heads, out->queries, out->keys);
        goto done;
    }
    const size_t first = ((size_t)(batch * heads) + out->first) * matrix;
    for (size_t i = 0; i < out->heads * matrix; i++)
        out->values[i] = clattn_element_load(t.dtype, t.host, first + i);
done:
    npy_free(&array);
    free(t.host);
    return result;
}

void cli_weights_free(cli_weights *weights)
{
    free(weights->values);
    memset(weights, 0, sizeof *weights);
}

cli_sums cli_weights_sum(const cli_weights *weights, size_t rows)
{
    cli_sums sums = {.rows = weights->heads * rows};
    for (size_t n = 0; n < sums.rows; n++) {
        const size_t head = n / rows, row = n % rows;
        const double *values = weights->values + (head * weights->queries + row) * weights->keys;
        double sum = 0;
        bool sees = false;
        for (size_t j = 0; j < weights->keys; j++) {
            sum += values[j];
            sees = sees || values[j] != 0;
        }
        if (!sees || fabs(sum - 1) <= SUM_TOLERANCE)
            continue;
        if (sums.odd++ == 0 || !(fabs(sum - 1) <= fabs(sums.worst - 1))) {
            sums.worst_head = weights->first + head;
            sums.worst_row = row;
            sums.worst = sum;
        }
    }
    return sums;
}
