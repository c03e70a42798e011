/* The views that a run's arguments become: rank 4, whatever the layout, and what cuts leave of them. */
#include "problem.h"
#include "support/named_tests.h"
#include "unit/tensors.h"

static const clattn_tensor *view_of(const clattn__call *call, which tensor)
{
    const clattn_tensor *const all[] = {
        &call->query, &call->key,          &call->value,       &call->given_scores,
        &call->mask,  &call->bias,         &call->kv_lengths,  &call->alibi_slopes,
        &call->sinks, &call->output,       &call->weights,     &call->scores,
        &call->lse,   &call->cu_seqlens_q, &call->cu_seqlens_k};
    return all[tensor];
}

#define PACKED_SIZES HEADS, .D = 6, .Dv = 7, .packed = PACKED({3, 2}, {0, 4}, {5, 0})

/* What becomes of one tensor of a call that is right. */
typedef struct accepted {
    const char *name;
    clattn_case from;
    which tensor;
    int64_t shape[4], strides[4], offset;
} accepted;

static const accepted views[] = {
    {"query of bhsd", {SIZES, HEADS}, QUERY, {2, 4, 3, 6}, {72, 18, 6, 1}, 0},
    {"query of bshd",
     {SIZES, HEADS, .layout = CLATTN_BSHD},
     QUERY,
     {2, 4, 3, 6},
     {72, 6, 24, 1},
     0},
    {"key of bshd", {SIZES, HEADS, .layout = CLATTN_BSHD}, KEY, {2, 2, 5, 6}, {60, 6, 12, 1}, 0},
    {"value of bshd",
     {SIZES, HEADS, .layout = CLATTN_BSHD},
     VALUE,
     {2, 2, 5, 7},
     {70, 7, 14, 1},
     0},
    {"output of bshd",
     {SIZES, HEADS, .layout = CLATTN_BSHD},
     OUTPUT,
     {2, 4, 3, 7},
     {84, 7, 28, 1},
     0},
    {"weights of bshd",
     {SIZES, HEADS, .layout = CLATTN_BSHD},
     WEIGHTS,
     {2, 4, 3, 5},
     {60, 15, 5, 1},
     0},
    {"lse of bshd", {SIZES, HEADS, .layout = CLATTN_BSHD}, LSE, {2, 4, 3, 1}, {12, 3, 1, 0}, 0},
    {"query of packed sequences", {PACKED_SIZES}, QUERY, {1, 4, 8, 6}, {0, 6, 24, 1}, 0},
    {"value of packed sequences", {PACKED_SIZES}, VALUE, {1, 2, 6, 7}, {0, 7, 14, 1}, 0},
    {"output of packed sequences", {PACKED_SIZES}, OUTPUT, {1, 4, 8, 7}, {0, 7, 28, 1}, 0},
    {"lse of packed sequences", {PACKED_SIZES}, LSE, {1, 4, 8, 1}, {0, 8, 1, 0}, 0},
    {"cumulative lengths", {PACKED_SIZES}, CU_SEQLENS_K, {4, 1, 1, 1}, {1, 0, 0, 0}, 0},
    {"query of rank 3", {SIZES, .rank = 3}, QUERY, {2, 1, 3, 6}, {18, 0, 6, 1}, 0},
    {"weights of rank 3", {SIZES, .rank = 3}, WEIGHTS, {2, 1, 3, 5}, {15, 0, 5, 1}, 0},
    {"lse of rank 3", {SIZES, .rank = 3}, LSE, {2, 1, 3, 1}, {3, 0, 1, 0}, 0},
    {"value of rank 2", {SIZED(1, 3, 5), .rank = 2}, VALUE, {1, 1, 5, 7}, {0, 0, 7, 1}, 0},
    {"lse of rank 2", {SIZED(1, 3, 5), .rank = 2}, LSE, {1, 1, 3, 1}, {0, 0, 1, 0}, 0},
    {"axes of length 1 have stride 0",
     {.S = 1, .T = 5, .D = 1},
     QUERY,
     {1, 1, 1, 1},
     {0, 0, 0, 0},
     0},
    {"padded rows",
     {SIZES, HEADS, .strides = STRIDES_PADDED},
     QUERY,
     {2, 4, 3, 6},
     {108, 27, 9, 1},
     7},
    {"transposed rows",
     {SIZES, HEADS, .strides = STRIDES_TRANSPOSED},
     KEY,
     {2, 2, 5, 6},
     {60, 30, 1, 5},
     0},
    {"given scores of bshd",
     {SIZES, HEADS, .layout = CLATTN_BSHD, .score = CLATTN_SCORE_GIVEN},
     GIVEN_SCORES,
     {2, 4, 3, 5},
     {60, 15, 5, 1},
     0},
    {"a mask of its own for each",
     {SIZES, HEADS, .flags = CLATTN_MASK},
     MASK,
     {2, 4, 3, 5},
     {60, 15, 5, 1},
     0},
    {"a mask of keys",
     {SIZES, HEADS, .flags = CLATTN_MASK, .mask = MASK_KEYS},
     MASK,
     {2, 4, 3, 5},
     {5, 0, 0, 1},
     0},
    {"a mask of rank 2",
     {SIZES, HEADS, .flags = CLATTN_MASK, .mask = MASK_ROWS},
     MASK,
     {2, 4, 3, 5},
     {0, 0, 5, 1},
     0},
    {"a mask of queries",
     {SIZES, HEADS, .flags = CLATTN_MASK, .mask = MASK_NONE_VISIBLE},
     MASK,
     {2, 4, 3, 5},
     {3, 0, 1, 0},
     0},
    {"a mask of rank 2 for rank 3",
     {SIZES, .rank = 3, .flags = CLATTN_MASK, .mask = MASK_ROWS},
     MASK,
     {2, 1, 3, 5},
     {0, 0, 5, 1},
     0},
    {"a bias of heads",
     {SIZES, HEADS, .flags = CLATTN_BIAS, .bias = BIAS_HEADS},
     BIAS,
     {2, 4, 3, 5},
     {0, 5, 0, 1},
     0},
    {"lengths",
     {SIZES, HEADS, .flags = CLATTN_KV_LENGTHS},
     KV_LENGTHS,
     {2, 1, 1, 1},
     {1, 0, 0, 0},
     0},
    {"slopes", {SIZES, HEADS, .flags = CLATTN_ALIBI}, ALIBI_SLOPES, {1, 4, 1, 1}, {0, 1, 0, 0}, 0},
    {"sinks", {SIZES, HEADS, .flags = CLATTN_SINKS}, SINKS, {1, 4, 1, 1}, {0, 1, 0, 0}, 0},
    {"no batch",
     {SIZED(-1, 3, 5), HEADS, .flags = ALL_FLAGS},
     OUTPUT,
     {0, 4, 3, 7},
     {84, 21, 7, 1},
     0},
    {"no queries",
     {SIZED(2, -1, 5), HEADS, .flags = ALL_FLAGS},
     OUTPUT,
     {2, 4, 0, 7},
     {0, 0, 7, 1},
     0},
    {"no keys",
     {SIZED(2, 3, -1), HEADS, .flags = ALL_FLAGS, .lengths = LENGTHS_NONE},
     VALUE,
     {2, 2, 0, 7},
     {0, 0, 7, 1},
     0},
    {"no keys behind a mask of queries",
     {SIZED(2, 3, -1), HEADS, .flags = CLATTN_MASK, .mask = MASK_NONE_VISIBLE},
     MASK,
     {2, 4, 3, 0},
     {3, 0, 1, 0},
     0},
};

