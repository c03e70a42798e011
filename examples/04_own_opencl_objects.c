/* 04: a program with OpenCL objects of its own. clattn works in its context, on its queue, in its
 * buffers, after its events, and leaves an event behind. Nothing is copied. */
#include <clattn/clattn.h>
#include <clattn/clattn_cl.h>

#include <math.h>
#include <stdio.h>

enum { H = 4, S = 16, D = 32, COUNT = H * S * D };

/* Ends main() by way of its cleanup when an OpenCL call fails. */
#define CHECK(call)                                                                                \
    do {                                                                                           \
        cl_int error_ = (call);                                                                    \
        if (error_ != CL_SUCCESS) {                                                                \
            (void)fprintf(stderr, "%s: OpenCL error %d\n", #call, error_);                         \
            goto done;                                                                             \
        }                                                                                          \
    } while (0)

int main(void)
{
    static float host[COUNT], result[COUNT];
    const int64_t shape[4] = {1, H, S, D};
    cl_platform_id platform;
    cl_device_id id;
    cl_command_queue_properties properties = 0;
    cl_context context = NULL;
    cl_command_queue queue = NULL;
    cl_mem tokens = NULL, output = NULL;
    cl_event written = NULL, computed = NULL;
    clattn_device *device = NULL;
    clattn_plan *plan = NULL;
    cl_int error;
    int failed = 1;

    for (int i = 0; i < COUNT; i++)
        host[i] = sinf((float)i);
    CHECK(clGetPlatformIDs(1, &platform, NULL));
    CHECK(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &id, NULL));
    context = clCreateContext(NULL, 1, &id, NULL, NULL, &error);
    CHECK(error);
    /* Events keep the order below, so that the queue need not, where the device has such queues. */
    CHECK(clGetDeviceInfo(id, CL_DEVICE_QUEUE_PROPERTIES, sizeof properties, &properties, NULL));
    properties &= CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE;
    queue = clCreateCommandQueue(context, id, properties, &error);
    CHECK(error);
    tokens = clCreateBuffer(context, CL_MEM_READ_ONLY, sizeof host, NULL, &error);
    CHECK(error);
    output = clCreateBuffer(context, CL_MEM_WRITE_ONLY, sizeof result, NULL, &error);
    CHECK(error);
    CHECK(clEnqueueWriteBuffer(queue, tokens, CL_FALSE, 0, sizeof host, host, 0, NULL, &written));

    /* Causal self-attention of the tokens over themselves. */
    clattn_attention_desc desc = {.struct_size = sizeof desc, .query_heads = H, .head_size = D};
    desc.flags = CLATTN_CAUSAL;
    clattn_attention_args args = {.struct_size = sizeof args};
    args.query = args.key = args.value = clattn_tensor_cl(CLATTN_F32, tokens, 0, 4, shape);
    args.output = clattn_tensor_cl(CLATTN_F32, output, 0, 4, shape);
    if (clattn_device_open_cl(&device, context, queue) ||
        clattn_plan_create(&plan, device, &desc) ||
        clattn_plan_run_cl(plan, &args, 1, &written, &computed)) {
        (void)fprintf(stderr, "%s\n", clattn_last_error());
        goto done;
    }
    CHECK(
        clEnqueueReadBuffer(queue, output, CL_TRUE, 0, sizeof result, result, 1, &computed, NULL));

    /* The first query sees only the first key, so its output is that key's value. */
    failed = 0;
    for (int d = 0; d < D; d++)
        failed |= fabsf(result[d] - host[d]) > 1e-6f;
    printf("computed by %s in buffers of the caller's own\n", clattn_plan_variant(plan));
done:
    clattn_plan_destroy(plan);
    clattn_device_close(device);
    if (written)
        (void)clReleaseEvent(written);
    if (computed)
        (void)clReleaseEvent(computed);
    if (tokens)
        (void)clReleaseMemObject(tokens);
    if (output)
        (void)clReleaseMemObject(output);
    if (queue)
        (void)clReleaseCommandQueue(queue);
    if (context)
        (void)clReleaseContext(context);
    return failed;
}
