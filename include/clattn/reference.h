/* reference.h: the same descriptions on the CPU, in double (long double for f64), by code that is
 * written to be right.
 *
 * verify is the judge of every other path: it runs a description on a device and on the reference,
 * and holds the device's error against a budget that is derived, not guessed (docs/numerics.md). */
#ifndef CLATTN_REFERENCE_H
#define CLATTN_REFERENCE_H

#include <clattn/attention.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Computes `desc` on host tensors. The outputs are rounded once, at the end. Backward makes everything from the
 * inputs again: it does not look at args.output and args.lse. */
CLATTN_API clattn_status clattn_reference_run(const clattn_attention_desc *desc,
                                              const clattn_attention_args *args);

/** One output of a verified call, or one gradient. Errors are absolute, in the output's unit. Each packed sequence has
 * a bound of its own, and the one whose error is closest to it stands for all. */
typedef struct clattn_verdict {
    const char *name; /* "output", "weights", "scores", "lse", "column_sums", "argmax", "entropy";
                         "grad.query", "grad.params.v" and so on */
    /** The largest |device - reference|; infinity where only one of them is NaN or infinite. Of argmax: by
     * how much the score of the key that is named falls short of the largest one. */
    double error;
    /** 2 * error of a plain pass in the same precision +
     * 8u(1 + max|s|/4) max|v| + one last place (docs/numerics.md); of a gradient with the largest sum of its
     * terms' magnitudes in place of max|v|, and for all packed sequences together. */
    double bound;
    size_t worst;   /* row-major index of the element with the largest error */
    size_t checked; /* elements compared */
    /** Elements at which plain code in the same precision
     * overflows: nothing is asked of a device. */
    size_t left_out;
    int ok; /* error <= bound, and something was compared unless there is nothing */
} clattn_verdict;

/** At most so many outputs or gradients has a call. */
#define CLATTN_MAX_VERDICTS 32

/** What clattn_verify() found. */
typedef struct clattn_report {
    int ok;       /* all verdicts are */
    size_t rows;  /* rows of queries checked, of B*Hq*S, or Hq*total_q of packed sequences */
    size_t count; /* verdicts */
    clattn_verdict verdicts[CLATTN_MAX_VERDICTS];
} clattn_report;

/**
 * Judges outputs, or gradients: `args` has host tensors only, with those of `desc` already computed
 * somewhere. `rows` rows, spread evenly over B*Hq*S, are recomputed by the reference; 0: all of
 * them, as with column sums, which are of all rows, and backward, where gradients are. Of packed sequences each
 * gets its share, at least one row.
 */
CLATTN_API clattn_status clattn_verify(clattn_report *report, const clattn_attention_desc *desc,
                                       const clattn_attention_args *args, size_t rows);

#ifdef __cplusplus
}
#endif
#endif
