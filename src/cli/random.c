/* random.c: random numbers in the shape of inputs and parameters. */
#include "random.h"

#include "convert.h"
#include "params.h"
#include "text.h"

#include <math.h>

/* Of location-sensitive scores: Tacotron 2's (arXiv:1712.05884). */
#define FILTERS 32
#define FILTER_WIDTH 31

/* splitmix64: the same numbers everywhere, in [-1, 1). */
static double next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return (double)(z >> 11) * 0x1p-52 - 1.0;
}

void cli_random_fill(cli_call *call, enum cli_input input, double centre, double spread)
{
    const clattn_tensor *out = cli_input_of(&call->args, input);
    uint64_t state = call->args.dropout_seed * CLI_INPUTS + (uint64_t)input + 1;
    const size_t count = clattn_tensor_count(out);
    for (size_t i = 0; i < count; i++)
        clattn_element_store(out->dtype, out->host, i, centre + spread * next_random(&state));
}

static int make(cli_call *call, const cli_options *o, enum cli_input input, uint32_t rank,
                const int64_t *shape, double centre, double spread)
{
    const int result =
        cli_tensor_new(cli_input_of(&call->args, input), o->dtype, rank, shape, "shape");
    if (!result)
        cli_random_fill(call, input, centre, spread);
    return result;
}

/* Query, key or value. */
static int make_vectors(cli_call *call, const cli_options *o, enum cli_input input, int64_t heads,
                        int64_t rows, int64_t columns)
{
    const int64_t bhsd[4] = {o->shape[0], heads, rows, columns};
    const int64_t bshd[4] = {o->shape[0], rows, heads, columns};
    return make(call, o, input, 4, o->desc.layout == CLATTN_BSHD ? bshd : bhsd, 0, 1);
}

/* There are as many hidden units as elements of a query. */
static int make_params(cli_call *call, const cli_options *o)
{
    const clattn_score score = o->desc.score;
    const int64_t B = o->shape[0], T = o->shape[4], D = o->shape[5], A = D;
    /* Products with a matrix of this spread are about as large as what they are made of. */
    const double spread = 1 / sqrt((double)D);
    const double share = 1 / fmax(1, (double)T); /* of a key in the weights of a row */
    const struct {
        enum cli_input param;
        uint32_t rank;
        int64_t shape[2];
        double centre, spread;
    } recipes[] = {
        {CLI_PARAM_WEIGHT, 2, {score == CLATTN_SCORE_LOCATION ? T : D, D}, 0, spread},
        {CLI_PARAM_W_QUERY, 2, {A, D}, 0, spread},
        {CLI_PARAM_W_KEY, 2, {A, D}, 0, spread},
        {CLI_PARAM_V, 1, {A}, 0, spread},
        {CLI_PARAM_CONV, 2, {FILTERS, FILTER_WIDTH}, 0, spread},
        {CLI_PARAM_W_LOCATION, 2, {A, FILTERS}, 0, spread},
        {CLI_PARAM_W_COVERAGE, 1, {A}, 0, spread},
        {CLI_PARAM_BETA, 1, {1}, 1, 0},
        {CLI_PARAM_GAMMA, 1, {1}, spread, 0},
        {CLI_PARAM_PREVIOUS_WEIGHTS, 2, {B, T}, share, share},
        {CLI_PARAM_COVERAGE, 2, {B, T}, share, share},
    };
    for (size_t i = 0; i < sizeof recipes / sizeof recipes[0]; i++) {
        if (!cli_param_is_required(recipes[i].param, score))
            continue;
        const int result = make(call, o, recipes[i].param, recipes[i].rank, recipes[i].shape,
                                recipes[i].centre, recipes[i].spread);
        if (result)
            return result;
    }
    return CLI_DONE;
}

int cli_random_inputs(cli_call *call, const cli_options *o)
{
    const int64_t *n = o->shape; /* B, Hq, Hkv, S, T, D, Dv */
    int result = make_vectors(call, o, CLI_QUERY, n[1], n[3], n[5]);
    if (!result && o->desc.score != CLATTN_SCORE_LOCATION)
        result = make_vectors(call, o, CLI_KEY, n[2], n[4], n[5]);
    if (!result)
        result = make_vectors(call, o, CLI_VALUE, n[2], n[4], n[6]);
    return result ? result : make_params(call, o);
}
