/* The simulator reports each bug that was planted in planted.cl, and nothing of the kernel without one.
 * Found by the same means as test_kernels.c finds none, so that its silence means something. */
#include "support/named_tests.h"
#include "watched.h"

#include <CL/cl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct planted {
    const char *kernel;
    const char *report; /* words of Oclgrind's; NULL: none */
    cl_uint arguments;  /* of 3, how many are given; 0: all */
} planted;

static const planted table[] = {
    {"right", NULL, 0},
    {"reads_past_the_end", "Invalid read of size 4 at global memory address", 0},
    {"writes_past_the_end", "Invalid write of size 4 at global memory address", 0},
    {"writes_past_local_memory", "Invalid write of size 4 at local memory address", 0},
    {"writes_past_a_private_array", "Invalid write of size 4 at private memory address", 0},
    {"misses_a_barrier", "data race at local memory address", 0},
    {"overwrites_what_others_read", "data race at local memory address", 0},
    {"writes_where_another_group_does", "Write-write data race at global memory address", 0},
    {"diverges_at_a_barrier", "Work-group divergence detected (barrier)", 0},
    {"uses_local_memory_unwritten", "Uninitialized value written to global memory address", 0},
    {"uses_private_memory_unwritten", "Uninitialized value written to global memory address", 0},
    {"uses_global_memory_unwritten", "Uninitialized value written to global memory address", 0},
    {"branches_on_memory_unwritten", "Controlflow depends on uninitialized value", 0},
    {"needs_its_arguments", "CL_INVALID_KERNEL_ARGS", 2},
};

enum { ITEMS = 8, GROUP = 4 };

static const char *file; /* planted.cl */

static char *read_source(void)
{
    static char source[1 << 14];
    FILE *in = fopen(file, "r");
    if (!in)
        return NULL;
    source[fread(source, 1, sizeof source - 1, in)] = '\0';
    (void)fclose(in);
    return source;
}

/* Straight OpenCL, as far as it goes: 1 when the kernel was enqueued and its result read. */
static int launch(const void *argument)
{
    const planted *p = argument;
    const float numbers[ITEMS] = {1, 2, 3, 4, 5, 6, 7, 8};
    const size_t global = ITEMS, local = GROUP, bytes = sizeof numbers;
    float result[ITEMS];
    cl_platform_id platform;
    cl_device_id device;
    cl_int error;
    const char *source = read_source();
    if (!source || clGetPlatformIDs(1, &platform, NULL) != CL_SUCCESS ||
        clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL) != CL_SUCCESS)
        return 0;
    cl_context context = clCreateContext(NULL, 1, &device, NULL, NULL, &error);
    cl_command_queue queue = clCreateCommandQueue(context, device, 0, &error);
    cl_program program = clCreateProgramWithSource(context, 1, &source, NULL, &error);
    cl_mem in = clCreateBuffer(context, CL_MEM_READ_ONLY, bytes, NULL, &error),
           out = clCreateBuffer(context, CL_MEM_READ_WRITE, bytes, NULL, &error);
    if (clBuildProgram(program, 1, &device, "-cl-std=CL1.2", NULL, NULL) != CL_SUCCESS)
        return 0;
    cl_kernel kernel = clCreateKernel(program, p->kernel, &error);
    const struct {
        size_t size;
        const void *value;
    } arguments[] = {{sizeof in, &in}, {sizeof out, &out}, {GROUP * sizeof *numbers, NULL}};
    const cl_uint given = p->arguments ? p->arguments : sizeof arguments / sizeof *arguments;
    for (cl_uint i = 0; i < given; i++)
        if (clSetKernelArg(kernel, i, arguments[i].size, arguments[i].value) != CL_SUCCESS)
            return 0;
    return clEnqueueWriteBuffer(queue, in, CL_TRUE, 0, bytes, numbers, 0, NULL, NULL) ==
               CL_SUCCESS &&
           clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &global, &local, 0, NULL, NULL) ==
               CL_SUCCESS &&
           clEnqueueReadBuffer(queue, out, CL_TRUE, 0, bytes, result, 0, NULL, NULL) == CL_SUCCESS;
}

static void is_reported(void **state)
{
    const planted *p = *state;
    char *said = NULL;
    const int ran = watched(launch, p, &said);
    const int as_expected = p->report ? strstr(said, p->report) != NULL : ran && !*said;
    if (!as_expected)
        print_error("the simulator said \"%s\", expected %s\n", said,
                    p->report ? p->report : "nothing");
    free(said);
    assert_true(as_expected);
}

int main(int argc, char **argv)
{
    named_tests tests = {0};
    if (argc != 2) {
        (void)fprintf(stderr, "usage: test_planted PLANTED.cl\n");
        return 2;
    }
    file = argv[1];
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        named_tests_add(&tests, table[i].kernel, is_reported, &table[i]);
    return named_tests_run(&tests, "planted bugs", NULL, NULL);
}
