/* Heat maps: files of the right kind and text that fits, cropped to their labels, of any matrix. */
#include "program.h"

#include "colours.h"
#include "utf8.h"

#include <cjson/cJSON.h>
#include <math.h>

#define SENTENCE "--weights sentences.npy --query-labels lines.txt --key-labels words.txt "

static void run_well(const char *before, const char *arguments)
{
    const int code = run_program(before, arguments);
    if (code != 0)
        fail_msg("exit code %d: %s", code, standard_error);
}

static const char *picture(const char *arguments, const char *name)
{
    static char bytes[1 << 20];
    run_well("", arguments);
    read_back(bytes, sizeof bytes, name);
    return bytes;
}

static int prepare(void **state)
{
    static float wide[1500 * 40];
    if (enter_folder(state) != 0)
        return -1;
    const float weights[2][3][4] = {
        {{0.5f, 0.25f, 0.25f, 0}, {1, 0, 0, 0}, {0.25f, 0.25f, 0.25f, 0.25f}},
        {{0.5f, 0.5f, 0, 0}, {0.5f, 0.25f, 0, 0}, {0, 0, 0, 0}}};
    for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++)
        wide[i] = i % 17 == 0 ? NAN : i % 19 == 0 ? -INFINITY : (float)i;
    write_array("w.npy", 'f', 4, 4, (int64_t[]){1, 2, 3, 4}, weights);
    write_array("wide.npy", 'f', 4, 2, (int64_t[]){1500, 40}, wide);
    write_array("heads.npy", 'f', 4, 4, (int64_t[]){1, 3, 40, 500}, wide);
    write_array("one.npy", 'f', 4, 2, (int64_t[]){1, 1}, (float[]){1});
    write_array("sentences.npy", 'f', 4, 3, (int64_t[]){2, 3, 4}, weights);
    write_text("lines.txt", "Katze\n<&>\n");
    write_text("words.txt", "der Hund\nsieht das T\xc3\xbcrchen \xff\n");
    write_text("wild.txt", "\x1b[31m \xc2\x9b \xe6\x9d\xb1\xe4\xba\xac e\xcc\x81\n");
    return 0;
}

static void png_has_its_signature(void **state)
{
    (void)state;
    const char *bytes = picture("plot --weights w.npy --head 1 --output p.png", "p.png");
    assert_memory_equal("\x89PNG\r\n\x1a\n", bytes, 8);
    assert_string_equal("p.png: 3 rows, 4 columns\n", standard_output);
}

/* A row of zeros sees nothing, which is as it should be. */
static void rows_that_do_not_add_up_are_noted(void **state)
{
    (void)state;
    run_well("", "plot --weights w.npy --head 0 --output p.png");
    assert_string_equal("", standard_error);
    run_well("", "plot --weights w.npy --head 1 --output p.png");
    assert_string_equal("clattn: note: 1 of 3 rows do not add up to 1 (farthest: row 1 of head 1, "
                        "0.75); with normalizer none or sigmoid they need not\n",
                        standard_error);
    run_well("", "plot --weights w.npy");
    assert_non_null(strstr(standard_error,
                           "1 of 6 rows do not add up to 1 (farthest: row 1 of head "
                           "1, 0.75)"));
    run_well("", "plot --weights wide.npy");
    assert_non_null(strstr(standard_error, "1500 of 1500 rows"));
}

static void svg_holds_the_words(void **state)
{
    (void)state;
    const char *svg = picture("plot " SENTENCE "--batch 1 --output p.svg --json", "p.svg");
    assert_non_null(strstr(svg, "<svg"));
    assert_non_null(strstr(svg, "rows: Katze &lt;&amp;&gt;"));
    assert_non_null(strstr(svg, "columns: sieht das T\xc3\xbcrchen ?"));
    assert_non_null(strstr(svg, "</svg>"));
    cJSON *root = cJSON_Parse(standard_output);
    assert_non_null(root);
    assert_string_equal("p.svg", cJSON_GetStringValue(cJSON_GetObjectItem(root, "output")));
    assert_int_equal(2, (int)cJSON_GetNumberValue(cJSON_GetObjectItem(root, "rows")));
    assert_int_equal(4, (int)cJSON_GetNumberValue(cJSON_GetObjectItem(root, "columns")));
    assert_int_equal(1, (int)cJSON_GetNumberValue(cJSON_GetObjectItem(root, "heads")));
    cJSON_Delete(root);
}

