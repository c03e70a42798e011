/* contest.c: who takes part, and whose turn it is. Turns interleave, so that a machine that slows
 * down or warms up does so for all. */
#include "contest.h"

#include "choose.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHORT_RUN 0.05 /* seconds */

/* Item `index` of a list with commas, in new memory; NULL behind the last. */
static char *list_item(const char *list, size_t index)
{
    for (; index > 0; index--) {
        list = strchr(list, ',');
        if (!list)
            return NULL;
        list++;
    }
    return strndup(list, strcspn(list, ","));
}

static int add_stand(cli_contest *contest, const char *spec, const cli_call *call)
{
    const char *warning = NULL;
    size_t count = contest->stand_count;
    cli_stand *grown = realloc(contest->stands, (count + 1) * sizeof *grown);
    if (!grown)
        return CLI_FAIL(CLI_SYSTEM, "bench: no memory");
    contest->stands = grown;
    cli_stand *stand = &grown[count];
    memset(stand, 0, sizeof *stand);
    int result = cli_open_device(&stand->device, &warning, spec);
    if (result)
        return result;
    contest->stand_count++;
    if (warning)
        contest->warning = warning;
    result = cli_resident_make(&stand->resident, stand->device, call);
    if (!result)
        cli_limits_measure(&stand->limits, stand->device);
    return result;
}

static int add_stands(cli_contest *contest, const cli_call *call, const cli_options *options)
{
    int result = CLI_DONE;
    if (options->device && strcmp(options->device, "all") == 0) {
        size_t count = 0;
        CLI_TRY(cli_check(clattn_device_list(NULL, 0, &count)));
        if (count == 0)
            return CLI_FAIL(CLI_SYSTEM, "--device: 'all'; found no OpenCL device, expected one");
        for (size_t i = 0; i < count; i++) {
            char index[24];
            snprintf(index, sizeof index, "%zu", i);
            CLI_TRY(add_stand(contest, index, call));
        }
    } else if (options->device) {
        char *spec = NULL;
        for (size_t i = 0; (spec = list_item(options->device, i)) != NULL; i++) {
            result = add_stand(contest, spec, call);
            free(spec);
            if (result)
                break;
        }
    } else {
        result = add_stand(contest, NULL, call);
    }
done:
    return result;
}

/* The reason alone, of a sentence that may name the variant
 * before it: "...: staged: it needs doubles". */
static const char *reason_of(const char *variant)
{
    const char *named = strstr(cli_sentence(), variant);
    size_t length = strlen(variant);
    return named && strncmp(named + length, ": ", 2) == 0 ? named + length + 2 : cli_sentence();
}

static int add_entry(cli_contest *contest, cli_stand *stand, const char *variant,
                     const cli_call *call, size_t rounds)
{
    clattn_status status = CLATTN_OK;
    size_t count = contest->entry_count;
    cli_entry *grown = realloc(contest->entries, (count + 1) * sizeof *grown);
    if (!grown)
        return CLI_FAIL(CLI_SYSTEM, "bench: no memory");
    contest->entries = grown;
    cli_entry *entry = &grown[count];
    memset(entry, 0, sizeof *entry);
    entry->stand = stand;
    entry->seconds = calloc(rounds, sizeof *entry->seconds);
    if (!entry->seconds)
        return CLI_FAIL(CLI_SYSTEM, "bench: no memory for %zu rounds", rounds);
    contest->entry_count++;
    int result = cli_planned_make(&entry->planned, &stand->resident, call, variant, &status);
    snprintf(entry->variant, sizeof entry->variant, "%s", variant ? variant : "");
    if (status != CLATTN_E_UNSUPPORTED || !variant)
        return result;
    entry->refusal = strdup(reason_of(variant));
    return entry->refusal ? CLI_DONE : CLI_FAIL(CLI_SYSTEM, "bench: no memory");
}

/* What the library chooses by itself is an entry like others: "auto", told by the variant it ran. */
static int add_choice(cli_contest *contest, cli_stand *stand, const cli_call *call, size_t rounds)
{
    const int result = add_entry(contest, stand, NULL, call, rounds);
    if (result == CLI_DONE)
        contest->entries[contest->entry_count - 1].is_choice = true;
    return result;
}

static bool takes_part(const cli_contest *contest, const cli_stand *stand, const char *variant)
{
    for (size_t i = 0; i < contest->entry_count; i++)
        if (contest->entries[i].stand == stand && strcmp(contest->entries[i].variant, variant) == 0)
            return true;
    return false;
}

/* All variants of the dispatch table, which a plan of the library's own choice lists: "name: words"; what
 * it says of the tile that a variant took comes under the same name. */