static void becomes_a_view(void **state)
{
    const accepted *a = *state;
    host_call made;
    clattn__problem problem;
    clattn__call call;
    case_make(&made, &a->from);
    assert_status(CLATTN_OK, clattn__problem_init(&problem, &made.desc));
    assert_status(CLATTN_OK, clattn__call_init(&call, &problem, &made.args));
    const clattn_tensor *view = view_of(&call, a->tensor);
    assert_int_equal(view->rank, 4);
    for (int axis = 0; axis < 4; axis++) {
        assert_int_equal(view->shape[axis], a->shape[axis]);
        assert_int_equal(view->strides[axis], a->strides[axis]);
    }
    assert_int_equal(view->offset, a->offset);
    assert_ptr_equal(view->host, tensor_of(&made.args, a->tensor)->host);
    host_call_free(&made);
}

static void sizes_come_from_the_tensors(void **state)
{
    host_call made;
    clattn__problem problem;
    clattn__call call;
    (void)state;
    case_make(&made, &(clattn_case){SIZES, HEADS, .flags = ALL_FLAGS, .layout = CLATTN_BSHD});
    assert_status(CLATTN_OK, clattn__problem_init(&problem, &made.desc));
    assert_status(CLATTN_OK, clattn__call_init(&call, &problem, &made.args));
    const int64_t got[] = {call.B, call.Hq, call.Hkv,       call.S,       call.T,
                           call.D, call.Dv, call.first_row, call.all_rows},
                  wanted[] = {2, 4, 2, 3, 5, 6, 7, 0, 3};
    assert_memory_equal(got, wanted, sizeof wanted);
    assert_false(clattn__has(&call.given_scores));
    host_call_free(&made);
}

/* Two cuts, the second of what the first has left. */
typedef struct slice_test {
    const char *name;
    clattn_case from;
    struct {
        int64_t b, batches, h, heads, i, rows;
    } cuts[2];
} slice_test;

