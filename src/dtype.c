/* dtype.c: element types, and the conversions between them and double. */

#include "dtype.h"

#include <math.h>
#include <string.h>

size_t clattn_dtype_size(clattn_dtype dtype)
{
    switch (dtype) {
    case CLATTN_F32:
    case CLATTN_I32:
        return 4;
    case CLATTN_F64:
    case CLATTN_I64:
        return 8;
    case CLATTN_F16:
    case CLATTN_BF16:
        return 2;
    case CLATTN_BOOL:
        return 1;
    }
    return 0;
}

const char *clattn_dtype_name(clattn_dtype dtype)
{
    switch (dtype) {
    case CLATTN_F32:
        return "f32";
    case CLATTN_F64:
        return "f64";
    case CLATTN_F16:
        return "f16";
    case CLATTN_BF16:
        return "bf16";
    case CLATTN_BOOL:
        return "bool";
    case CLATTN_I32:
        return "i32";
    case CLATTN_I64:
        return "i64";
    }
    return "?";
}

const char *clattn_version(void)
{
    return CLATTN_VERSION;
}

bool clattn__dtype_is_float(clattn_dtype dtype)
{
    return dtype == CLATTN_F32 || dtype == CLATTN_F64 || dtype == CLATTN_F16 ||
           dtype == CLATTN_BF16;
}

static double half_to_double(uint16_t bits)
{
    int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    double magnitude;
    if (exponent == 31)
        magnitude = mantissa ? (double)NAN : (double)INFINITY;
    else
        magnitude = exponent ? ldexp(mantissa + 1024, exponent - 25) : ldexp(mantissa, -24);
    return bits & 0x8000 ? -magnitude : magnitude;
}

/* Rounds once, from double: by way of float it would round twice. */
static uint16_t double_to_half(double value)
{
    uint16_t sign = signbit(value) ? 0x8000 : 0;
    double magnitude = fabs(value);
    int exponent;
    if (isnan(value))
        return 0x7e00;
    if (magnitude >= 65520)
        return (uint16_t)(sign | 0x7c00); /* half a last place past 65504 */
    (void)frexp(magnitude, &exponent);    /* magnitude = m * 2^exponent, m in [1/2, 1) */
    if (exponent < -13 || magnitude == 0)
        exponent = -13; /* below 2^-14 the step stays 2^-24 */
    /* In steps of the last place; a carry into the next exponent comes out right by itself. */
    double steps = nearbyint(ldexp(magnitude, 11 - exponent));
    return (uint16_t)(sign | (uint16_t)((exponent + 13) * 1024 + (int)steps));
}

static uint16_t double_to_bf16(double value)
{
    uint16_t sign = signbit(value) ? 0x8000 : 0;
    double magnitude = fabs(value);
    int exponent;
    if (isnan(value))
        return 0x7fc0;
    if (magnitude >= 0x1.ffp127)
        return (uint16_t)(sign | 0x7f80);
    (void)frexp(magnitude, &exponent);
    if (exponent < -125 || magnitude == 0)
        exponent = -125;
    double steps = nearbyint(ldexp(magnitude, 8 - exponent));
    return (uint16_t)(sign | (uint16_t)((exponent + 125) * 128 + (int)steps));
}

double clattn_element_load(clattn_dtype dtype, const void *data, size_t index)
{
    const char *at = (const char *)data + index * clattn_dtype_size(dtype);
    switch (dtype) {
    case CLATTN_F32: {
        float value;
        memcpy(&value, at, sizeof value);
        return (double)value;
    }
    case CLATTN_F64: {
        double value;
        memcpy(&value, at, sizeof value);
        return value;
    }
    case CLATTN_F16: {
        uint16_t bits;
        memcpy(&bits, at, sizeof bits);
        return half_to_double(bits);
    }
    case CLATTN_BF16: {
        uint16_t bits;
        memcpy(&bits, at, sizeof bits);
        uint32_t wide = (uint32_t)bits << 16;
        float value;
        memcpy(&value, &wide, sizeof value);
        return (double)value;
    }
    case CLATTN_BOOL:
        return *at != 0;
    case CLATTN_I32:
    case CLATTN_I64:
        return (double)clattn__integer_load(dtype, data, index);
    }
    return (double)NAN;
}

int64_t clattn__integer_load(clattn_dtype dtype, const void *data, size_t index)
{
    const char *at = (const char *)data + index * clattn_dtype_size(dtype);
    int32_t narrow;
    int64_t wide;
    if (dtype == CLATTN_I64) {
        memcpy(&wide, at, sizeof wide);
        return wide;
    }
    memcpy(&narrow, at, sizeof narrow);
    return narrow;
}

void clattn_element_store(clattn_dtype dtype, void *data, size_t index, double value)
{
    char *at = (char *)data + index * clattn_dtype_size(dtype);
    switch (dtype) {
    case CLATTN_F32: {
        float single = (float)value;
        memcpy(at, &single, sizeof single);
        break;
    }
    case CLATTN_F64:
        memcpy(at, &value, sizeof value);
        break;
    case CLATTN_F16: {
        uint16_t bits = double_to_half(value);
        memcpy(at, &bits, sizeof bits);
        break;
    }
    case CLATTN_BF16: {
        uint16_t bits = double_to_bf16(value);
        memcpy(at, &bits, sizeof bits);
        break;
    }
    case CLATTN_BOOL:
        *at = (char)(value != 0.0);
        break;
    case CLATTN_I32: {
        int32_t narrow = (int32_t)value;
        memcpy(at, &narrow, sizeof narrow);
        break;
    }
    case CLATTN_I64: {
        int64_t wide = (int64_t)value;
        memcpy(at, &wide, sizeof wide);
        break;
    }
    }
}