/* The grid is larger than one of its matrices, whose size is in the header of a PNG. */
static void all_heads_stand_beside_each_other(void **state)
{
    (void)state;
    uint32_t wide[2];
    for (size_t i = 0; i < 2; i++) {
        const char *png = picture(i ? "plot --weights w.npy --output p.png"
                                    : "plot --weights w.npy --head 0 --output p.png",
                                  "p.png");
        wide[i] = (uint32_t)(unsigned char)png[18] << 8 | (unsigned char)png[19];
    }
    assert_string_equal("p.png: 3 rows, 4 columns, 2 heads\n", standard_output);
    assert_true(wide[1] > wide[0]);
    const char *svg = picture("plot --weights w.npy --output p.svg", "p.svg");
    assert_non_null(strstr(svg, "<title>Attention weights, batch 0, 2 heads</title>"));
}

static void any_matrix_can_be_drawn(void **state)
{
    (void)state;
    static const char *const names[] = {"t.safetensors:k", "wide.npy", "heads.npy", "one.npy"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char arguments[128];
        snprintf(arguments, sizeof arguments, "plot --weights %s --output any.png", names[i]);
        assert_memory_equal("\x89PNG", picture(arguments, "any.png"), 4);
        snprintf(arguments, sizeof arguments, "plot --weights %s --output any.svg", names[i]);
        assert_non_null(strstr(picture(arguments, "any.svg"), "</svg>")); /* under a megabyte */
        snprintf(arguments, sizeof arguments, "plot --weights %s", names[i]);
        run_well("", arguments);
    }
}

static void text_shows_words_and_shades(void **state)
{
    (void)state;
    run_well("COLUMNS=80", "plot " SENTENCE "--batch 1 --output -");
    assert_string_equal("Attention weights, batch 1, head 0\n"
                        "A row is a query, a column is a key.\n"
                        "\n"
                        "           T   \n"
                        "           \u00fc   \n"
                        "       s   r   \n"
                        "       i   c   \n"
                        "       e d h   \n"
                        "       h a e   \n"
                        "       t s n ? \n"
                        "Katze \u2502\u2588\u2588\u2588\u2588    \u2502\n"
                        "  <&> \u2502\u2588\u2588\u2592\u2592    \u2502\n"
                        "\n"
                        "       0   \u2591\u2591\u2592\u2592\u2593\u2593\u2588\u2588 0.5\n",
                        standard_output);
    run_well("", "plot --weights w.npy");
    assert_non_null(strstr(standard_output, "\nhead 1\n   0 1 2 3\n0 \u2502"));
}

/* Labels are those of the rows that the file has. */
static void chosen_rows_have_their_labels(void **state)
{
    (void)state;
    run_well("", "run " QKV "--weights chosen.npy --weights-rows 0,2");
    write_text("chosen.txt", "first\nthird\n");
    run_well("", "plot --weights chosen.npy --query-labels chosen.txt");
    assert_non_null(strstr(standard_output, "\nfirst \u2502"));
    assert_non_null(strstr(standard_output, "\nthird \u2502"));
}

/* Lines of a matrix and what stands above it. */
static void text_fits_its_width(void **state)
{
    (void)state;
    static const struct {
        const char *before, *arguments;
        size_t width;
    } cases[] = {{"COLUMNS=40", "plot --weights wide.npy", 40},
                 {"COLUMNS=", "plot --weights heads.npy", 80},
                 {"COLUMNS=nonsense", "plot --weights heads.npy --head 2", 80},
                 {"COLUMNS=30", "plot " SENTENCE, 30},
                 {"COLUMNS=80", "plot --weights w.npy --head 0 --key-labels wild.txt", 80}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        run_well(cases[i].before, cases[i].arguments);
        assert_null(strchr(standard_output, '\033'));
        size_t of_matrix = 0;
        for (char *line = strtok(standard_output, "\n"); line; line = strtok(NULL, "\n")) {
            if (!strstr(line, "\u2502"))
                continue;
            const size_t columns = cli_utf8_columns(line);
            if (columns > cases[i].width || (of_matrix && columns != of_matrix))
                fail_msg("%s: %zu columns: %s", cases[i].arguments, columns, line);
            of_matrix = columns;
        }
        assert_true(of_matrix > 0);
    }
}

