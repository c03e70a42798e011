/* device_runs.h: runs a call on a device and judges it. */
#ifndef TESTS_SUPPORT_DEVICE_RUNS_H
#define TESTS_SUPPORT_DEVICE_RUNS_H

#include "cases.h"
#include "device_limits.h"
#include "named_tests.h"
#include "tuning/tuning.h"

#include <stdbool.h>

/* Runs `call` by `variant` (NULL: the default one) and
 * asserts that clattn_verify() finds it right. */
void run_and_verify(clattn_device *device, host_call *call, const char *variant, const char *about);

/* A plan for `call` by `variant`; the caller's to destroy. */
clattn_plan *plan_of(clattn_device *device, const host_call *call, const char *variant);

/* Runs a plan and waits for it. */
void run_to_end(clattn_device *device, clattn_plan *plan, const clattn_attention_args *args);

/* A case twice, with the same inputs; `first` has been run, by a plan of its own. */
typedef struct case_pair {
    host_call first, second;
    clattn_plan *plan;
} case_pair;

void case_pair_make(case_pair *pair, clattn_device *device, const clattn_case *from,
                    const char *variant);
void case_pair_free(case_pair *pair);

/* So that a second run cannot pass by what the first one left. */
void wipe_outputs(host_call *call);

/* run_and_verify() with a case of the table; one that the device cannot take is skipped. */
void run_case(clattn_device *device, const clattn_case *c, const char *variant);

/* And with each normalizer that gives a key a weight of its own, whatever the case's is; sinks go with softmax
 * alone. */
void run_case_with_own_weights(clattn_device *device, const clattn_case *c, const char *variant);

/* Adds `test` for every case that hurts and every pair of modifications; its state is the case. */
void add_all_cases(named_tests *tests, CMUnitTestFunction test);

/* For every case of one table. */
void add_cases(named_tests *tests, CMUnitTestFunction test, case_table table);

/* What a device is played as while a group of tests runs. */
typedef struct device_played {
    bool copies;         /* it has memory of its own: every host tensor is copied */
    bool little_scratch; /* for one row of one head: calls are cut along batch, heads and rows */
} device_played;

int run_on_played(clattn_device *device, device_played as, named_tests *tests, const char *group);

/* device_takes() and device_loops() of a case. */
bool device_takes_case(const clattn_device *device, const clattn_case *c);

/* Taller than it is wide, by vectors of two. */
extern const clattn__tile tile_beside_the_table;

#endif
