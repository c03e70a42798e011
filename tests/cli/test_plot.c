/* Heat maps: files of the right kind, cropped to their labels, of any matrix. */
#include "program.h"

#include <cjson/cJSON.h>
#include <math.h>

static const char *picture(const char *arguments, const char *name)
{
    static char bytes[1 << 20];
    int code = run_program("", arguments);
    if (code != 0)
        fail_msg("exit code %d: %s", code, standard_error);
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
    write_array("one.npy", 'f', 4, 2, (int64_t[]){1, 1}, (float[]){1});
    write_array("sentences.npy", 'f', 4, 3, (int64_t[]){2, 3, 4}, weights);
    write_text("lines.txt", "Katze\n<&>\n");
    write_text("words.txt", "der Hund\nsieht das T\xc3\xbcrchen \xff\n");
    return 0;
}

static void png_has_its_signature(void **state)
{
    (void)state;
    const char *bytes = picture("plot --weights w.npy --head 1 --output p.png", "p.png");
    assert_memory_equal("\x89PNG\r\n\x1a\n", bytes, 8);
    assert_non_null(strstr(standard_output, "3 rows, 4 columns"));
    assert_non_null(strstr(standard_output, "2 of 3 rows do not sum to 1 (row 2: 0)"));
}

static void svg_holds_the_words(void **state)
{
    (void)state;
    const char *svg = picture("plot --weights sentences.npy --batch 1 --query-labels lines.txt "
                              "--key-labels words.txt --output p.svg --json",
                              "p.svg");
    assert_non_null(strstr(svg, "<svg"));
    assert_non_null(strstr(svg, "rows: Katze &lt;&amp;&gt;"));
    assert_non_null(strstr(svg, "columns: sieht das T\xc3\xbcrchen ?"));
    assert_non_null(strstr(svg, "</svg>"));
    cJSON *root = cJSON_Parse(standard_output);
    assert_non_null(root);
    assert_string_equal("p.svg", cJSON_GetStringValue(cJSON_GetObjectItem(root, "output")));
    assert_int_equal(2, (int)cJSON_GetNumberValue(cJSON_GetObjectItem(root, "rows")));
    assert_int_equal(4, (int)cJSON_GetNumberValue(cJSON_GetObjectItem(root, "columns")));
    cJSON_Delete(root);
}

static void any_matrix_can_be_drawn(void **state)
{
    (void)state;
    assert_memory_equal(
        "\x89PNG", picture("plot --weights t.safetensors:k --batch 1 --output k.png", "k.png"), 4);
    assert_memory_equal("\x89PNG", picture("plot --weights wide.npy --output wide.png", "wide.png"),
                        4);
    assert_memory_equal("\x89PNG", picture("plot --weights one.npy --output one.png", "one.png"),
                        4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(png_has_its_signature),
        cmocka_unit_test(svg_holds_the_words),
        cmocka_unit_test(any_matrix_can_be_drawn),
    };
    return cmocka_run_group_tests(tests, prepare, leave_folder);
}
