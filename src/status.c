/* status.c: the calling thread's last failure. */
#include "try.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SENTENCE_MAX 1024
#define LOG_MAX 16384

static _Thread_local struct {
    char sentence[SENTENCE_MAX];
    char log[LOG_MAX];
    int cl_error;
} last;

void clattn__record(clattn_status status, int cl_error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(last.sentence, sizeof last.sentence, format, arguments);
    va_end(arguments);
    last.cl_error = cl_error;
    if (status != CLATTN_E_BUILD)
        last.log[0] = '\0';
}

clattn_status clattn__fail_cl(int cl_error, const char *what)
{
    /* CL_MEM_OBJECT_ALLOCATION_FAILURE, CL_OUT_OF_RESOURCES, CL_OUT_OF_HOST_MEMORY */
    clattn_status status = cl_error == -4 || cl_error == -6 ? CLATTN_E_MEMORY : CLATTN_E_DEVICE;
    return FAIL(status, cl_error, "%s: %s (%d)", what, clattn__cl_error_name(cl_error), cl_error);
}

void clattn__keep_build_log(const char *log)
{
    (void)snprintf(last.log, sizeof last.log, "%s", log);
}

const char *clattn_last_error(void)
{
    return last.sentence;
}

int clattn_last_cl_error(void)
{
    return last.cl_error;
}

const char *clattn_last_build_log(void)
{
    return last.log;
}

const char *clattn_status_name(clattn_status status)
{
    switch (status) {
    case CLATTN_OK:
        return "CLATTN_OK";
    case CLATTN_E_ARGUMENT:
        return "CLATTN_E_ARGUMENT";
    case CLATTN_E_UNSUPPORTED:
        return "CLATTN_E_UNSUPPORTED";
    case CLATTN_E_NO_DEVICE:
        return "CLATTN_E_NO_DEVICE";
    case CLATTN_E_MEMORY:
        return "CLATTN_E_MEMORY";
    case CLATTN_E_BUILD:
        return "CLATTN_E_BUILD";
    case CLATTN_E_DEVICE:
        return "CLATTN_E_DEVICE";
    }
    return "an unknown status";
}

const char *clattn__cl_error_name(int cl_error)
{
    static const struct {
        int code;
        const char *name;
    } names[] = {
        {-1, "CL_DEVICE_NOT_FOUND"},
        {-2, "CL_DEVICE_NOT_AVAILABLE"},
        {-3, "CL_COMPILER_NOT_AVAILABLE"},
        {-4, "CL_MEM_OBJECT_ALLOCATION_FAILURE"},
        {-5, "CL_OUT_OF_RESOURCES"},
        {-6, "CL_OUT_OF_HOST_MEMORY"},
        {-7, "CL_PROFILING_INFO_NOT_AVAILABLE"},
        {-11, "CL_BUILD_PROGRAM_FAILURE"},
        {-12, "CL_MAP_FAILURE"},
        {-14, "CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST"},
        {-30, "CL_INVALID_VALUE"},
        {-32, "CL_INVALID_PLATFORM"},
        {-33, "CL_INVALID_DEVICE"},
        {-34, "CL_INVALID_CONTEXT"},
        {-36, "CL_INVALID_COMMAND_QUEUE"},
        {-37, "CL_INVALID_HOST_PTR"},
        {-38, "CL_INVALID_MEM_OBJECT"},
        {-42, "CL_INVALID_BINARY"},
        {-43, "CL_INVALID_BUILD_OPTIONS"},
        {-44, "CL_INVALID_PROGRAM"},
        {-45, "CL_INVALID_PROGRAM_EXECUTABLE"},
        {-46, "CL_INVALID_KERNEL_NAME"},
        {-48, "CL_INVALID_KERNEL"},
        {-49, "CL_INVALID_ARG_INDEX"},
        {-50, "CL_INVALID_ARG_VALUE"},
        {-51, "CL_INVALID_ARG_SIZE"},
        {-52, "CL_INVALID_KERNEL_ARGS"},
        {-54, "CL_INVALID_WORK_GROUP_SIZE"},
        {-55, "CL_INVALID_WORK_ITEM_SIZE"},
        {-57, "CL_INVALID_EVENT_WAIT_LIST"},
        {-58, "CL_INVALID_EVENT"},
        {-59, "CL_INVALID_OPERATION"},
        {-61, "CL_INVALID_BUFFER_SIZE"},
        {-1001, "CL_PLATFORM_NOT_FOUND_KHR"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].code == cl_error)
            return names[i].name;
    return "OpenCL error";
}
