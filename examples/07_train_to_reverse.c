/* 07: a network learns to reverse words, "abcd" to "dcba", and its attention learns with it. Encoder and decoder
 * are Elman networks, scores are additive (Bahdanau et al., arXiv:1409.0473), and a context meets the state that
 * asked for it in the output layer (Luong et al., arXiv:1508.04025):
 *
 *   h[j] = tanh(letters[x[j]] + h[j - 1] recurrent)       encoder, of the word x
 *   s[i] = tanh(letters[y[i - 1]] + s[i - 1] recurrent)   decoder, of the answer y; before it, the last h
 *   c[i] = sum_j w[i][j] h[j],  w[i] = softmax_j(v . tanh(w_query s[i] + w_key h[j] + bias))
 *   p[i] = softmax(s[i] from_state + c[i] from_context)   of what y[i] is
 *
 * While it learns, the decoder is told the right letters so far. No state waits for a context then, and the
 * attention of all steps of all words is one call forward and one backward. The rest is plain loops. On its own,
 * the decoder reads what it has written, and each step is a call.
 *
 * usage: 07_train_to_reverse [STEPS [SEED]]; of fewer steps than by default nothing is expected */
#include <clattn/clattn.h>

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LETTERS = 26,
    END = LETTERS, /* ends an answer, and is what the decoder reads before the first letter */
    SYMBOLS,
    SHORTEST = 4,
    T = 10,    /* letters of the longest word: keys */
    S = T + 1, /* and of its answer, with END: queries */
    H = 48,    /* units of a state */
    A = 32,    /* units of the scores */
    B = 32,    /* words of a batch */
    STEPS = 1200,
    TESTS = 8 /* batches of words that it has never read */
};

/* All that is learnt. The gradient of it, and what Adam remembers, are as large. */
typedef struct cell {
    float letters[SYMBOLS][H], recurrent[H][H];
} cell;
typedef struct network {
    cell encoder, decoder;
    float w_query[A][H], w_key[A][H], v[A], bias[A];
    float from_state[H][SYMBOLS], from_context[H][SYMBOLS];
} network;

enum { WEIGHTS = sizeof(network) / sizeof(float) };

static network net, gradient;

/* A batch. What lies behind the end of a word or an answer is old, and counts for nothing. */
static int32_t lengths[B];
static int words[B][T], answers[B][S];
static float encoded[B][T][H], states[B][S][H], contexts[B][S][H], lse[B][S];
/* Gradients: of what the output layer reads, and of what attention reads. */
static float of_states[B][S][H], of_contexts[B][S][H];
static float of_queries[B][S][H], of_keys[B][T][H], of_values[B][T][H];

static clattn_device *device;
static clattn_plan *forward, *backward;
static clattn_decoder *decoder;
static clattn_attention_args forward_args, backward_args, decoder_args;

/* xorshift64* (Vigna, arXiv:1402.6246), so that all machines draw the same words. Never 0. */
static uint64_t random_state = 1;

static uint32_t random_bits(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)(random_state * 0x2545F4914F6CDD1Du >> 32);
}

static int random_below(int limit)
{
    return (int)((uint64_t)random_bits() * (uint64_t)limit >> 32);
}

static void draw_weights(void)
{
    float *weights = (float *)&net;
    for (int k = 0; k < WEIGHTS; k++)
        weights[k] = ((float)random_bits() * 0x1p-31f - 1.0f) / sqrtf(H);
}

/* Words whose letters add up to a multiple of 8 are kept for the test. */
static void draw_word(int b, bool for_test)
{
    int sum;
    do {
        sum = 0;
        lengths[b] = SHORTEST + random_below(T - SHORTEST + 1);
        for (int j = 0; j < lengths[b]; j++)
            sum += words[b][j] = random_below(LETTERS);
    } while ((sum % 8 == 0) != for_test);
    for (int i = 0; i < lengths[b]; i++)
        answers[b][i] = words[b][lengths[b] - 1 - i];
    answers[b][lengths[b]] = END;
}

static void draw_batch(bool for_test)
{
    for (int b = 0; b < B; b++)
        draw_word(b, for_test);
}

/* out[n] += in[m] matrix[m][n] */
static void add_product(float *restrict out, const float *restrict in, const float *restrict matrix,
                        int m, int n)
{
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++)
            out[j] += in[i] * matrix[i * n + j];
}

