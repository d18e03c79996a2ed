/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "bench.h"

enum {
    RUN_INSTRUCTIONS = 300, /* per turn while the target runs */
    RUN_STEP_US = 500,
    PATIENCE_S = 300,
};

/* The machine's operations take the machine; the bench that counts is the one under test. */
static struct bench *counted;
static struct kd_machine_ops ops;

static size_t count_write(void *machine, uint64_t address, const uint8_t *from, size_t size)
{
    counted->counts.write_virtual++;
    return sim_machine_ops()->write_virtual(machine, address, from, size);
}

static int count_set_context(void *machine, uint32_t cpu,
                             const uint8_t context[KD_CONTEXT_AMD64_SIZE])
{
    counted->counts.set_context++;
    return sim_machine_ops()->set_context(machine, cpu, context);
}

static int count_write_msr(void *machine, uint32_t cpu, uint32_t msr, uint64_t value)
{
    counted->counts.write_msr++;
    return sim_machine_ops()->write_msr(machine, cpu, msr, value);
}

static int count_write_io(void *machine, uint64_t port, uint32_t size, uint32_t value)
{
    counted->counts.write_io++;
    return sim_machine_ops()->write_io(machine, port, size, value);
}

static int count_read_io(void *machine, uint64_t port, uint32_t size, uint32_t *value)
{
    counted->counts.read_io++;
    return sim_machine_ops()->read_io(machine, port, size, value);
}

static struct sim_fault *new_wire(const char *faults, uint64_t seed)
{
    struct sim_fault_config config;
    const char *where;
    assert_int_equal(sim_fault_parse(&config, faults, &where), 0);
    config.seed = seed;
    struct sim_fault *wire = sim_fault_new(&config);
    assert_non_null(wire);
    return wire;
}

static void start_machine(struct bench *b, const struct sim_session_config *config)
{
    assert_int_equal(sim_session_init(&b->sim, config), 0);
    assert_int_equal(
        sim_map(&b->sim.machine, SCRATCH_BASE, SCRATCH_SIZE, SIM_R | SIM_W, &b->scratch), 0);
    ops = *sim_machine_ops();
    ops.write_virtual = count_write;
    ops.set_context = count_set_context;
    ops.write_msr = count_write_msr;
    ops.write_io = count_write_io;
    ops.read_io = count_read_io;
    kd_target_init(&b->sim.target, &config->target, &ops, &b->sim.machine);
    sim_session_line(&b->sim, b->now, true);
}

void bench_init(struct bench *b, const struct sim_config *machine, const char *faults,
                uint64_t seed)
{
    struct sim_session_config config = {0};
    memset(b, 0, sizeof *b);
    counted = b;
    if (machine != NULL)
        config.machine = *machine;
    b->to_target = new_wire(faults, 2 * seed);
    b->to_debugger = new_wire(faults, 2 * seed + 1);
    b->now = 1000000;
    kd_debugger_init(&b->debugger, NULL);
    start_machine(b, &config);
}

void bench_power_cycle(struct bench *b, bool boot_stop)
{
    const struct sim_session_config config = {.boot_stop = boot_stop};
    sim_session_close(&b->sim);
    start_machine(b, &config);
}

void bench_close(struct bench *b)
{
    sim_fault_free(b->to_target);
    sim_fault_free(b->to_debugger);
    sim_session_close(&b->sim);
}

void bench_mend(struct bench *b)
{
    bench_run(b, 5000); /* nothing is on its way any more */
    sim_fault_free(b->to_target);
    sim_fault_free(b->to_debugger);
    b->to_target = new_wire("drop=0", 0);
    b->to_debugger = new_wire("drop=0", 0);
}

static void note_text(struct bench *b, const struct kd_debugger_event *event)
{
    snprintf(b->text, sizeof b->text, "%.*s", (int)event->text_size, event->text);
}

static void drain(struct bench *b)
{
    struct kd_debugger_event event;
    while (kd_debugger_event(&b->debugger, &event)) {
        switch (event.kind) {
        case KD_DEBUGGER_DONE:
            assert_false(b->done); /* one DONE per request */
            b->done = true;
            b->result = event;
            break;
        case KD_DEBUGGER_STOP:
            b->stopped = true;
            b->stops++;
            break;
        case KD_DEBUGGER_LOST:
            b->lost = true;
            break;
        case KD_DEBUGGER_DETACHED:
            b->detached = true;
            break;
        case KD_DEBUGGER_PRINT:
            b->prints++;
            note_text(b, &event);
            break;
        case KD_DEBUGGER_PROMPT:
            b->prompts++;
            note_text(b, &event);
            break;
        case KD_DEBUGGER_MODULE_LOADED:
            b->modules++;
            break;
        case KD_DEBUGGER_RECOVERED:
            b->recovered++;
            break;
        case KD_DEBUGGER_RESTARTED:
            b->restarted++;
            break;
        default:
            break;
        }
    }
}

