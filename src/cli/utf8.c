/* utf8.c: decodes, and knows the widths of Unicode's blocks well enough for words. */
#include "utf8.h"

#include <stdbool.h>
#include <stdint.h>

size_t cli_utf8_length(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    const size_t length = at[0] < 0x80             ? 1
                          : (at[0] & 0xe0) == 0xc0 ? 2
                          : (at[0] & 0xf0) == 0xe0 ? 3
                          : (at[0] & 0xf8) == 0xf0 ? 4
                                                   : 0;
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    }
    if (length == 1 && (at[0] < ' ' || at[0] == 127))
        return 0;
    if (length == 2 && (at[0] < 0xc2 || (at[0] == 0xc2 && at[1] < 0xa0)))
        return 0;
    if (length == 3 && ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] >= 0xa0)))
        return 0;
    if (length == 4 &&
        ((at[0] == 0xf0 && at[1] < 0x90) || at[0] > 0xf4 || (at[0] == 0xf4 && at[1] >= 0x90)))
        return 0;
    return length;
}

/* The number of a valid character. */
static uint32_t decode(const char *text, size_t length)
{
    static const unsigned char masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t point = (unsigned char)text[0] & masks[length];
    for (size_t i = 1; i < length; i++)
        point = point << 6 | ((unsigned char)text[i] & 0x3f);
    return point;
}

typedef struct block {
    uint32_t first, last;
} block;

static bool is_in(const block *blocks, size_t count, uint32_t point)
{
    for (size_t i = 0; i < count; i++) {
        if (point >= blocks[i].first && point <= blocks[i].last)
            return true;
    }
    return false;
}

static bool is_wide(uint32_t point)
{
    static const block wide[] = {
        {0x1100, 0x115f},   {0x2e80, 0xa4cf},   {0xa960, 0xa97c},   {0xac00, 0xd7a3},
        {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6},
        {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1faff}, {0x20000, 0x3fffd},
    };
    return is_in(wide, sizeof wide / sizeof wide[0], point);
}

/* What is set on the character before it. */
static bool is_mark(uint32_t point)
{
    static const block marks[] = {
        {0x0300, 0x036f}, {0x0483, 0x0489}, {0x0591, 0x05bd}, {0x0610, 0x061a}, {0x064b, 0x065f},
        {0x093a, 0x093c}, {0x0941, 0x0948}, {0x094d, 0x094d}, {0x0e31, 0x0e31}, {0x0e34, 0x0e3a},
        {0x0e47, 0x0e4e}, {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x200b, 0x200f}, {0x20d0, 0x20ff},
        {0x302a, 0x302d}, {0x3099, 0x309a}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f},
    };
    return is_in(marks, sizeof marks / sizeof marks[0], point);
}

const char *cli_utf8_next(const char *at, size_t *columns)
{
    size_t length = cli_utf8_length(at);
    *columns = is_wide(decode(at, length)) ? 2 : 1;
    do {
        at += length;
        length = *at ? cli_utf8_length(at) : 0;
    } while (length && is_mark(decode(at, length)));
    return at;
}

size_t cli_utf8_columns(const char *text)
{
    size_t all = 0;
    while (*text) {
        size_t columns = 0;
        text = cli_utf8_next(text, &columns);
        all += columns;
    }
    return all;
}