/* The way back: adds to the gradients of in and matrix. */
static void add_product_backward(float *restrict of_in, float *restrict of_matrix,
                                 const float *restrict of_out, const float *restrict in,
                                 const float *restrict matrix, int m, int n)
{
    for (int i = 0; i < m; i++) {
        float sum = 0.0f;
        for (int j = 0; j < n; j++) {
            sum += of_out[j] * matrix[i * n + j];
            of_matrix[i * n + j] += in[i] * of_out[j];
        }
        of_in[i] += sum;
    }
}

/* `next` may be where `last` is. */
static void step(float *next, const cell *c, int symbol, const float *last)
{
    float sum[H];
    memcpy(sum, c->letters[symbol], sizeof sum);
    add_product(sum, last, c->recurrent[0], H, H);
    for (int k = 0; k < H; k++)
        next[k] = tanhf(sum[k]);
}

/* `carry` comes as the gradient of next, and leaves as that of last. */
static void step_backward(float *carry, cell *of_cell, const float *next, const cell *c, int symbol,
                          const float *last)
{
    float of_sum[H];
    for (int k = 0; k < H; k++) {
        of_sum[k] = carry[k] * (1.0f - next[k] * next[k]);
        of_cell->letters[symbol][k] += of_sum[k];
        carry[k] = 0.0f;
    }
    add_product_backward(carry, of_cell->recurrent[0], of_sum, last, c->recurrent[0], H, H);
}

/* What a step of the encoder comes from, and one of the decoder, which begins where the encoder ended. */
static const float *encoded_before(int b, int j)
{
    static const float nothing[H];
    return j ? encoded[b][j - 1] : nothing;
}

static const float *state_before(int b, int i)
{
    return i ? states[b][i - 1] : encoded[b][lengths[b] - 1];
}

static int symbol_before(const int *symbols, int i)
{
    return i ? symbols[i - 1] : END;
}

static void encode(int b)
{
    for (int j = 0; j < lengths[b]; j++)
        step(encoded[b][j], &net.encoder, words[b][j], encoded_before(b, j));
}

static void decode(int b)
{
    for (int i = 0; i <= lengths[b]; i++)
        step(states[b][i], &net.decoder, symbol_before(answers[b], i), state_before(b, i));
}

/* Back through time, from the end of the answer to the beginning of the word. What reads a state of the decoder
 * is the output layer, attention as a query, and the next state; one of the encoder is a key and a value. */
static void decode_and_encode_backward(int b)
{
    float carry[H] = {0};
    for (int i = lengths[b]; i >= 0; i--) {
        for (int k = 0; k < H; k++)
            carry[k] += of_states[b][i][k] + of_queries[b][i][k];
        step_backward(carry, &gradient.decoder, states[b][i], &net.decoder,
                      symbol_before(answers[b], i), state_before(b, i));
    }
    for (int j = lengths[b] - 1; j >= 0; j--) {
        for (int k = 0; k < H; k++)
            carry[k] += of_keys[b][j][k] + of_values[b][j][k];
        step_backward(carry, &gradient.encoder, encoded[b][j], &net.encoder, words[b][j],
                      encoded_before(b, j));
    }
}

static void output_layer(float logits[SYMBOLS], const float *state, const float *context)
{
    memset(logits, 0, SYMBOLS * sizeof *logits);
    add_product(logits, state, net.from_state[0], H, SYMBOLS);
    add_product(logits, context, net.from_context[0], H, SYMBOLS);
}

/* The cross entropy of an answer, in nats, and `share` of its gradient. */
static float cross_entropy(int b, float share)
{
    float loss = 0.0f;
    for (int i = 0; i <= lengths[b]; i++) {
        const int right = answers[b][i];
        float p[SYMBOLS], sum = 0.0f;
        output_layer(p, states[b][i], contexts[b][i]);
        for (int k = 0; k < SYMBOLS; k++)
            sum += p[k] = expf(p[k]); /* these logits are far from overflow */
        loss -= logf(p[right] / sum);
        for (int k = 0; k < SYMBOLS; k++)
            p[k] = share * (p[k] / sum - (k == right ? 1.0f : 0.0f));
        add_product_backward(of_states[b][i], gradient.from_state[0], p, states[b][i],
                             net.from_state[0], H, SYMBOLS);
        add_product_backward(of_contexts[b][i], gradient.from_context[0], p, contexts[b][i],
                             net.from_context[0], H, SYMBOLS);
    }
    return loss;
}

