/* launch.h: enqueues kernels, and keeps their times where the queue does. */
#ifndef CLATTN_LAUNCH_H
#define CLATTN_LAUNCH_H

#include "program.h"

#include <clattn/plan.h>

typedef struct clattn__kernel {
    cl_kernel handle;
    clattn__program *program;
    const char *name; /* a literal of the caller's */
} clattn__kernel;

/* One argument of a kernel; NULL mem objects are the kernel's null pointers. */
typedef struct clattn__arg {
    size_t size;
    const void *value;
} clattn__arg;
#define CLATTN__ARG(lvalue)                                                                        \
    {                                                                                              \
        sizeof(lvalue), &(lvalue)                                                                  \
    }

/* Arguments that come from several places; what they point at stays until the launch. */
typedef struct clattn__arg_list {
    clattn__arg args[64];
    size_t count;
} clattn__arg_list;
void clattn__arg_add(clattn__arg_list *list, size_t size, const void *value);
void clattn__args_add(clattn__arg_list *list, const clattn__arg *args, size_t count);

/* The launches of one run, in order. */
typedef struct clattn__timeline {
    size_t count, capacity;
    struct clattn__launched {
        const char *kernel;
        cl_event event;
    } * launches;
} clattn__timeline;

/* Builds kernels/<name>.cl with `options` and takes its
 * kernel; `kernel` is all NULL after a failure. */
clattn_status clattn__kernel_create(clattn__kernel *kernel, clattn_device *device, const char *name,
                                    const char *options);
void clattn__kernel_release(clattn__kernel *kernel);

/**
 * Sets the arguments, in the order of the kernel's parameters, and enqueues it behind all that was
 * enqueued before. `local` may be NULL. A range with a 0 in it enqueues nothing.
 */
clattn_status clattn__launch(clattn_device *device, clattn__timeline *timeline,
                             clattn__kernel *kernel, const size_t global[3], const size_t local[3],
                             const clattn__arg *args, size_t arg_count);

/* On a queue without order: what follows starts after all before it is done. */
clattn_status clattn__order(clattn_device *device);

/* Keeps the event of a launch, which is the timeline's then, also after a failure. */
clattn_status clattn__timeline_add(clattn__timeline *timeline, const char *kernel, cl_event event);

void clattn__timeline_clear(clattn__timeline *timeline);

/* Sums the times by kernel name; see clattn_plan_timing(). */
clattn_status clattn__timeline_read(const clattn__timeline *timeline, clattn_timing *timings,
                                    size_t capacity, size_t *count);

#endif
