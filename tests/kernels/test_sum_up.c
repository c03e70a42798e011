/* sum_up.cl: sums over the axes along which a gradient broadcasts, against plain loops in double; whole, and of
 * a call in pieces, whose sums are complete with the last one only. */
#include "ops/sum_up.h"
#include "support/checks.h"
#include "support/device_limits.h"
#include "support/kernel_runs.h"
#include "support/named_tests.h"

#include <math.h>

/* `over`: the axes that are summed over. Pieces of so many batches, heads and rows; 0: all. */
typedef struct sum_case {
    const char *name;
    clattn_dtype dtype, to; /* of the problem; of the sum */
    int64_t n[4], folds;
    bool over[4], of_rows;
    int64_t batches, heads, rows;
    host_strides strides;
} sum_case;

/* clang-format off: one row, one case */
static const sum_case cases[] = {
    {"one of all", .n = {1, 1, 1, 1}, .over = {1, 1, 1, 1}, .of_rows = true},
    {"a copy", .n = {2, 3, 5, 19}, .of_rows = true},
    {"a copy to f16", .to = CLATTN_F16, .n = {2, 3, 5, 19}, .of_rows = true},
    {"a bias of all", .n = {3, 2, 5, 17}, .over = {1, 1, 0, 0}, .of_rows = true},
    {"a bias of keys", .n = {3, 2, 37, 17}, .over = {1, 0, 1, 0}, .of_rows = true},
    {"a bias of queries", .n = {3, 2, 37, 17}, .over = {1, 0, 0, 1}, .of_rows = true},
    {"a number of heads", .n = {3, 5, 41, 1}, .over = {1, 0, 1, 1}},
    {"one number", .n = {3, 5, 41, 7}, .over = {1, 1, 1, 1}},
    {"a parameter", .n = {3, 5, 7, 33}, .over = {1, 1, 0, 0}},
    {"no batches", .n = {0, 2, 3, 5}, .over = {1, 0, 0, 0}},
    {"no rows", .n = {2, 2, 0, 5}, .over = {1, 0, 1, 0}, .of_rows = true},
    {"nothing", .n = {2, 2, 3, 0}, .of_rows = true},
    {"heads of a group", .n = {2, 2, 3, 18}, .folds = 3},
    {"rows enough", .n = {2, 5, 7, 99}, .of_rows = true},
    {"heads of a group, rows enough", .to = CLATTN_F16, .n = {2, 4, 30, 83}, .folds = 3},
    {"padded", .n = {2, 3, 5, 19}, .over = {0, 0, 0, 0}, .of_rows = true,
     .strides = STRIDES_PADDED},
    {"transposed", .n = {2, 3, 5, 19}, .of_rows = true, .strides = STRIDES_TRANSPOSED},
    {"f64", .dtype = CLATTN_F64, .to = CLATTN_F64, .n = {3, 2, 37, 17}, .over = {1, 0, 1, 0},
     .of_rows = true},
    {"many rows", .n = {2, 1, 5000, 3}, .over = {1, 0, 1, 0}, .of_rows = true},
    {"pieces: a copy", .n = {3, 2, 5, 9}, .of_rows = true, .batches = 2, .heads = 1, .rows = 2},
    {"pieces: a bias of all", .n = {3, 2, 5, 9}, .over = {1, 1, 0, 0}, .of_rows = true,
     .batches = 1, .heads = 1, .rows = 2},
    {"pieces: a bias of keys", .n = {3, 2, 5, 9}, .over = {1, 0, 1, 0}, .of_rows = true,
     .batches = 2, .heads = 1, .rows = 3},
    {"pieces: a number of heads", .to = CLATTN_BF16, .n = {3, 4, 5, 1}, .over = {1, 0, 1, 1},
     .batches = 1, .heads = 2, .rows = 1},
    {"pieces: a parameter", .n = {3, 4, 7, 9}, .over = {1, 0, 0, 0}, .batches = 1, .heads = 2},
    {"pieces: keys", .n = {2, 2, 7, 9}, .batches = 1, .heads = 1, .rows = 2},
};
/* clang-format on */

static clattn_device *device;

/* Rows of a call: of `n`, or, where those are another axis, so many that pieces differ. */
#define OTHER_ROWS 5

static int64_t rows_of(const sum_case *c)
{
    return c->of_rows ? c->n[2] : OTHER_ROWS;
}

typedef struct sum_tensors {
    host_call memory;
    clattn_tensor from, to; /* `from`: a part for each piece of rows that are summed over */
} sum_tensors;

static int64_t parts_of(const sum_case *c)
{
    return c->of_rows || !c->rows ? 1 : clattn__ceil_div(OTHER_ROWS, c->rows);
}

static int64_t folds_of(const sum_case *c)
{
    return c->folds ? c->folds : 1;
}

static void make(sum_tensors *t, const sum_case *c)
{
    const int64_t *n = c->n;
    int64_t shape[4];
    *t = (sum_tensors){.memory = {.owned_count = 0}};
    t->from = host_call_tensor(&t->memory, c->dtype, 4,
                               (int64_t[]){parts_of(c) * n[0], n[1] * folds_of(c), n[2], n[3]},
                               STRIDES_DENSE);
    for (int axis = 0; axis < 4; axis++)
        shape[axis] = c->over[axis] ? 1 : n[axis];
    t->to = host_call_tensor(&t->memory, c->to, 4, shape, c->strides);
    for (size_t i = 0; i < clattn_tensor_count(&t->from); i++)
        host_tensor_set(&t->from, i, (double)((int)(i * 37 % 101) - 50) / 64);
    for (size_t i = 0; i < clattn_tensor_count(&t->to); i++)
        host_tensor_set(&t->to, i, (double)NAN);
}