/* Adam (Kingma and Ba, arXiv:1412.6980) with a gradient that is cut to a length of 1. The parameters of attention
 * are weights as all others are. */
static void adam(int n, float rate)
{
    static float mean[WEIGHTS], square[WEIGHTS];
    float *weights = (float *)&net, *g = (float *)&gradient, norm = 0.0f;
    for (int k = 0; k < WEIGHTS; k++)
        norm += g[k] * g[k];
    const float clip = 1.0f / fmaxf(1.0f, sqrtf(norm));
    const float mean_share = 1.0f - powf(0.9f, (float)n);
    const float square_share = 1.0f - powf(0.999f, (float)n);
    for (int k = 0; k < WEIGHTS; k++) {
        g[k] *= clip;
        mean[k] += 0.1f * (g[k] - mean[k]);
        square[k] += 0.001f * (g[k] * g[k] - square[k]);
        weights[k] -= rate * (mean[k] / mean_share) / (sqrtf(square[k] / square_share) + 1e-8f);
    }
}

static clattn_tensor of_batch(const void *data, int64_t rows)
{
    return clattn_tensor_host(CLATTN_F32, data, 3, (int64_t[]){B, rows, H});
}

static clattn_score_params params_of(const network *n)
{
    clattn_score_params params = {0};
    params.w_query = clattn_tensor_host(CLATTN_F32, n->w_query, 2, (int64_t[]){A, H});
    params.w_key = clattn_tensor_host(CLATTN_F32, n->w_key, 2, (int64_t[]){A, H});
    params.v = clattn_tensor_host(CLATTN_F32, n->v, 1, (int64_t[]){A});
    params.bias = clattn_tensor_host(CLATTN_F32, n->bias, 1, (int64_t[]){A});
    return params;
}

/* Tensors are views: made once, they show each batch and the weights of each step. */
static bool open_attention(void)
{
    clattn_attention_desc desc = {.struct_size = sizeof desc, .head_size = H, .hidden_size = A};
    desc.score = CLATTN_SCORE_ADDITIVE;
    desc.flags = CLATTN_KV_LENGTHS;
    desc.outputs = CLATTN_OUTPUT | CLATTN_LSE; /* backward reads both */
    decoder_args.struct_size = sizeof decoder_args;
    decoder_args.key = decoder_args.value = of_batch(encoded, T);
    decoder_args.kv_lengths = clattn_tensor_host(CLATTN_I32, lengths, 1, (int64_t[]){B});
    decoder_args.params = params_of(&net);
    forward_args = decoder_args;
    forward_args.query = of_batch(states, S);
    forward_args.output = of_batch(contexts, S);
    forward_args.lse = clattn_tensor_host(CLATTN_F32, lse, 2, (int64_t[]){B, S});

    clattn_attention_desc backward_desc = desc;
    backward_desc.direction = CLATTN_BACKWARD;
    backward_desc.outputs = CLATTN_OUTPUT; /* what the loss is made of */
    backward_desc.gradients =
        CLATTN_GRAD_QUERY | CLATTN_GRAD_KEY | CLATTN_GRAD_VALUE | CLATTN_GRAD_PARAMS;
    backward_args = forward_args;
    backward_args.grad.output = of_batch(of_contexts, S);
    backward_args.grad.query = of_batch(of_queries, S);
    backward_args.grad.key = of_batch(of_keys, T);
    backward_args.grad.value = of_batch(of_values, T);
    backward_args.grad.params = params_of(&gradient);

    return !clattn_device_open(&device, NULL, 0) && !clattn_plan_create(&forward, device, &desc) &&
           !clattn_plan_create(&backward, device, &backward_desc) &&
           !clattn_decoder_create(&decoder, device, &desc, S, 0);
}

/* One step of learning; `*loss` is what it was before, per letter. */
static bool train(float *loss, int n, float rate)
{
    int letters = 0;
    draw_batch(false);
    for (int b = 0; b < B; b++) {
        encode(b);
        decode(b);
        letters += lengths[b] + 1;
    }
    if (clattn_plan_run(forward, &forward_args) || clattn_device_finish(device))
        return false;
    memset(&gradient, 0, sizeof gradient);
    memset(of_states, 0, sizeof of_states);
    memset(of_contexts, 0, sizeof of_contexts); /* queries behind an answer's end have no loss */
    *loss = 0.0f;
    for (int b = 0; b < B; b++)
        *loss += cross_entropy(b, 1.0f / (float)letters) / (float)letters;
    if (clattn_plan_run(backward, &backward_args) || clattn_device_finish(device))
        return false;
    for (int b = 0; b < B; b++)
        decode_and_encode_backward(b);
    adam(n, rate);
    return true;
}

