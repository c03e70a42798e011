/* cmd_bench.c: `clattn bench`: devices and variants side by
 * side, with the share of what the device can do. */
#include "commands.h"
#include "contest.h"
#include "execute.h"
#include "text.h"

#include <stdio.h>
#include <string.h>

static const char help[] =
    "usage: clattn bench --shape B,Hq,Hkv,S,T,D,Dv [options]\n"
    "       clattn bench --query Q.npy --key K.npy --value V.npy [options]\n"
    "\n"
    "Times a call: building, transfer and running apart, best and median of all rounds. Devices "
    "and variants take\n"
    "turns round by round. Beside GFLOP/s and GB/s stands their share of what the device reached "
    "in two small\n"
    "kernels: chains of multiply-adds, and reading memory.\n"
    "\n"
    "  All variants of a shape on the default device:\n"
    "    clattn bench --shape 1,8,8,1024,1024,64,64 --variants all\n"
    "  Two devices side by side, causal, in half precision, with lse, 30 rounds, for a program:\n"
    "    clattn bench --shape 1,32,8,2048,2048,128,128 --causal --dtype f16 --device 0,1 --rounds "
    "30 --json\n"
    "  Gradients, as in training:\n"
    "    clattn bench --shape 4,8,8,512,512,64,64 --backward --variants all\n"
    "\n"
    "Only bench\n"
    "  --shape B,Hq,Hkv,S,T,D,Dv     random inputs and parameters of these sizes, the same for "
    "each "
    "--seed\n"
    "  --device A,B|all              several devices\n"
    "  --variants NAME,..|all        several variants; default the chosen one, among names: auto\n"
    "  --rounds N                    default 10\n"
    "\n";

/* The figures of one entry. */
typedef struct figures {
    double gflops, gbs, peak_share,
        bandwidth_share; /* a share is negative where the limit is unknown */
} figures;

static figures measure(const cli_entry *entry, const cli_call *call)
{
    figures f = {.peak_share = -1, .bandwidth_share = -1};
    const cli_limits *limits = &entry->stand->limits;
    if (entry->refusal || entry->median <= 0)
        return f;
    f.gflops = 1e-9 * clattn_plan_flops(entry->planned.plan, &call->args) / entry->median;
    f.gbs = 1e-9 * cli_call_bytes(call) / entry->median;
    if (limits->gflops > 0)
        f.peak_share = f.gflops / limits->gflops;
    if (limits->gbs > 0)
        f.bandwidth_share = f.gbs / limits->gbs;
    return f;
}

static void add_share(cJSON *object, const char *name, double share)
{
    if (share < 0)
        cJSON_AddNullToObject(object, name);
    else
        cli_json_number(object, name, share);
}

static cJSON *describe(const cli_entry *entry, const cli_contest *contest, const cli_call *call)
{
    const cli_stand *stand = entry->stand;
    const clattn_device_info *device = clattn_device_get_info(stand->device);
    figures f = measure(entry, call);
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "device", device->name);
    cJSON_AddStringToObject(o, "kind", clattn_device_kind_name(device->kind));
    cJSON_AddStringToObject(o, "variant", entry->variant);
    cJSON_AddBoolToObject(o, "auto", entry->is_choice);
    cJSON_AddStringToObject(o, "dtype", clattn_dtype_name(call->desc.dtype));
    cli_json_shape(o, call);
    if (contest->warning)
        cJSON_AddStringToObject(o, "warning", contest->warning);
    if (stand->explain)
        cli_json_lines(o, "explain", stand->explain);
    if (entry->refusal) {
        cJSON_AddNullToObject(o, "seconds");
        cJSON_AddStringToObject(o, "refused", entry->refusal);
        return o;
    }
    cli_json_number(o, "best", entry->best);
    cli_json_number(o, "median", entry->median);
    cli_json_number(o, "seconds", entry->median);
    cli_json_number(o, "build_seconds", entry->planned.build_seconds);
    cli_json_number(o, "transfer_seconds", stand->resident.seconds_in + stand->transfer_out);
    cli_json_number(o, "transfer_in_seconds", stand->resident.seconds_in);
    cli_json_number(o, "transfer_out_seconds", stand->transfer_out);
    cli_json_number(o, "gflops", f.gflops);
    cli_json_number(o, "gbs", f.gbs);
    add_share(o, "peak_share", f.peak_share);
    add_share(o, "bandwidth_share", f.bandwidth_share);
    return o;
}

