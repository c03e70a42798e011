/* 05: verifying a result, wherever it was computed. The reference recomputes it in double, and its
 * error is held against a bound that is derived from the problem (docs/numerics.md). Then one
 * number is spoilt, and that is found. */
#include <clattn/clattn.h>

#include <math.h>
#include <stdio.h>

enum { H = 2, S = 33, T = 47, D = 24 };

static float query[H][S][D], key[H][T][D], value[H][T][D], output[H][S][D];

static int show(const char *what, const clattn_report *report)
{
    const clattn_verdict *verdict = &report->verdicts[0];
    printf("%s: error %.2e, bound %.2e: %s\n", what, verdict->error, verdict->bound,
           report->ok ? "right" : "wrong");
    return report->ok;
}

int main(void)
{
    clattn_device *device = NULL;
    clattn_plan *plan = NULL;
    clattn_report report;
    int failed = 1;

    for (int i = 0; i < H * S * D; i++)
        (&query[0][0][0])[i] = sinf((float)i);
    for (int i = 0; i < H * T * D; i++) {
        (&key[0][0][0])[i] = cosf((float)i);
        (&value[0][0][0])[i] = sinf(0.5f * (float)i);
    }
    clattn_attention_desc desc = {.struct_size = sizeof desc, .query_heads = H, .head_size = D};
    desc.flags = CLATTN_CAUSAL;
    desc.alignment = CLATTN_BOTTOM_RIGHT;
    clattn_attention_args args = {.struct_size = sizeof args};
    args.query = clattn_tensor_host(CLATTN_F32, query, 4, (int64_t[]){1, H, S, D});
    args.key = clattn_tensor_host(CLATTN_F32, key, 4, (int64_t[]){1, H, T, D});
    args.value = clattn_tensor_host(CLATTN_F32, value, 4, (int64_t[]){1, H, T, D});
    args.output = clattn_tensor_host(CLATTN_F32, output, 4, (int64_t[]){1, H, S, D});

    if (clattn_device_open(&device, NULL, 0) || clattn_plan_create(&plan, device, &desc) ||
        clattn_plan_run(plan, &args) || clattn_device_finish(device) ||
        clattn_verify(&report, &desc, &args, 0)) {
        (void)fprintf(stderr, "%s\n", clattn_last_error());
    } else {
        failed = !show("as computed", &report);
        output[0][0][0] += 1e-4f;
        if (clattn_verify(&report, &desc, &args, 0) || show("one number spoilt", &report))
            failed = 1;
    }
    clattn_plan_destroy(plan);
    clattn_device_close(device);
    return failed;
}