static void feed_debugger(struct bench *b, const uint8_t *bytes, size_t size)
{
    size_t at = 0;
    while (at < size) {
        at += kd_debugger_feed(&b->debugger, b->now, bytes + at, size - at);
        drain(b);
    }
}

static void feed_end(struct bench *b, bool to_target, const uint8_t *bytes, size_t size)
{
    if (to_target)
        sim_session_feed(&b->sim, b->now, bytes, size);
    else
        feed_debugger(b, bytes, size);
}

static void arrive(struct bench *b, bool to_target, const uint8_t *bytes, size_t size)
{
    if (b->middle)
        b->middle->feed(b->middle->context, b->now, to_target, bytes, size);
    else
        feed_end(b, to_target, bytes, size);
}

static void carry_middle(struct bench *b)
{
    const uint8_t *bytes;
    size_t size;
    if (!b->middle)
        return;
    b->middle->tick(b->middle->context, b->now);
    for (int to_target = 0; to_target < 2; to_target++) {
        while ((size = b->middle->output(b->middle->context, to_target, &bytes)) > 0) {
            feed_end(b, to_target, bytes, size);
            b->middle->written(b->middle->context, b->now, to_target, size);
        }
    }
}

static void carry(struct bench *b)
{
    const uint8_t *bytes;
    uint8_t piece[8192];
    size_t size;
    while ((size = kd_debugger_output(&b->debugger, &bytes)) > 0) {
        assert_int_equal(sim_fault_write(b->to_target, b->now, bytes, size), 0);
        kd_debugger_written(&b->debugger, b->now, size);
    }
    while ((size = sim_session_output(&b->sim, &bytes)) > 0) {
        assert_int_equal(sim_fault_write(b->to_debugger, b->now, bytes, size), 0);
        sim_session_written(&b->sim, b->now, size);
    }
    while ((size = sim_fault_read(b->to_target, b->now, piece, sizeof piece)) > 0)
        arrive(b, true, piece, size);
    while ((size = sim_fault_read(b->to_debugger, b->now, piece, sizeof piece)) > 0)
        arrive(b, false, piece, size);
    carry_middle(b);
}

static bool quiet(struct bench *b)
{
    const uint8_t *bytes;
    return kd_debugger_output(&b->debugger, &bytes) == 0 &&
           sim_session_output(&b->sim, &bytes) == 0 && sim_fault_deadline(b->to_target) > b->now &&
           sim_fault_deadline(b->to_debugger) > b->now &&
           (!b->middle || b->middle->deadline(b->middle->context) > b->now);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void turn(struct bench *b)
{
    kd_debugger_tick(&b->debugger, b->now);
    drain(b);
    sim_session_run(&b->sim, b->now, RUN_INSTRUCTIONS);
    carry(b);
    if (!quiet(b))
        return;
    uint64_t next = earlier(kd_debugger_deadline(&b->debugger), kd_target_deadline(&b->sim.target));
    next = earlier(next, sim_fault_deadline(b->to_target));
    next = earlier(next, sim_fault_deadline(b->to_debugger));
    if (b->middle)
        next = earlier(next, b->middle->deadline(b->middle->context));
    if (kd_target_state(&b->sim.target) != KD_TARGET_STOPPED)
        next = earlier(next, b->now + (b->run_step_us ? b->run_step_us : RUN_STEP_US));
    next = earlier(next, b->now + 100000);
    b->now = next > b->now ? next : b->now + 1;
}

bool bench_until(struct bench *b, const bool *flag, unsigned seconds)
{
    uint64_t end = b->now + 1000000ull * seconds;
    drain(b);
    while (!*flag && b->now < end)
        turn(b);
    return *flag;
}

void bench_run(struct bench *b, unsigned milliseconds)
{
    const bool never = false;
    uint64_t end = b->now + 1000ull * milliseconds;
    drain(b);
    while (!never && b->now < end)
        turn(b);
}

int bench_finish(struct bench *b, int started)
{
    assert_int_equal(started, KD_OK);
    b->done = false;
    assert_true(bench_until(b, &b->done, PATIENCE_S));
    b->done = false;
    return b->result.result;
}

void bench_attach(struct bench *b)
{
    b->stopped = false;
    kd_debugger_attach(&b->debugger, b->now, KD_ATTACH_STOP);
    assert_true(bench_until(b, &b->stopped, PATIENCE_S));
}

void bench_break_in(struct bench *b)
{
    while (kd_debugger_state(&b->debugger) != KD_DEBUGGER_STOPPED) {
        b->stopped = false;
        assert_int_equal(kd_debugger_break_in(&b->debugger, b->now), KD_OK);
        bench_until(b, &b->stopped, 10);
    }
}

struct sim_cpu *bench_cpu(struct bench *b)
{
    return &b->sim.machine.cpus[b->debugger.stop.cpu];
}
