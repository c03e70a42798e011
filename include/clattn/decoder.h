/* decoder.h: attention as an RNN decoder has it, one query after the other over the same keys.
 *
 *   clattn_decoder_create(&decoder, device, &desc, max_steps, 0);
 *   clattn_decoder_begin(decoder, &args);             key, value, kv_lengths, params: once for a batch
 *   for each step:
 *       clattn_decoder_step(decoder, &state, &context);
 *   clattn_decoder_alignments(decoder, &alignments);  (B, S, T), at the end
 *
 * What steps share stays on the device: projected keys, values, lengths, parameters, and what
 * LOCATION_SENSITIVE and COVERAGE scores take of earlier steps, their weights and the sum of those. */
#ifndef CLATTN_DECODER_H
#define CLATTN_DECODER_H

#include <clattn/attention.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct clattn_decoder clattn_decoder;

/** Flags of clattn_decoder_create(). */
enum {
    /* LOCATION_SENSITIVE: filters have two channels, (C, 2, K), the second one for the sum of all weights
     * so far (Tacotron 2, arXiv:1712.05884). */
    CLATTN_DECODER_CUMULATIVE = 1 << 0
};

/**
 * Makes a decoder. `desc` says what a step computes, its outputs count for nothing; causal, window, ALiBi,
 * packed sequences and given scores are refused, as a step's one query has no place among the keys.
 * `max_steps`: of which the alignments are kept; 0: none are. `*out` is the caller's to destroy before the
 * device is closed, and NULL after a failure.
 *
 * @return as clattn_plan_create()
 */
CLATTN_API clattn_status clattn_decoder_create(clattn_decoder **out, clattn_device *device,
                                               const clattn_attention_desc *desc, size_t max_steps,
                                               uint32_t flags);

/**
 * Begins with a batch: `args` has all of a call but query and outputs. Tensors in host memory are copied,
 * and may be freed then; those in device memory stay the caller's to keep. Of earlier steps there are
 * none: previous_weights may be given, in host memory, as what the first step is to see, likewise
 * cumulative_weights or coverage; zeros otherwise. Waits for the device.
 */
CLATTN_API clattn_status clattn_decoder_begin(clattn_decoder *decoder,
                                              const clattn_attention_args *args);

/**
 * Enqueues a step: query (B, D), or (B, Hq, D) of several heads, to output (B, Dv), (B, Hq, Dv), of any
 * strides, under the rules of clattn_plan_run(): host memory is in use until clattn_device_finish().
 */
CLATTN_API clattn_status clattn_decoder_step(clattn_decoder *decoder, const clattn_tensor *query,
                                             const clattn_tensor *output);

/** Steps since clattn_decoder_begin(). */
CLATTN_API size_t clattn_decoder_steps(const clattn_decoder *decoder);

/** Waits, and writes the weights of all steps so far to a tensor in host memory: (B, steps, T), or
 * (B, Hq, steps, T) of several heads, of the desc's dtype. */
CLATTN_API clattn_status clattn_decoder_alignments(clattn_decoder *decoder,
                                                   const clattn_tensor *alignments);

/** Destroys a decoder; steps that are under way go on and finish. NULL is fine. */
CLATTN_API void clattn_decoder_destroy(clattn_decoder *decoder);

#ifdef __cplusplus
}
#endif
#endif
