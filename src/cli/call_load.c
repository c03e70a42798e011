/* call_load.c: files to tensors, and what their shapes say of heads and sizes. */
#include "call.h"

#include "arrays.h"
#include "backward.h"
#include "convert.h"
#include "numbers.h"
#include "params.h"
#include "random.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

static clattn_tensor *param_of(clattn_score_params *params, enum cli_input param)
{
    clattn_tensor *const tensors[CLI_INPUTS] = {
        [CLI_PARAM_WEIGHT] = &params->weight,
        [CLI_PARAM_W_QUERY] = &params->w_query,
        [CLI_PARAM_W_KEY] = &params->w_key,
        [CLI_PARAM_V] = &params->v,
        [CLI_PARAM_BIAS] = &params->bias,
        [CLI_PARAM_G] = &params->g,
        [CLI_PARAM_CONV] = &params->conv,
        [CLI_PARAM_W_LOCATION] = &params->w_location,
        [CLI_PARAM_W_COVERAGE] = &params->w_coverage,
        [CLI_PARAM_BETA] = &params->beta,
        [CLI_PARAM_GAMMA] = &params->gamma,
        [CLI_PARAM_PREVIOUS_WEIGHTS] = &params->previous_weights,
        [CLI_PARAM_CUMULATIVE_WEIGHTS] = &params->cumulative_weights,
        [CLI_PARAM_COVERAGE] = &params->coverage,
    };
    return tensors[param];
}

clattn_tensor *cli_input_of(clattn_attention_args *args, enum cli_input input)
{
    clattn_tensor *const tensors[CLI_INPUTS] = {
        [CLI_QUERY] = &args->query,
        [CLI_KEY] = &args->key,
        [CLI_VALUE] = &args->value,
        [CLI_GIVEN_SCORES] = &args->given_scores,
        [CLI_MASK] = &args->mask,
        [CLI_BIAS] = &args->bias,
        [CLI_KV_LENGTHS] = &args->kv_lengths,
        [CLI_ALIBI_SLOPES] = &args->alibi_slopes,
        [CLI_SINKS] = &args->sinks,
        [CLI_CU_SEQLENS_Q] = &args->cu_seqlens_q,
        [CLI_CU_SEQLENS_K] = &args->cu_seqlens_k,
        [CLI_GRAD_OUTPUT] = &args->grad.output,
        [CLI_GRAD_WEIGHTS] = &args->grad.weights,
        [CLI_GRAD_LSE] = &args->grad.lse,
    };
    return input < CLI_FIRST_PARAM ? tensors[input] : param_of(&args->params, input);
}

clattn_tensor *cli_output_of(clattn_attention_args *args, enum cli_output output)
{
    clattn_tensor *const tensors[CLI_OUTPUTS] = {
        [CLI_OUTPUT] = &args->output,
        [CLI_WEIGHTS] = &args->weights,
        [CLI_SCORES] = &args->scores,
        [CLI_LSE] = &args->lse,
        [CLI_COLUMN_SUMS] = &args->column_sums,
        [CLI_ARGMAX] = &args->argmax,
        [CLI_ENTROPY] = &args->entropy,
        [CLI_GRAD_QUERY] = &args->grad.query,
        [CLI_GRAD_KEY] = &args->grad.key,
        [CLI_GRAD_VALUE] = &args->grad.value,
        [CLI_GRAD_GIVEN_SCORES] = &args->grad.given_scores,
        [CLI_GRAD_BIAS] = &args->grad.bias,
        [CLI_GRAD_ALIBI_SLOPES] = &args->grad.alibi_slopes,
        [CLI_GRAD_SINKS] = &args->grad.sinks,
    };
    return output < CLI_GRAD_PARAMS ? tensors[output]
                                    : param_of(&args->grad.params, cli_gradient_input(output));
}

enum { STAYS, RESIDENT };