static int add_all_variants(cli_contest *contest, cli_stand *stand, const cli_call *call,
                            size_t rounds)
{
    clattn_plan *plan = NULL;
    char *lines = NULL;
    int result = CLI_DONE;
    CLI_TRY(cli_check(clattn_plan_create(&plan, stand->device, &call->desc)));
    lines = strdup(clattn_plan_explain(plan));
    if (!lines) {
        result = CLI_FAIL(CLI_SYSTEM, "bench: no memory");
        goto done;
    }
    for (char *line = strtok(lines, "\n"); line; line = strtok(NULL, "\n")) {
        line[strcspn(line, ": ")] = '\0';
        if (line[0] && !takes_part(contest, stand, line))
            CLI_TRY(add_entry(contest, stand, line, call, rounds));
    }
done:
    free(lines);
    clattn_plan_destroy(plan);
    return result;
}

static int add_entries(cli_contest *contest, cli_stand *stand, const cli_call *call,
                       const cli_options *options)
{
    int result = CLI_DONE;
    char *name = NULL;
    if (!options->variants)
        return add_entry(contest, stand, options->desc.variant, call, options->rounds);
    if (strcmp(options->variants, "all") == 0)
        return add_all_variants(contest, stand, call, options->rounds);
    for (size_t i = 0; result == CLI_DONE && (name = list_item(options->variants, i)) != NULL;
         i++) {
        result = strcmp(name, "auto") == 0 ? add_choice(contest, stand, call, options->rounds)
                                           : add_entry(contest, stand, name, call, options->rounds);
        free(name);
    }
    return result;
}

/* What a plan says that none of the entries forces. */
static int keep_explanation(cli_stand *stand, const cli_call *call)
{
    clattn_plan *plan = NULL;
    int result = CLI_DONE;
    CLI_TRY(cli_check(clattn_plan_create(&plan, stand->device, &call->desc)));
    stand->explain = strdup(clattn_plan_explain(plan));
    if (!stand->explain)
        result = CLI_FAIL(CLI_SYSTEM, "bench: no memory");
done:
    clattn_plan_destroy(plan);
    return result;
}

int cli_contest_make(cli_contest *contest, const cli_call *call, const cli_options *options)
{
    int result = CLI_DONE;
    size_t running = 0;
    CLI_TRY(add_stands(contest, call, options));
    for (size_t i = 0; i < contest->stand_count; i++) {
        CLI_TRY(add_entries(contest, &contest->stands[i], call, options));
        if (options->explain)
            CLI_TRY(keep_explanation(&contest->stands[i], call));
    }
    for (size_t i = 0; i < contest->entry_count; i++)
        running += contest->entries[i].refusal == NULL;
    if (running == 0)
        result = CLI_FAIL(CLI_BAD_INPUT, "bench: nothing to time: %s", contest->entries[0].refusal);
done:
    return result;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void summarise(cli_entry *entry, size_t rounds)
{
    /* A plan may hold two variants, and only a run tells. */
    (void)snprintf(entry->variant, sizeof entry->variant, "%s",
                   clattn_plan_variant(entry->planned.plan));
    qsort(entry->seconds, rounds, sizeof *entry->seconds, by_size);
    entry->best = entry->seconds[0];
    entry->median = 0.5 * (entry->seconds[(rounds - 1) / 2] + entry->seconds[rounds / 2]);
}

int cli_contest_run(cli_contest *contest, cli_call *call, size_t rounds)
{
    int result = CLI_DONE;
    /* There and back again: what an entry finds in the caches is its neighbour's, on either side. That
     * tells most in short runs, so those are made once more before, for nothing. */
    for (size_t round = 0; round < rounds; round++) {
        for (size_t n = 0; n < contest->entry_count; n++) {
            const size_t i = round % 2 ? contest->entry_count - 1 - n : n;
            cli_entry *entry = &contest->entries[i];
            if (entry->refusal)
                continue;
            double *const seconds = &entry->seconds[round];
            CLI_TRY(cli_planned_run(&entry->planned, &entry->stand->resident, seconds));
            if (*seconds < SHORT_RUN)
                CLI_TRY(cli_planned_run(&entry->planned, &entry->stand->resident, seconds));
        }
    }
    for (size_t i = 0; i < contest->entry_count; i++) {
        if (!contest->entries[i].refusal)
            summarise(&contest->entries[i], rounds);
    }
    /* From the last device to the first, so that the first one's results are what stays. */
    for (size_t i = contest->stand_count; i-- > 0;)
        CLI_TRY(cli_resident_read(&contest->stands[i].resident, call,
                                  &contest->stands[i].transfer_out));
done:
    return result;
}

void cli_contest_free(cli_contest *contest)
{
    for (size_t i = 0; i < contest->entry_count; i++) {
        clattn_plan_destroy(contest->entries[i].planned.plan);
        free(contest->entries[i].refusal);
        free(contest->entries[i].seconds);
    }
    for (size_t i = 0; i < contest->stand_count; i++) {
        cli_resident_free(&contest->stands[i].resident);
        clattn_device_close(contest->stands[i].device);
        free(contest->stands[i].explain);
    }
    free(contest->entries);
    free(contest->stands);
    memset(contest, 0, sizeof *contest);
}
