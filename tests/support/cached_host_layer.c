/* cached_host_layer.c: a layer below a program (see fault_layer.c) that plays a driver with caches.
 * Such a driver keeps a copy of the memory given with CL_MEM_USE_HOST_PTR, as OpenCL 1.2, section
 * 5.2.1, allows, and brings it up to date only when the buffer is mapped. Whoever relies on seeing
 * each store at once, or on several buffers over the same memory, gets wrong numbers here. */
#include <CL/cl.h>
#include <CL/cl_icd.h>
#include <CL/cl_layer.h>

#include <pthread.h>
#include <string.h>

/* The buffers made last, newest before `count`; an address may have been given out again. */
enum { ROOM = 1 << 14 };
static struct {
    cl_mem buffer;
    char *host; /* NULL for one without */
} made[ROOM];
static size_t count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define EXPORTED __attribute__((visibility("default")))

static const cl_icd_dispatch *next;
static cl_icd_dispatch table;

static char *host_of(cl_mem buffer)
{
    char *host = NULL;
    (void)pthread_mutex_lock(&lock);
    for (size_t i = 1; i <= count && i <= ROOM; i++)
        if (made[(count - i) % ROOM].buffer == buffer) {
            host = made[(count - i) % ROOM].host;
            break;
        }
    (void)pthread_mutex_unlock(&lock);
    return host;
}

static cl_mem CL_API_CALL create_buffer(cl_context context, cl_mem_flags flags, size_t size,
                                        void *host, cl_int *code)
{
    const int in_place = (flags & CL_MEM_USE_HOST_PTR) != 0;
    if (in_place)
        flags = (flags & ~(cl_mem_flags)CL_MEM_USE_HOST_PTR) | CL_MEM_COPY_HOST_PTR;
    const cl_mem buffer = next->clCreateBuffer(context, flags, size, host, code);
    (void)pthread_mutex_lock(&lock);
    made[count % ROOM].buffer = buffer;
    made[count++ % ROOM].host = in_place ? host : NULL;
    (void)pthread_mutex_unlock(&lock);
    return buffer;
}

static void *CL_API_CALL map_buffer(cl_command_queue queue, cl_mem buffer, cl_bool blocking,
                                    cl_map_flags flags, size_t offset, size_t size, cl_uint waits,
                                    const cl_event *wait_list, cl_event *event, cl_int *code)
{
    char *const host = host_of(buffer);
    if (!host)
        return next->clEnqueueMapBuffer(queue, buffer, blocking, flags, offset, size, waits,
                                        wait_list, event, code);
    const cl_int read = next->clEnqueueReadBuffer(queue, buffer, blocking, offset, size,
                                                  host + offset, waits, wait_list, event);
    if (code)
        *code = read;
    return read == CL_SUCCESS ? host + offset : NULL;
}

static cl_int CL_API_CALL unmap(cl_command_queue queue, cl_mem buffer, void *mapped, cl_uint waits,
                                const cl_event *wait_list, cl_event *event)
{
    return host_of(buffer)
               ? next->clEnqueueMarkerWithWaitList(queue, waits, wait_list, event)
               : next->clEnqueueUnmapMemObject(queue, buffer, mapped, waits, wait_list, event);
}

EXPORTED cl_int CL_API_CALL clGetLayerInfo(cl_layer_info what, size_t size, void *value,
                                           size_t *needed)
{
    const cl_layer_api_version version = CL_LAYER_API_VERSION_100;
    if (what != CL_LAYER_API_VERSION || (value && size < sizeof version))
        return CL_INVALID_VALUE;
    if (value)
        memcpy(value, &version, sizeof version);
    if (needed)
        *needed = sizeof version;
    return CL_SUCCESS;
}

EXPORTED cl_int CL_API_CALL clInitLayer(cl_uint entries, const cl_icd_dispatch *target,
                                        cl_uint *own_entries, const cl_icd_dispatch **own)
{
    (void)entries;
    next = target;
    table = *target;
    table.clCreateBuffer = create_buffer;
    table.clEnqueueMapBuffer = map_buffer;
    table.clEnqueueUnmapMemObject = unmap;
    *own_entries = sizeof table / sizeof table.clGetPlatformIDs;
    *own = &table;
    return CL_SUCCESS;
}
