/* SPDX-License-Identifier: BSD-2-Clause */
#include "../clock.h"

#include <time.h>

uint64_t clock_wall_ns(void)
{
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