static const struct {
    int allowed;
    uint32_t flag; /* of clattn_attention_desc */
    int place;
} input_rules[CLI_INPUTS] = {
    [CLI_QUERY] = {CLI_FLOATS, 0, RESIDENT},
    [CLI_KEY] = {CLI_FLOATS, 0, RESIDENT},
    [CLI_VALUE] = {CLI_FLOATS, 0, RESIDENT},
    [CLI_GIVEN_SCORES] = {CLI_FLOATS, 0, RESIDENT},
    [CLI_MASK] = {CLI_FLOATS | CLI_BOOLS, CLATTN_MASK, RESIDENT},
    [CLI_BIAS] = {CLI_FLOATS, CLATTN_BIAS, RESIDENT},
    [CLI_KV_LENGTHS] = {CLI_INTEGERS, CLATTN_KV_LENGTHS, STAYS},
    [CLI_ALIBI_SLOPES] = {CLI_FLOATS, CLATTN_ALIBI, STAYS},
    [CLI_SINKS] = {CLI_FLOATS, CLATTN_SINKS, STAYS},
    [CLI_CU_SEQLENS_Q] = {CLI_INTEGERS, CLATTN_PACKED, STAYS},
    [CLI_CU_SEQLENS_K] = {CLI_INTEGERS, CLATTN_PACKED, STAYS},
    [CLI_GRAD_OUTPUT] = {CLI_FLOATS, 0, RESIDENT},
    [CLI_GRAD_WEIGHTS] = {CLI_FLOATS, 0, RESIDENT},
    [CLI_GRAD_LSE] = {CLI_FLOATS, 0, RESIDENT},
    [CLI_PARAM_WEIGHT] = {CLI_FLOATS, 0, RESIDENT},
    [CLI_PARAM_W_QUERY] = {CLI_FLOATS, 0, RESIDENT},
    [CLI_PARAM_W_KEY] = {CLI_FLOATS, 0, RESIDENT},
    [CLI_PARAM_V] = {CLI_FLOATS, 0, RESIDENT},
    [CLI_PARAM_BIAS] = {CLI_FLOATS, 0, RESIDENT},
    [CLI_PARAM_G] = {CLI_FLOATS, 0, STAYS},
    [CLI_PARAM_CONV] = {CLI_FLOATS, 0, RESIDENT},
    [CLI_PARAM_W_LOCATION] = {CLI_FLOATS, 0, RESIDENT},
    [CLI_PARAM_W_COVERAGE] = {CLI_FLOATS, 0, RESIDENT},
    [CLI_PARAM_BETA] = {CLI_FLOATS, 0, STAYS},
    [CLI_PARAM_GAMMA] = {CLI_FLOATS, 0, STAYS},
    [CLI_PARAM_PREVIOUS_WEIGHTS] = {CLI_FLOATS, 0, RESIDENT},
    [CLI_PARAM_CUMULATIVE_WEIGHTS] = {CLI_FLOATS, 0, RESIDENT},
    [CLI_PARAM_COVERAGE] = {CLI_FLOATS, 0, RESIDENT},
};

bool cli_input_is_resident(enum cli_input input)
{
    return input_rules[input].place == RESIDENT;
}

static int load_input(cli_call *call, const cli_options *options, enum cli_input input)
{
    npy_array array;
    const char *name = cli_input_name(input);
    const char *path = options->inputs[input];
    int result = cli_array_read(&array, name, path);
    if (result)
        return result;
    if (input >= CLI_FIRST_PARAM && array.rank == 0) {
        array.rank = 1; /* a scalar, as NumPy writes it */
        array.shape[0] = 1;
    }
    result = cli_tensor_from_npy(cli_input_of(&call->args, input), &array,
                                 input_rules[input].allowed, name, path);
    npy_free(&array);
    call->desc.flags |= input_rules[input].flag;
    return result;
}

/* The type of the sums. */
static clattn_dtype wide_of(clattn_dtype dtype)
{
    return dtype == CLATTN_F64 ? CLATTN_F64 : CLATTN_F32;
}

/* --dtype converts the inputs, and gradients as what they are of; a mask or bias in float32 or
 * bool is taken beside any type and stays, and so do all others. */
static int convert_inputs(cli_call *call, const cli_options *o)
{
    for (int i = CLI_QUERY; i < CLI_FIRST_PARAM; i++) {
        clattn_tensor *t = cli_input_of(&call->args, (enum cli_input)i);
        const bool is_added = i == CLI_MASK || i == CLI_BIAS,
                   is_other = i > CLI_BIAS && i < CLI_GRAD_OUTPUT,
                   stays = is_other ||
                           (is_added && (t->dtype == CLATTN_F32 || t->dtype == CLATTN_BOOL));
        if (t->rank == 0 || stays)
            continue;
        int result = cli_tensor_convert(t, i == CLI_GRAD_LSE ? wide_of(o->dtype) : o->dtype,
                                        cli_input_name((enum cli_input)i));
        if (result)
            return result;
    }
    return CLI_DONE;
}