/* Colours are for a terminal that has them, and for a user who has not refused them. */
static void text_has_colours_on_a_terminal(void **state)
{
    (void)state;
    if (system("command -v script >/dev/null") != 0)
        skip();
#define ON_TERMINAL(variables)                                                                     \
    variables                                                                                      \
        " script -qec 'stty cols 20; \"$CLATTN_PROGRAM\" plot --weights heads.npy --head 0' "      \
        "/dev/null >terminal.txt </dev/null"
    static char text[1 << 18];
    assert_int_equal(0, system(ON_TERMINAL("COLORTERM=truecolor NO_COLOR=")));
    read_back(text, sizeof text, "terminal.txt");
    assert_non_null(strstr(text, "\033[48;2;"));
    assert_non_null(strstr(text, "\033[0m\u2502"));
    assert_int_equal(0, system(ON_TERMINAL("COLORTERM=truecolor NO_COLOR=1")));
    read_back(text, sizeof text, "terminal.txt");
    assert_null(strchr(text, '\033'));
    const char *row = strstr(text, "\n 0 \u2502");
    assert_non_null(row);
    assert_int_equal(20, cli_utf8_columns(strtok((char *)row + 1, "\r")));
#undef ON_TERMINAL
}

/* CIE's lightness of a colour of the map, from 0 to 100. */
static double lightness(double share)
{
    const cli_colour c = cli_colour_of(share);
    const double part[] = {c.r, c.g, c.b}, weight[] = {0.2126, 0.7152, 0.0722};
    double y = 0;
    for (size_t i = 0; i < 3; i++)
        y += weight[i] *
             (part[i] <= 0.04045 ? part[i] / 12.92 : pow((part[i] + 0.055) / 1.055, 2.4));
    return y > 0.008856 ? 116 * cbrt(y) - 16 : 903.3 * y;
}

/* Print in grey keeps the order and the distances. */
static void colours_darken_evenly(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        const double step = lightness(0.05 * i) - lightness(0.05 * (i + 1));
        if (!(step > 3 && step < 6))
            fail_msg("step %d: %g", i, step);
    }
    assert_true(lightness(-1) == lightness(0) && lightness(2) == lightness(1));
}

static void characters_have_their_widths(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t length, columns;
    } good[] = {{"a", 1, 1},        {"\u00fc", 2, 1},       {"\u6771", 3, 2}, {"\U0001f600", 4, 2},
                {"e\u0301x", 1, 1}, {"\u0e01\u0e34", 3, 1}, {"\uac00", 3, 2}};
    static const char *const bad[] = {
        "\x80",         "\xc0\x80", "\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80",
        "\xe0\x80\x80", "\x1b",     "\x7f", "\xc2\x9b",     "\xff"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        size_t columns = 0;
        assert_int_equal(good[i].length, cli_utf8_length(good[i].text));
        cli_utf8_next(good[i].text, &columns);
        assert_int_equal(good[i].columns, columns);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(0, cli_utf8_length(bad[i]));
    assert_int_equal(2, cli_utf8_columns("e\u0301x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(png_has_its_signature),
        cmocka_unit_test(rows_that_do_not_add_up_are_noted),
        cmocka_unit_test(svg_holds_the_words),
        cmocka_unit_test(all_heads_stand_beside_each_other),
        cmocka_unit_test(any_matrix_can_be_drawn),
        cmocka_unit_test(text_shows_words_and_shades),
        cmocka_unit_test(chosen_rows_have_their_labels),
        cmocka_unit_test(text_fits_its_width),
        cmocka_unit_test(text_has_colours_on_a_terminal),
        cmocka_unit_test(colours_darken_evenly),
        cmocka_unit_test(characters_have_their_widths),
    };
    return cmocka_run_group_tests(tests, prepare, leave_folder);
}
