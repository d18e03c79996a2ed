/* SPDX-License-Identifier: BSD-2-Clause */
/* A debugger engine, a simulated target and the two directions of a wire between them, on a
 * virtual clock. The machine's operations are counted. */
#ifndef KDWIRE_TESTS_DEBUGGER_BENCH_H
#define KDWIRE_TESTS_DEBUGGER_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fault.h"
#include "kdwire/debugger.h"
#include "session.h"

#define SCRATCH_BASE 0xFFFFF80003000000u
enum { SCRATCH_SIZE = 0x10000 };

struct counts {
    unsigned write_virtual, set_context, write_msr, write_io, read_io;
};

/* Something between the two wires and the target, e.g. two relays and a network: bytes go in at
 * one end and come out at the other. */
struct bench_middle {
    void *context;
    void (*feed)(void *context, uint64_t now, bool to_target, const uint8_t *bytes, size_t size);
    /* As kd_link_output and kd_link_written, for either end. */
    size_t (*output)(void *context, bool to_target, const uint8_t **bytes);
    void (*written)(void *context, uint64_t now, bool to_target, size_t size);
    void (*tick)(void *context, uint64_t now);
    uint64_t (*deadline)(void *context);
};

struct bench {
    struct kd_debugger debugger;
    struct sim_session sim;
    struct sim_fault *to_target, *to_debugger;
    const struct bench_middle *middle; /* NULL: the wires meet the other end directly */
    uint64_t now;
    uint64_t run_step_us; /* per turn while the target runs; 0 = the default */
    uint8_t *scratch;     /* the target's memory at SCRATCH_BASE */
    struct counts counts;

    bool done, stopped, lost, detached;
    struct kd_debugger_event result;
    unsigned stops, modules, prints, recovered, restarted, prompts;
    char text[256]; /* of the last print or prompt */
};

/* MACHINE may be NULL. FAULTS is the specification of both directions, e.g. "drop=1%". */
void bench_init(struct bench *bench, const struct sim_config *machine, const char *faults,
                uint64_t seed);
void bench_close(struct bench *bench);
/* The machine is switched off and on; with BOOT_STOP it then reports its modules and stops. */
void bench_power_cycle(struct bench *bench, bool boot_stop);
/* From now on the wire is a good one. */
void bench_mend(struct bench *bench);

/* Runs both sides until *FLAG is set; false when nothing has happened within SECONDS of virtual
 * time. */
bool bench_until(struct bench *bench, const bool *flag, unsigned seconds);
void bench_run(struct bench *bench, unsigned milliseconds);

/* STARTED is what a kd_debugger_* call returned: 0 expected. Returns the request's result. */
int bench_finish(struct bench *bench, int started);

/* Attaches and waits for the stop. */
void bench_attach(struct bench *bench);
/* Breaks in (again and again if need be) and waits for the stop. */
void bench_break_in(struct bench *bench);
struct sim_cpu *bench_cpu(struct bench *bench);

#endif