int cli_call_is_packed(const cli_call *call)
{
    return (call->desc.flags & CLATTN_PACKED) != 0;
}

/* Where heads stand in a tensor that has them. */
static uint32_t head_axis(const clattn_attention_desc *desc)
{
    return desc->layout == CLATTN_BSHD && !(desc->flags & CLATTN_PACKED) ? 2 : 1;
}

/* Heads and last axis of an input; both must be there, as zero asks the library for a default. */
static int measure(size_t *heads, size_t *size, const cli_call *call, enum cli_input input,
                   uint32_t heads_at)
{
    const clattn_tensor *t = cli_input_of(&((cli_call *)call)->args, input);
    char shape[NPY_SHAPE_TEXT];
    npy_shape_text(shape, t->rank, t->shape);
    if (t->rank < 2)
        return CLI_FAIL(CLI_BAD_INPUT, "--%s: shape %s; expected 2, 3 or 4 axes",
                        cli_input_name(input), shape);
    if (cli_call_is_packed(call) && input != CLI_GIVEN_SCORES && t->rank != 3)
        return CLI_FAIL(CLI_BAD_INPUT,
                        "--%s: shape %s; expected 3 axes, all rows, heads and size, as "
                        "--cu-seqlens-q and --cu-seqlens-k are given",
                        cli_input_name(input), shape);
    *heads = t->rank == 4 || cli_call_is_packed(call) ? (size_t)t->shape[heads_at] : 1;
    *size = (size_t)t->shape[t->rank - 1];
    if (*heads == 0 || (*size == 0 && input != CLI_GIVEN_SCORES))
        return CLI_FAIL(CLI_BAD_INPUT,
                        "--%s: shape %s; expected at least one head and one element per vector",
                        cli_input_name(input), shape);
    return CLI_DONE;
}

/* True where the vectors of a key may have another size than those of a query. */
static bool has_own_key_size(clattn_score score)
{
    return score == CLATTN_SCORE_GENERAL || score == CLATTN_SCORE_LOCATION ||
           cli_param_is_required(CLI_PARAM_W_KEY, score);
}

/* A, which v tells. */
static int deduce_hidden_size(cli_call *call)
{
    const clattn_tensor *v = &call->args.params.v;
    char shape[NPY_SHAPE_TEXT];
    if (v->rank == 0)
        return CLI_DONE;
    call->desc.hidden_size = (size_t)v->shape[v->rank - 1];
    if (call->desc.hidden_size > 0)
        return CLI_DONE;
    return CLI_FAIL(CLI_BAD_INPUT, "--%s: shape %s; expected (A) or (Hq, A), A at least 1",
                    cli_input_name(CLI_PARAM_V), npy_shape_text(shape, v->rank, v->shape));
}

static int deduce(cli_call *call)
{
    clattn_attention_desc *d = &call->desc;
    int given = d->score == CLATTN_SCORE_GIVEN;
    size_t unused = 0, key_size = 0;
    int result = CLI_DONE;
    d->dtype = given ? call->args.value.dtype : call->args.query.dtype;
    if (given) {
        CLI_TRY(measure(&d->query_heads, &unused, call, CLI_GIVEN_SCORES,
                        1)); /* scores have one layout */
    } else {
        CLI_TRY(measure(&d->query_heads, &d->head_size, call, CLI_QUERY, head_axis(d)));
        if (call->args.key.rank)
            CLI_TRY(measure(&unused, &key_size, call, CLI_KEY, head_axis(d)));
        if (has_own_key_size(d->score))
            d->key_size = key_size;
        CLI_TRY(deduce_hidden_size(call));
    }
    CLI_TRY(measure(&d->kv_heads, &d->value_size, call, CLI_VALUE, head_axis(d)));
    if (d->query_heads % d->kv_heads)
        result = CLI_FAIL(
            CLI_BAD_INPUT, "--%s: %zu heads; expected a multiple of the %zu of --value",
            cli_input_name(given ? CLI_GIVEN_SCORES : CLI_QUERY), d->query_heads, d->kv_heads);
done:
    return result;
}

