/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Thousands of mixed requests over a wire that loses, changes, doubles, delays and splits: each
 * ends with exact data and takes effect exactly once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user.h"

enum {
    SEEDS = 20,
    REQUESTS = 1000,
    REQUESTS_HEADER = 1000,
    REQUESTS_TERRIBLE = 150,
    REQUESTS_RECOVERED = 20,
};

static uint64_t total_faults(const struct bench *b)
{
    uint64_t count = 0;
    for (int kind = 0; kind < SIM_FAULT_KINDS; kind++) {
        count += sim_fault_count(b->to_target, (enum sim_fault_kind)kind);
        count += sim_fault_count(b->to_debugger, (enum sim_fault_kind)kind);
    }
    return count;
}

/* Whatever the wire did to the session: on a good one every request is exact again. */
static void recovers(struct user *u)
{
    bench_mend(&u->b);
    bench_attach(&u->b);
    /* As WinDbg does when it attaches: a breakpoint may be set whose handle was lost. */
    for (uint32_t handle = 1; handle <= KD_BREAKPOINTS_MAX; handle++)
        bench_finish(&u->b, kd_debugger_restore_breakpoint(&u->b.debugger, u->b.now, handle));
    u->tolerant = false;
    memcpy(u->shadow, u->b.scratch, SCRATCH_SIZE);
    user_requests(u, REQUESTS_RECOVERED);
}

static void session(const char *faults, uint64_t seed, unsigned requests, bool tolerant)
{
    struct user *u = calloc(1, sizeof *u);
    assert_non_null(u);
    user_init(u, faults, seed);
    u->tolerant = tolerant;
    user_requests(u, requests);
    assert_true(total_faults(&u->b) > 0);
    if (tolerant)
        print_message(
            "seed %2u: %u of %u requests reported a failure, %u asked again, virtual %us\n",
            (unsigned)seed, u->failed, requests, u->b.recovered, (unsigned)(u->b.now / 1000000));
    /* 8 % of everything lose a request now and then; 1 % of headers next to none. */
    assert_true(u->failed <= requests / 25);
    if (tolerant)
        recovers(u);
    else
        assert_int_equal(u->failed, 0);
    bench_close(&u->b);
    free(u);
}

/* ---- one test per kind ---- */

static void seeds(const char *faults)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        session(faults, seed, REQUESTS, false);
}

#define KIND(name, faults)                                                                         \
    static void name(void **state)                                                                 \
    {                                                                                              \
        (void)state;                                                                               \
        seeds(faults);                                                                             \
    }
KIND(survives_lost_writes, "drop=1%")
KIND(survives_lost_bytes, "lose=1%")
KIND(survives_changed_payload, "payload=1%")
KIND(survives_changed_trailer, "trailer=1%")
KIND(survives_doubled_writes, "duplicate=1%")
KIND(survives_delayed_writes, "delay=1%")
KIND(survives_split_writes, "split=1%")
KIND(survives_all_of_them, "all=1%")

static void ends_with_changed_headers(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        session("header=1%", seed, REQUESTS_HEADER, true);
}

/* Far beyond any real wire: packets are given up, RESETs are lost and doubled. Nothing hangs, and
 * what must not happen twice does not. */
static void ends_on_a_terrible_wire(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        session("all=8%,header=8%", seed, REQUESTS_TERRIBLE, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(survives_lost_writes),      cmocka_unit_test(survives_lost_bytes),
        cmocka_unit_test(survives_changed_payload),  cmocka_unit_test(survives_changed_trailer),
        cmocka_unit_test(survives_doubled_writes),   cmocka_unit_test(survives_delayed_writes),
        cmocka_unit_test(survives_split_writes),     cmocka_unit_test(survives_all_of_them),
        cmocka_unit_test(ends_with_changed_headers), cmocka_unit_test(ends_on_a_terrible_wire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
