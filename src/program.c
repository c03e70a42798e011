/* program.c: builds programs, or loads the binary of an earlier build. */
#include "program.h"

#include "cache.h"
#include "source.h"
#include "try.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct clattn__program {
    clattn__program *next;
    cl_program handle;
    char *file, *options;
    char *key; /* of the file cache: all that decides what the binary is */
    size_t key_size;
    bool unsaved;
    /* The first finish that waits for a run of it, 0: none yet. PoCL compiles a kernel's work-group
     * form at its first run, and only then is the binary whole. */
    size_t finish;
    atomic_bool ran; /* set by any thread, without the lock */
};

static void program_free(clattn__program *program)
{
    if (!program)
        return;
    if (program->handle)
        (void)clReleaseProgram(program->handle);
    free(program->file);
    free(program->options);
    free(program->key);
    free(program);
}

/* The key names everything that a binary depends on; the parts are zero-terminated so that none
 * runs into the next. */
static clattn_status make_key(clattn__program *program, const clattn_device *device,
                              const char *source)
{
    const char *parts[] = {CLATTN_VERSION,
                           device->info.platform,
                           device->info.name,
                           device->info.device_version,
                           device->info.driver_version,
                           program->options,
                           source};
    char *at;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        program->key_size += strlen(parts[i]) + 1;
    at = program->key = malloc(program->key_size);
    if (!at)
        return FAIL(CLATTN_E_MEMORY, 0, "program: no host memory for %zu bytes", program->key_size);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        size_t size = strlen(parts[i]) + 1;
        memcpy(at, parts[i], size);
        at += size;
    }
    return CLATTN_OK;
}

/* The kernel that the program's file is named after; NULL after a failure. */
static cl_kernel create_kernel(const clattn__program *program, cl_int *error)
{
    char name[64];
    (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(program->file, "."), program->file);
    return clCreateKernel(program->handle, name, error);
}

/* True when the cache had a binary, the driver took it, and
 * it has the kernel. Any failure is a miss. */
static bool load_binary(clattn__program *program, const clattn_device *device)
{
    void *data = NULL;
    size_t size = 0;
    cl_int error = CL_SUCCESS, loaded = CL_SUCCESS;
    cl_kernel kernel = NULL;
    if (!clattn__cache_load(program->key, program->key_size, &data, &size))
        return false;
    const unsigned char *binary = data;
    program->handle =
        clCreateProgramWithBinary(device->context, 1, &device->id, &size, &binary, &loaded, &error);
    free(data);
    if (error == CL_SUCCESS && loaded == CL_SUCCESS)
        error = clBuildProgram(program->handle, 1, &device->id, program->options, NULL, NULL);
    if (error == CL_SUCCESS && loaded == CL_SUCCESS)
        kernel = create_kernel(program, &error);
    if (kernel) {
        (void)clReleaseKernel(kernel);
        return true;
    }
    if (program->handle)
        (void)clReleaseProgram(program->handle);
    program->handle = NULL;
    return false;
}

/* The first line of the log that says "error", or its first
 * line: one sentence has no room for more. */
static void first_error(char *sentence, size_t size, const char *log)
{
    const char *line = strstr(log, "error");
    while (line && line > log && line[-1] != '\n')
        line--;
    if (!line)
        line = log;
    (void)snprintf(sentence, size, "%.*s", (int)strcspn(line, "\n"), line);
}

static clattn_status build_failure(const clattn__program *program, const clattn_device *device,
                                   cl_int error)
{
    char sentence[512] = "";
    size_t size = 0;
    char *log = NULL;
    if (clGetProgramBuildInfo(program->handle, device->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &size) ==
        CL_SUCCESS)
        log = calloc(1, size + 1);
    if (log && clGetProgramBuildInfo(program->handle, device->id, CL_PROGRAM_BUILD_LOG, size, log,
                                     NULL) == CL_SUCCESS) {
        clattn__keep_build_log(log);
        first_error(sentence, sizeof sentence, log);
    }
    free(log);
    return FAIL(CLATTN_E_BUILD, error, "kernels/%s: does not build on %s: %s (%s)", program->file,
                device->info.name, sentence[0] ? sentence : "no build log",
                clattn__cl_error_name(error));
}

static clattn_status build_source(clattn__program *program, const clattn_device *device,
                                  const char *source)
{
    clattn_status status = CLATTN_OK;
    cl_int error = CL_SUCCESS;
    program->handle = clCreateProgramWithSource(device->context, 1, &source, NULL, &error);
    TRY_CL("program: clCreateProgramWithSource", error);
    error = clBuildProgram(program->handle, 1, &device->id, program->options, NULL, NULL);
    if (error == CL_BUILD_PROGRAM_FAILURE)
        status = build_failure(program, device, error);
    else
        TRY_CL("program: clBuildProgram", error);
    program->unsaved = true;
done:
    return status;
}

