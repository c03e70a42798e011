/* Every kernel file builds with warnings as errors: with each value of its options, with each row of
 * the tuning table, and on devices without doubles. That it builds is the test. */
#include "kernels.h"
#include "program.h"
#include "support/device_limits.h"
#include "support/kernel_runs.h"
#include "support/named_tests.h"
#include "tuning/tuning.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define PART_SIZE 128 /* of a type's options, or of one kernel's own */
#define NAME_SIZE 256

/* What common.clh asks for: first the ends of the ranges, then what lies between. */
static const char *const types[] = {
    "-DACC=float -DVW=1 -DDEVICE_FP64=1",
    "-DACC=double -DVW=1 -DDEVICE_FP64=1",
    "-DACC=float -DVW=16 -DDEVICE_FP64=1",
    "-DACC=double -DVW=16 -DDEVICE_FP64=1",
    "-DACC=float -DVW=4",
    "-DACC=float -DVW=2 -DDEVICE_FP64=1",
    "-DACC=double -DVW=2 -DDEVICE_FP64=1",
    "-DACC=float -DVW=4 -DDEVICE_FP64=1",
    "-DACC=double -DVW=4 -DDEVICE_FP64=1",
    "-DACC=float -DVW=8 -DDEVICE_FP64=1",
    "-DACC=double -DVW=8 -DDEVICE_FP64=1",
    "-DACC=float -DVW=16",
};
enum { ENDS = 5, TYPES = sizeof types / sizeof *types };

typedef struct kernel_file {
    const char *name;
    size_t type_count;          /* of `types`: all for kernels that use vectors themselves */
    const char *options[TYPES]; /* each meets another type; they start again when they are fewer */
} kernel_file;

