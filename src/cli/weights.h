/* weights.h: the attention weights that a heat map shows. */
#ifndef CLI_WEIGHTS_H
#define CLI_WEIGHTS_H

#include <stddef.h>
#include <stdint.h>

typedef struct cli_weights {
    double *values; /* one matrix per head, `queries` rows of `keys` */
    size_t heads;   /* that were read, */
    size_t first;   /* from this one on */
    size_t queries, keys;
} cli_weights;

/* Reads one entry of the batch from a file of shape (B,Hq,S,T), (B,S,T) or (S,T): one head, or with -1 all
 * of them. Returns an exit code of text.h. */
int cli_weights_read(cli_weights *out, const char *path, int64_t batch, int64_t head);

void cli_weights_free(cli_weights *weights);

/* What the first `rows` rows of every head add up to. */
typedef struct cli_sums {
    size_t rows; /* of all heads */
    size_t odd;  /* those whose sum is not 1, but for rows of only zeros, which see nothing */
    size_t worst_head, worst_row; /* the one farthest from 1 */
    double worst;                 /* its sum */
} cli_sums;

cli_sums cli_weights_sum(const cli_weights *weights, size_t rows);

#endif
