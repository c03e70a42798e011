/* kernel.c: see kernel.h. */
#include "kernel.h"

cl_kernel bench_kernel_make(clattn_device *device, const char *source, const char *name,
                            const char *options)
{
    cl_int error = CL_SUCCESS;
    cl_kernel kernel = NULL;
    const cl_program program =
        clCreateProgramWithSource(clattn_device_cl_context(device), 1, &source, NULL, &error);
    if (error != CL_SUCCESS)
        return NULL;
    if (clBuildProgram(program, 0, NULL, options, NULL, NULL) == CL_SUCCESS)
        kernel = clCreateKernel(program, name, &error);
    (void)clReleaseProgram(program); /* the kernel keeps it */
    return error == CL_SUCCESS ? kernel : NULL;
}

bool bench_kernel_run(clattn_device *device, cl_kernel kernel, size_t items)
{
    const size_t one = 1;
    const cl_command_queue queue = clattn_device_cl_queue(device);
    return clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &items, &one, 0, NULL, NULL) ==
               CL_SUCCESS &&
           clFinish(queue) == CL_SUCCESS;
}