static const kernel_file files[] = {
    {"pack.cl", ENDS, {"-DDEPTHS=64"}},
    {"unpack.cl", ENDS, {""}},
    {"hidden_values.cl", ENDS, {"-DROWS=64 -DDEPTHS=64"}},
    {"softmax_rows.cl",
     TYPES,
     {"-DWG=1 -DTELLS=1", "-DWG=2 -DTELLS=0", "-DWG=4 -DTELLS=1", "-DWG=8 -DTELLS=0",
      "-DWG=16 -DTELLS=1", "-DWG=32 -DTELLS=0", "-DWG=64 -DTELLS=1", "-DWG=128 -DTELLS=0",
      "-DWG=256 -DTELLS=1"}},
    {"product_lanes.cl",
     TYPES,
     {"-DMR=1 -DNV=1 -DROWS=1 -DDEPTH=64", "-DMR=8 -DNV=4 -DROWS=256 -DDEPTH=512",
      "-DMR=2 -DNV=3 -DROWS=2 -DDEPTH=512", "-DMR=3 -DNV=1 -DROWS=255 -DDEPTH=64",
      "-DMR=4 -DNV=2 -DROWS=64 -DDEPTH=256", "-DMR=5 -DNV=4 -DROWS=5 -DDEPTH=128",
      "-DMR=6 -DNV=3 -DROWS=96 -DDEPTH=256", "-DMR=7 -DNV=2 -DROWS=252 -DDEPTH=64",
      "-DMR=1 -DNV=4 -DROWS=256 -DDEPTH=64", "-DMR=8 -DNV=1 -DROWS=8 -DDEPTH=512",
      "-DMR=4 -DNV=1 -DROWS=16 -DDEPTH=256"}},
    {"decode.cl",
     ENDS,
     {"-DMOST=64 -DKIND=0 -DCHUNK=64 -DROWS=1", "-DMOST=1024 -DKIND=1 -DCHUNK=256 -DROWS=16",
      "-DMOST=256 -DKIND=2 -DCHUNK=1024 -DROWS=64", "-DMOST=64 -DKIND=1 -DCHUNK=64 -DROWS=4",
      "-DMOST=128 -DKIND=3 -DCHUNK=512 -DROWS=2"}},
    {"decode_merge.cl",
     ENDS,
     {"-DMOST=64 -DKIND=0", "-DMOST=128 -DKIND=3", "-DMOST=1024 -DKIND=1"}},
    {"accumulate.cl", ENDS, {""}},
    {"column_sums.cl", ENDS, {"-DVECTORS=1", "-DVECTORS=16", "-DVECTORS=8"}},
    {"unit_rows.cl", ENDS, {"-DITEM_ROWS=1", "-DITEM_ROWS=64"}},
    {"location_features.cl", ENDS, {"-DFILTERS=1", "-DFILTERS=16"}},
    {"location_filter_gradients.cl", ENDS, {""}},
    {"location_weight_gradients.cl", ENDS, {""}},
    {"unit_rows_gradients.cl", ENDS, {"-DITEM_ROWS=1", "-DITEM_ROWS=64"}},
    {"sum_up.cl", ENDS, {""}},
    {"score_gradients.cl", ENDS, {"-DWG=1", "-DWG=64", "-DWG=256"}},
    {"rbf_scores.cl", ENDS, {"-DROWS=1", "-DROWS=8"}},
    {"pair_gradients.cl",
     ENDS,
     {"-DUNITS=64 -DROWS=64 -DRBF=0", "-DUNITS=64 -DROWS=64 -DRBF=1",
      "-DUNITS=64 -DROWS=16 -DRBF=0"}},
    {"key_forms.cl", ENDS, {"-DUNITS=64 -DROWS=1", "-DUNITS=512 -DROWS=16"}},
    {"additive_scores.cl", ENDS, {"-DUNITS=64 -DROWS=1", "-DUNITS=512 -DROWS=16"}},
    {"additive.cl",
     ENDS,
     {"-DUNITS=64 -DROWS=1 -DMOST=64 -DKIND=0 -DCHUNK=64",
      "-DUNITS=512 -DROWS=16 -DMOST=1024 -DKIND=1 -DCHUNK=256",
      "-DUNITS=256 -DROWS=64 -DMOST=128 -DKIND=2 -DCHUNK=256",
      "-DUNITS=64 -DROWS=4 -DMOST=64 -DKIND=3 -DCHUNK=64"}},
    {"product_tiles.cl",
     ENDS,
     {"-DTM=2 -DTN=1 -DGM=1 -DGN=1 -DDS=1 -DDEPTH=256",
      "-DTM=3 -DTN=4 -DGM=4 -DGN=1 -DDS=2 -DDEPTH=64",
      "-DTM=16 -DTN=16 -DGM=4 -DGN=8 -DDS=32 -DDEPTH=256",
      "-DTM=16 -DTN=16 -DGM=2 -DGN=2 -DDS=16 -DDEPTH=256",
      "-DTM=8 -DTN=8 -DGM=4 -DGN=4 -DDS=16 -DDEPTH=512"}},
    {"merge_parts.cl", ENDS, {"-DKIND=0", "-DKIND=1", "-DKIND=2", "-DKIND=1", "-DKIND=3"}},
    {"tiles.cl", 0, {NULL}}, /* by tiles, below */
    {"tiles_backward.cl", 0, {NULL}},
    {"lanes.cl",
     ENDS,
     {"-DMOST=64 -DKIND=0 -DQUERY_KIND=0 -DNV=1 -DMK=4 -DMD=2 -DBK=16 -DGENERAL=1 -DDROPOUT=1",
      "-DMOST=4096 -DKIND=1 -DQUERY_KIND=1 -DNV=4 -DMK=8 -DMD=8 -DBK=64 -DGENERAL=0 -DDROPOUT=0",
      "-DMOST=512 -DKIND=2 -DQUERY_KIND=0 -DNV=2 -DMK=16 -DMD=16 -DBK=256 -DGENERAL=1 -DDROPOUT=1",
      "-DMOST=128 -DKIND=1 -DQUERY_KIND=1 -DNV=1 -DMK=8 -DMD=4 -DBK=128 -DGENERAL=1 -DDROPOUT=0",
      "-DMOST=256 -DKIND=3 -DQUERY_KIND=3 -DNV=3 -DMK=4 -DMD=8 -DBK=32 -DGENERAL=1 -DDROPOUT=1"}},
    {"row_deltas.cl", ENDS, {"-DROWS=1"}},
    {"lanes_backward.cl",
     ENDS,
     {"-DMOST=64 -DNV=1 -DMR=4 -DBQ=16 -DBK=16 -DGENERAL=1 -DDROPOUT=0",
      "-DMOST=512 -DNV=4 -DMR=8 -DBQ=128 -DBK=256 -DGENERAL=0 -DDROPOUT=1",
      "-DMOST=128 -DNV=2 -DMR=12 -DBQ=96 -DBK=96 -DGENERAL=1 -DDROPOUT=0",
      "-DMOST=64 -DNV=1 -DMR=16 -DBQ=64 -DBK=32 -DGENERAL=0 -DDROPOUT=1",
      "-DMOST=256 -DNV=3 -DMR=4 -DBQ=24 -DBK=48 -DGENERAL=1 -DDROPOUT=0"}},
};
enum { FILES = sizeof files / sizeof *files };

