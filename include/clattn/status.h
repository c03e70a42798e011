/* status.h: how calls fail.
 *
 * Every function that can fail returns a status, and leaves one sentence for the calling thread
 * that names the argument, what was found and what is expected. The library never prints, and it
 * never exits. */
#ifndef CLATTN_STATUS_H
#define CLATTN_STATUS_H

#include <clattn/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum clattn_status {
    CLATTN_OK = 0,
    CLATTN_E_ARGUMENT = -1,    /* the caller's argument is wrong; nothing was enqueued or written */
    CLATTN_E_UNSUPPORTED = -2, /* no variant takes this problem on this device, and why not */
    CLATTN_E_NO_DEVICE = -3,   /* no OpenCL platform, or none with a device */
    CLATTN_E_MEMORY = -4,      /* host or device memory ran out */
    CLATTN_E_BUILD = -5,       /* a kernel did not compile; see clattn_last_build_log() */
    CLATTN_E_DEVICE = -6       /* any other failure of an OpenCL call */
} clattn_status;

/** The name of a status: "CLATTN_E_ARGUMENT". */
CLATTN_API const char *clattn_status_name(clattn_status status);

/** The sentence of the calling thread's last failure, ""
 * before the first. Valid until its next failure. */
CLATTN_API const char *clattn_last_error(void);

/** The OpenCL code behind the calling thread's last failure, 0 when it had none. */
CLATTN_API int clattn_last_cl_error(void);

/** The compiler's log of the calling thread's last CLATTN_E_BUILD, "" when there is none. */
CLATTN_API const char *clattn_last_build_log(void);

#ifdef __cplusplus
}
#endif
#endif