void cli_call_sizes(const cli_call *call, int64_t sizes[7])
{
    const clattn_attention_desc *d = &call->desc;
    int given = d->score == CLATTN_SCORE_GIVEN;
    const clattn_tensor *q = given ? &call->args.given_scores : &call->args.query;
    const clattn_tensor *v = &call->args.value;
    int by_rows = d->layout == CLATTN_BSHD && !given;
    sizes[0] = q->rank > 2 ? q->shape[0] : 1;
    sizes[1] = (int64_t)d->query_heads;
    sizes[2] = (int64_t)d->kv_heads;
    sizes[3] = q->rank == 4 && by_rows ? q->shape[1] : q->shape[q->rank - 2];
    sizes[4] = v->rank == 4 && d->layout == CLATTN_BSHD ? v->shape[1] : v->shape[v->rank - 2];
    sizes[5] = (int64_t)d->head_size;
    sizes[6] = (int64_t)d->value_size;
    if (cli_call_is_packed(call)) {
        sizes[0] = (int64_t)clattn_tensor_count(&call->args.cu_seqlens_q) - 1;
        sizes[3] = q->shape[0];
        sizes[4] = v->shape[0];
    }
}

/* The shape of an output of packed sequences, its number of axes; 0 where they have none. */
static uint32_t packed_shape(int64_t shape[4], const cli_call *call, enum cli_output output)
{
    int64_t n[7];
    cli_call_sizes(call, n);
    const int64_t of_output[] = {n[3], n[1], n[6]}, of_lse[] = {n[1], n[3]};
    if (output == CLI_OUTPUT)
        memcpy(shape, of_output, sizeof of_output);
    if (output == CLI_LSE)
        memcpy(shape, of_lse, sizeof of_lse);
    return output == CLI_OUTPUT ? 3 : output == CLI_LSE ? 2 : 0;
}

/* The heads or rows that a list chooses, NULL for all, out of `length`. */
static int choose(clattn_tensor *to, const char *option, const char *list, int64_t length)
{
    int result = CLI_DONE;
    if (!list)
        return CLI_DONE;
    CLI_TRY(cli_tensor_new(to, CLATTN_I64, 1, &length, option));
    CLI_TRY(cli_parse_rising(to->host, &to->shape[0], option, list, length));
done:
    return result;
}

static int choose_weights(cli_call *call, const cli_options *options)
{
    int64_t n[7];
    int result = CLI_DONE;
    cli_call_sizes(call, n);
    CLI_TRY(choose(&call->args.weights_heads, "weights-heads", options->weights_heads, n[1]));
    CLI_TRY(choose(&call->args.weights_rows, "weights-rows", options->weights_rows, n[3]));
done:
    return result;
}

/* The shape of an output has the rank of query, but for an axis that it lacks. */
static uint32_t output_shape(int64_t shape[4], const cli_call *call, enum cli_output output,
                             uint32_t rank)
{
    const clattn_attention_args *args = &call->args;
    const bool by_rows = output == CLI_OUTPUT && call->desc.layout == CLATTN_BSHD;
    int64_t n[7];
    cli_call_sizes(call, n);
    int64_t heads = n[1], rows = n[3];
    uint32_t axes = 0;
    if (output == CLI_WEIGHTS && args->weights_heads.rank)
        heads = args->weights_heads.shape[0];
    if (output == CLI_WEIGHTS && args->weights_rows.rank)
        rows = args->weights_rows.shape[0];
    if (rank > 2)
        shape[axes++] = n[0];
    if (rank > 3 && !by_rows)
        shape[axes++] = heads;
    if (output != CLI_COLUMN_SUMS)
        shape[axes++] = rows;
    if (rank > 3 && by_rows)
        shape[axes++] = heads;
    if (output == CLI_OUTPUT)
        shape[axes++] = n[6];
    if (output == CLI_WEIGHTS || output == CLI_SCORES || output == CLI_COLUMN_SUMS)
        shape[axes++] = n[4];
    return axes;
}

