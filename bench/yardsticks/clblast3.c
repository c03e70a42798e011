/* Attention in three steps with CLBlast: batched product, softmax kernel, batched product. A coprocess for perf.py:
     case B Hq Hkv S T D scale causal FILE   FILE: query, key, value as raw f32, then B lengths as int32
     go                                      runs once and prints the seconds from enqueueing to the end
     save FILE                               writes the output as raw f32
   Data are on the device before `go`: copies are not timed. */
#define CL_TARGET_OPENCL_VERSION 120
#include <clblast_c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *source =
    "kernel void rows(global float *p, int heads, int S, int T, int causal, global const int "
    "*lengths) {\n"
    "  size_t row = get_global_id(0);\n"
    "  int i = row % S, b = row / S / heads, n = lengths[b];\n"
    "  if (causal && i + 1 < n) n = i + 1;\n"
    "  global float *x = p + row * T;\n"
    "  float top = -INFINITY, sum = 0;\n"
    "  for (int j = 0; j < n; j++) top = fmax(top, x[j]);\n"
    "  for (int j = 0; j < n; j++) { x[j] = native_exp(x[j] - top); sum += x[j]; }\n"
    "  for (int j = 0; j < T; j++) x[j] = j < n ? x[j] / sum : 0;\n"
    "}\n";

static cl_context context;
static cl_command_queue queue;
static cl_kernel kernel;
static int B, Hq, Hkv, S, T, D, causal;
static float scale;
static size_t *oq, *ok, *op;
static float *alphas, *ones, *zeros;
static cl_mem query, key, value, weights, output, lengths;

static void must(int status, const char *what)
{
    if (status == 0)
        return;
    fprintf(stderr, "clblast3: %s: status %d\n", what, status);
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static cl_mem load(FILE *file, size_t count)
{
    cl_int status;
    void *data = malloc(4 * count);
    if (!data || fread(data, 4, count, file) != count)
        must(1, "data file");
    cl_mem m =
        clCreateBuffer(context, CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR, 4 * count, data, &status);
    must(status, "buffer");
    free(data);
    return m;
}

static void prepare(const char *path)
{
    cl_int status;
    size_t heads = (size_t)B * Hq, group = Hq / Hkv;
    FILE *file = fopen(path, "rb");
    if (!file)
        must(1, path);
    if (query) {
        cl_mem all[] = {query, key, value, weights, output, lengths};
        for (int i = 0; i < 6; i++)
            clReleaseMemObject(all[i]);
        free(oq), free(ok), free(op), free(alphas), free(ones), free(zeros);
    }
    query = load(file, heads * S * D), key = load(file, (size_t)B * Hkv * T * D);
    value = load(file, (size_t)B * Hkv * T * D), lengths = load(file, B);
    fclose(file);
    weights = clCreateBuffer(context, CL_MEM_READ_WRITE, 4 * heads * S * T, NULL, &status),
    must(status, "weights");
    output = clCreateBuffer(context, CL_MEM_READ_WRITE, 4 * heads * S * D, NULL, &status),
    must(status, "output");
    oq = malloc(heads * sizeof *oq), ok = malloc(heads * sizeof *ok),
    op = malloc(heads * sizeof *op);
    alphas = malloc(4 * heads), ones = malloc(4 * heads), zeros = malloc(4 * heads);
    for (size_t h = 0; h < heads; h++) {
        oq[h] = h * S * D, op[h] = h * S * T, ok[h] = (h / Hq * Hkv + h % Hq / group) * T * D;
        alphas[h] = scale, ones[h] = 1, zeros[h] = 0;
    }
}

static double go(void)
{
    size_t heads = (size_t)B * Hq, rows = heads * S;
    double begin = now();
    must(CLBlastSgemmBatched(CLBlastLayoutRowMajor, CLBlastTransposeNo, CLBlastTransposeYes, S, T,
                             D, alphas, query, oq, D, key, ok, D, zeros, weights, op, T, heads,
                             &queue, NULL),
         "scores");
    clSetKernelArg(kernel, 0, sizeof weights, &weights);
    clSetKernelArg(kernel, 1, sizeof Hq, &Hq);
    clSetKernelArg(kernel, 2, sizeof S, &S);
    clSetKernelArg(kernel, 3, sizeof T, &T);
    clSetKernelArg(kernel, 4, sizeof causal, &causal);
    clSetKernelArg(kernel, 5, sizeof lengths, &lengths);
    must(clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &rows, NULL, 0, NULL, NULL), "softmax");
    must(CLBlastSgemmBatched(CLBlastLayoutRowMajor, CLBlastTransposeNo, CLBlastTransposeNo, S, D, T,
                             ones, weights, op, T, value, ok, D, zeros, output, oq, D, heads,
                             &queue, NULL),
         "output");
    must(clFinish(queue), "finish");
    return now() - begin;
}

int main(void)
{
    cl_platform_id platform;
    cl_device_id device;
    cl_int status;
    char line[4096], path[3000];
    must(clGetPlatformIDs(1, &platform, NULL), "platform");
    must(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL), "device");
    context = clCreateContext(NULL, 1, &device, NULL, NULL, &status), must(status, "context");
    queue = clCreateCommandQueue(context, device, 0, &status), must(status, "queue");
    cl_program program = clCreateProgramWithSource(context, 1, &source, NULL, &status);
    must(status, "program"), must(clBuildProgram(program, 1, &device, "", NULL, NULL), "build");
    kernel = clCreateKernel(program, "rows", &status), must(status, "kernel");
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "case %d %d %d %d %d %d %f %d %2999s", &B, &Hq, &Hkv, &S, &T, &D, &scale,
                   &causal, path) == 9) {
            prepare(path);
            printf("ready\n");
        } else if (!strncmp(line, "go", 2)) {
            printf("%.9f\n", go());
        } else if (sscanf(line, "save %2999s", path) == 1) {
            size_t count = (size_t)B * Hq * S * D;
            float *data = malloc(4 * count);
            must(clEnqueueReadBuffer(queue, output, CL_TRUE, 0, 4 * count, data, 0, NULL, NULL),
                 "read");
            FILE *file = fopen(path, "wb");
            if (!file || fwrite(data, 4, count, file) != count || fclose(file))
                must(1, path);
            free(data);
            printf("saved\n");
        } else {
            must(1, "unknown command");
        }
        fflush(stdout);
    }
    return 0;
}