/* Axes summed over broadcast, as in the views of a call. */
static clattn_tensor broadcast(const clattn_tensor *tensor, const sum_case *c)
{
    clattn_tensor out = *tensor;
    for (int axis = 0; axis < 4; axis++)
        if (c->over[axis])
            out.shape[axis] = c->n[axis], out.strides[axis] = 0;
    return out;
}

static void cut(clattn_tensor *tensor, int axis, int64_t first, int64_t count)
{
    tensor->offset += first * tensor->strides[axis];
    tensor->shape[axis] = count;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void run_piece(sum_tensors *t, const lent_memory *lent, const sum_case *c,
                      clattn__kernel *kernel, clattn__scratch *partial, const int64_t first[3],
                      const int64_t count[3])
{
    const clattn__call call = {.B = count[0],
                               .Hq = count[1],
                               .S = count[2],
                               .first_batch = first[0],
                               .first_head = first[1],
                               .first_row = first[2],
                               .all_batches = c->n[0],
                               .all_heads = c->n[1],
                               .all_rows = rows_of(c)};
    clattn_tensor from = lent_tensor(lent, &t->from), to = lent_tensor(lent, &t->to);
    to = broadcast(&to, c);
    from.shape[1] = c->n[1];
    const int64_t fold_step = from.strides[1];
    from.strides[1] *= folds_of(c);
    const int64_t part = parts_of(c) > 1 ? first[2] / c->rows * c->n[0] : 0;
    cut(&from, 0, part + first[0], count[0]);
    cut(&to, 0, first[0], count[0]);
    cut(&from, 1, first[1], count[1]);
    cut(&to, 1, first[1], count[1]);
    if (c->of_rows) {
        cut(&from, 2, first[2], count[2]);
        cut(&to, 2, first[2], count[2]);
    }
    const clattn__sum sum = {&from,
                             folds_of(c),
                             fold_step,
                             &to,
                             c->of_rows ? CLATTN__SUM_OVER_PLACES : CLATTN__SUM_OVER_ALL,
                             partial};
    if (to.buffer)
        assert_status(CLATTN_OK, clattn__sum_up_run(kernel, device, NULL, &call, &sum));
}

static void run(sum_tensors *t, const sum_case *c)
{
    clattn__kernel kernel;
    clattn__scratch partial = {NULL, 0};
    lent_memory lent;
    const int64_t all[3] = {c->n[0], c->n[1], rows_of(c)},
                  step[3] = {c->batches ? c->batches : all[0], c->heads ? c->heads : all[1],
                             c->rows ? c->rows : all[2]};
    int64_t first[3] = {0};
    assert_status(CLATTN_OK, clattn__sum_up_create(&kernel, device, c->dtype));
    lend(&lent, device, &t->memory);
    do {
        first[1] = 0;
        do {
            first[2] = 0;
            do {
                const int64_t count[3] = {least(step[0], all[0] - first[0]),
                                          least(step[1], all[1] - first[1]),
                                          least(step[2], all[2] - first[2])};
                run_piece(t, &lent, c, &kernel, &partial, first, count);
            } while ((first[2] += step[2]) < all[2]);
        } while ((first[1] += step[1]) < all[1]);
    } while ((first[0] += step[0]) < all[0]);
    take_back(&lent);
    clattn__kernel_release(&kernel);
    clattn__scratch_release(&partial);
}

static void adds_up(void **state)
{
    const sum_case *c = *state;
    const int64_t *n = c->n, folds = folds_of(c);
    sum_tensors t;
    if (!device_takes(device, c->dtype) || !device_takes(device, c->to) ||
        !device_loops(device, n[2]))
        skip();
    make(&t, c);
    run(&t, c);
    for (size_t i = 0; i < clattn_tensor_count(&t.to); i++) {
        int64_t at[4], rest = (int64_t)i;
        long double sum = 0, size = 0;
        for (int axis = 3; axis >= 0; axis--)
            at[axis] = rest % t.to.shape[axis], rest /= t.to.shape[axis];
        for (size_t f = 0; f < clattn_tensor_count(&t.from); f++) {
            int64_t from[4], left = (int64_t)f;
            for (int axis = 3; axis >= 0; axis--)
                from[axis] = left % t.from.shape[axis], left /= t.from.shape[axis];
            from[0] %= n[0], from[1] /= folds;
            bool meets = true;
            for (int axis = 0; axis < 4; axis++)
                meets = meets && (c->over[axis] || from[axis] == at[axis]);
            if (meets)
                sum += (long double)host_tensor_get(&t.from, f),
                    size += (long double)fabs(host_tensor_get(&t.from, f));
        }
        const double unit = c->to == CLATTN_F64    ? 0x1p-53
                            : c->to == CLATTN_F16  ? 0x1p-11
                            : c->to == CLATTN_BF16 ? 0x1p-8
                                                   : 0x1p-24;
        assert_close(host_tensor_get(&t.to, i), (double)sum,
                     (double)fabsl(sum) * unit + (double)size * unit / 8, c->name, i);
    }
    assert_true(host_tensor_gaps_untouched(&t.memory, &t.to));
    host_call_free(&t.memory);
}

int main(void)
{
    named_tests tests = {0};
    device = kernel_device_open();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        named_tests_add(&tests, cases[i].name, adds_up, &cases[i]);
    const int failures = named_tests_run(&tests, "sum_up", NULL, NULL);
    kernel_device_close(device);
    return failures;
}