static const slice_test slices[] = {
    {"whole, twice", {SIZES, HEADS, .flags = ALL_FLAGS}, {{0, 2, 0, 2, 0, 3}, {0, 2, 0, 2, 0, 3}}},
    {"a batch", {SIZES, HEADS, .flags = ALL_FLAGS}, {{1, 1, 0, 2, 0, 3}, {0, 1, 0, 2, 0, 3}}},
    {"a key head", {SIZES, HEADS, .flags = ALL_FLAGS}, {{0, 2, 1, 1, 0, 3}, {0, 2, 0, 1, 0, 3}}},
    {"rows", {SIZES, HEADS, .flags = ALL_FLAGS}, {{0, 2, 0, 2, 1, 2}, {0, 2, 0, 2, 1, 1}}},
    {"all three", {SIZES, HEADS, .flags = ALL_FLAGS}, {{1, 1, 0, 2, 0, 2}, {0, 1, 1, 1, 1, 1}}},
    {"all three of bshd",
     {SIZES, HEADS, .flags = ALL_FLAGS, .layout = CLATTN_BSHD},
     {{1, 1, 0, 2, 0, 2}, {0, 1, 1, 1, 1, 1}}},
    {"broadcast masks",
     {SIZES, HEADS, .flags = ALL_FLAGS, .mask = MASK_KEYS, .bias = BIAS_HEADS},
     {{1, 1, 0, 2, 0, 2}, {0, 1, 1, 1, 1, 1}}},
    {"given scores",
     {SIZES, HEADS, .flags = ALL_FLAGS, .score = CLATTN_SCORE_GIVEN},
     {{0, 1, 1, 1, 1, 2}, {0, 1, 0, 1, 1, 1}}},
    {"padded rows",
     {SIZES, HEADS, .flags = ALL_FLAGS, .strides = STRIDES_PADDED},
     {{1, 1, 1, 1, 1, 2}, {0, 1, 0, 1, 0, 2}}},
};

/* Every element of a slice's tensor is the one of the call that stands where the cuts say. */
static void assert_slice_of(const clattn_tensor *slice, const clattn_tensor *call,
                            const int64_t first[4])
{
    assert_int_equal(slice->rank, call->rank);
    assert_ptr_equal(slice->host, call->host);
    for (int64_t b = 0; b < slice->shape[0]; b++)
        for (int64_t h = 0; h < slice->shape[1]; h++)
            for (int64_t i = 0; i < slice->shape[2]; i++)
                for (int64_t c = 0; c < slice->shape[3]; c++)
                    assert_int_equal(clattn__at(slice, b, h, i, c),
                                     clattn__at(call, b + first[0], h + first[1], i + first[2], c));
}

static void is_cut_out(void **state)
{
    const slice_test *s = *state;
    const int64_t b = s->cuts[0].b + s->cuts[1].b, h = s->cuts[0].h + s->cuts[1].h,
                  i = s->cuts[0].i + s->cuts[1].i, batches = s->cuts[1].batches,
                  heads = s->cuts[1].heads, rows = s->cuts[1].rows;
    host_call made;
    clattn__problem problem;
    clattn__call call, slice;
    case_make(&made, &s->from);
    assert_status(CLATTN_OK, clattn__problem_init(&problem, &made.desc));
    assert_status(CLATTN_OK, clattn__call_init(&call, &problem, &made.args));
    slice = call;
    for (int n = 0; n < 2; n++)
        slice = clattn__call_slice(&slice, s->cuts[n].b, s->cuts[n].batches, s->cuts[n].h,
                                   s->cuts[n].heads, s->cuts[n].i, s->cuts[n].rows);
    const int64_t got[] = {slice.B, slice.Hq, slice.Hkv,       slice.S,       slice.T,
                           slice.D, slice.Dv, slice.first_row, slice.all_rows},
                  wanted[] = {batches, 2 * heads, heads, rows, 5, call.D, 7, i, 3};
    assert_memory_equal(got, wanted, sizeof wanted);
    for (int t = QUERY; t <= LSE; t++) {
        const clattn_tensor *from = view_of(&call, (which)t), *to = view_of(&slice, (which)t);
        const bool of_keys = t == KEY || t == VALUE, of_heads = t == ALIBI_SLOPES || t == SINKS;
        const int64_t first[4] = {of_heads ? 0 : b,
                                  t == KV_LENGTHS ? 0
                                  : of_keys       ? h
                                                  : 2 * h,
                                  of_keys || of_heads || t == KV_LENGTHS ? 0 : i, 0};
        if (!clattn__has(from))
            continue;
        assert_slice_of(to, from, first);
        assert_int_equal(to->shape[0], of_heads ? 1 : batches);
        assert_int_equal(to->shape[1], t == KV_LENGTHS ? 1 : of_keys ? heads : 2 * heads);
        assert_int_equal(to->shape[2], of_heads || t == KV_LENGTHS ? 1 : of_keys ? 5 : rows);
    }
    host_call_free(&made);
}

int main(void)
{
    named_tests whole = {0}, cuts = {0};
    int failures;
    for (size_t i = 0; i < sizeof views / sizeof *views; i++)
        named_tests_add(&whole, views[i].name, becomes_a_view, &views[i]);
    named_tests_add(&whole, "sizes come from the tensors", sizes_come_from_the_tensors, NULL);
    for (size_t i = 0; i < sizeof slices / sizeof *slices; i++)
        named_tests_add(&cuts, slices[i].name, is_cut_out, &slices[i]);
    failures = named_tests_run(&whole, "views", NULL, NULL);
    failures += named_tests_run(&cuts, "slices", NULL, NULL);
    return failures;
}
