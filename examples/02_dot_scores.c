/* 02: dot-product attention of a decoder state over encoder outputs, which are keys and values
 * (Luong et al., arXiv:1508.04025):
 *
 *   scores = query . key, weights = softmax(scores), context = weights @ value
 */
#include <clattn/clattn.h>

#include <math.h>
#include <stdio.h>

int main(void)
{
    const float state[1][2] = {{0.4f, 0.5f}};
    const float encoder[3][2] = {{0.1f, 0.2f}, {0.2f, 0.3f}, {0.3f, 0.4f}};
    float weights[1][3] = {{0}}, context[1][2] = {{0}};
    clattn_device *device = NULL;
    clattn_plan *plan = NULL;

    clattn_attention_desc desc = {.struct_size = sizeof desc};
    desc.score = CLATTN_SCORE_DOT;
    desc.head_size = 2;
    desc.outputs = CLATTN_OUTPUT | CLATTN_WEIGHTS; /* weights one can look at */

    clattn_attention_args args = {.struct_size = sizeof args};
    args.query = clattn_tensor_host(CLATTN_F32, state, 2, (int64_t[]){1, 2});
    args.key = args.value = clattn_tensor_host(CLATTN_F32, encoder, 2, (int64_t[]){3, 2});
    args.output = clattn_tensor_host(CLATTN_F32, context, 2, (int64_t[]){1, 2});
    args.weights = clattn_tensor_host(CLATTN_F32, weights, 2, (int64_t[]){1, 3});

    if (clattn_device_open(&device, NULL, 0) || clattn_plan_create(&plan, device, &desc) ||
        clattn_plan_run(plan, &args) || clattn_device_finish(device)) {
        (void)fprintf(stderr, "%s\n", clattn_last_error());
        clattn_plan_destroy(plan);
        clattn_device_close(device);
        return 1;
    }
    printf("weights [%.8f %.8f %.8f]\n", (double)weights[0][0], (double)weights[0][1],
           (double)weights[0][2]);
    printf("context [%.8f %.8f]\n", (double)context[0][0], (double)context[0][1]);
    clattn_plan_destroy(plan);
    clattn_device_close(device);
    return fabsf(weights[0][0] - 0.30382285f) > 1e-6f ||
           fabsf(weights[0][2] - 0.36374199f) > 1e-6f ||
           fabsf(context[0][0] - 0.20599191f) > 1e-6f || fabsf(context[0][1] - 0.30599191f) > 1e-6f;
}
