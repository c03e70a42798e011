/* program.h: from a kernel file and its -D options to a built program, kept by the device and in
 * the user's cache. */
#ifndef CLATTN_PROGRAM_H
#define CLATTN_PROGRAM_H

#include "device.h"

/**
 * Builds kernels/<file> with `options`, or finds it built. The program is the device's, which
 * releases it when it is closed. CLATTN_E_BUILD names the real file and line.
 */
clattn_status clattn__program_get(clattn__program **out, clattn_device *device, const char *file,
                                  const char *options);

/** A kernel of a program, named after the file; the caller's to release. */
clattn_status clattn__program_kernel(cl_kernel *out, clattn__program *program);

/** Notes that a kernel of the program was enqueued: its
 * binary is worth saving once that run is done. */
void clattn__program_ran(clattn__program *program);

/** Waits for the device's queue, and saves the binaries of
 * programs that have run; a failure to save is no failure. */
cl_int clattn__programs_finish(clattn_device *device);

void clattn__programs_release(clattn_device *device);

#endif