typedef struct build {
    const char *file;
    char options[2 * NAME_SIZE], name[2 * NAME_SIZE];
} build;

static clattn_device *device;
static build builds[256];
static size_t build_count;

static void builds_without_a_warning(void **state)
{
    const build *b = *state;
    clattn__program *program;
    if (strstr(b->options, "FP64") && !device_takes(device, CLATTN_F64))
        skip();
    /* Clang warns of functions of vectors of 64 bytes where registers are shorter. No device is given any. */
    if (device->info.float_width < 16 &&
        (strstr(b->options, "-DVW=16") || strstr(b->options, "-DACC=double -DVW=8")))
        skip();
    const clattn_status status = clattn__program_get(&program, device, b->file, b->options);
    if (status != CLATTN_OK)
        print_error("%s\n", clattn_last_build_log());
    assert_status(CLATTN_OK, status);
}

static const char *ending(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? dot : "";
}

static void every_file_is_built_here(void **state)
{
    (void)state;
    for (size_t i = 0; i < clattn__kernel_source_count; i++) {
        const char *name = clattn__kernel_sources[i].name;
        size_t f = 0;
        while (f < FILES && strcmp(files[f].name, name) != 0)
            f++;
        if (f == FILES && strcmp(ending(name), ".cl") == 0)
            fail_msg("kernels/%s has no row in this test", name);
    }
}

static void add(named_tests *tests, const char *file, const char *type, const char *options)
{
    assert(build_count < sizeof builds / sizeof *builds);
    build *b = &builds[build_count++];
    b->file = file;
    (void)snprintf(b->options, sizeof b->options, "-cl-std=CL1.2 -Werror %s %s", type, options);
    (void)snprintf(b->name, sizeof b->name, "%s %s %s", file, type, options);
    named_tests_add(tests, b->name, builds_without_a_warning, b);
}

static void add_file(named_tests *tests, const kernel_file *file)
{
    size_t next = 0;
    for (size_t n = 0; n < file->type_count; n++) {
        if (next == TYPES || !file->options[next])
            next = 0;
        add(tests, file->name, types[n], file->options[next++]);
    }
}

