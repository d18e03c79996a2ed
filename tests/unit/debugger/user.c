/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user.h"

enum { WORK = SIM_RVA_WORK };

#define MSR_LSTAR 0xC0000082u

static uint64_t now_of(struct user *u)
{
    return u->b.now;
}

static uint32_t rnd(struct user *u, uint32_t below)
{
    u->random ^= u->random << 13;
    u->random ^= u->random >> 7;
    u->random ^= u->random << 17;
    return (uint32_t)((u->random >> 16) % below);
}

/* True when it went well; with header faults a failure is counted, else it fails the test. */
static bool good(struct user *u, int result)
{
    if (result == KD_OK)
        return true;
    if (!u->tolerant)
        fail_msg("request %x failed: %s (%x)", u->b.debugger.request.api, kd_error_text(result),
                 u->b.result.status);
    u->failed++;
    return false;
}

static void once(const struct user *u, unsigned count, unsigned expected)
{
    if (!u->tolerant)
        assert_int_equal(count, expected);
}

static void do_read(struct user *u)
{
    uint32_t at = rnd(u, SCRATCH_SIZE - sizeof u->buffer), size = 1 + rnd(u, sizeof u->buffer);
    memset(u->buffer, 0xEE, sizeof u->buffer);
    int result = bench_finish(&u->b, kd_debugger_read(&u->b.debugger, now_of(u), KD_SPACE_VIRTUAL,
                                                      0, SCRATCH_BASE + at, u->buffer, size));
    if (!good(u, result))
        return;
    assert_int_equal(u->b.result.count, size);
    assert_memory_equal(u->buffer, u->b.scratch + at, size);
    assert_memory_equal(u->buffer, u->shadow + at, size);
}

static void do_write(struct user *u)
{
    uint32_t at = rnd(u, SCRATCH_SIZE - sizeof u->buffer), size = 1 + rnd(u, sizeof u->buffer);
    for (uint32_t i = 0; i < size; i++)
        u->buffer[i] = (uint8_t)rnd(u, 256);
    u->b.counts.write_virtual = 0;
    int result = bench_finish(&u->b, kd_debugger_write(&u->b.debugger, now_of(u), KD_SPACE_VIRTUAL,
                                                       0, SCRATCH_BASE + at, u->buffer, size));
    once(u, u->b.counts.write_virtual,
         (size + KD_MANIPULATE_DATA_MAX - 1) / KD_MANIPULATE_DATA_MAX);
    if (good(u, result))
        memcpy(u->shadow + at, u->buffer, size);
    else
        memcpy(u->shadow, u->b.scratch, SCRATCH_SIZE);
    assert_memory_equal(u->b.scratch, u->shadow, SCRATCH_SIZE);
}

static void do_context(struct user *u)
{
    uint8_t context[KD_CONTEXT_AMD64_SIZE];
    uint16_t cpu = u->b.debugger.stop.cpu;
    if (!good(u, bench_finish(&u->b,
                              kd_debugger_get_context(&u->b.debugger, now_of(u), cpu, context))))
        return;
    assert_int_equal(KD_GET(context, ContextAmd64, Rip), bench_cpu(&u->b)->rip);
    uint64_t value = rnd(u, UINT32_MAX);
    KD_PUT(context, ContextAmd64, R15, value);
    u->b.counts.set_context = 0;
    if (!good(u, bench_finish(&u->b,
                              kd_debugger_set_context(&u->b.debugger, now_of(u), cpu, context))))
        return;
    once(u, u->b.counts.set_context, 1);
    assert_int_equal(bench_cpu(&u->b)->gpr[15], value);
}

static bool wait_stop(struct user *u)
{
    if (bench_until(&u->b, &u->b.stopped, u->tolerant ? 30 : 120))
        return true;
    assert_true(u->tolerant);
    u->failed++;
    bench_break_in(&u->b);
    return false;
}

/* Continue2; true when the target acknowledged and stopped again. */
static bool go(struct user *u, bool trace)
{
    u->b.stopped = false;
    int result = bench_finish(
        &u->b, kd_debugger_continue2(&u->b.debugger, now_of(u), KD_DBG_CONTINUE, trace, 0x400));
    bool went = good(u, result);
    return wait_stop(u) && went && !u->b.debugger.stop.repeated;
}

static void do_step(struct user *u)
{
    uint64_t before = bench_cpu(&u->b)->retired;
    bool went = go(u, true);
    if (went)
        once(u, (unsigned)(bench_cpu(&u->b)->retired - before), 1);
}

static uint64_t counter(struct user *u)
{
    uint8_t bytes[8];
    sim_machine_ops()->read_virtual(&u->b.sim.machine, SIM_KERNEL_BASE + SIM_RVA_COUNTER, bytes, 8);
    return kd_get_u64(bytes);
}

/* Runs to the breakpoint, COUNT times: each time one turn of the program's loop. */
static void do_breakpoint(struct user *u)
{
    for (unsigned i = 0; i < 1 + rnd(u, 3); i++) {
        uint64_t turns = counter(u);
        if (u->b.debugger.stop.program_counter == SIM_KERNEL_BASE + WORK)
            do_step(u);
        if (!good(u, bench_finish(&u->b, kd_debugger_write_breakpoint(&u->b.debugger, now_of(u),
                                                                      SIM_KERNEL_BASE + WORK))))
            return;
        uint32_t handle = (uint32_t)u->b.result.value;
        bool went = go(u, false);
        if (went && !u->tolerant) {
            assert_int_equal(u->b.debugger.stop.program_counter, SIM_KERNEL_BASE + WORK);
            assert_true(counter(u) - turns <= 1);
        }
        int result =
            bench_finish(&u->b, kd_debugger_restore_breakpoint(&u->b.debugger, now_of(u), handle));
        if (result != KD_E_REFUSED) /* like NT, the target removes those near the PC itself */
            good(u, result);
    }
}

