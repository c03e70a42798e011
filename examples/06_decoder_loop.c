/* 06: a decoder that spells "hello" from its letters, one call per step. By content alone the two l are
 * one as good as the other; location-sensitive scores (Chorowski et al., arXiv:1506.07503) also know where
 * the last step looked, which clattn_decoder remembers on the device.
 *
 *   scores = v . tanh(w_query query + w_key key + w_location f + bias), f = conv * the last weights
 *
 * The parameters are made by hand here; a network learns them. */
#include <clattn/clattn.h>

#include <stdio.h>

enum { T = 5, D = 4, A = D + 1 }; /* letters of the word, different ones, hidden units */

static const char word[] = "hello", letters[] = "helo";

/* A unit for each letter fires where it is both asked for and there. One more fires right of where the last
 * step looked: the filter finds in the last weights, around key j, that of key j - 1. */
static const float w_letters[A][D] = {{4, 0, 0, 0}, {0, 4, 0, 0}, {0, 0, 4, 0}, {0, 0, 0, 4}},
                   v[A] = {3, 3, 3, 3, 3}, bias[A] = {-6, -6, -6, -6, -2}, conv[1][3] = {{1, 0, 0}},
                   w_location[A][1] = {{0}, {0}, {0}, {0}, {4}};

/* The number of the key that a row of weights looks at. */
static int looked_at(const float *weights)
{
    int best = 0;
    for (int j = 1; j < T; j++)
        if (weights[j] > weights[best])
            best = j;
    return best;
}

int main(void)
{
    float encoder[1][T][D] = {{{0}}}, context[1][D], alignments[1][T][T];
    clattn_device *device = NULL;
    clattn_decoder *decoder = NULL;
    int failed = 1;
    for (int j = 0; j < T; j++)
        for (int d = 0; d < D; d++)
            encoder[0][j][d] = word[j] == letters[d] ? 1.0f : 0.0f;

    clattn_attention_desc desc = {.struct_size = sizeof desc, .head_size = D, .hidden_size = A};
    desc.score = CLATTN_SCORE_LOCATION_SENSITIVE;

    clattn_attention_args args = {.struct_size = sizeof args};
    args.key = args.value = clattn_tensor_host(CLATTN_F32, encoder, 3, (int64_t[]){1, T, D});
    args.params.w_query = clattn_tensor_host(CLATTN_F32, w_letters, 2, (int64_t[]){A, D});
    args.params.w_key = args.params.w_query;
    args.params.v = clattn_tensor_host(CLATTN_F32, v, 1, (int64_t[]){A});
    args.params.bias = clattn_tensor_host(CLATTN_F32, bias, 1, (int64_t[]){A});
    args.params.conv = clattn_tensor_host(CLATTN_F32, conv, 2, (int64_t[]){1, 3});
    args.params.w_location = clattn_tensor_host(CLATTN_F32, w_location, 2, (int64_t[]){A, 1});

    if (clattn_device_open(&device, NULL, 0) ||
        clattn_decoder_create(&decoder, device, &desc, T, 0) ||
        clattn_decoder_begin(decoder, &args))
        goto done;
    for (int step = 0; step < T; step++) { /* a state that asks for a letter */
        const clattn_tensor state = clattn_tensor_host(CLATTN_F32, encoder[0][step], 2,
                                                       (int64_t[]){1, D}),
                            output = clattn_tensor_host(CLATTN_F32, context, 2, (int64_t[]){1, D});
        if (clattn_decoder_step(decoder, &state, &output) || clattn_device_finish(device))
            goto done;
    }
    const clattn_tensor all = clattn_tensor_host(CLATTN_F32, alignments, 3, (int64_t[]){1, T, T});
    if (clattn_decoder_alignments(decoder, &all))
        goto done;
    failed = 0;
    for (int step = 0; step < T; step++) {
        printf("%c ", word[step]);
        for (int j = 0; j < T; j++)
            printf(" %.2f", (double)alignments[0][step][j]);
        printf("\n");
        failed = failed || looked_at(alignments[0][step]) != step;
    }
done:
    if (*clattn_last_error())
        (void)fprintf(stderr, "%s\n", clattn_last_error());
    clattn_decoder_destroy(decoder);
    clattn_device_close(device);
    return failed;
}
