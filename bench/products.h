/* products.h: the five products of lanes_backward.cl (ceiling_backward.cl), over a case as large, and nothing else; or
 * exponentials of its scores, too. */
#ifndef BENCH_PRODUCTS_H
#define BENCH_PRODUCTS_H

#include "case.h"

#include <clattn/clattn_cl.h>

typedef struct bench_products {
    cl_kernel kernel;
    size_t groups;
} bench_products;

/* Of the inputs of `args`, whose gradient of the output is the query, to its gradients, which are not those of
 * attention. False where the case does not fit the kernel, whose work-items have a key head each, or it computes
 * something else. */
bool bench_products_make(bench_products *products, clattn_device *device, const bench_case *c,
                         const clattn_attention_args *args, bool exponentials);
bool bench_products_run(const bench_products *products, clattn_device *device);
void bench_products_release(bench_products *products);

#endif
