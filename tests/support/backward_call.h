/* backward_call.h: a call of forward, turned into backward of the same. */
#ifndef TESTS_SUPPORT_BACKWARD_CALL_H
#define TESTS_SUPPORT_BACKWARD_CALL_H

#include "host_call.h"

/* Of a call whose outputs have been computed, lse among them: numbers from a fixed seed for the gradients of
 * those of `outputs` that can have one (0: of all), and a tensor for each gradient that there can be, of NaN
 * still. Gradients have the types of what they are of, and `strides`. */
void backward_call_turn(host_call *call, uint32_t outputs, host_strides strides);

/* Leaves those of `gradients`, bits of the desc, and asks for no others. */
void backward_call_keep(host_call *call, uint32_t gradients);

/* Of a call that is turned: takes `keys` in the place of the key and of what that has met, and has a gradient of
 * what they hold, of NaN still. */
void backward_call_project(host_call *call, const clattn_keys *keys, host_strides strides);

/* Input number `index` of those that can have a gradient, whether it is there or not, the gradient, and its name
 * in a report; false past the last. */
typedef struct backward_gradient {
    const clattn_tensor *of;
    clattn_tensor *gradient;
    uint32_t bit; /* of desc.gradients */
    const char *name;
} backward_gradient;
bool backward_call_gradient(host_call *call, size_t index, backward_gradient *out);

#endif
