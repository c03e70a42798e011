/* fault_layer.c: a layer between a program and its OpenCL driver, which makes calls fail, counts
 * calls and objects, and lets one driver play many devices. The loader (ocl-icd 2.3.1 or later)
 * puts it there:
 *
 *   OPENCL_LAYERS=.../libfaultlayer.so CLATTN_FAULT_FAIL=clCreateBuffer:3:-4 PROGRAM
 *
 * CLATTN_FAULT_      meaning
 * FAIL=NAME:N:CODE   the N-th call of a function fails with this code; several rules are separated
 *                    by commas
 * STICKY=1           after the first of them every call of every function fails with its code: the
 *                    device is lost
 * COUNT=FILE         at exit, the number of calls of each function is written to a file, a line
 *                    "NAME NUMBER" each
 * LEAKS=1            at exit, objects and mappings that are not released are named on stderr, exit
 *                    status 97; 0: not
 * LOCAL_MEMORY=N     bytes of local memory; a kernel with more does not start
 * GROUP_SIZE=N       work-items of a group; a kernel with larger groups does not start
 * KERNEL_GROUP_SIZE=N  what each kernel says of the largest groups that it can have
 * KERNEL_PRIVATE_MEMORY=N  and of its bytes of private memory
 * ALLOCATION=N       bytes of the largest buffer; a larger one is refused
 * HIDE=NAME,...      extensions that the device does not name
 * UNIFIED_MEMORY=B   whether the device shares the host's memory, 0 or 1
 * DEVICE_TYPE=TYPE   cpu, gpu or accelerator: what the devices say they are
 *
 * A rule that was never met is an error of the test: exit status 96. A bad value of a variable: 98.
 * Releases are counted but do not fail, since no caller could do anything about it. */
#include <CL/cl.h>
#include <CL/cl_icd.h>
#include <CL/cl_layer.h>

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { EXIT_NOT_MET = 96, EXIT_LEAK = 97, EXIT_USAGE = 98 };

/* clang-format off */
#define FUNCTIONS(X) \
    X(clGetPlatformIDs) X(clGetPlatformInfo) X(clGetDeviceIDs) X(clGetDeviceInfo) \
    X(clCreateContext) X(clRetainContext) X(clGetContextInfo) X(clCreateCommandQueue) \
    X(clCreateCommandQueueWithProperties) X(clRetainCommandQueue) X(clGetCommandQueueInfo) \
    X(clCreateBuffer) X(clCreateSubBuffer) X(clRetainMemObject) X(clGetMemObjectInfo) \
    X(clCreateProgramWithSource) X(clCreateProgramWithBinary) X(clRetainProgram) \
    X(clBuildProgram) X(clGetProgramInfo) X(clGetProgramBuildInfo) X(clCreateKernel) \
    X(clRetainKernel) X(clSetKernelArg) X(clGetKernelInfo) X(clGetKernelWorkGroupInfo) \
    X(clEnqueueNDRangeKernel) X(clEnqueueReadBuffer) X(clEnqueueWriteBuffer) \
    X(clEnqueueCopyBuffer) X(clEnqueueFillBuffer) X(clEnqueueMapBuffer) \
    X(clEnqueueUnmapMemObject) X(clEnqueueMarkerWithWaitList) X(clEnqueueBarrierWithWaitList) \
    X(clCreateUserEvent) X(clSetUserEventStatus) X(clRetainEvent) X(clWaitForEvents) \
    X(clGetEventInfo) X(clGetEventProfilingInfo) X(clFlush) X(clFinish)
/* clang-format on */

#define X(name) CALL_##name,
enum { FUNCTIONS(X) };
#undef X
static const char *const call_names[] = {
#define X(name) #name,
    FUNCTIONS(X)
#undef X
};
enum { CALL_COUNT = sizeof call_names / sizeof *call_names };

