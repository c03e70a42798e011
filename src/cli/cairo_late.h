/* cairo_late.h: cairo, which draws. It is loaded when there is something to draw, so that the program
 * asks for it, and for all that comes with it, X11 too, for nothing else. */
#ifndef CLI_CAIRO_LATE_H
#define CLI_CAIRO_LATE_H

#include <cairo-svg.h>
#include <cairo.h>

#define CLI_CAIRO_FUNCTIONS(X)                                                                     \
    X(create)                                                                                      \
    X(destroy)                                                                                     \
    X(fill)                                                                                        \
    X(font_extents)                                                                                \
    X(get_source)                                                                                  \
    X(image_surface_create)                                                                        \
    X(image_surface_get_data)                                                                      \
    X(image_surface_get_stride)                                                                    \
    X(line_to)                                                                                     \
    X(move_to)                                                                                     \
    X(paint)                                                                                       \
    X(pattern_add_color_stop_rgb)                                                                  \
    X(pattern_create_linear)                                                                       \
    X(pattern_destroy)                                                                             \
    X(pattern_set_filter)                                                                          \
    X(rectangle)                                                                                   \
    X(restore)                                                                                     \
    X(rotate)                                                                                      \
    X(save)                                                                                        \
    X(scale)                                                                                       \
    X(select_font_face)                                                                            \
    X(set_antialias)                                                                               \
    X(set_font_size)                                                                               \
    X(set_line_width)                                                                              \
    X(set_source)                                                                                  \
    X(set_source_rgb)                                                                              \
    X(set_source_surface)                                                                          \
    X(show_text)                                                                                   \
    X(status)                                                                                      \
    X(status_to_string)                                                                            \
    X(stroke)                                                                                      \
    X(surface_destroy)                                                                             \
    X(surface_finish)                                                                              \
    X(surface_mark_dirty)                                                                          \
    X(surface_status)                                                                              \
    X(surface_write_to_png_stream)                                                                 \
    X(svg_surface_create_for_stream)                                                               \
    X(text_extents)                                                                                \
    X(translate)

/* The functions by their names without the prefix. */
typedef struct cli_cairo {
#define CLI_CAIRO_FIELD(name) __typeof__(cairo_##name) *(name);
    CLI_CAIRO_FUNCTIONS(CLI_CAIRO_FIELD)
#undef CLI_CAIRO_FIELD
} cli_cairo;

/* Loads them once for the process. CLI_SYSTEM where cairo is not installed. */
int cli_cairo_load(const cli_cairo **out);

#endif
