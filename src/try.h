/* try.h: the error path. A function that uses these has `clattn_status
 * status = CLATTN_OK;` and a label `done:` under which it frees what it
 * made; all of that is NULL until it exists. No other macro jumps. */
#ifndef CLATTN_TRY_H
#define CLATTN_TRY_H

#include <clattn/status.h>

/* Records the calling thread's sentence (printf style) and OpenCL code. */
void clattn__record(clattn_status status, int cl_error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same, as an expression with the value of `code`,
 * which analysers then see not to be CLATTN_OK. */
#define FAIL(code, cl_error, ...) (clattn__record(code, cl_error, __VA_ARGS__), (code))

/* Records the sentence of a failed OpenCL call: "what: CL_OUT_OF_RESOURCES (-5)". */
clattn_status clattn__fail_cl(int cl_error, const char *what);

/* Keeps a build log beside the sentence of the failure that follows. */
void clattn__keep_build_log(const char *log);

/* "CL_OUT_OF_RESOURCES" for -5. */
const char *clattn__cl_error_name(int cl_error);

#define TRY(call)                                                                                  \
    do {                                                                                           \
        status = (call);                                                                           \
        if (status != CLATTN_OK)                                                                   \
            goto done;                                                                             \
    } while (0)

#define TRY_CL(what, call)                                                                         \
    do {                                                                                           \
        int cl_error_ = (call);                                                                    \
        if (cl_error_ != 0) {                                                                      \
            status = clattn__fail_cl(cl_error_, what);                                             \
            goto done;                                                                             \
        }                                                                                          \
    } while (0)

#define FAIL_IF(condition, code, ...)                                                              \
    do {                                                                                           \
        if (condition) {                                                                           \
            status = FAIL(code, 0, __VA_ARGS__);                                                   \
            goto done;                                                                             \
        }                                                                                          \
    } while (0)

#endif
