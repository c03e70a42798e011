/* base.h: what every other header builds on: version, symbol visibility, element types. */
#ifndef CLATTN_BASE_H
#define CLATTN_BASE_H

#include <stddef.h>
#include <stdint.h>

#define CLATTN_VERSION_MAJOR 0
#define CLATTN_VERSION_MINOR 1
#define CLATTN_VERSION_PATCH 0
#define CLATTN_VERSION "0.1.0"

#if defined(CLATTN_STATIC)
#define CLATTN_API
#elif defined(_WIN32)
#ifdef CLATTN_BUILDING
#define CLATTN_API __declspec(dllexport)
#else
#define CLATTN_API __declspec(dllimport)
#endif
#else
#define CLATTN_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** Element types. Sums are kept in f32 for F32, F16 and BF16, in f64 for F64. */
typedef enum clattn_dtype {
    CLATTN_F32 = 0, /* IEEE binary32 */
    CLATTN_F64,     /* IEEE binary64 */
    CLATTN_F16,     /* IEEE binary16 */
    CLATTN_BF16,    /* the upper half of a binary32, rounded to nearest even */
    CLATTN_BOOL,    /* one byte; 0 is false, all else true; masks only */
    CLATTN_I32,     /* lengths only */
    CLATTN_I64      /* lengths only */
} clattn_dtype;

/** Bytes of one element; 0 for a value that is no dtype. */
CLATTN_API size_t clattn_dtype_size(clattn_dtype dtype);

/** "f32", "f64", "f16", "bf16", "bool", "i32", "i64"; "?" for a value that is no dtype. */
CLATTN_API const char *clattn_dtype_name(clattn_dtype dtype);

/** One element of a float type as a double, and back, rounded to nearest even. */
CLATTN_API double clattn_element_load(clattn_dtype dtype, const void *data, size_t index);
CLATTN_API void clattn_element_store(clattn_dtype dtype, void *data, size_t index, double value);

/** The version of the library that runs, which may be newer than the headers: "0.1.0". */
CLATTN_API const char *clattn_version(void);

#ifdef __cplusplus
}
#endif
#endif
