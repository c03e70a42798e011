/* backward.c: a call backward, as far as it is other than one forward. */
#include "backward.h"

#include "convert.h"
#include "text.h"

#include <string.h>

static uint32_t bit_of(enum cli_output gradient)
{
    const int last = CLI_GRAD_PARAMS - CLI_FIRST_GRADIENT, bit = (int)gradient - CLI_FIRST_GRADIENT;
    return 1u << (bit < last ? bit : last);
}

/* Outputs of one direction, from `first` up to `end`, and what they cannot go with. */
static int refuse_outputs(const cli_options *o, enum cli_output first, enum cli_output end,
                          const char *words)
{
    for (int i = (int)first; i < (int)end; i++) {
        if (o->outputs[i])
            return CLI_FAIL(CLI_BAD_INPUT, "--%s: %s", cli_output_option((enum cli_output)i),
                            words);
    }
    for (size_t i = 0; i < o->expectation_count; i++) {
        const enum cli_output output = o->expectations[i].output;
        if (output >= first && output < end)
            return CLI_FAIL(CLI_BAD_INPUT, "--expect %s: %s", cli_output_name(output), words);
    }
    return CLI_DONE;
}

static int check_forward(const cli_options *o)
{
    for (int i = CLI_GRAD_OUTPUT; i <= CLI_GRAD_LSE; i++) {
        if (o->inputs[i])
            return CLI_FAIL(CLI_BAD_INPUT, "--%s: given without --backward, which reads gradients",
                            cli_input_name((enum cli_input)i));
    }
    return refuse_outputs(o, CLI_FIRST_GRADIENT, CLI_OUTPUTS,
                          "given without --backward, which makes gradients");
}

int cli_backward_check(cli_options *o, int command)
{
    static const enum cli_output outputs[] = {CLI_OUTPUT, CLI_WEIGHTS, CLI_LSE};
    int result = CLI_DONE;
    if (o->desc.direction == CLATTN_FORWARD)
        return check_forward(o);
    CLI_TRY(refuse_outputs(o, CLI_OUTPUT, CLI_FIRST_GRADIENT,
                           "given with --backward, which gives out gradients; expected "
                           "--grad-query, --grad-key, --grad-value, ..."));
    for (int i = CLI_GRAD_OUTPUT; i <= CLI_GRAD_LSE; i++) {
        if (o->inputs[i])
            cli_options_want(o, outputs[i - CLI_GRAD_OUTPUT]);
    }
    if (command == CLI_RUN && !o->gradients)
        return CLI_FAIL(CLI_BAD_INPUT,
                        "--grad-query: missing; expected a file for a gradient (or --grad-key, "
                        "--grad-value, --grad-given-scores, --grad-bias, --grad-alibi-slopes, "
                        "--grad-sinks, --grad-param)");
    if (command == CLI_RUN && !o->desc.outputs)
        return CLI_FAIL(CLI_BAD_INPUT,
                        "--grad-output: missing; expected the gradient of the output "
                        "(or --grad-weights, --grad-lse)");
done:
    return result;
}

int cli_backward_make_gradients(cli_call *call, const cli_options *options)
{
    const bool reads_no_key = call->desc.score == CLATTN_SCORE_LOCATION;
    int result = CLI_DONE;
    for (int i = CLI_FIRST_GRADIENT; i < CLI_OUTPUTS; i++) {
        const enum cli_output gradient = (enum cli_output)i;
        const enum cli_input input = cli_gradient_input(gradient);
        const clattn_tensor *of = cli_input_of(&call->args, input);
        const bool is_named = options->gradients >> (i - CLI_FIRST_GRADIENT) & 1,
                   is_read = of->rank && !(input == CLI_KEY && reads_no_key);
        if (is_named && !of->rank)
            return CLI_FAIL(CLI_BAD_INPUT, "--%s: given without --%s, whose gradient it is",
                            cli_output_option(gradient), cli_input_name(input));
        if (is_named && !is_read)
            return CLI_FAIL(CLI_BAD_INPUT, "--%s: given with --score location, which reads no key",
                            cli_output_option(gradient));
        if (!is_read || (options->gradients && !is_named))
            continue;
        call->desc.gradients |= bit_of(gradient);
        CLI_TRY(cli_tensor_new(cli_output_of(&call->args, gradient), of->dtype, of->rank, of->shape,
                               cli_output_option(gradient)));
    }
done:
    return result;
}

uint32_t cli_backward_results(const clattn_attention_desc *desc)
{
    if (desc->direction == CLATTN_FORWARD)
        return desc->outputs;
    return desc->normalizer == CLATTN_NORMALIZER_SOFTMAX
               ? (desc->outputs & CLATTN_OUTPUT) | CLATTN_LSE
               : 0;
}

int cli_backward_prepare(const cli_resident *resident, const cli_call *call)
{
    clattn_attention_desc desc = call->desc;
    clattn_attention_args args = resident->args;
    clattn_plan *plan = NULL;
    int result = CLI_DONE;
    desc.outputs = cli_backward_results(&call->desc);
    if (desc.direction == CLATTN_FORWARD || !desc.outputs)
        return CLI_DONE;
    desc.direction = CLATTN_FORWARD;
    desc.gradients = 0;
    desc.variant = NULL; /* that of backward */
    memset(&args.grad, 0, sizeof args.grad);
    CLI_TRY(cli_check(clattn_plan_create(&plan, resident->device, &desc)));
    CLI_TRY(cli_check(clattn_plan_run(plan, &args)));
    CLI_TRY(cli_check(clattn_device_finish(resident->device)));
done:
    clattn_plan_destroy(plan);
    return result;
}
