/* projection.c: see projection.h. */
#include "projection.h"

#include "scores.h"
#include "try.h"

void clattn__projector_release(clattn__projector *by)
{
    if (by->multiplier)
        by->multiplier->release(by->product);
    if (by->shared_multiplier && by->shared_multiplier != by->multiplier)
        by->shared_multiplier->release(by->shared_product);
    clattn__kernel_release(&by->pack);
    clattn__scratch *const scratch[] = {&by->rows, &by->matrix, &by->others, &by->columns,
                                        &by->flags};
    for (size_t i = 0; i < sizeof scratch / sizeof *scratch; i++)
        clattn__scratch_release(scratch[i]);
}

/* Whose products: CLBlast's on GPU-like devices, of one matrix for all; else ours. */
static clattn_status build_products(clattn__projector *by, clattn_device *device)
{
    clattn_status status = CLATTN_OK;
    const bool cpu_like = clattn__is_cpu_like(device);
    const clattn__multiplier *own = clattn__own_multiplier(device, by->dtype), *shared = own;
#ifdef CLATTN_WITH_CLBLAST
    if (!cpu_like && device->in_order)
        shared = &clattn__multiplier_clblast;
#endif
    void *product = NULL, *shared_product = NULL;
    if (by->multiplier)
        return CLATTN_OK;
    TRY(clattn__pack_create(&by->pack, device, by->dtype));
    TRY(own->create(&product, device, by->dtype));
    if (shared != own)
        TRY(shared->create(&shared_product, device, by->dtype));
    by->multiplier = own, by->product = product;
    by->shared_multiplier = shared, by->shared_product = shared == own ? product : shared_product;
    return CLATTN_OK;
done:
    /* The next call tries again. */
    clattn__kernel_release(&by->pack);
    own->release(product);
    shared->release(shared_product);
    return status;
}

clattn_tensor clattn__one_of_alike(const clattn_tensor *tensor)
{
    clattn_tensor one = *tensor;
    if (one.strides[1] == 0)
        one.shape[1] = 1;
    return one;
}

void clattn__as_heads(clattn_tensor *tensor, int64_t heads)
{
    if (tensor->shape[1] == 1)
        tensor->shape[1] = heads, tensor->strides[1] = 0;
}

clattn_status clattn__project(clattn__projector *by, clattn_device *device,
                              clattn__timeline *timeline, const clattn__projection *p,
                              clattn_tensor *out)
{
    clattn_status status = CLATTN_OK;
    const clattn_dtype sums = clattn__sum_dtype(by->dtype);
    const int64_t B = p->rows->shape[0], H = p->rows->shape[1], R = p->rows->shape[2];
    const clattn_tensor matrix = clattn__one_of_alike(&p->matrix);
    clattn_tensor rows;
    TRY(build_products(by, device));
    const bool shared = matrix.shape[1] == 1;
    const int64_t heads = shared ? H : matrix.shape[1], group = heads / H;
    const clattn__multiplier *multiplier = shared ? by->shared_multiplier : by->multiplier;
    void *state = shared ? by->shared_product : by->product;
    const int64_t panel = multiplier->panel(state, device, by->dtype);
    const clattn__packing panels = {p->lanes, panel, p->rows->shape[3],
                                    clattn__round_up(p->N, panel)};
    const bool into = p->into && p->into->shape[1] == heads && multiplier->takes_any_memory &&
                      clattn__rows_are_ready(p->into, sums);
    if (!into)
        TRY(clattn__scratch_reserve(p->to, device,
                                    (size_t)(B * heads * R * p->N) * clattn__sum_size(by->dtype)));
    *out = into ? *p->into : clattn__dense(sums, p->to->memory, B, heads, R, p->N);
    const int64_t step = out->strides[2];
    clattn__product product = {.c = out->buffer,
                               .c_is_scratch = !into,
                               .N = p->N,
                               .K = p->rows->shape[3],
                               .alpha = p->alpha};
    TRY(clattn__join_rows(&by->pack, device, timeline, by->dtype, p->rows,
                          multiplier->takes_any_memory, &by->rows, &rows));
    product.a = rows.buffer, product.a_offset = rows.offset, product.lda = rows.strides[2];
    /* With one matrix all rows are those of one head. */
    clattn__call call = {.B = 1, .Hq = 1, .Hkv = 1, .S = B * H * R};
    if (!shared)
        call = (clattn__call){.B = B, .Hq = H, .Hkv = H, .S = R};
    for (int64_t r = 0; r < group; r++) {
        clattn_tensor of_heads = matrix;
        of_heads.shape[1] /= group;
        of_heads.strides[1] *= group;
        of_heads.offset += r * matrix.strides[1];
        TRY(clattn__scratch_reserve(&by->matrix, device,
                                    clattn__packed_count(&of_heads, &panels) *
                                        clattn__sum_size(by->dtype)));
        TRY(clattn__pack_run(&by->pack, device, timeline, &of_heads, &panels, by->matrix.memory,
                             NULL));
        product.b = by->matrix.memory;
        product.b_heads = of_heads.shape[1];
        product.c_view = (clattn_view){.offset = out->offset + r * R * step,
                                       .batch = heads * R * step,
                                       .head = group * R * step,
                                       .row = step,
                                       .column = 1,
                                       .kind = (clattn_int)sums};
        TRY(multiplier->run(state, device, timeline, by->dtype, &call, &product));
    }
done:
    return status;
}

