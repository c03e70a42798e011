/* execute.c: one call, from its files to its results. */
#include "execute.h"

#include "choose.h"
#include "text.h"

#include <stdio.h>
#include <string.h>

_Static_assert(CLI_OUTPUTS <= CLI_MAX_FILES, "too many outputs");

int cli_check_names(const cli_options *options)
{
    cli_name inputs[CLI_INPUTS + CLI_MAX_EXPECTATIONS];
    cli_name outputs[CLI_OUTPUTS];
    for (int i = 0; i < CLI_INPUTS; i++)
        inputs[i] = (cli_name){cli_input_name((enum cli_input)i), options->inputs[i]};
    for (size_t i = 0; i < options->expectation_count; i++)
        inputs[CLI_INPUTS + i] = (cli_name){"expect", options->expectations[i].file};
    for (int i = 0; i < CLI_OUTPUTS; i++)
        outputs[i] = (cli_name){cli_output_option((enum cli_output)i), options->outputs[i]};
    return cli_files_check(inputs, CLI_INPUTS + options->expectation_count, outputs, CLI_OUTPUTS);
}

int cli_execute(cli_execution *execution, const cli_options *options, int command)
{
    cli_summary *summary = &execution->summary;
    clattn_status status = CLATTN_OK;
    double seconds_out = 0;
    int result = CLI_DONE;
    CLI_TRY(cli_check_names(options));
    CLI_TRY(cli_call_load(&execution->call, options));
    if (command == CLI_VERIFY)
        CLI_TRY(cli_open_device_to_verify(&execution->device, options->device));
    else
        CLI_TRY(cli_open_device(&execution->device, &summary->warning, options->device));
    CLI_TRY(cli_resident_make(&execution->resident, execution->device, &execution->call));
    CLI_TRY(cli_planned_make(&execution->planned, &execution->resident, &execution->call, NULL,
                             &status));
    CLI_TRY(cli_planned_run(&execution->planned, &execution->resident, &summary->seconds));
    CLI_TRY(cli_resident_read(&execution->resident, &execution->call, &seconds_out));
    summary->device = clattn_device_get_info(execution->device);
    summary->variant = clattn_plan_variant(execution->planned.plan);
    summary->explain = options->explain ? clattn_plan_explain(execution->planned.plan) : NULL;
    summary->build_seconds = execution->planned.build_seconds;
    summary->transfer_seconds = execution->resident.seconds_in + seconds_out;
    double flops = clattn_plan_flops(execution->planned.plan, &execution->call.args);
    summary->gflops = summary->seconds > 0 ? 1e-9 * flops / summary->seconds : 0;
done:
    return result;
}

int cli_execution_write(cli_execution *execution, const cli_options *options)
{
    int result = CLI_DONE;
    for (int i = 0; i < CLI_OUTPUTS && result == CLI_DONE; i++) {
        enum cli_output output = (enum cli_output)i;
        if (options->outputs[i])
            result = cli_files_write_npy(&execution->files, cli_output_option(output),
                                         options->outputs[i],
                                         cli_output_of(&execution->call.args, output));
    }
    return result;
}

void cli_execution_free(cli_execution *execution)
{
    cli_files_discard(&execution->files);
    clattn_plan_destroy(execution->planned.plan);
    if (execution->device)
        cli_resident_free(&execution->resident);
    clattn_device_close(execution->device);
    cli_call_free(&execution->call);
    memset(execution, 0, sizeof *execution);
}
