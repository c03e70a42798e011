/* cmd_devices.c: `clattn devices`. */
#include "args.h"
#include "commands.h"
#include "report.h"
#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char help[] =
    "usage: clattn devices [--json] [--explain]\n"
    "\n"
    "Lists the OpenCL devices; --device of the other commands takes an index or a part of a name.\n"
    "\n"
    "  --json      a list of objects with index, name and all that is known of each device\n"
    "  --explain   also which platforms or devices were skipped, and why\n";

static cJSON *describe(const clattn_device_info *d)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "index", (double)d->index);
    cJSON_AddStringToObject(o, "name", d->name);
    cJSON_AddStringToObject(o, "kind", clattn_device_kind_name(d->kind));
    cJSON_AddStringToObject(o, "vendor", d->vendor);
    cJSON_AddStringToObject(o, "platform", d->platform);
    cJSON_AddStringToObject(o, "device_version", d->device_version);
    cJSON_AddStringToObject(o, "driver_version", d->driver_version);
    cJSON_AddNumberToObject(o, "compute_units", d->compute_units);
    cJSON_AddNumberToObject(o, "clock_mhz", d->clock_mhz);
    cJSON_AddNumberToObject(o, "float_width", d->float_width);
    cJSON_AddBoolToObject(o, "fp64", d->fp64 != 0);
    cJSON_AddBoolToObject(o, "fp16", d->fp16 != 0);
    cJSON_AddBoolToObject(o, "unified_memory", d->unified_memory != 0);
    cJSON_AddNumberToObject(o, "global_memory", (double)d->global_memory);
    cJSON_AddNumberToObject(o, "max_allocation", (double)d->max_allocation);
    cJSON_AddNumberToObject(o, "local_memory", (double)d->local_memory);
    cJSON_AddNumberToObject(o, "cache", (double)d->cache);
    cJSON_AddNumberToObject(o, "max_work_group", (double)d->max_work_group);
    return o;
}

static void print_table(const clattn_device_info *devices, size_t count)
{
    printf("%-5s  %-14s  %-4s  %-9s  %-4s  %-4s  %s\n", "index", "kind", "CUs", "memory", "fp64",
           "fp16", "name, platform, version");
    for (size_t i = 0; i < count; i++) {
        const clattn_device_info *d = &devices[i];
        char memory[32];
        snprintf(memory, sizeof memory, "%.1f GiB",
                 (double)d->global_memory / (1024.0 * 1024.0 * 1024.0));
        printf("%-5zu  %-14s  %-4" PRIu32 "  %-9s  %-4s  %-4s  %s, %s, %s\n", d->index,
               clattn_device_kind_name(d->kind), d->compute_units, memory, d->fp64 ? "yes" : "no",
               d->fp16 ? "yes" : "no", d->name, d->platform, d->device_version);
    }
}

enum { JSON, EXPLAIN, HELP, OPTIONS };

static int parse(int argc, char **argv, int given[OPTIONS])
{
    static const cli_option table[OPTIONS] = {
        [JSON] = {"json", CLI_TAKES_NOTHING},
        [EXPLAIN] = {"explain", CLI_TAKES_NOTHING},
        [HELP] = {"help", CLI_TAKES_NOTHING},
    };
    cli_args args = cli_args_of(argc, argv, table, OPTIONS);
    for (;;) {
        size_t option = 0;
        const char *value = NULL;
        int result = cli_args_next(&args, &option, &value);
        if (result || option == OPTIONS)
            return result;
        given[option] = 1;
    }
}

int cli_devices(int argc, char **argv)
{
    clattn_device_info *devices = NULL;
    cJSON *root = NULL;
    size_t count = 0;
    size_t capacity = 0;
    int given[OPTIONS] = {0};
    int result = CLI_DONE;
    CLI_TRY(parse(argc, argv, given));
    if (given[HELP]) {
        fputs(help, stdout);
        goto done;
    }
    CLI_TRY(cli_check(clattn_device_list(NULL, 0, &capacity)));
    devices = calloc(capacity ? capacity : 1, sizeof *devices);
    if (!devices) {
        result = CLI_FAIL(CLI_SYSTEM, "devices: no memory");
        goto done;
    }
    CLI_TRY(cli_check(clattn_device_list(devices, capacity, &count)));
    if (count > capacity)
        count = capacity; /* one may have been plugged in since */
    if (given[JSON]) {
        root = cJSON_CreateArray();
        for (size_t i = 0; i < count; i++)
            cJSON_AddItemToArray(root, describe(&devices[i]));
        result = cli_json_print(root);
        if (given[EXPLAIN])
            fputs(clattn_device_skipped(), stderr);
        goto done;
    }
    if (count)
        print_table(devices, count);
    else
        printf("no OpenCL device; the reference serves `run`\n");
    if (given[EXPLAIN])
        fputs(clattn_device_skipped(), stdout);
done:
    free(devices);
    return result;
}