static void add_tuning(named_tests *tests, const clattn__tuning *tuning)
{
    char type[PART_SIZE], tile[PART_SIZE], group[PART_SIZE], lanes[PART_SIZE];
    (void)snprintf(tile, sizeof tile, "-DMR=%d -DNV=%d -DROWS=%d -DDEPTH=%d", tuning->tile_rows,
                   tuning->tile_vectors, tuning->item_rows, tuning->depth);
    (void)snprintf(group, sizeof group, "-DWG=%d -DTELLS=1", tuning->softmax_group);
    for (int wide = 0; wide <= 1; wide++) {
        (void)snprintf(type, sizeof type, "-DACC=%s -DVW=%d -DDEVICE_FP64=1",
                       wide ? "double" : "float", wide ? tuning->vector / 2 : tuning->vector);
        add(tests, "product_lanes.cl", type, tile);
        add(tests, "softmax_rows.cl", type, group);
        (void)snprintf(lanes, sizeof lanes,
                       "-DMOST=64 -DKIND=%d -DQUERY_KIND=%d -DNV=%d -DMK=%d -DMD=%d -DBK=%d "
                       "-DGENERAL=%d -DDROPOUT=1",
                       wide, wide, tuning->lanes_vectors, tuning->lanes_keys, tuning->lanes_values,
                       tuning->lanes_block, !wide);
        add(tests, "lanes.cl", type, lanes);
        (void)snprintf(lanes, sizeof lanes,
                       "-DMOST=64 -DNV=%d -DMR=%d -DBQ=%d -DBK=%d -DGENERAL=%d -DDROPOUT=0",
                       tuning->tile_vectors, tuning->tile_rows, tuning->backward_rows,
                       tuning->backward_keys, !wide);
        add(tests, "lanes_backward.cl", type, lanes);
    }
}

/* Beside the tile table: the ends of what tile.clh allows, and one as wide as it is tall. */
static const clattn__tile tiles[] = {
    {.item_rows = 1,
     .item_columns = 1,
     .group_rows = 8,
     .group_columns = 8,
     .depth = 8,
     .vector = 1},
    {.item_rows = 8,
     .item_columns = 4,
     .group_rows = 8,
     .group_columns = 16,
     .depth = 16,
     .vector = 4},
    {.item_rows = 8,
     .item_columns = 8,
     .group_rows = 4,
     .group_columns = 8,
     .depth = 32,
     .vector = 8},
};

static void add_tile(named_tests *tests, const clattn__tile *tile)
{
    char type[PART_SIZE], options[PART_SIZE], all[NAME_SIZE];
    for (int wide = 0; wide <= 1; wide++) {
        (void)snprintf(type, sizeof type, "-DACC=%s -DVW=%d -DDEVICE_FP64=1",
                       wide ? "double" : "float",
                       wide && tile->vector > 1 ? tile->vector / 2 : tile->vector);
        (void)snprintf(options, sizeof options, "-DTM=%d -DTN=%d -DGM=%d -DGN=%d -DDS=%d",
                       tile->item_rows, tile->item_columns, tile->group_rows, tile->group_columns,
                       tile->depth);
        (void)snprintf(all, sizeof all, "%s -DDEPTH=256", options);
        add(tests, "product_tiles.cl", type, all);
        (void)snprintf(all, sizeof all,
                       "%s -DKIND=%d -DVALUES=64 -DSPLIT=1024 -DLONG=%d -DGENERAL=%d -DDROPOUT=1",
                       options, wide, wide, !wide);
        add(tests, "tiles.cl", type, all);
        (void)snprintf(all, sizeof all,
                       "%s -DKIND=%d -DVALUES=64 -DLONG=%d -DGENERAL=%d -DKEYS=%d -DDROPOUT=1",
                       options, wide, wide, !wide, !wide);
        add(tests, "tiles_backward.cl", type, all);
    }
}

int main(void)
{
    named_tests tests = {0};
    size_t count;
    const clattn__tuning *rows = clattn__tuning_rows(&count);
    device = kernel_device_open();
    named_tests_add(&tests, "every kernel file is built here", every_file_is_built_here, NULL);
    for (size_t f = 0; f < FILES; f++)
        add_file(&tests, &files[f]);
    for (size_t t = 0; t < count; t++)
        add_tuning(&tests, &rows[t]);
    for (size_t i = 0; i < rows->tile_count; i++)
        add_tile(&tests, &rows->tiles[i]);
    for (size_t i = 0; i < sizeof tiles / sizeof *tiles; i++)
        add_tile(&tests, &tiles[i]);
    const int failures = named_tests_run(&tests, "builds", NULL, NULL);
    kernel_device_close(device);
    return failures;
}
