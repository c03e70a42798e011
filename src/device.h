/* device.h: what the library knows of an opened device. */
#ifndef CLATTN_SRC_DEVICE_H
#define CLATTN_SRC_DEVICE_H

#include <clattn/clattn_cl.h>
#include <clattn/device.h>

#include <pthread.h>
#include <stdbool.h>

typedef struct clattn__program clattn__program;
typedef struct clattn__tuning clattn__tuning;

struct clattn_device {
    clattn_device_info info;      /* capabilities, read once */
    const clattn__tuning *tuning; /* what its kernels are built with: a row of src/tuning */
    cl_device_id id;              /* NULL on the reference, as are the next two */
    cl_context context;
    cl_command_queue queue;
    bool in_order;             /* the queue keeps the order of its commands */
    bool profiling;            /* the queue's events know their times */
    pthread_mutex_t lock;      /* guards what follows */
    clattn__program *programs; /* built so far, newest first */
    size_t finishes;           /* how often the queue was waited for */
};

static inline bool clattn__is_reference(const clattn_device *device)
{
    return device->id == NULL;
}

/* CPU-like devices want wide vectors in few work-items, all others many items in groups. */
static inline bool clattn__is_cpu_like(const clattn_device *device)
{
    return device->info.kind == CLATTN_DEVICE_CPU;
}

#endif
