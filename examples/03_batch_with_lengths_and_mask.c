/* 03: a padded batch. Two sequences of 4 and 2 keys lie in tensors of 4 keys each; the lengths keep
 * the padding out, and a mask hides the first key of all sequences besides. Padding may hold
 * anything: here it holds NaN. */
#include <clattn/clattn.h>

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

enum { B = 2, H = 2, S = 1, T = 4, D = 8 };

static float query[B][H][S][D], key[B][H][T][D], value[B][H][T][D], output[B][H][S][D],
    weights[B][H][S][T];

static void fill(void)
{
    for (int b = 0; b < B; b++)
        for (int h = 0; h < H; h++)
            for (int d = 0; d < D; d++) {
                query[b][h][0][d] = 0.1f * (float)(d + h);
                for (int t = 0; t < T; t++) {
                    const bool padding = b == 1 && t >= 2;
                    key[b][h][t][d] = padding ? NAN : 0.2f * (float)(t - d);
                    value[b][h][t][d] = padding ? NAN : (float)t;
                }
            }
}

/* Each row of weights sums to 1 over the keys that may be
 * seen, and nothing of the padding shows. */
static bool is_right(void)
{
    for (int b = 0; b < B; b++)
        for (int h = 0; h < H; h++) {
            const int length = b == 0 ? 4 : 2;
            float sum = 0.0f;
            for (int t = 0; t < T; t++) {
                sum += weights[b][h][0][t];
                if ((t == 0 || t >= length) && weights[b][h][0][t] != 0.0f)
                    return false;
            }
            if (fabsf(sum - 1.0f) > 1e-6f || !isfinite(output[b][h][0][0]))
                return false;
        }
    return true;
}

int main(void)
{
    const int32_t lengths[B] = {4, 2};
    const uint8_t visible[T] = {0, 1, 1, 1};
    const int64_t rows[4] = {B, H, S, D}, keys[4] = {B, H, T, D}, square[4] = {B, H, S, T};
    clattn_device *device = NULL;
    clattn_plan *plan = NULL;
    fill();

    clattn_attention_desc desc = {.struct_size = sizeof desc};
    desc.query_heads = H;
    desc.head_size = D;
    desc.flags = CLATTN_KV_LENGTHS | CLATTN_MASK;
    desc.outputs = CLATTN_OUTPUT | CLATTN_WEIGHTS;

    clattn_attention_args args = {.struct_size = sizeof args};
    args.query = clattn_tensor_host(CLATTN_F32, query, 4, rows);
    args.key = clattn_tensor_host(CLATTN_F32, key, 4, keys);
    args.value = clattn_tensor_host(CLATTN_F32, value, 4, keys);
    args.kv_lengths = clattn_tensor_host(CLATTN_I32, lengths, 1, (int64_t[]){B});
    args.mask = clattn_tensor_host(CLATTN_BOOL, visible, 1, (int64_t[]){T}); /* broadcasts */
    args.output = clattn_tensor_host(CLATTN_F32, output, 4, rows);
    args.weights = clattn_tensor_host(CLATTN_F32, weights, 4, square);

    if (clattn_device_open(&device, NULL, 0) || clattn_plan_create(&plan, device, &desc) ||
        clattn_plan_run(plan, &args) || clattn_device_finish(device)) {
        (void)fprintf(stderr, "%s\n", clattn_last_error());
        clattn_plan_destroy(plan);
        clattn_device_close(device);
        return 1;
    }
    for (int b = 0; b < B; b++)
        printf("sequence %d, head 0: weights [%.3f %.3f %.3f %.3f]\n", b,
               (double)weights[b][0][0][0], (double)weights[b][0][0][1],
               (double)weights[b][0][0][2], (double)weights[b][0][0][3]);
    clattn_plan_destroy(plan);
    clattn_device_close(device);
    return !is_right();
}
