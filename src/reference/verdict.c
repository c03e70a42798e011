/* verdict.c: see verdict.h. */
#include "verdict.h"

#include <math.h>

/* A dtype as the last term of the budget sees it. */
typedef struct storage {
    int digits, least_exponent; /* of the significand; of the smallest subnormal */
    long double overflow;       /* the smallest magnitude that rounds to infinity */
} storage;

static storage storage_of(clattn_dtype dtype)
{
    switch (dtype) {
    case CLATTN_F64:
        return (storage){53, -1074, 0x1.fffffffffffff8p1023L};
    case CLATTN_F16:
        return (storage){11, -24, 65520.0L};
    case CLATTN_BF16:
        return (storage){8, -133, 0x1.ffp127L};
    default:
        return (storage){24, -149, 0x1.ffffffp127L};
    }
}

static double last_place(clattn_dtype dtype, double magnitude)
{
    const storage format = storage_of(dtype);
    int exponent = format.least_exponent;
    if (magnitude > 0)
        (void)frexp(magnitude, &exponent), exponent -= format.digits;
    return ldexp(1.0, exponent < format.least_exponent ? format.least_exponent : exponent);
}

static long double saturate(long double value, long double overflow)
{
    return fabsl(value) >= overflow ? copysignl((long double)INFINITY, value) : value;
}

void clattn__finding_take(clattn__finding *found, double error, size_t index)
{
    if (!found->checked++ || error > found->error ||
        (!(error < found->error) && index < found->worst)) {
        found->error = error;
        found->worst = index;
    }
}

void clattn__finding_compare(clattn__finding *found, const clattn_tensor *tensor, int64_t at,
                             size_t index, long double reference, long double plain)
{
    const double got = clattn_element_load(tensor->dtype, tensor->host, (size_t)at);
    const long double overflow = storage_of(tensor->dtype).overflow;
    double error;
    reference = saturate(reference, overflow);
    plain = saturate(plain, overflow);
    if (CLATTN__IS_FINITE(reference)) {
        if (!CLATTN__IS_FINITE(plain)) {
            found->left_out++;
            return;
        }
        error = isfinite(got) ? (double)fabsl((long double)got - reference) : (double)INFINITY;
        found->plain_error = fmax(found->plain_error, (double)fabsl(plain - reference));
        found->peak = fmax(found->peak, (double)fabsl(reference));
    } else {
        const bool both_nan = isnan(reference) && isnan(plain);
        if (!both_nan && plain != reference) {
            found->left_out++;
            return;
        }
        error = (both_nan ? isnan(got) : (long double)got == reference) ? 0.0 : (double)INFINITY;
    }
    clattn__finding_take(found, error, index);
}

/* The unit roundoff that results are accountable to. */
static double unit_roundoff(const clattn_attention_desc *desc)
{
    if (desc->dtype == CLATTN_F64)
        return 0x1p-53;
    return desc->precision == CLATTN_PRECISION_FAST ? 0x1p-11 : 0x1p-24;
}

double clattn__finding_bound(const clattn__finding *found, const clattn_attention_desc *desc,
                             clattn_dtype stored, double score, double value)
{
    return 2.0 * found->plain_error + 8.0 * unit_roundoff(desc) * (1.0 + score / 4.0) * value +
           last_place(stored, found->peak);
}

void clattn__report_add(clattn_report *report, const char *name, const clattn__finding *found,
                        double bound)
{
    clattn_verdict *verdict = &report->verdicts[report->count++];
    verdict->name = name;
    verdict->error = found->error;
    verdict->bound = bound;
    verdict->worst = found->worst;
    verdict->checked = found->checked;
    verdict->left_out = found->left_out;
    /* A tensor of which nothing could be compared has not been found right. */
    verdict->ok = verdict->error <= verdict->bound && (found->checked || !found->left_out);
    report->ok = report->ok && verdict->ok;
}
