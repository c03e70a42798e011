/* npy_header.c: a parser for just the dict that the format allows: three keys, in any order. */
#include "npy_header.h"

#include <stdarg.h>
#include <string.h>

typedef struct cursor {
    const char *at, *end;
} cursor;

static char problem[160];

static const char *wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

static const char *wrong(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(problem, sizeof problem, format, arguments);
    va_end(arguments);
    return problem;
}

static void skip_blanks(cursor *c)
{
    while (c->at < c->end && strchr(" \t\r\n", *c->at) && *c->at)
        c->at++;
}

/* Takes `token` where it stands next, after blanks. */
static int take(cursor *c, const char *token)
{
    size_t length = strlen(token);
    skip_blanks(c);
    if ((size_t)(c->end - c->at) < length || memcmp(c->at, token, length) != 0)
        return 0;
    c->at += length;
    return 1;
}

/* A string in single or double quotes, without escapes; 0
 * where there is none or it does not fit. */
static int take_string(cursor *c, char *out, size_t capacity)
{
    skip_blanks(c);
    if (c->at == c->end || (*c->at != '\'' && *c->at != '"'))
        return 0;
    const char *first = c->at + 1;
    const char *last = memchr(first, *c->at, (size_t)(c->end - first));
    if (!last || (size_t)(last - first) >= capacity)
        return 0;
    memcpy(out, first, (size_t)(last - first));
    out[last - first] = '\0';
    c->at = last + 1;
    return 1;
}

static const char *parse_type(npy_description *d, cursor *c)
{
    char text[64];
    const char *at = text;
    if (!take_string(c, text, sizeof text))
        return wrong("its 'descr' is not a simple type; expected one like '<f4'");
    d->order = '=';
    if (*at && strchr("<>|=", *at))
        d->order = *at++;
    d->kind = *at;
    if (*at)
        at++;
    d->size = *at >= '1' && *at <= '9' && !at[1] ? (size_t)(*at - '0') : 0;
    int known = (d->kind == 'f' && (d->size == 2 || d->size == 4 || d->size == 8)) ||
                ((d->kind == 'i' || d->kind == 'u') &&
                 (d->size == 1 || d->size == 2 || d->size == 4 || d->size == 8)) ||
                (d->kind == 'b' && d->size == 1);
    if (!known)
        return wrong(
            "elements of type '%s'; expected float16, float32, float64, bool or an integer", text);
    return NULL;
}

/* (), (3,), (3, 4), with the L of Python 2 behind a number; NumPy writes no other form. */
static const char *parse_shape(npy_description *d, cursor *c)
{
    size_t axes = 0;
    int comma = 1;
    if (!take(c, "("))
        return wrong("its 'shape' is not a tuple");
    while (!take(c, ")")) {
        int64_t value = 0;
        const char *first = c->at;
        if (!comma)
            return wrong("its 'shape' lacks a comma");
        for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
            if (value > (INT64_MAX - 9) / 10)
                return wrong("its 'shape' has a number beyond 64 bits");
            value = 10 * value + (*c->at - '0');
        }
        if (c->at == first)
            return wrong("its 'shape' holds something that is no size");
        take(c, "L");
        if (axes < NPY_MAX_RANK)
            d->shape[axes] = value;
        axes++;
        comma = take(c, ",");
    }
    if (axes == 1 && !comma)
        return wrong("its 'shape' is not a tuple");
    if (axes > NPY_MAX_RANK)
        return wrong("%zu axes; expected at most %d", axes, NPY_MAX_RANK);
    d->rank = (uint32_t)axes;
    return NULL;
}

/* Sizes of zero must not hide an overflow in the others: strides are computed from those too. */
const char *npy_count_elements(npy_description *d)
{
    int64_t limit = (int64_t)((size_t)PTRDIFF_MAX / d->size);
    int64_t product = 1;
    int empty = 0;
    for (uint32_t i = 0; i < d->rank; i++) {
        if (d->shape[i] == 0) {
            empty = 1;
            continue;
        }
        if (product > limit / d->shape[i])
            return wrong("its 'shape' is larger than memory can be");
        product *= d->shape[i];
    }
    d->count = empty ? 0 : (size_t)product;
    d->bytes = d->count * d->size;
    return NULL;
}

const char *npy_header_parse(npy_description *out, const char *text, size_t length)
{
    cursor c = {text, text + length};
    int has_type = 0, has_order = 0, has_shape = 0;
    const char *failure = NULL;
    memset(out, 0, sizeof *out);
    if (!take(&c, "{"))
        return wrong("its header is not a dict");
    while (!take(&c, "}")) {
        char key[32];
        if (!take_string(&c, key, sizeof key) || !take(&c, ":"))
            return wrong("its header is cut or not a dict of descr, fortran_order and shape");
        if (strcmp(key, "descr") == 0 && !has_type) {
            has_type = 1;
            failure = parse_type(out, &c);
        } else if (strcmp(key, "fortran_order") == 0 && !has_order) {
            has_order = 1;
            out->fortran = take(&c, "True");
            if (!out->fortran && !take(&c, "False"))
                failure = wrong("its 'fortran_order' is neither True nor False");
        } else if (strcmp(key, "shape") == 0 && !has_shape) {
            has_shape = 1;
            failure = parse_shape(out, &c);
        } else {
            failure = wrong("its header has the key '%s' twice or without need", key);
        }
        if (failure)
            return failure;
        if (!take(&c, ",")) {
            if (take(&c, "}"))
                break;
            return wrong("its header lacks a comma or a brace");
        }
    }
    skip_blanks(&c);
    if (c.at != c.end)
        return wrong("its header goes on behind the dict");
    if (!has_type || !has_order || !has_shape)
        return wrong("its header lacks the key '%s'", !has_type    ? "descr"
                                                      : !has_order ? "fortran_order"
                                                                   : "shape");
    return npy_count_elements(out);
}