static clattn_status make(clattn__program **out, clattn_device *device, const char *file,
                          const char *options)
{
    clattn_status status = CLATTN_OK;
    char *source = NULL;
    clattn__program *program = calloc(1, sizeof *program);
    FAIL_IF(!program, CLATTN_E_MEMORY, "program: no host memory for %zu bytes", sizeof *program);
    program->file = strdup(file);
    program->options = strdup(options);
    FAIL_IF(!program->file || !program->options, CLATTN_E_MEMORY,
            "program: no host memory for its options");
    TRY(clattn__source_assemble(&source, file));
    TRY(make_key(program, device, source));
    if (!load_binary(program, device))
        TRY(build_source(program, device, source));
    *out = program;
    program = NULL;
done:
    free(source);
    program_free(program);
    return status;
}

clattn_status clattn__program_get(clattn__program **out, clattn_device *device, const char *file,
                                  const char *options)
{
    clattn_status status = CLATTN_OK;
    (void)pthread_mutex_lock(&device->lock);
    clattn__program *program = device->programs;
    while (program && (strcmp(program->file, file) != 0 || strcmp(program->options, options) != 0))
        program = program->next;
    if (!program) {
        status = make(&program, device, file, options);
        if (status == CLATTN_OK) {
            program->next = device->programs;
            device->programs = program;
        }
    }
    (void)pthread_mutex_unlock(&device->lock);
    *out = status == CLATTN_OK ? program : NULL;
    return status;
}

clattn_status clattn__program_kernel(cl_kernel *out, clattn__program *program)
{
    clattn_status status = CLATTN_OK;
    cl_int error = CL_SUCCESS;
    *out = create_kernel(program, &error);
    TRY_CL("program: clCreateKernel", error);
done:
    return status;
}

void clattn__program_ran(clattn__program *program)
{
    atomic_store_explicit(&program->ran, true, memory_order_relaxed);
}

/* The program may belong to a context of several devices; only ours has a binary. */
static void save(clattn__program *program, const clattn_device *device)
{
    cl_uint count = 0;
    if (!clattn__cache_is_there())
        return;
    size_t *sizes = NULL;
    unsigned char **binaries = NULL;
    cl_device_id *ids = NULL;
    if (clGetProgramInfo(program->handle, CL_PROGRAM_NUM_DEVICES, sizeof count, &count, NULL) !=
        CL_SUCCESS)
        return;
    sizes = calloc(count, sizeof *sizes);
    binaries = calloc(count, sizeof *binaries);
    ids = calloc(count, sizeof(cl_device_id));
    if (!sizes || !binaries || !ids)
        goto done;
    if (clGetProgramInfo(program->handle, CL_PROGRAM_DEVICES, count * sizeof(cl_device_id), ids,
                         NULL) != CL_SUCCESS ||
        clGetProgramInfo(program->handle, CL_PROGRAM_BINARY_SIZES, count * sizeof *sizes, sizes,
                         NULL) != CL_SUCCESS)
        goto done;
    for (cl_uint i = 0; i < count; i++) {
        if (sizes[i] == 0)
            continue;
        binaries[i] = malloc(sizes[i]);
        if (!binaries[i])
            goto done;
    }
    if (clGetProgramInfo(program->handle, CL_PROGRAM_BINARIES, count * sizeof *binaries, binaries,
                         NULL) != CL_SUCCESS)
        goto done;
    for (cl_uint i = 0; i < count; i++)
        if (ids[i] == device->id && binaries[i])
            clattn__cache_save(program->key, program->key_size, binaries[i], sizes[i]);
done:
    for (cl_uint i = 0; binaries && i < count; i++)
        free(binaries[i]);
    free(binaries);
    free(sizes);
    free(ids);
}

cl_int clattn__programs_finish(clattn_device *device)
{
    (void)pthread_mutex_lock(&device->lock);
    const size_t own = ++device->finishes;
    for (clattn__program *program = device->programs; program; program = program->next)
        if (!program->finish && program->ran)
            program->finish = own;
    (void)pthread_mutex_unlock(&device->lock);
    const cl_int error = clFinish(device->queue);
    if (error != CL_SUCCESS)
        return error;
    (void)pthread_mutex_lock(&device->lock);
    for (clattn__program *program = device->programs; program; program = program->next)
        if (program->unsaved && program->finish && program->finish <= own) {
            program->unsaved = false;
            save(program, device);
        }
    (void)pthread_mutex_unlock(&device->lock);
    return CL_SUCCESS;
}

void clattn__programs_release(clattn_device *device)
{
    while (device->programs) {
        clattn__program *program = device->programs;
        device->programs = program->next;
        program_free(program);
    }
}
