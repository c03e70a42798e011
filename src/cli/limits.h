/* limits.h: what a device can do at best, measured on it:
 * the yardstick for the figures of bench. */
#ifndef CLI_LIMITS_H
#define CLI_LIMITS_H

#include <clattn/device.h>

/* 0 where it could not be measured. */
typedef struct cli_limits {
    double gflops; /* fused multiply-adds in f32, two operations each */
    double gbs;    /* reading memory, 1e9 bytes per second */
} cli_limits;

void cli_limits_measure(cli_limits *limits, clattn_device *device);

#endif