enum { CONTEXT, QUEUE, BUFFER, PROGRAM, KERNEL, EVENT, MAPPING, KIND_COUNT };
static const char *const kind_names[KIND_COUNT] = {"context", "queue", "buffer", "program",
                                                   "kernel",  "event", "mapping"};

typedef struct rule {
    int call, n;
    cl_int code;
    atomic_bool met;
} rule;

static const cl_icd_dispatch *next; /* the driver, or another layer before it */
static cl_icd_dispatch table;       /* what the program calls */
static atomic_int calls[CALL_COUNT], alive[KIND_COUNT], lost;
static rule rules[16];
static int rule_count;
static bool sticky, count_leaks;
static const char *count_file, *hidden;
static struct {
    bool on;
    cl_ulong value;
} local_memory, group_size, kernel_group_size, kernel_private_memory, allocation, unified_memory,
    device_type;

/* The code with which this call is to fail, or 0. */
static cl_int fault(int call)
{
    int n = atomic_fetch_add(&calls[call], 1) + 1;
    for (int i = 0; i < rule_count; i++) {
        if (rules[i].call != call || rules[i].n != n)
            continue;
        rules[i].met = true;
        if (sticky)
            lost = rules[i].code;
        return rules[i].code;
    }
    return lost;
}

/* A function that only gives a code. */
#define STATUS(name, parameters, ...)                                                              \
    static cl_int CL_API_CALL layer_##name parameters                                              \
    {                                                                                              \
        cl_int code = fault(CALL_##name);                                                          \
        return code ? code : next->name(__VA_ARGS__);                                              \
    }

/* A function that makes an object; its last parameter is
 * `cl_int *code_out`. `refusal` is a code, or 0. */
#define CREATE(name, type, kind, refusal, parameters, ...)                                         \
    static type CL_API_CALL layer_##name parameters                                                \
    {                                                                                              \
        cl_int code = fault(CALL_##name);                                                          \
        type object = NULL;                                                                        \
        if (!code)                                                                                 \
            code = (refusal);                                                                      \
        if (!code)                                                                                 \
            object = next->name(__VA_ARGS__, &code);                                               \
        if (object)                                                                                \
            alive[kind]++;                                                                         \
        if (code_out)                                                                              \
            *code_out = code;                                                                      \
        return object;                                                                             \
    }

/* A function that may give an event; its last parameters are those of all commands. */
#define ENQUEUE(name, refusal, parameters, ...)                                                    \
    static cl_int CL_API_CALL layer_##name parameters                                              \
    {                                                                                              \
        cl_int code = fault(CALL_##name);                                                          \
        if (!code)                                                                                 \
            code = (refusal);                                                                      \
        if (!code)                                                                                 \
            code = next->name(__VA_ARGS__, waits, wait_list, event);                               \
        if (!code && event)                                                                        \
            alive[EVENT]++;                                                                        \
        return code;                                                                               \
    }
#define WAITS_AND_EVENT cl_uint waits, const cl_event *wait_list, cl_event *event

#define COUNTED(name, type, kind)                                                                  \
    static cl_int CL_API_CALL layer_clRetain##name(type object)                                    \
    {                                                                                              \
        cl_int code = fault(CALL_clRetain##name);                                                  \
        if (!code)                                                                                 \
            code = next->clRetain##name(object);                                                   \
        if (!code)                                                                                 \
            alive[kind]++;                                                                         \
        return code;                                                                               \
    }                                                                                              \
    static cl_int CL_API_CALL layer_clRelease##name(type object)                                   \
    {                                                                                              \
        cl_int code = next->clRelease##name(object);                                               \
        if (!code)                                                                                 \
            alive[kind]--;                                                                         \
        return code;                                                                               \
    }

/* Platforms and devices. */

STATUS(clGetPlatformIDs, (cl_uint n, cl_platform_id *platforms, cl_uint *count), n, platforms,
       count)
STATUS(clGetPlatformInfo,
       (cl_platform_id platform, cl_platform_info what, size_t size, void *value, size_t *needed),
       platform, what, size, value, needed)

static cl_int CL_API_CALL layer_clGetDeviceIDs(cl_platform_id platform, cl_device_type type,
                                               cl_uint n, cl_device_id *devices, cl_uint *count)
{
    cl_int code = fault(CALL_clGetDeviceIDs);
    if (code)
        return code;
    if (device_type.on && type != CL_DEVICE_TYPE_DEFAULT) {
        if (!(type & device_type.value))
            return CL_DEVICE_NOT_FOUND;
        type = CL_DEVICE_TYPE_ALL;
    }
    return next->clGetDeviceIDs(platform, type, n, devices, count);
}

/* Blanks the names of hidden extensions, whole words only. */
static void hide_extensions(char *all)
{
    for (const char *name = hidden; *name; name += strspn(name, ",")) {
        size_t length = strcspn(name, ",");
        for (char *word = all; *word; word += strspn(word, " ")) {
            size_t word_length = strcspn(word, " ");
            if (word_length == length && strncmp(word, name, length) == 0)
                memset(word, ' ', length);
            word += word_length;
        }
        name += length;
    }
}

static bool hides(const char *name)
{
    return hidden && strstr(hidden, name);
}

static cl_int CL_API_CALL layer_clGetDeviceInfo(cl_device_id device, cl_device_info what,
                                                size_t size, void *value, size_t *needed)
{
    cl_int code = fault(CALL_clGetDeviceInfo);
    if (!code)
        code = next->clGetDeviceInfo(device, what, size, value, needed);
    if (code || !value)
        return code;
    switch (what) {
    case CL_DEVICE_LOCAL_MEM_SIZE:
        if (local_memory.on)
            *(cl_ulong *)value = local_memory.value;
        break;
    case CL_DEVICE_MAX_WORK_GROUP_SIZE:
        if (group_size.on)
            *(size_t *)value = (size_t)group_size.value;
        break;
    case CL_DEVICE_MAX_WORK_ITEM_SIZES:
        for (size_t *item = value; group_size.on && (char *)item < (char *)value + size; item++)
            if (*item > group_size.value)
                *item = (size_t)group_size.value;
        break;
    case CL_DEVICE_MAX_MEM_ALLOC_SIZE:
        if (allocation.on)
            *(cl_ulong *)value = allocation.value;
        break;
    case CL_DEVICE_HOST_UNIFIED_MEMORY:
        if (unified_memory.on)
            *(cl_bool *)value = unified_memory.value != 0;
        break;
    case CL_DEVICE_TYPE:
        if (device_type.on)
            *(cl_device_type *)value = device_type.value;
        break;
    case CL_DEVICE_EXTENSIONS:
        if (hidden)
            hide_extensions(value);
        break;
    case CL_DEVICE_DOUBLE_FP_CONFIG:
        if (hides("cl_khr_fp64"))
            *(cl_device_fp_config *)value = 0;
        break;
    case CL_DEVICE_NATIVE_VECTOR_WIDTH_DOUBLE:
    case CL_DEVICE_PREFERRED_VECTOR_WIDTH_DOUBLE:
        if (hides("cl_khr_fp64"))
            *(cl_uint *)value = 0;
        break;
    default:
        break;
    }
    return code;
}

/* Contexts and queues. */

CREATE(clCreateContext, cl_context, CONTEXT, CL_SUCCESS,
       (const cl_context_properties *properties, cl_uint n, const cl_device_id *devices,
        void(CL_CALLBACK *notify)(const char *, const void *, size_t, void *), void *data,
        cl_int *code_out),
       properties, n, devices, notify, data)
COUNTED(Context, cl_context, CONTEXT)
STATUS(clGetContextInfo,
       (cl_context context, cl_context_info what, size_t size, void *value, size_t *needed),
       context, what, size, value, needed)
CREATE(clCreateCommandQueue, cl_command_queue, QUEUE, CL_SUCCESS,
       (cl_context context, cl_device_id device, cl_command_queue_properties properties,
        cl_int *code_out),
       context, device, properties)
CREATE(clCreateCommandQueueWithProperties, cl_command_queue, QUEUE, CL_SUCCESS,
       (cl_context context, cl_device_id device, const cl_queue_properties *properties,
        cl_int *code_out),
       context, device, properties)
COUNTED(CommandQueue, cl_command_queue, QUEUE)
STATUS(clGetCommandQueueInfo,
       (cl_command_queue queue, cl_command_queue_info what, size_t size, void *value,
        size_t *needed),
       queue, what, size, value, needed)
STATUS(clFlush, (cl_command_queue queue), queue)
STATUS(clFinish, (cl_command_queue queue), queue)

/* Buffers. */

static cl_int allocation_refusal(size_t size)
{
    return allocation.on && size > allocation.value ? CL_INVALID_BUFFER_SIZE : CL_SUCCESS;
}

CREATE(clCreateBuffer, cl_mem, BUFFER, allocation_refusal(size),
       (cl_context context, cl_mem_flags flags, size_t size, void *host, cl_int *code_out), context,
       flags, size, host)
CREATE(clCreateSubBuffer, cl_mem, BUFFER, CL_SUCCESS,
       (cl_mem buffer, cl_mem_flags flags, cl_buffer_create_type type, const void *region,
        cl_int *code_out),
       buffer, flags, type, region)
COUNTED(MemObject, cl_mem, BUFFER)
STATUS(clGetMemObjectInfo,
       (cl_mem buffer, cl_mem_info what, size_t size, void *value, size_t *needed), buffer, what,
       size, value, needed)

/* Programs and kernels. */

CREATE(clCreateProgramWithSource, cl_program, PROGRAM, CL_SUCCESS,
       (cl_context context, cl_uint n, const char **strings, const size_t *lengths,
        cl_int *code_out),
       context, n, strings, lengths)
CREATE(clCreateProgramWithBinary, cl_program, PROGRAM, CL_SUCCESS,
       (cl_context context, cl_uint n, const cl_device_id *devices, const size_t *lengths,
        const unsigned char **binaries, cl_int *statuses, cl_int *code_out),
       context, n, devices, lengths, binaries, statuses)
COUNTED(Program, cl_program, PROGRAM)
STATUS(clBuildProgram,
       (cl_program program, cl_uint n, const cl_device_id *devices, const char *options,
        void(CL_CALLBACK *notify)(cl_program, void *), void *data),
       program, n, devices, options, notify, data)
STATUS(clGetProgramInfo,
       (cl_program program, cl_program_info what, size_t size, void *value, size_t *needed),
       program, what, size, value, needed)
STATUS(clGetProgramBuildInfo,
       (cl_program program, cl_device_id device, cl_program_build_info what, size_t size,
        void *value, size_t *needed),
       program, device, what, size, value, needed)
CREATE(clCreateKernel, cl_kernel, KERNEL, CL_SUCCESS,
       (cl_program program, const char *name, cl_int *code_out), program, name)
COUNTED(Kernel, cl_kernel, KERNEL)
STATUS(clSetKernelArg, (cl_kernel kernel, cl_uint index, size_t size, const void *value), kernel,
       index, size, value)
STATUS(clGetKernelInfo,
       (cl_kernel kernel, cl_kernel_info what, size_t size, void *value, size_t *needed), kernel,
       what, size, value, needed)

static cl_int CL_API_CALL layer_clGetKernelWorkGroupInfo(cl_kernel kernel, cl_device_id device,
                                                         cl_kernel_work_group_info what,
                                                         size_t size, void *value, size_t *needed)
{
    cl_int code = fault(CALL_clGetKernelWorkGroupInfo);
    if (!code)
        code = next->clGetKernelWorkGroupInfo(kernel, device, what, size, value, needed);
    if (!code && value && what == CL_KERNEL_WORK_GROUP_SIZE && group_size.on &&
        *(size_t *)value > group_size.value)
        *(size_t *)value = (size_t)group_size.value;
    if (!code && value && what == CL_KERNEL_WORK_GROUP_SIZE && kernel_group_size.on)
        *(size_t *)value = (size_t)kernel_group_size.value;
    if (!code && value && what == CL_KERNEL_PRIVATE_MEM_SIZE && kernel_private_memory.on)
        *(cl_ulong *)value = kernel_private_memory.value;
    return code;
}

/* Commands. */

/* What the played device says to a launch that the driver would accept. */
static cl_int launch_refusal(cl_command_queue queue, cl_kernel kernel, cl_uint dimensions,
                             const size_t *local)
{
    size_t items = 1;
    for (cl_uint i = 0; local && i < dimensions; i++)
        items *= local[i];
    if (group_size.on && items > group_size.value)
        return CL_INVALID_WORK_GROUP_SIZE;
    cl_device_id device = NULL;
    cl_ulong used = 0;
    if (local_memory.on &&
        !next->clGetCommandQueueInfo(queue, CL_QUEUE_DEVICE, sizeof(cl_device_id), &device, NULL) &&
        !next->clGetKernelWorkGroupInfo(kernel, device, CL_KERNEL_LOCAL_MEM_SIZE, sizeof used,
                                        &used, NULL) &&
        used > local_memory.value)
        return CL_OUT_OF_RESOURCES;
    return CL_SUCCESS;
}

ENQUEUE(clEnqueueNDRangeKernel, launch_refusal(queue, kernel, dimensions, local),
        (cl_command_queue queue, cl_kernel kernel, cl_uint dimensions, const size_t *offset,
         const size_t *global, const size_t *local, WAITS_AND_EVENT),
        queue, kernel, dimensions, offset, global, local)
ENQUEUE(clEnqueueReadBuffer, CL_SUCCESS,
        (cl_command_queue queue, cl_mem buffer, cl_bool blocking, size_t offset, size_t size,
         void *host, WAITS_AND_EVENT),
        queue, buffer, blocking, offset, size, host)
ENQUEUE(clEnqueueWriteBuffer, CL_SUCCESS,
        (cl_command_queue queue, cl_mem buffer, cl_bool blocking, size_t offset, size_t size,
         const void *host, WAITS_AND_EVENT),
        queue, buffer, blocking, offset, size, host)
ENQUEUE(clEnqueueCopyBuffer, CL_SUCCESS,
        (cl_command_queue queue, cl_mem from, cl_mem to, size_t from_offset, size_t to_offset,
         size_t size, WAITS_AND_EVENT),
        queue, from, to, from_offset, to_offset, size)
ENQUEUE(clEnqueueFillBuffer, CL_SUCCESS,
        (cl_command_queue queue, cl_mem buffer, const void *pattern, size_t pattern_size,
         size_t offset, size_t size, WAITS_AND_EVENT),
        queue, buffer, pattern, pattern_size, offset, size)
ENQUEUE(clEnqueueMarkerWithWaitList, CL_SUCCESS, (cl_command_queue queue, WAITS_AND_EVENT), queue)
ENQUEUE(clEnqueueBarrierWithWaitList, CL_SUCCESS, (cl_command_queue queue, WAITS_AND_EVENT), queue)

static void *CL_API_CALL layer_clEnqueueMapBuffer(cl_command_queue queue, cl_mem buffer,
                                                  cl_bool blocking, cl_map_flags flags,
                                                  size_t offset, size_t size, WAITS_AND_EVENT,
                                                  cl_int *code_out)
{
    cl_int code = fault(CALL_clEnqueueMapBuffer);
    void *host = NULL;
    if (!code)
        host = next->clEnqueueMapBuffer(queue, buffer, blocking, flags, offset, size, waits,
                                        wait_list, event, &code);
    if (!code)
        alive[MAPPING]++;
    if (!code && event)
        alive[EVENT]++;
    if (code_out)
        *code_out = code;
    return host;
}

static cl_int CL_API_CALL layer_clEnqueueUnmapMemObject(cl_command_queue queue, cl_mem buffer,
                                                        void *host, WAITS_AND_EVENT)
{
    cl_int code = fault(CALL_clEnqueueUnmapMemObject);
    /* As with a release, nobody could do more: an attempt to unmap counts. */
    alive[MAPPING]--;
    if (!code)
        code = next->clEnqueueUnmapMemObject(queue, buffer, host, waits, wait_list, event);
    if (!code && event)
        alive[EVENT]++;
    return code;
}

/* Events. */

CREATE(clCreateUserEvent, cl_event, EVENT, CL_SUCCESS, (cl_context context, cl_int *code_out),
       context)
COUNTED(Event, cl_event, EVENT)
STATUS(clSetUserEventStatus, (cl_event event, cl_int status), event, status)
STATUS(clWaitForEvents, (cl_uint n, const cl_event *events), n, events)
STATUS(clGetEventInfo,
       (cl_event event, cl_event_info what, size_t size, void *value, size_t *needed), event, what,
       size, value, needed)
STATUS(clGetEventProfilingInfo,
       (cl_event event, cl_profiling_info what, size_t size, void *value, size_t *needed), event,
       what, size, value, needed)

/* The environment, and the report at exit. */

static void usage(const char *variable, const char *value)
{
    (void)fprintf(stderr, "fault layer: CLATTN_FAULT_%s=%s is not understood\n", variable, value);
    _Exit(EXIT_USAGE);
}

static void read_rules(const char *list)
{
    const char *at = list;
    while (at) {
        const size_t length = strcspn(at, ":");
        char *end = NULL;
        int call = 0;
        while (call < CALL_COUNT &&
               (strlen(call_names[call]) != length || strncmp(call_names[call], at, length) != 0))
            call++;
        if (rule_count == sizeof rules / sizeof *rules || call == CALL_COUNT || at[length] != ':')
            usage("FAIL", at);
        const long n = strtol(at + length + 1, &end, 10);
        const long code = *end == ':' ? strtol(end + 1, &end, 10) : 0;
        if (n < 1 || n > INT_MAX || code >= 0 || code < INT_MIN || (*end != '\0' && *end != ','))
            usage("FAIL", at);
        rules[rule_count].call = call;
        rules[rule_count].n = (int)n;
        rules[rule_count++].code = (int)code;
        at = *end == ',' ? end + 1 : NULL;
    }
}

static void read_number(const char *variable, const char *value, bool *on, cl_ulong *number)
{
    char *end = NULL;
    if (!value)
        return;
    *number = strtoull(value, &end, 0);
    if (end == value || *end)
        usage(variable, value);
    *on = true;
}

static void read_device_type(const char *value)
{
    static const struct {
        const char *name;
        cl_device_type type;
    } types[] = {{"cpu", CL_DEVICE_TYPE_CPU},
                 {"gpu", CL_DEVICE_TYPE_GPU},
                 {"accelerator", CL_DEVICE_TYPE_ACCELERATOR}};
    if (!value)
        return;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcasecmp(types[i].name, value) == 0)
            device_type.value = types[i].type;
    if (!device_type.value)
        usage("DEVICE_TYPE", value);
    device_type.on = true;
}

static void read_environment(void)
{
    read_rules(getenv("CLATTN_FAULT_FAIL"));
    sticky = getenv("CLATTN_FAULT_STICKY") != NULL;
    count_file = getenv("CLATTN_FAULT_COUNT");
    const char *leaks = getenv("CLATTN_FAULT_LEAKS");
    count_leaks = leaks && strcmp(leaks, "0") != 0;
    hidden = getenv("CLATTN_FAULT_HIDE");
    read_device_type(getenv("CLATTN_FAULT_DEVICE_TYPE"));
#define READ(variable, limit)                                                                      \
    read_number(#variable, getenv("CLATTN_FAULT_" #variable), &(limit).on, &(limit).value)
    READ(LOCAL_MEMORY, local_memory);
    READ(GROUP_SIZE, group_size);
    READ(KERNEL_GROUP_SIZE, kernel_group_size);
    READ(KERNEL_PRIVATE_MEMORY, kernel_private_memory);
    READ(ALLOCATION, allocation);
    READ(UNIFIED_MEMORY, unified_memory);
#undef READ
}

static void write_counts(void)
{
    FILE *file = fopen(count_file, "w");
    if (!file)
        usage("COUNT", count_file);
    for (int i = 0; i < CALL_COUNT; i++)
        if (calls[i] > 0)
            (void)fprintf(file, "%s %d\n", call_names[i], calls[i]);
    if (fclose(file) != 0)
        usage("COUNT", count_file);
}

static void report(void)
{
    int failure = 0;
    if (count_file)
        write_counts();
    for (int i = 0; i < rule_count; i++) {
        if (rules[i].met)
            continue;
        (void)fprintf(stderr, "fault layer: %s was called %d times, not %d\n",
                      call_names[rules[i].call], calls[rules[i].call], rules[i].n);
        failure = EXIT_NOT_MET;
    }
    for (int i = 0; count_leaks && i < KIND_COUNT; i++) {
        if (alive[i] == 0)
            continue;
        (void)fprintf(stderr, "fault layer: %d %s(s) too %s released\n",
                      alive[i] > 0 ? alive[i] : -alive[i], kind_names[i],
                      alive[i] > 0 ? "few" : "many");
        failure = EXIT_LEAK;
    }
    if (!failure)
        return;
    (void)fflush(NULL);
    _Exit(failure);
}

/* What the loader asks for. */

#define EXPORTED __attribute__((visibility("default")))

static cl_int answer(const void *from, size_t from_size, size_t size, void *value, size_t *needed)
{
    if (value && size < from_size)
        return CL_INVALID_VALUE;
    if (value)
        memcpy(value, from, from_size);
    if (needed)
        *needed = from_size;
    return CL_SUCCESS;
}

EXPORTED cl_int CL_API_CALL clGetLayerInfo(cl_layer_info what, size_t size, void *value,
                                           size_t *needed)
{
    static const cl_layer_api_version version = CL_LAYER_API_VERSION_100;
    static const char name[] = "clattn fault layer";
    if (what == CL_LAYER_API_VERSION)
        return answer(&version, sizeof version, size, value, needed);
    if (what == CL_LAYER_NAME)
        return answer(name, sizeof name, size, value, needed);
    return CL_INVALID_VALUE;
}

EXPORTED cl_int CL_API_CALL clInitLayer(cl_uint entries, const cl_icd_dispatch *target,
                                        cl_uint *entries_out, const cl_icd_dispatch **table_out)
{
    const cl_uint size = sizeof table / sizeof table.clGetPlatformIDs;
    if (!target || !entries_out || !table_out || entries < size)
        return CL_INVALID_VALUE;
    next = target;
    table = *target;
#define X(name) table.name = layer_##name;
    FUNCTIONS(X)
#undef X
    table.clReleaseContext = layer_clReleaseContext;
    table.clReleaseCommandQueue = layer_clReleaseCommandQueue;
    table.clReleaseMemObject = layer_clReleaseMemObject;
    table.clReleaseProgram = layer_clReleaseProgram;
    table.clReleaseKernel = layer_clReleaseKernel;
    table.clReleaseEvent = layer_clReleaseEvent;
    read_environment();
    if (atexit(report) != 0)
        return CL_OUT_OF_HOST_MEMORY;
    *entries_out = size;
    *table_out = &table;
    return CL_SUCCESS;
}
