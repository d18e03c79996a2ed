/* SPDX-License-Identifier: BSD-2-Clause */
#include "timer.h"

#include "cpu.h"

enum { MEASURE_US = 2000 };

static uint64_t ticks_per_us = 1000;
static uint64_t start, last;

void timer_init(EFI_BOOT_SERVICES *boot)
{
    uint64_t before = cpu_tsc();
    uint64_t ticks;

    (void)boot->Stall(MEASURE_US);
    ticks = cpu_tsc() - before;
    if (ticks / MEASURE_US > 0)
        ticks_per_us = ticks / MEASURE_US;
    start = cpu_tsc();
}

/* A migrated or restored virtual machine may see its counter jump back: time then stands still. */
uint64_t timer_now(void)
{
    uint64_t now = (cpu_tsc() - start) / ticks_per_us;

    if ((int64_t)(now - last) > 0)
        last = now;
    return last;
}
