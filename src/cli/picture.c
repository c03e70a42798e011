/* picture.c: cairo's surfaces, and what it leaves out of an SVG. */
#include "picture.h"

#include "text.h"

#include <stdlib.h>
#include <string.h>

#define PIXELS_PER_POINT 2.0

static cairo_status_t append(void *closure, const unsigned char *data, unsigned int length)
{
    cli_picture *picture = closure;
    if (length > picture->capacity - picture->size) {
        size_t capacity = 2 * picture->capacity + length;
        unsigned char *grown = realloc(picture->bytes, capacity);
        if (!grown)
            return CAIRO_STATUS_NO_MEMORY;
        picture->bytes = grown;
        picture->capacity = capacity;
    }
    memcpy(picture->bytes + picture->size, data, length);
    picture->size += length;
    return CAIRO_STATUS_SUCCESS;
}

/* An element with a text. */
static cairo_status_t append_element(cli_picture *picture, const char *start, const char *text,
                                     const char *end)
{
    cairo_status_t status = append(picture, (const unsigned char *)start, (unsigned)strlen(start));
    for (; *text && status == CAIRO_STATUS_SUCCESS; text++) {
        const char *escape = *text == '<'   ? "&lt;"
                             : *text == '>' ? "&gt;"
                             : *text == '&' ? "&amp;"
                                            : NULL;
        status = escape ? append(picture, (const unsigned char *)escape, (unsigned)strlen(escape))
                        : append(picture, (const unsigned char *)text, 1);
    }
    if (status)
        return status;
    return append(picture, (const unsigned char *)end, (unsigned)strlen(end));
}

/* Behind the tag <svg ...>: also that small cells keep their edges, of which cairo says nothing. */
static cairo_status_t add_words(cli_picture *out, const cli_picture *drawn,
                                const cli_drawing *drawing)
{
    size_t head = 0;
    while (head + 4 < drawn->size && memcmp(drawn->bytes + head, "<svg", 4) != 0)
        head++;
    while (head < drawn->size && drawn->bytes[head] != '>')
        head++;
    if (head == drawn->size)
        return CAIRO_STATUS_WRITE_ERROR;
    cairo_status_t status = append(out, drawn->bytes, (unsigned)head + 1);
    if (!status)
        status = append_element(out, "\n<title>", drawing->title, "</title>");
    if (!status)
        status = append_element(out, "\n<desc>", drawing->description, "</desc>");
    if (!status)
        status =
            append_element(out, "\n<style>", "image { image-rendering: pixelated; }", "</style>");
    if (!status)
        status = append(out, drawn->bytes + head + 1, (unsigned)(drawn->size - head - 1));
    return status;
}

int cli_picture_make(cli_picture *out, const cli_drawing *drawing, cli_picture_type type)
{
    const cli_cairo *cairo = NULL;
    cli_picture drawn = {0};
    memset(out, 0, sizeof *out);
    const int result = cli_cairo_load(&cairo);
    if (result)
        return result;
    cairo_surface_t *surface =
        type == CLI_SVG
            ? cairo->svg_surface_create_for_stream(append, &drawn, drawing->width, drawing->height)
            : cairo->image_surface_create(CAIRO_FORMAT_RGB24,
                                          (int)(drawing->width * PIXELS_PER_POINT),
                                          (int)(drawing->height * PIXELS_PER_POINT));
    cairo_t *c = cairo->create(surface);
    if (type == CLI_PNG)
        cairo->scale(c, PIXELS_PER_POINT, PIXELS_PER_POINT);
    drawing->draw(c, drawing->what);
    cairo_status_t status = cairo->status(c);
    cairo->destroy(c);
    if (status == CAIRO_STATUS_SUCCESS && type == CLI_PNG)
        status = cairo->surface_write_to_png_stream(surface, append, out);
    cairo->surface_finish(surface);
    if (status == CAIRO_STATUS_SUCCESS)
        status = cairo->surface_status(surface);
    cairo->surface_destroy(surface);
    if (status == CAIRO_STATUS_SUCCESS && type == CLI_SVG)
        status = add_words(out, &drawn, drawing);
    free(drawn.bytes);
    if (status == CAIRO_STATUS_SUCCESS)
        return CLI_DONE;
    free(out->bytes);
    memset(out, 0, sizeof *out);
    return CLI_FAIL(CLI_SYSTEM, "--output: the picture cannot be drawn: %s",
                    cairo->status_to_string(status));
}