static int largest(const float *numbers, int count)
{
    int best = 0;
    for (int k = 1; k < count; k++)
        if (numbers[k] > numbers[best])
            best = k;
    return best;
}

/* The decoder on its own: it takes the letter that is most probable, and reads it in the next step. */
static bool spell(int spelled[B][S])
{
    static float state[B][H], context[B][H];
    const int64_t shape[2] = {B, H};
    const clattn_tensor query = clattn_tensor_host(CLATTN_F32, state, 2, shape),
                        output = clattn_tensor_host(CLATTN_F32, context, 2, shape);
    for (int b = 0; b < B; b++) {
        encode(b);
        memcpy(state[b], state_before(b, 0), sizeof state[b]);
    }
    if (clattn_decoder_begin(decoder, &decoder_args))
        return false;
    for (int i = 0; i < S; i++) {
        for (int b = 0; b < B; b++)
            step(state[b], &net.decoder, symbol_before(spelled[b], i), state[b]);
        if (clattn_decoder_step(decoder, &query, &output) || clattn_device_finish(device))
            return false;
        for (int b = 0; b < B; b++) {
            float logits[SYMBOLS];
            output_layer(logits, state[b], context[b]);
            spelled[b][i] = largest(logits, SYMBOLS);
        }
    }
    return true;
}

/* A row per letter that was spelled, which shows where in the word the decoder looked for it. */
static void draw_alignment(int b, const int *spelled, float weights[S][T])
{
    static const char shades[] = " .:-=+*#%@";
    printf("     ");
    for (int j = 0; j < lengths[b]; j++)
        printf(" %c", 'a' + words[b][j]);
    for (int i = 0; i <= lengths[b]; i++) {
        if (spelled[i] == END)
            printf("\n end ");
        else
            printf("\n   %c ", 'a' + spelled[i]);
        for (int j = 0; j < lengths[b]; j++)
            printf(" %c", shades[(int)(9.0f * weights[i][j] + 0.5f)]);
    }
    printf("\n");
}

/* The share of answers that are right from their first letter to END. One of the last batch is drawn. */
static bool test(double *accuracy)
{
    static float alignments[B][S][T];
    const clattn_tensor all = clattn_tensor_host(CLATTN_F32, alignments, 3, (int64_t[]){B, S, T});
    int spelled[B][S], right = 0;
    for (int n = 0; n < TESTS; n++) {
        draw_batch(true);
        if (!spell(spelled))
            return false;
        for (int b = 0; b < B; b++)
            right += !memcmp(spelled[b], answers[b], (size_t)(lengths[b] + 1) * sizeof(int));
    }
    if (clattn_decoder_alignments(decoder, &all))
        return false;
    draw_alignment(0, spelled[0], alignments[0]);
    *accuracy = (double)right / (TESTS * B);
    printf("%.1f %% of words that were new to it are reversed\n", 100.0 * *accuracy);
    return true;
}

int main(int argc, char **argv)
{
    const int steps = argc > 1 ? (int)strtol(argv[1], NULL, 10) : STEPS;
    float loss = 0.0f;
    double accuracy = 0.0;
    if (argc > 2)
        random_state = 2 * strtoull(argv[2], NULL, 10) + 1;
    draw_weights();
    bool ok = open_attention();
    for (int n = 1; n <= steps && ok; n++) {
        ok = train(&loss, n, 0.005f * (float)(steps - n) / (float)steps); /* slower to the end */
        if (ok && n % 100 == 0)
            printf("step %d: loss %.4f\n", n, (double)loss);
    }
    ok = ok && test(&accuracy);
    if (!ok)
        (void)fprintf(stderr, "%s\n", clattn_last_error());
    clattn_decoder_destroy(decoder);
    clattn_plan_destroy(backward);
    clattn_plan_destroy(forward);
    clattn_device_close(device);
    return !ok || (steps >= STEPS && accuracy < 0.95);
}