static void do_msr(struct user *u)
{
    uint64_t value = rnd(u, UINT32_MAX), found;
    u->b.counts.write_msr = 0;
    if (!good(u, bench_finish(
                     &u->b, kd_debugger_write_msr(&u->b.debugger, now_of(u), 0, MSR_LSTAR, value))))
        return;
    assert_int_equal(u->b.counts.write_msr, 1);
    assert_int_equal(sim_read_msr(&u->b.sim.machine, 0, MSR_LSTAR, &found), 0);
    assert_int_equal(found, value);
    if (good(u, bench_finish(&u->b, kd_debugger_read_msr(&u->b.debugger, now_of(u), 0, MSR_LSTAR))))
        assert_int_equal(u->b.result.value, value);
}

static void do_port(struct user *u)
{
    uint32_t value = rnd(u, UINT32_MAX);
    u->b.counts.write_io = u->b.counts.read_io = 0;
    int result =
        bench_finish(&u->b, kd_debugger_write_io(&u->b.debugger, now_of(u), 0x1000, 4, value));
    assert_true(u->b.counts.write_io <= 1);
    if (!good(u, result))
        return;
    assert_int_equal(u->b.counts.write_io, 1);
    result = bench_finish(&u->b, kd_debugger_read_io(&u->b.debugger, now_of(u), 0x1000, 4));
    assert_true(u->b.counts.read_io <= 1);
    if (good(u, result))
        assert_int_equal(u->b.result.value, value);
}

static void do_version(struct user *u)
{
    struct kd_debugger_version version;
    if (!good(u, bench_finish(&u->b, kd_debugger_get_version(&u->b.debugger, now_of(u), &version))))
        return;
    assert_int_equal(version.kernel_base, SIM_KERNEL_BASE);
    u->b.modules = 0;
    if (good(u, bench_finish(&u->b, kd_debugger_walk_modules(&u->b.debugger, now_of(u),
                                                             version.loaded_module_list))))
        assert_int_equal(u->b.modules, 2);
}

static void do_search(struct user *u)
{
    static const uint8_t pattern[] = {0xDE, 0xAD, 0xBE, 0xEF, 0x42, 0x17, 0x99, 0x01};
    uint32_t at = rnd(u, SCRATCH_SIZE - 8);
    memcpy(u->b.scratch + at, pattern, sizeof pattern);
    memcpy(u->shadow + at, pattern, sizeof pattern);
    if (!good(u, bench_finish(&u->b, kd_debugger_search(&u->b.debugger, now_of(u), SCRATCH_BASE,
                                                        SCRATCH_SIZE, pattern, sizeof pattern))))
        return;
    assert_true(u->b.result.value <= SCRATCH_BASE + at);
    assert_memory_equal(u->b.scratch + (u->b.result.value - SCRATCH_BASE), pattern, sizeof pattern);
    memset(u->b.scratch + (u->b.result.value - SCRATCH_BASE), 0, sizeof pattern);
    memcpy(u->shadow, u->b.scratch, SCRATCH_SIZE);
}

static void do_hole(struct user *u)
{
    /* Across the end of the region: the count must be exact. */
    uint32_t inside = 1 + rnd(u, 6000);
    memset(u->buffer, 0xEE, sizeof u->buffer);
    int result = bench_finish(&u->b, kd_debugger_read(&u->b.debugger, now_of(u), KD_SPACE_VIRTUAL,
                                                      0, SCRATCH_BASE + SCRATCH_SIZE - inside,
                                                      u->buffer, inside + 5000));
    if (u->tolerant && result != KD_E_FAULT) {
        u->failed++;
        return;
    }
    assert_int_equal(result, KD_E_FAULT);
    assert_int_equal(u->b.result.count, inside);
    assert_memory_equal(u->buffer, u->b.scratch + SCRATCH_SIZE - inside, inside);
    assert_int_equal(u->buffer[inside], 0xEE);
}

static void do_break_in(struct user *u)
{
    u->b.stopped = false;
    good(u, bench_finish(&u->b, kd_debugger_continue(&u->b.debugger, now_of(u), KD_DBG_CONTINUE)));
    bench_run(&u->b, 1 + rnd(u, 5));
    bench_break_in(&u->b);
}

static void one(struct user *u)
{
    static void (*const requests[])(struct user *) = {
        do_read,       do_read, do_write, do_write,   do_context, do_step, do_step,
        do_breakpoint, do_msr,  do_port,  do_version, do_search,  do_hole, do_break_in,
    };
    requests[rnd(u, sizeof requests / sizeof requests[0])](u);
    if (u->tolerant && kd_debugger_state(&u->b.debugger) != KD_DEBUGGER_STOPPED)
        bench_break_in(&u->b);
    if (u->tolerant)
        memcpy(u->shadow, u->b.scratch, SCRATCH_SIZE);
}

void user_init(struct user *u, const char *faults, uint64_t seed)
{
    memset(u, 0, sizeof *u);
    bench_init(&u->b, NULL, faults, seed);
    u->random = 0x9E3779B97F4A7C15u * (seed + 1);
}

void user_requests(struct user *u, unsigned requests)
{
    bench_attach(&u->b);
    for (unsigned i = 0; i < requests; i++)
        one(u);
}