clattn_status clattn__sum_outer(clattn__projector *by, clattn_device *device,
                                clattn__timeline *timeline, const clattn__outer *outer,
                                clattn_tensor *out)
{
    clattn_status status = CLATTN_OK;
    const clattn_dtype sums = clattn__sum_dtype(by->dtype);
    const size_t size = clattn__sum_size(by->dtype);
    clattn_tensor x = *outer->x, y = *outer->y;
    TRY(build_products(by, device));
    const clattn__multiplier *multiplier = by->multiplier;
    const int64_t M = x.shape[3], N = y.shape[3],
                  panel = multiplier->panel(by->product, device, by->dtype);
    if (!outer->of_heads) {
        TRY(clattn__join_rows(&by->pack, device, timeline, by->dtype, outer->x, true, &by->rows,
                              &x));
        TRY(clattn__join_rows(&by->pack, device, timeline, by->dtype, outer->y, true, &by->others,
                              &y));
    }
    const int64_t B = x.shape[0], heads = x.shape[1], H = y.shape[1], group = heads / H,
                  R = x.shape[2];
    const clattn__packing columns = {CLATTN__LANES_ARE_COLUMNS, 1, R, M},
                          panels = {CLATTN__LANES_ARE_COLUMNS, panel, R,
                                    clattn__round_up(N, panel)};
    TRY(clattn__scratch_reserve(&by->columns, device, (size_t)(B * H * R * M) * size));
    TRY(clattn__scratch_reserve(&by->matrix, device, clattn__packed_count(&y, &panels) * size));
    TRY(clattn__scratch_reserve(&by->flags, device, clattn__packed_flags(&y, &panels)));
    TRY(clattn__pack_run(&by->pack, device, timeline, &y, &panels, by->matrix.memory,
                         by->flags.memory));
    TRY(clattn__scratch_reserve(outer->to, device, (size_t)(B * heads * M * N) * size));
    for (int64_t r = 0; r < group; r++) {
        clattn_tensor of_heads = x;
        of_heads.shape[1] = H;
        of_heads.strides[1] *= group;
        of_heads.offset += r * x.strides[1];
        TRY(clattn__pack_run(&by->pack, device, timeline, &of_heads, &columns, by->columns.memory,
                             NULL));
        const clattn__call call = {.B = B, .Hq = H, .Hkv = H, .S = M};
        const clattn__product product = {.a = by->columns.memory,
                                         .lda = R,
                                         .b = by->matrix.memory,
                                         .b_heads = B * H,
                                         .c = outer->to->memory,
                                         .c_is_scratch = true,
                                         .c_view = {.offset = r * M * N,
                                                    .batch = heads * M * N,
                                                    .head = group * M * N,
                                                    .row = N,
                                                    .column = 1,
                                                    .kind = (clattn_int)sums},
                                         .N = N,
                                         .K = R,
                                         .alpha = outer->alpha};
        TRY(multiplier->run(by->product, device, timeline, by->dtype, &call, &product));
    }
    *out = clattn__dense(sums, outer->to->memory, B, heads, M, N);
done:
    return status;
}
