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
    clattn__scratch_release(&by->rows);
    clattn__scratch_release(&by->matrix);
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

/* Packs the rows of the product where it cannot read them as they are. */
static clattn_status take_rows(clattn__projector *by, clattn_device *device,
                               clattn__timeline *timeline, const clattn_tensor *rows,
                               bool any_memory, clattn__product *product)
{
    clattn_status status = CLATTN_OK;
    const clattn__packing dense = {CLATTN__LANES_ARE_ROWS, 1, rows->shape[3], rows->shape[2]};
    product->a = rows->buffer;
    product->a_offset = rows->offset;
    product->lda = rows->strides[2];
    if (any_memory && clattn__rows_are_ready(rows, clattn__sum_dtype(by->dtype)))
        return CLATTN_OK;
    TRY(clattn__scratch_reserve(&by->rows, device,
                                clattn__packed_count(rows, &dense) * clattn__sum_size(by->dtype)));
    TRY(clattn__pack_run(&by->pack, device, timeline, rows, &dense, by->rows.memory, NULL));
    product->a = by->rows.memory;
    product->a_offset = 0;
    product->lda = rows->shape[3];
done:
    return status;
}

clattn_status clattn__project(clattn__projector *by, clattn_device *device,
                              clattn__timeline *timeline, const clattn__projection *p,
                              clattn_tensor *out)
{
    clattn_status status = CLATTN_OK;
    const clattn_dtype sums = clattn__sum_dtype(by->dtype);
    const int64_t B = p->rows->shape[0], H = p->rows->shape[1], R = p->rows->shape[2];
    const clattn_tensor matrix = clattn__one_of_alike(&p->matrix);
    TRY(build_products(by, device));
    const bool shared = matrix.shape[1] == 1;
    const int64_t heads = shared ? H : matrix.shape[1], group = heads / H;
    const clattn__multiplier *multiplier = shared ? by->shared_multiplier : by->multiplier;
    void *state = shared ? by->shared_product : by->product;
    const int64_t panel = multiplier->panel(state, device, by->dtype);
    const clattn__packing panels = {p->lanes, panel, p->rows->shape[3],
                                    clattn__round_up(p->N, panel)};
    TRY(clattn__scratch_reserve(p->to, device,
                                (size_t)(B * heads * R * p->N) * clattn__sum_size(by->dtype)));
    *out = clattn__dense(sums, p->to->memory, B, heads, R, p->N);
    clattn__product product = {.c = p->to->memory,
                               .c_is_scratch = true,
                               .N = p->N,
                               .K = p->rows->shape[3],
                               .alpha = p->alpha};
    TRY(take_rows(by, device, timeline, p->rows, multiplier->takes_any_memory, &product));
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
        product.c_view = (clattn_view){.offset = r * R * p->N,
                                       .batch = heads * R * p->N,
                                       .head = group * R * p->N,
                                       .row = p->N,
                                       .column = 1,
                                       .kind = (clattn_int)sums};
        TRY(multiplier->run(state, device, timeline, by->dtype, &call, &product));
    }
done:
    return status;
}