static clattn_dtype output_type(const clattn_attention_desc *desc, enum cli_output output)
{
    if (output == CLI_ARGMAX)
        return CLATTN_I64;
    if (output == CLI_OUTPUT || output == CLI_WEIGHTS || output == CLI_SCORES)
        return desc->dtype;
    return wide_of(desc->dtype);
}

/* Its number of axes, 0 for what packed sequences have none of. */
static uint32_t shape_of(int64_t shape[4], const cli_call *call, enum cli_output output)
{
    const clattn_tensor *first =
        call->desc.score == CLATTN_SCORE_GIVEN ? &call->args.given_scores : &call->args.query;
    return cli_call_is_packed(call) ? packed_shape(shape, call, output)
                                    : output_shape(shape, call, output, first->rank);
}

/* Where no gradient is given, that of the output is random. */
static int complete_gradients(cli_call *call)
{
    clattn_tensor *gradient = &call->args.grad.output;
    int64_t shape[4];
    int result = CLI_DONE;
    if (call->desc.direction == CLATTN_FORWARD || call->desc.outputs)
        return CLI_DONE;
    const uint32_t axes = shape_of(shape, call, CLI_OUTPUT);
    CLI_TRY(cli_tensor_new(gradient, call->desc.dtype, axes, shape, "backward"));
    cli_random_fill(call, CLI_GRAD_OUTPUT, 0, 1);
    call->desc.outputs = CLATTN_OUTPUT;
    call->has_random_gradient = true;
done:
    return result;
}

/* The library refuses what does not fit together. */
static int make_outputs(cli_call *call)
{
    const clattn_attention_desc *d = &call->desc;
    int result = CLI_DONE;
    for (int i = 0; i < CLI_FIRST_GRADIENT; i++) {
        enum cli_output output = (enum cli_output)i;
        int64_t shape[4];
        const uint32_t axes = shape_of(shape, call, output);
        if (!(cli_backward_results(d) & (1u << i)) || axes == 0)
            continue;
        result = cli_tensor_new(cli_output_of(&call->args, output), output_type(d, output), axes,
                                shape, cli_output_option(output));
        if (result)
            break;
    }
    return result;
}

int cli_call_load(cli_call *call, const cli_options *options)
{
    int result = CLI_DONE;
    memset(call, 0, sizeof *call);
    call->desc = options->desc;
    call->args.struct_size = sizeof call->args;
    call->args.dropout_seed = options->seed;
    call->args.dropout_offset = options->dropout_offset;
    if (options->has_shape)
        CLI_TRY(cli_random_inputs(call, options));
    for (int i = 0; i < CLI_INPUTS; i++) {
        if (options->inputs[i])
            CLI_TRY(load_input(call, options, (enum cli_input)i));
    }
    if (options->has_dtype)
        CLI_TRY(convert_inputs(call, options));
    CLI_TRY(deduce(call));
    CLI_TRY(choose_weights(call, options));
    CLI_TRY(complete_gradients(call));
    CLI_TRY(make_outputs(call));
    if (call->desc.direction == CLATTN_BACKWARD)
        CLI_TRY(cli_backward_make_gradients(call, options));
done:
    if (result)
        cli_call_free(call);
    return result;
}

double cli_call_bytes(const cli_call *call)
{
    clattn_attention_args args = call->args;
    double bytes = 0;
    for (int i = 0; i < CLI_INPUTS + CLI_OUTPUTS; i++) {
        const clattn_tensor *t = i < CLI_INPUTS
                                     ? cli_input_of(&args, (enum cli_input)i)
                                     : cli_output_of(&args, (enum cli_output)(i - CLI_INPUTS));
        if (t->rank)
            bytes += (double)clattn_tensor_count(t) * (double)clattn_dtype_size(t->dtype);
    }
    return bytes;
}

void cli_call_free(cli_call *call)
{
    for (int i = 0; i < CLI_INPUTS; i++)
        free(cli_input_of(&call->args, (enum cli_input)i)->host);
    for (int i = 0; i < CLI_OUTPUTS; i++)
        free(cli_output_of(&call->args, (enum cli_output)i)->host);
    free(call->args.weights_heads.host);
    free(call->args.weights_rows.host);
    memset(call, 0, sizeof *call);
}
