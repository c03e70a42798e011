/* cmd_run.c: `clattn run`. */
#include "commands.h"
#include "execute.h"
#include "text.h"

#include <stdio.h>

static const char help[] =
    "usage: clattn run --query Q.npy --key K.npy --value V.npy --output O.npy [options]\n"
    "\n"
    "Computes attention on an OpenCL device: output = softmax(scale * query @ key^T + masks) @ "
    "value, or with\n"
    "another score and normalizer.\n"
    "\n"
    "  A batch of sentences of different lengths, with their attention weights:\n"
    "    clattn run --query q.npy --key k.npy --value v.npy --kv-lengths n.npy --output o.npy "
    "--weights w.npy\n"
    "  A long sequence, of whose weights only a few fit: which words were covered, how sure each "
    "head is, and\n"
    "  ten rows of head 0:\n"
    "    clattn run --query q.npy --key k.npy --value v.npy --output o.npy --column-sums c.npy "
    "--entropy e.npy\n"
    "    --weights w.npy --weights-heads 0 --weights-rows 100-109\n"
    "  Prompts of different lengths, packed one behind the other, FlashAttention's cumulative "
    "lengths:\n"
    "    clattn run --query q.npy --key k.npy --value v.npy --cu-seqlens-q n.npy --cu-seqlens-k "
    "n.npy "
    "--causal --output o.npy\n"
    "  A language model's prompt, causal, four query heads per key head, in half precision:\n"
    "    clattn run --query q.npy --key k.npy --value v.npy --causal --dtype f16 --output o.npy\n"
    "  A context vector from weights that are already there:\n"
    "    clattn run --given-scores weights.npy --normalizer none --value v.npy --output o.npy\n"
    "  A decoder's state on an encoder's outputs, with Bahdanau's score:\n"
    "    clattn run --query state.npy --key encoder.npy --value encoder.npy --score additive "
    "--param v=v.npy\n"
    "    --param w_query=m.safetensors:query --param w_key=m.safetensors:key --output context.npy\n"
    "  The gradients of a training step, from that of the output:\n"
    "    clattn run --query q.npy --key k.npy --value v.npy --causal --backward --grad-output "
    "do.npy "
    "--grad-query dq.npy\n"
    "    --grad-key dk.npy --grad-value dv.npy\n"
    "  The first GPU by name, the report for a program:\n"
    "    clattn run --query q.npy --key k.npy --value v.npy --output o.npy --device nvidia --json\n"
    "\n";

static int print_report(const cli_execution *execution, const cli_options *options)
{
    if (options->json) {
        cJSON *root = cJSON_CreateObject();
        cli_json_summary(root, &execution->summary, &execution->call);
        cli_json_files(root, options, &execution->call);
        return cli_json_print(root);
    }
    cli_print_summary(&execution->summary, &execution->call);
    cli_print_files(options, &execution->call);
    return CLI_DONE;
}

int cli_run(int argc, char **argv)
{
    cli_options options;
    cli_execution execution = {0};
    int result = CLI_DONE;
    CLI_TRY(cli_options_parse(&options, CLI_RUN, argc, argv));
    if (options.help) {
        cli_print_help(help);
        goto done;
    }
    CLI_TRY(cli_execute(&execution, &options, CLI_RUN));
    CLI_TRY(cli_execution_write(&execution, &options));
    CLI_TRY(cli_files_commit(&execution.files));
    if (execution.summary.warning)
        cli_warn(execution.summary.warning);
    CLI_TRY(print_report(&execution, &options));
done:
    cli_execution_free(&execution);
    return result;
}