static const char *share_text(char text[16], double share)
{
    if (share < 0)
        snprintf(text, 16, "?");
    else
        snprintf(text, 16, share < 0.1 ? "%.1f %%" : "%.0f %%", 100 * share);
    return text;
}

static void print_device(const cli_stand *stand)
{
    const clattn_device_info *device = clattn_device_get_info(stand->device);
    char in[CLI_SECONDS_TEXT], out[CLI_SECONDS_TEXT];
    printf("\ndevice    %s (%s)\n", device->name, clattn_device_kind_name(device->kind));
    if (stand->limits.gflops > 0 && stand->limits.gbs > 0)
        printf("limits    %.4g GFLOP/s multiply-add in f32, %.3g GB/s reading\n",
               stand->limits.gflops, stand->limits.gbs);
    printf("transfer  %s in, %s out\n", cli_seconds_text(in, stand->resident.seconds_in),
           cli_seconds_text(out, stand->transfer_out));
    for (const char *line = stand->explain; line && *line;) {
        size_t length = strcspn(line, "\n");
        printf("%-9s %.*s\n", line == stand->explain ? "variants" : "", (int)length, line);
        line += length + (line[length] == '\n');
    }
    printf("%-18s %10s %10s %10s %10s %6s %9s %6s\n", "variant", "best", "median", "build",
           "GFLOP/s", "peak", "GB/s", "read");
}

static void print_entry(const cli_entry *entry, const cli_call *call)
{
    char best[CLI_SECONDS_TEXT], median[CLI_SECONDS_TEXT], build[CLI_SECONDS_TEXT], peak[16],
        read[16];
    figures f = measure(entry, call);
    if (entry->refusal) {
        printf("%-18s refused: %s\n", entry->variant, entry->refusal);
        return;
    }
    char name[sizeof entry->variant + 8];
    snprintf(name, sizeof name, "%s%s", entry->variant, entry->is_choice ? " (auto)" : "");
    printf("%-18s %10s %10s %10s %10.4g %6s %9.3g %6s\n", name, cli_seconds_text(best, entry->best),
           cli_seconds_text(median, entry->median),
           cli_seconds_text(build, entry->planned.build_seconds), f.gflops,
           share_text(peak, f.peak_share), f.gbs, share_text(read, f.bandwidth_share));
}

static int print_report(const cli_contest *contest, const cli_call *call,
                        const cli_options *options)
{
    if (options->json) {
        cJSON *root = cJSON_CreateArray();
        for (size_t i = 0; i < contest->entry_count; i++)
            cJSON_AddItemToArray(root, describe(&contest->entries[i], contest, call));
        return cli_json_print(root);
    }
    cli_print_problem(call);
    printf("; %zu rounds\n", options->rounds);
    for (size_t i = 0; i < contest->entry_count; i++) {
        const cli_entry *entry = &contest->entries[i];
        if (i == 0 || entry->stand != contest->entries[i - 1].stand)
            print_device(entry->stand);
        print_entry(entry, call);
    }
    cli_print_files(options, call);
    return CLI_DONE;
}

int cli_bench(int argc, char **argv)
{
    cli_options options;
    cli_execution execution = {0};
    cli_contest contest = {0};
    int result = CLI_DONE;
    CLI_TRY(cli_options_parse(&options, CLI_BENCH, argc, argv));
    if (options.help) {
        cli_print_help(help);
        goto done;
    }
    CLI_TRY(cli_check_names(&options));
    CLI_TRY(cli_call_load(&execution.call, &options));
    CLI_TRY(cli_contest_make(&contest, &execution.call, &options));
    CLI_TRY(cli_contest_run(&contest, &execution.call, options.rounds));
    CLI_TRY(cli_execution_write(&execution, &options));
    CLI_TRY(cli_files_commit(&execution.files));
    if (contest.warning)
        cli_warn(contest.warning);
    CLI_TRY(print_report(&contest, &execution.call, &options));
done:
    cli_contest_free(&contest);
    cli_execution_free(&execution);
    return result;
}
