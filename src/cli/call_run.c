/* call_run.c: a loaded call on a device, with its times apart. */
#include "call.h"

#include "backward.h"
#include "text.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>

double cli_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* True for a tensor that the device cannot hold in one piece:
 * it stays in host memory, and the library cuts the call. */
static bool is_too_large(const clattn_device *device, const clattn_tensor *tensor)
{
    const clattn_device_info *info = clattn_device_get_info(device);
    return info->kind != CLATTN_DEVICE_REFERENCE &&
           clattn_tensor_count(tensor) * clattn_dtype_size(tensor->dtype) > info->max_allocation;
}

int cli_resident_make(cli_resident *resident, clattn_device *device, const cli_call *call)
{
    clattn_attention_args host = call->args;
    int result = CLI_DONE;
    memset(resident, 0, sizeof *resident);
    resident->device = device;
    resident->args.struct_size = sizeof resident->args;
    resident->args.weights_heads = host.weights_heads;
    resident->args.weights_rows = host.weights_rows;
    resident->args.dropout_seed = host.dropout_seed;
    resident->args.dropout_offset = host.dropout_offset;
    for (int i = 0; i < CLI_INPUTS; i++) {
        const clattn_tensor *from = cli_input_of(&host, (enum cli_input)i);
        clattn_tensor *to = cli_input_of(&resident->args, (enum cli_input)i);
        if (!cli_input_is_resident((enum cli_input)i) || is_too_large(device, from)) {
            *to = *from;
            continue;
        }
        if (from->rank == 0)
            continue;
        CLI_TRY(cli_check(clattn_tensor_alloc(to, device, from->dtype, from->rank, from->shape)));
        double begin = cli_now();
        CLI_TRY(cli_check(clattn_tensor_write(to, device, from->host)));
        resident->seconds_in += cli_now() - begin;
    }
    for (int i = 0; i < CLI_OUTPUTS; i++) {
        const clattn_tensor *from = cli_output_of(&host, (enum cli_output)i);
        clattn_tensor *to = cli_output_of(&resident->args, (enum cli_output)i);
        if (is_too_large(device, from))
            *to = *from;
        else if (from->rank)
            CLI_TRY(
                cli_check(clattn_tensor_alloc(to, device, from->dtype, from->rank, from->shape)));
    }
    CLI_TRY(cli_backward_prepare(resident, call));
done:
    if (result)
        cli_resident_free(resident);
    return result;
}

int cli_resident_read(const cli_resident *resident, cli_call *call, double *seconds)
{
    clattn_attention_args args = resident->args;
    int result = CLI_DONE;
    double begin = cli_now();
    for (int i = 0; i < CLI_OUTPUTS; i++) {
        const clattn_tensor *from = cli_output_of(&args, (enum cli_output)i);
        void *to = cli_output_of(&call->args, (enum cli_output)i)->host;
        if (from->rank && from->host != to)
            CLI_TRY(cli_check(clattn_tensor_read(from, resident->device, to)));
    }
    *seconds = cli_now() - begin;
done:
    return result;
}

void cli_resident_free(cli_resident *resident)
{
    for (int i = 0; i < CLI_INPUTS; i++) {
        if (cli_input_is_resident((enum cli_input)i))
            clattn_tensor_free(cli_input_of(&resident->args, (enum cli_input)i), resident->device);
    }
    for (int i = 0; i < CLI_OUTPUTS; i++)
        clattn_tensor_free(cli_output_of(&resident->args, (enum cli_output)i), resident->device);
    memset(resident, 0, sizeof *resident);
}

int cli_planned_run(const cli_planned *planned, const cli_resident *resident, double *seconds)
{
    double begin = cli_now();
    int result = cli_check(clattn_plan_run(planned->plan, &resident->args));
    if (!result)
        result = cli_check(clattn_device_finish(resident->device));
    *seconds = cli_now() - begin;
    return result;
}

int cli_planned_make(cli_planned *planned, const cli_resident *resident, const cli_call *call,
                     const char *variant, clattn_status *status)
{
    clattn_attention_desc desc = call->desc;
    double begin = cli_now();
    memset(planned, 0, sizeof *planned);
    if (variant)
        desc.variant = variant;
    *status = clattn_plan_create(&planned->plan, resident->device, &desc);
    int result = cli_check(*status);
    planned->build_seconds = cli_now() - begin;
    if (result || clattn_device_get_info(resident->device)->kind == CLATTN_DEVICE_REFERENCE)
        return result;
    /* Only a call says whether a variant takes its sizes. */
    *status = clattn_plan_run(planned->plan, &resident->args);
    result = cli_check(*status == CLATTN_OK ? clattn_device_finish(resident->device) : *status);
    planned->build_seconds = cli_now() - begin;
    if (result) {
        clattn_plan_destroy(planned->plan);
        planned->plan = NULL;
    }
    return result;
}
