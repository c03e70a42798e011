/* 01: the context of given weights. Three encoder outputs, three weights, one context vector:
 *
 *   context = 0.1 * (0.1, 0.2) + 0.3 * (0.2, 0.3) + 0.6 * (0.3, 0.4) = (0.25, 0.35)
 *
 * The weights come from elsewhere, so they go in as given scores, and nothing normalizes them. */
#include <clattn/clattn.h>

#include <math.h>
#include <stdio.h>

int main(void)
{
    const float weights[1][3] = {{0.1f, 0.3f, 0.6f}};
    const float value[3][2] = {{0.1f, 0.2f}, {0.2f, 0.3f}, {0.3f, 0.4f}};
    float context[1][2] = {{0}};
    clattn_device *device = NULL;
    clattn_plan *plan = NULL;

    /* What to compute: a field that is zero, or not named, asks for its default. */
    clattn_attention_desc desc = {.struct_size = sizeof desc};
    desc.score = CLATTN_SCORE_GIVEN;
    desc.normalizer = CLATTN_NORMALIZER_NONE;
    desc.value_size = 2;

    /* On what: tensors are views of memory that stays ours. */
    clattn_attention_args args = {.struct_size = sizeof args};
    args.given_scores = clattn_tensor_host(CLATTN_F32, weights, 2, (int64_t[]){1, 3});
    args.value = clattn_tensor_host(CLATTN_F32, value, 2, (int64_t[]){3, 2});
    args.output = clattn_tensor_host(CLATTN_F32, context, 2, (int64_t[]){1, 2});

    if (clattn_device_open(&device, NULL, 0) || clattn_plan_create(&plan, device, &desc) ||
        clattn_plan_run(plan, &args) || clattn_device_finish(device)) {
        (void)fprintf(stderr, "%s\n", clattn_last_error());
        clattn_plan_destroy(plan);
        clattn_device_close(device);
        return 1;
    }
    printf("context [%.2f %.2f] on %s\n", (double)context[0][0], (double)context[0][1],
           clattn_device_get_info(device)->name);
    clattn_plan_destroy(plan);
    clattn_device_close(device);
    return fabsf(context[0][0] - 0.25f) > 1e-6f || fabsf(context[0][1] - 0.35f) > 1e-6f;
}
