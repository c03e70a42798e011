/* cmd_run.c: `clattn run`. */
#include "commands.h"
#include "execute.h"
#include "text.h"

#include <stdio.h>

const char cli_attention_help[] =
    "What to compute (B batch, H heads, S queries, T keys, D, Dk and Dv sizes of query, key and "
    "value); files are\n"
    "FILE.npy or, to read, an entry of a file of tensors, FILE.safetensors:NAME\n"
    "  --query Q --key K --value V   (B,Hq,S,D), (B,Hkv,T,Dk), (B,Hkv,T,Dv); 3-D without heads, "
    "2-D "
    "without batch\n"
    "  --given-scores S              scores (B,Hq,S,T) in place of query and key\n"
    "  --score NAME                  scaled-dot (default), dot, or a score with parameters:\n"
    "                                general   weight (D,Dk)\n"
    "                                additive  w_query (A,D), w_key (A,Dk), v (A); optionally bias "
    "(A), g (1)\n"
    "                                location  weight (M,D), M >= T; --key may be absent\n"
    "                                location-sensitive  as additive, conv (C,K), w_location "
    "(A,C), "
    "previous_weights\n"
    "                                          (B,T); with cumulative_weights (B,T), conv is "
    "(C,2,K)\n"
    "                                coverage  as additive, w_coverage (A), coverage (B,T)\n"
    "                                cosine    beta (1), (Hq), (B,S) or (B,Hq,S)\n"
    "                                rbf       gamma (1) or (Hq)\n"
    "  --param NAME=FILE             a parameter of any float type, once for each; where heads "
    "differ, with an axis\n"
    "                                more: (Hq,D,Dk), (Hq,A), (B,Hq,T)\n"
    "  --normalizer NAME             softmax (default), sparsemax, entmax15, sigmoid or none\n"
    "  --scale X                     factor of the scores; default 1/sqrt(D) for scaled-dot, else "
    "1\n"
    "  --softcap X                   scores become X*tanh(score/X); default 0, none\n"
    "  --causal                      query i sees keys up to its own position\n"
    "  --alignment WHERE             top-left (default): query i stands at i; bottom-right: at i + "
    "T - S\n"
    "  --window LEFT,RIGHT           query at p sees keys p-LEFT to p+RIGHT; -1 is no bound\n"
    "  --mask M                      bool (true: may attend) or float (added); broadcasts to the "
    "scores\n"
    "  --bias B                      float, added to the scores\n"
    "  --kv-lengths N                (B) integers: how many keys each sequence has\n"
    "  --cu-seqlens-q N, --cu-seqlens-k N  packed sequences of Q (total_q,Hq,D), K (total_k,Hkv,D) "
    "and V: (B+1)\n"
    "                                integers, where each sequence begins, and the total\n"
    "  --alibi-slopes A, --sinks A   (Hq) floats\n"
    "  --layout LAYOUT               bhsd (default) or bshd, of 4-D query, key, value and output\n"
    "  --dtype TYPE                  converts the inputs: f32, f16, bf16 or f64\n"
    "  --precision WORD              default, strict or fast\n"
    "What to give out\n"
    "  --output O, --weights W, --scores S, --lse L\n"
    "  --scores-stage STAGE          raw (default), capped or modified\n"
    "  --weights-heads LIST, --weights-rows LIST  of weights only those of these query heads, of "
    "these "
    "queries: rising\n"
    "                                numbers from 0, as 0,3,10-19\n"
    "  --column-sums C               (B,Hq,T): how much each key is looked at, by all queries of a "
    "head\n"
    "  --argmax A                    (B,Hq,S), int64: the key that a query looks at most, -1 where "
    "it sees none\n"
    "  --entropy E                   (B,Hq,S): how spread a query's weights are, in nats\n"
    "Where\n"
    "  --device SPEC                 index or part of a name (see 'clattn devices'), or reference\n"
    "  --variant NAME                takes this variant and no other\n"
    "  --explain                     why this variant, and why not the others\n"
    "  --json                        the report as JSON on stdout\n";

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
        printf("%s%s", help, cli_attention_help);
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
