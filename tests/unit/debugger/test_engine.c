/* SPDX-License-Identifier: BSD-2-Clause */
/* The engine against the simulated target (bench.c), and against targets made by hand that lie,
 * are silent, or behave as other debuggees were seen to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench.h"

static struct bench *new_bench(const struct sim_config *machine)
{
    struct bench *b = calloc(1, sizeof *b);
    assert_non_null(b);
    bench_init(b, machine, "drop=0", 1);
    return b;
}

static void free_bench(struct bench *b)
{
    bench_close(b);
    free(b);
}

static void attaches_to_a_running_target_once(void **state)
{
    (void)state;
    struct bench *b = new_bench(NULL);
    bench_attach(b);
    assert_int_equal(b->debugger.stop.kind, KD_STOP_EXCEPTION);
    assert_int_equal(b->debugger.stop.code, KD_STATUS_BREAKPOINT);
    /* No break-in byte is left over: after continue it runs on. */
    b->stopped = false;
    assert_int_equal(bench_finish(b, kd_debugger_continue(&b->debugger, b->now, KD_DBG_CONTINUE)),
                     KD_OK);
    bench_run(b, 3000);
    assert_false(b->stopped);
    assert_int_equal(kd_debugger_state(&b->debugger), KD_DEBUGGER_RUNNING);
    free_bench(b);
}

static void attaches_to_a_stopped_target(void **state)
{
    (void)state;
    struct bench *b = new_bench(NULL);
    bench_attach(b);
    uint64_t pc = b->debugger.stop.program_counter;
    /* The debugger dies; another one comes, while the target stays stopped. */
    kd_debugger_init(&b->debugger, NULL);
    bench_attach(b);
    assert_int_equal(b->debugger.stop.program_counter, pc);
    b->stopped = false;
    assert_int_equal(bench_finish(b, kd_debugger_continue(&b->debugger, b->now, KD_DBG_CONTINUE)),
                     KD_OK);
    bench_run(b, 3000);
    assert_false(b->stopped);
    free_bench(b);
}

static void waits_without_break_in_if_told(void **state)
{
    (void)state;
    struct bench *b = new_bench(NULL);
    kd_debugger_attach(&b->debugger, b->now, KD_ATTACH_WAIT);
    assert_false(bench_until(b, &b->stopped, 10));
    bench_break_in(b);
    assert_int_equal(kd_debugger_state(&b->debugger), KD_DEBUGGER_STOPPED);
    free_bench(b);
}

static void refuses_what_does_not_fit_its_state(void **state)
{
    (void)state;
    uint8_t byte;
    struct bench *b = new_bench(NULL);
    assert_int_equal(kd_debugger_read(&b->debugger, b->now, KD_SPACE_VIRTUAL, 0, 0, &byte, 1),
                     KD_E_RUNNING);
    bench_attach(b);
    assert_int_equal(kd_debugger_break_in(&b->debugger, b->now), KD_E_STOPPED);
    assert_int_equal(kd_debugger_read(&b->debugger, b->now, KD_SPACE_VIRTUAL, 0, 0, &byte, 0),
                     KD_E_ARGUMENT);
    assert_int_equal(kd_debugger_read_io(&b->debugger, b->now, 0x80, 3), KD_E_ARGUMENT);
    assert_int_equal(kd_debugger_read_msr(&b->debugger, b->now, 0, 0x10), KD_OK);
    assert_int_equal(kd_debugger_read_msr(&b->debugger, b->now, 0, 0x10), KD_E_BUSY);
    assert_true(bench_until(b, &b->done, 10));
    free_bench(b);
}

static void detach_restores_and_continues(void **state)
{
    (void)state;
    struct bench *b = new_bench(NULL);
    bench_attach(b);
    uint32_t handles[2];
    const uint64_t places[] = {SIM_KERNEL_BASE + SIM_RVA_WORK, SIM_KERNEL_BASE + SIM_RVA_FIB};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            bench_finish(b, kd_debugger_write_breakpoint(&b->debugger, b->now, places[i])), KD_OK);
        handles[i] = (uint32_t)b->result.value;
    }
    assert_int_equal(
        bench_finish(b, kd_debugger_detach(&b->debugger, b->now, handles, 2, KD_DBG_CONTINUE)),
        KD_OK);
    assert_true(b->detached);
    assert_int_equal(kd_debugger_state(&b->debugger), KD_DEBUGGER_IDLE);
    bench_run(b, 1000);
    uint8_t byte;
    for (int i = 0; i < 2; i++) {
        sim_machine_ops()->read_virtual(&b->sim.machine, places[i], &byte, 1);
        assert_int_not_equal(byte, 0xCC);
    }
    assert_int_equal(kd_target_state(&b->sim.target), KD_TARGET_RUNNING);
    free_bench(b);
}

/* A machine left with a trap flag or a hardware breakpoint would stop with nobody there. */
static void detach_takes_back_step_and_hardware_breakpoints(void **state)
{
    (void)state;
    enum { DR7_WRITE_8_BYTES = 0x90402 }; /* slot 0 */
    struct bench *b = new_bench(NULL);
    uint8_t dr0[8];
    bench_attach(b);
    kd_put_u64(dr0, SIM_KERNEL_BASE + SIM_RVA_COUNTER);
    uint8_t special[KD_SPECIAL_AMD64_SIZE];
    assert_int_equal(bench_finish(b, kd_debugger_read(&b->debugger, b->now, KD_SPACE_CONTROL, 0, 2,
                                                      special, sizeof special)),
                     KD_OK);
    memcpy(special + KD_AT(SpecialAmd64, KernelDr0), dr0, sizeof dr0);
    assert_int_equal(bench_finish(b, kd_debugger_write(&b->debugger, b->now, KD_SPACE_CONTROL, 0, 2,
                                                       special, sizeof special)),
                     KD_OK);
    for (int step = 0; step < 2; step++) {
        b->stopped = false;
        assert_int_equal(
            bench_finish(b, kd_debugger_continue2(&b->debugger, b->now, KD_DBG_CONTINUE, step != 0,
                                                  DR7_WRITE_8_BYTES)),
            KD_OK);
        assert_true(bench_until(b, &b->stopped, 10));
        assert_int_equal(b->debugger.stop.code, KD_STATUS_SINGLE_STEP);
    }
    assert_int_equal(
        bench_finish(b, kd_debugger_detach(&b->debugger, b->now, NULL, 0, KD_DBG_CONTINUE)), KD_OK);
    uint64_t turns = bench_cpu(b)->retired;
    bench_run(b, 1000);
    assert_int_equal(kd_target_state(&b->sim.target), KD_TARGET_RUNNING);
    assert_true(bench_cpu(b)->retired - turns > 1000);
    free_bench(b);
}

static void switches_processors(void **state)
{
    (void)state;
    struct sim_config machine = {.cpus = 3};
    struct bench *b = new_bench(&machine);
    bench_attach(b);
    b->stopped = false;
    assert_int_equal(bench_finish(b, kd_debugger_switch_processor(&b->debugger, b->now, 2)), KD_OK);
    assert_true(bench_until(b, &b->stopped, 10));
    assert_int_equal(b->debugger.stop.cpu, 2);
    assert_int_equal(b->debugger.stop.cpu_count, 3);
    free_bench(b);
}

static void tells_prints_prompts_and_modules(void **state)
{
    (void)state;
    struct sim_config machine = {.print_every = 50, .prompt_every = 120, .load_every = 200};
    struct bench *b = new_bench(&machine);
    bench_attach(b);
    bool loaded = false, asked = false;
    for (int i = 0; i < 200 && !(loaded && asked); i++) {
        if (kd_debugger_state(&b->debugger) == KD_DEBUGGER_STOPPED) {
            loaded = loaded || b->debugger.stop.kind == KD_STOP_LOAD;
            uint8_t context[KD_CONTEXT_AMD64_SIZE];
            assert_int_equal(
                bench_finish(b, kd_debugger_get_context(&b->debugger, b->now, 0, context)), KD_OK);
            KD_PUT(context, ContextAmd64, Rip, KD_GET(context, ContextAmd64, Rip) + 1);
            assert_int_equal(
                bench_finish(b, kd_debugger_set_context(&b->debugger, b->now, 0, context)), KD_OK);
            bench_finish(b, kd_debugger_continue(&b->debugger, b->now, KD_DBG_CONTINUE));
        }
        bench_run(b, 20);
        if (b->prompts > 0 && !asked) {
            asked = true;
            assert_int_equal(kd_debugger_answer(&b->debugger, b->now, "go on", 5), KD_OK);
            bench_run(b, 20);
            uint8_t answer[5];
            sim_machine_ops()->read_virtual(&b->sim.machine, SIM_KERNEL_BASE + SIM_RVA_ANSWER,
                                            answer, 5);
            assert_memory_equal(answer, "go on", 5);
        }
    }
    assert_true(loaded && asked);
    assert_true(b->prints > 0 && b->modules > 0);
    free_bench(b);
}

static void reboot_is_told(void **state)
{
    (void)state;
    struct bench *b = new_bench(NULL);
    bench_attach(b);
    assert_int_equal(bench_finish(b, kd_debugger_reboot(&b->debugger, b->now)), KD_OK);
    assert_int_equal(kd_debugger_state(&b->debugger), KD_DEBUGGER_RUNNING);
    bench_run(b, 2000);
    bench_break_in(b);
    assert_int_equal(kd_debugger_state(&b->debugger), KD_DEBUGGER_STOPPED);
    free_bench(b);
}

/* One request of several kinds, by NUMBER. */
static int start_request(struct bench *b, unsigned number, uint8_t *memory, size_t size)
{
    static struct kd_debugger_version version;
    switch (number) {
    case 0:
        return kd_debugger_read(&b->debugger, b->now, KD_SPACE_VIRTUAL, 0, SCRATCH_BASE, memory,
                                size);
    case 1:
        return kd_debugger_get_version(&b->debugger, b->now, &version);
    case 2:
        return kd_debugger_get_context(&b->debugger, b->now, 0, memory);
    case 3:
        return kd_debugger_write_io(&b->debugger, b->now, 0x1000, 4, 1);
    case 4:
        return kd_debugger_continue2(&b->debugger, b->now, KD_DBG_CONTINUE, true, KD_DR7_NONE);
    default:
        return kd_debugger_write_breakpoint(&b->debugger, b->now, SIM_KERNEL_BASE + SIM_RVA_FIB);
    }
}

/* The machine is switched off and on, silently or with a stop at its start, or the debugger is
 * replaced, each in the middle of a request: that ends, and the next one finds a stopped target. */
static void survives_restarts_of_either_end(void **state)
{
    enum { SEEDS = 9, RESTARTS = 18, REQUESTS = 6 };
    static const char *const wires[] = {"drop=0", "all=1%", "all=3%"};
    static uint8_t memory[9000];
    (void)state;
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        struct bench *b = calloc(1, sizeof *b);
        assert_non_null(b);
        bench_init(b, NULL, wires[seed % 3], seed);
        b->run_step_us = 20000;
        bench_attach(b);
        for (unsigned i = 0; i < RESTARTS; i++) {
            unsigned request = (seed + i) % REQUESTS;
            b->done = false;
            assert_int_equal(start_request(b, request, memory, sizeof memory), KD_OK);
            if ((seed + i / REQUESTS) % 3 == 2) {
                kd_debugger_init(&b->debugger, NULL);
                bench_attach(b);
            } else {
                bench_power_cycle(b, (seed + i / REQUESTS) % 3 == 1);
                assert_true(bench_until(b, &b->done, 120));
                bench_break_in(b);
            }
            /* A request from before may have let the new machine go as far as its next stop. */
            int result = bench_finish(b, start_request(b, 0, memory, 8));
            if (result == KD_E_RESET)
                result = bench_finish(b, start_request(b, 0, memory, 8));
            assert_int_equal(result, KD_OK);
        }
        bench_close(b);
        free(b);
    }
}

/* ---- targets made by hand ---- */

struct hand {
    struct kd_debugger d;
    uint64_t now;
    uint32_t sent_id; /* next id of the hand-made target */
    bool done, lost, stop;
    unsigned dones, stops, modules, restarted;
    struct kd_debugger_event result;
    uint8_t out[65536]; /* what the debugger wrote since hand_clear */
    size_t out_size;
};

static void hand_settle(struct hand *h)
{
    struct kd_debugger_event event;
    const uint8_t *bytes;
    size_t size;
    do {
        while (kd_debugger_event(&h->d, &event)) {
            if (event.kind == KD_DEBUGGER_DONE) {
                h->done = true;
                h->dones++;
                h->result = event;
            }
            h->lost |= event.kind == KD_DEBUGGER_LOST;
            h->stop |= event.kind == KD_DEBUGGER_STOP;
            h->stops += event.kind == KD_DEBUGGER_STOP;
            h->modules += event.kind == KD_DEBUGGER_MODULE_LOADED;
            h->restarted += event.kind == KD_DEBUGGER_RESTARTED;
        }
        size = kd_debugger_output(&h->d, &bytes);
        if (size > 0) {
            assert_true(size <= sizeof h->out - h->out_size);
            memcpy(h->out + h->out_size, bytes, size);
            h->out_size += size;
            kd_debugger_written(&h->d, h->now, size);
        }
    } while (size > 0);
}

static void hand_feed(struct hand *h, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        size_t used = kd_debugger_feed(&h->d, h->now, bytes, size);
        hand_settle(h);
        bytes += used;
        size -= used;
    }
}

static void hand_control(struct hand *h, uint16_t type, uint32_t id)
{
    uint8_t bytes[KD_HEADER_SIZE];
    struct kd_header header = {KD_LEADER_CONTROL, type, 0, id, 0};
    kd_header_put(bytes, &header);
    hand_feed(h, bytes, sizeof bytes);
}

static void hand_data(struct hand *h, uint16_t type, const uint8_t *body, size_t size)
{
    uint8_t bytes[KD_PACKET_MAX];
    struct kd_header header = {KD_LEADER_DATA, type, (uint16_t)size, h->sent_id,
                               kd_checksum(body, size)};
    kd_header_put(bytes, &header);
    memcpy(bytes + KD_HEADER_SIZE, body, size);
    bytes[KD_HEADER_SIZE + size] = KD_TRAILER;
    h->sent_id = (h->sent_id & ~KD_ID_SYNC) ^ 1;
    hand_feed(h, bytes, KD_HEADER_SIZE + size + 1);
}

static void hand_stop(struct hand *h, uint64_t pc)
{
    uint8_t body[KD_STATE_CHANGE_SIZE] = {0};
    KD_PUT(body, StateChange, NewState, KD_STATE_EXCEPTION);
    KD_PUT(body, StateChange, NumberProcessors, 1);
    KD_PUT(body, StateChange, ProgramCounter, pc);
    KD_PUT(body, Exception, ExceptionCode, KD_STATUS_BREAKPOINT);
    hand_data(h, KD_PACKET_STATE_CHANGE64, body, sizeof body);
}

/* The last manipulate request that the debugger wrote, or NULL. */
static const uint8_t *hand_request(const struct hand *h)
{
    const uint8_t *found = NULL;
    for (size_t i = 0; i + KD_HEADER_SIZE + KD_MANIPULATE_SIZE <= h->out_size; i++) {
        struct kd_header header;
        kd_header_get(&header, h->out + i);
        if (header.leader == KD_LEADER_DATA && header.type == KD_PACKET_STATE_MANIPULATE)
            found = h->out + i + KD_HEADER_SIZE;
    }
    return found;
}

enum { ECHO = -1 };

/* Acknowledges the request under way and answers it with STATUS and DATA; ProcessorLevel is LEVEL,
 * or that of the request. */
static void hand_reply_with(struct hand *h, int level, uint32_t status, const uint8_t *data,
                            size_t size)
{
    uint8_t body[KD_BODY_MAX];
    const uint8_t *request = hand_request(h);
    assert_non_null(request);
    struct kd_header header;
    kd_header_get(&header, request - KD_HEADER_SIZE);
    memcpy(body, request, KD_MANIPULATE_SIZE);
    KD_PUT(body, Manipulate, ReturnStatus, status);
    if (level != ECHO)
        KD_PUT(body, Manipulate, ProcessorLevel, level);
    uint32_t api = (uint32_t)KD_GET(body, Manipulate, ApiNumber);
    if (api == KD_API_ReadVirtualMemory)
        KD_PUT(body, ReadMemory, ActualBytes, size);
    if (size > 0)
        memcpy(body + KD_MANIPULATE_SIZE, data, size);
    h->out_size = 0;
    hand_control(h, KD_PACKET_ACKNOWLEDGE, header.id);
    hand_data(h, KD_PACKET_STATE_MANIPULATE, body, KD_MANIPULATE_SIZE + size);
}

static void hand_reply(struct hand *h, uint32_t status, const uint8_t *data, size_t size)
{
    hand_reply_with(h, ECHO, status, data, size);
}

static void hand_time(struct hand *h, uint64_t microseconds)
{
    uint64_t end = h->now + microseconds;
    while (h->now < end) {
        uint64_t deadline = kd_debugger_deadline(&h->d);
        h->now = deadline < end ? (deadline > h->now ? deadline : h->now + 1) : end;
        kd_debugger_tick(&h->d, h->now);
        hand_settle(h);
    }
}

static struct hand *new_hand(void)
{
    struct hand *h = calloc(1, sizeof *h);
    assert_non_null(h);
    h->now = 5000000;
    h->sent_id = KD_ID_INITIAL | KD_ID_SYNC;
    kd_debugger_init(&h->d, NULL);
    kd_debugger_attach(&h->d, h->now, KD_ATTACH_STOP);
    hand_settle(h);
    hand_control(h, KD_PACKET_RESET, 0);
    h->sent_id = KD_ID_INITIAL;
    hand_stop(h, 0x1000);
    assert_true(h->stop);
    h->stop = false;
    h->out_size = 0;
    return h;
}

static void silence_ends_a_request(void **state)
{
    (void)state;
    struct hand *h = new_hand();
    struct kd_debugger_version version;
    assert_int_equal(kd_debugger_get_version(&h->d, h->now, &version), KD_OK);
    hand_settle(h);
    hand_time(h, 120 * 1000000ull);
    assert_int_equal(h->dones, 1);
    assert_int_equal(h->result.result, KD_E_TIMEOUT);
    assert_true(h->lost);
    free(h);
}

/* After that nothing is known of it: it may be stopped (then RESET brings its state change, and a
 * break-in byte would be kept for later) or run. */
static void a_lost_target_is_sought_with_reset_first(void **state)
{
    (void)state;
    struct hand *h = new_hand();
    struct kd_debugger_version version;
    assert_int_equal(kd_debugger_get_version(&h->d, h->now, &version), KD_OK);
    hand_settle(h);
    hand_time(h, 120 * 1000000ull);
    assert_int_equal(kd_debugger_get_version(&h->d, h->now, &version), KD_E_RUNNING);
    h->out_size = 0;
    assert_int_equal(kd_debugger_break_in(&h->d, h->now), KD_OK);
    hand_settle(h);
    assert_int_equal(h->out_size, KD_HEADER_SIZE); /* RESET, and no break-in byte */
    hand_control(h, KD_PACKET_RESET, 0);
    h->sent_id = KD_ID_INITIAL;
    hand_stop(h, 0x1000);
    assert_true(h->stop);
    assert_true(h->d.stop.repeated);
    assert_int_equal(kd_debugger_state(&h->d), KD_DEBUGGER_STOPPED);
    free(h);
}

/* The machine was switched off and on behind a relay: it runs, answers RESET, and acknowledges no
 * request. */
static void a_target_that_runs_again_is_not_taken_for_stopped(void **state)
{
    (void)state;
    struct hand *h = new_hand();
    uint8_t byte;
    assert_int_equal(kd_debugger_read(&h->d, h->now, KD_SPACE_VIRTUAL, 0, 0x5000, &byte, 1), KD_OK);
    hand_settle(h);
    for (int i = 0; i < 60 && !h->done; i++) {
        uint64_t resets = kd_debugger_link_stats(&h->d)->resets_out;
        hand_time(h, 500000);
        if (kd_debugger_link_stats(&h->d)->resets_out > resets)
            hand_control(h, KD_PACKET_RESET, 0);
    }
    assert_int_equal(h->dones, 1);
    assert_int_equal(h->result.result, KD_E_RESET);
    assert_int_equal(h->restarted, 1);
    assert_int_equal(kd_debugger_state(&h->d), KD_DEBUGGER_RUNNING);
    assert_int_equal(kd_debugger_break_in(&h->d, h->now), KD_OK);
    free(h);
}

/* A target that acknowledges a request and then forgets it (its type was damaged): it says so by
 * repeating its state change after RESET, and the request is made again. */
static void forgotten_read_is_asked_again(void **state)
{
    (void)state;
    struct hand *h = new_hand();
    uint8_t byte = 0;
    assert_int_equal(kd_debugger_read(&h->d, h->now, KD_SPACE_VIRTUAL, 0, 0x5000, &byte, 1), KD_OK);
    hand_settle(h);
    hand_control(h, KD_PACKET_ACKNOWLEDGE, KD_ID_INITIAL);
    hand_time(h, 4000000);
    hand_control(h, KD_PACKET_RESET, 0);
    h->sent_id = KD_ID_INITIAL;
    h->out_size = 0;
    hand_stop(h, 0x1000);
    assert_false(h->stop); /* nothing new for the user */
    hand_reply(h, 0, (const uint8_t *)"x", 1);
    assert_true(h->done);
    assert_int_equal(h->result.result, KD_OK);
    assert_int_equal(byte, 'x');
    free(h);
}

static void forgotten_port_write_is_not_repeated(void **state)
{
    (void)state;
    struct hand *h = new_hand();
    assert_int_equal(kd_debugger_write_io(&h->d, h->now, 0x64, 1, 0xFE), KD_OK);
    hand_settle(h);
    hand_control(h, KD_PACKET_ACKNOWLEDGE, KD_ID_INITIAL);
    h->out_size = 0;
    hand_time(h, 4000000);
    hand_control(h, KD_PACKET_RESET, 0);
    h->sent_id = KD_ID_INITIAL;
    hand_stop(h, 0x1000);
    assert_true(h->done);
    assert_int_equal(h->result.result, KD_E_TIMEOUT);
    assert_true(h->result.maybe_done);
    assert_null(hand_request(h));
    free(h);
}

/* A stop crosses our RESET on the wire, and a port is written at once. */
static void hand_cross(struct hand *h)
{
    assert_int_equal(kd_debugger_continue(&h->d, h->now, KD_DBG_CONTINUE), KD_OK);
    hand_settle(h);
    hand_control(h, KD_PACKET_ACKNOWLEDGE, KD_ID_INITIAL);
    kd_debugger_break_in(&h->d, h->now);
    hand_time(h, 1000000 + 1); /* break-in, then RESET */
    assert_true(kd_debugger_link_stats(&h->d)->resets_out >= 2);
    h->done = false;
    h->out_size = 0;
    hand_stop(h, 0x2000);
    assert_int_equal(kd_debugger_write_io(&h->d, h->now, 0x64, 1, 0xFE), KD_OK);
    hand_settle(h);
}

/* Sent at once it would go out again with the id of the new count, and nobody could tell it from a
 * second one. */
static void a_request_waits_for_the_answer_to_a_reset(void **state)
{
    (void)state;
    struct hand *h = new_hand();
    hand_cross(h);
    assert_null(hand_request(h));
    hand_control(h, KD_PACKET_RESET, 0);
    h->sent_id = KD_ID_INITIAL;
    hand_stop(h, 0x2000); /* again, with its new id */
    assert_non_null(hand_request(h));
    hand_reply(h, 0, NULL, 0);
    assert_true(h->done);
    assert_int_equal(h->result.result, KD_OK);
    free(h);
}

static void a_request_does_not_wait_for_ever_for_the_answer_to_a_reset(void **state)
{
    (void)state;
    struct hand *h = new_hand();
    hand_cross(h);
    hand_time(h, 1000000);
    assert_non_null(hand_request(h));
    free(h);
}

/* The target resets the ids while a breakpoint is being written, and gets that request twice: its
 * second answer, a refusal, says nothing about the first. */
static void a_breakpoint_written_twice_is_not_called_refused(void **state)
{
    (void)state;
    struct hand *h = new_hand();
    assert_int_equal(kd_debugger_write_breakpoint(&h->d, h->now, 0x5000), KD_OK);
    hand_settle(h);
    hand_control(h, KD_PACKET_RESET, 0);
    h->sent_id = KD_ID_INITIAL;
    hand_reply(h, KD_STATUS_UNSUCCESSFUL, NULL, 0);
    assert_true(h->done);
    assert_int_equal(h->result.result, KD_E_TIMEOUT);
    assert_true(h->result.maybe_done);
    free(h);
}

static void forgotten_step_is_reported_not_repeated(void **state)
{
    (void)state;
    struct hand *h = new_hand();
    assert_int_equal(kd_debugger_continue2(&h->d, h->now, KD_DBG_CONTINUE, true, 0x400), KD_OK);
    hand_settle(h);
    hand_control(h, KD_PACKET_ACKNOWLEDGE, KD_ID_INITIAL);
    assert_int_equal(h->result.result, KD_OK);
    h->out_size = 0;
    hand_time(h, 4000000);
    hand_control(h, KD_PACKET_RESET, 0);
    h->sent_id = KD_ID_INITIAL;
    hand_stop(h, 0x1000);
    assert_true(h->stop);
    assert_true(h->d.stop.repeated);
    assert_null(hand_request(h));
    free(h);
}

/* A stale answer after a RESET must not be taken for the answer to the present request. */
static void stale_answer_is_not_taken(void **state)
{
    (void)state;
    struct hand *h = new_hand();
    uint8_t byte = 0, old[KD_MANIPULATE_SIZE + 1];
    assert_int_equal(kd_debugger_read(&h->d, h->now, KD_SPACE_VIRTUAL, 0, 0x5000, &byte, 1), KD_OK);
    hand_settle(h);
    hand_reply(h, 0, (const uint8_t *)"1", 1);
    assert_int_equal(byte, '1');
    h->out_size = 0;
    assert_int_equal(kd_debugger_read(&h->d, h->now, KD_SPACE_VIRTUAL, 0, 0x5000, &byte, 1), KD_OK);
    hand_settle(h);
    memcpy(old, hand_request(h), KD_MANIPULATE_SIZE);
    KD_PUT(old, Manipulate, ProcessorLevel, KD_GET(old, Manipulate, ProcessorLevel) - 1);
    KD_PUT(old, ReadMemory, ActualBytes, 1);
    old[KD_MANIPULATE_SIZE] = '1';
    h->done = false;
    hand_time(h, 15000000); /* never acknowledged: the link gives up and sends RESET */
    hand_control(h, KD_PACKET_RESET, 0);
    h->sent_id = KD_ID_INITIAL;
    hand_data(h, KD_PACKET_STATE_MANIPULATE, old, sizeof old);
    assert_false(h->done);
    free(h);
}

/* Starts to read one byte at ADDRESS. */
static void hand_read(struct hand *h, uint64_t address, uint8_t *byte)
{
    h->done = false;
    assert_int_equal(kd_debugger_read(&h->d, h->now, KD_SPACE_VIRTUAL, 0, address, byte, 1), KD_OK);
    hand_settle(h);
}

/* A virtual machine is paused while the user reads, who gives up; it goes on while the user reads
 * elsewhere: the first answer comes then. */
static void late_answer_is_not_taken_for_the_next_one(void **state)
{
    (void)state;
    struct hand *h = new_hand();
    uint8_t byte = 0, late[KD_MANIPULATE_SIZE + 1];
    for (int i = 0; i < 3; i++) {
        hand_read(h, 0x5000, &byte);
        hand_reply(h, 0, (const uint8_t *)"a", 1);
        assert_int_equal(byte, 'a');
    }
    hand_read(h, 0x6000, &byte);
    memcpy(late, hand_request(h), KD_MANIPULATE_SIZE);
    KD_PUT(late, ReadMemory, ActualBytes, 1);
    late[KD_MANIPULATE_SIZE] = 'b';
    hand_time(h, 120 * 1000000ull);
    assert_int_equal(h->result.result, KD_E_TIMEOUT);
    kd_debugger_break_in(&h->d, h->now);
    hand_settle(h);
    hand_control(h, KD_PACKET_RESET, 0);
    h->sent_id = KD_ID_INITIAL;
    hand_stop(h, 0x1000);
    hand_read(h, 0x7000, &byte);
    hand_control(h, KD_PACKET_ACKNOWLEDGE, KD_ID_INITIAL);
    hand_data(h, KD_PACKET_STATE_MANIPULATE, late, sizeof late);
    assert_false(h->done);
    hand_reply(h, 0, (const uint8_t *)"c", 1);
    assert_true(h->done);
    assert_int_equal(byte, 'c');
    free(h);
}

/* A Windows kernel leaves ProcessorLevel 0 in GetVersion's reply, and echoes it elsewhere. */
static void version_is_taken_though_it_echoes_nothing(void **state)
{
    (void)state;
    struct hand *h = new_hand();
    struct kd_debugger_version version;
    uint8_t byte = 0;
    for (int i = 0; i < 3; i++) {
        hand_read(h, 0x5000, &byte);
        hand_reply(h, 0, (const uint8_t *)"a", 1);
    }
    h->done = false;
    assert_int_equal(kd_debugger_get_version(&h->d, h->now, &version), KD_OK);
    hand_settle(h);
    hand_control(h, KD_PACKET_ACKNOWLEDGE, h->d.link.next); /* and the reply is lost */
    hand_time(h, 3500000);
    hand_control(h, KD_PACKET_RESET, 0);
    h->sent_id = KD_ID_INITIAL;
    hand_reply_with(h, 0, 0, NULL, 0);
    assert_true(h->done);
    assert_int_equal(h->result.result, KD_OK);
    free(h);
}

/* A target that puts its own level into every reply, which one of our numbers happens to be. */
static void a_constant_level_is_no_echo(void **state)
{
    (void)state;
    struct hand *h = new_hand();
    uint8_t byte = 0;
    hand_read(h, 0x5000, &byte);
    int level = (int)KD_GET(hand_request(h), Manipulate, ProcessorLevel) + 2;
    for (int i = 0; i < 6; i++) {
        hand_reply_with(h, level, 0, (const uint8_t *)"a", 1);
        assert_true(h->done);
        hand_read(h, 0x5000, &byte);
    }
    free(h);
}

/* One that echoes all but this API: it is believed in the end. */
static void an_answer_without_echo_is_taken_when_it_insists(void **state)
{
    (void)state;
    struct hand *h = new_hand();
    uint8_t byte = 0;
    for (int i = 0; i < 3; i++) {
        hand_read(h, 0x5000, &byte);
        hand_reply(h, 0, (const uint8_t *)"a", 1);
    }
    h->done = false;
    assert_int_equal(kd_debugger_read_msr(&h->d, h->now, 0, 0x10), KD_OK);
    hand_settle(h);
    for (int i = 0; i < 4 && !h->done; i++) {
        hand_reply_with(h, 0, 0, NULL, 0);
        if (h->done)
            break;
        hand_time(h, 3500000);
        hand_control(h, KD_PACKET_RESET, 0);
        h->sent_id = KD_ID_INITIAL;
        hand_stop(h, 0x1000);
    }
    assert_true(h->done);
    assert_int_equal(h->result.result, KD_OK);
    free(h);
}

static void absurd_counts_do_no_harm(void **state)
{
    (void)state;
    struct hand *h = new_hand();
    uint8_t body[KD_MANIPULATE_SIZE + 4], memory[2] = {0};
    assert_int_equal(kd_debugger_read(&h->d, h->now, KD_SPACE_VIRTUAL, 0, 0x5000, memory, 1),
                     KD_OK);
    hand_settle(h);
    memcpy(body, hand_request(h), KD_MANIPULATE_SIZE);
    KD_PUT(body, ReadMemory, ActualBytes, 0xFFFFFFFFu);
    memset(body + KD_MANIPULATE_SIZE, 'y', 4);
    hand_control(h, KD_PACKET_ACKNOWLEDGE, KD_ID_INITIAL);
    hand_data(h, KD_PACKET_STATE_MANIPULATE, body, sizeof body);
    assert_true(h->done);
    assert_int_equal(h->result.count, 1);
    assert_int_equal(memory[0], 'y');
    assert_int_equal(memory[1], 0);
    free(h);
}

/* Loader lists that never come back to their head. */
static void walk_ends(uint64_t stride, unsigned at_most)
{
    struct hand *h = new_hand();
    assert_int_equal(kd_debugger_walk_modules(&h->d, h->now, 0x4000), KD_OK);
    hand_settle(h);
    for (unsigned i = 0; i < 20000 && !h->done; i++) {
        uint8_t entry[KD_LOADER_ENTRY_SIZE] = {0};
        const uint8_t *request = hand_request(h);
        uint64_t address = KD_GET(request, ReadMemory, TargetBaseAddress);
        size_t size = (size_t)KD_GET(request, ReadMemory, TransferCount);
        uint64_t next = address + stride;
        if (stride == 0)
            next = address == 0x5000 ? 0x6000 : address == 0x6000 ? 0x7000 : 0x5000;
        KD_PUT(entry, LoaderEntry64, Flink, next);
        KD_PUT(entry, LoaderEntry64, DllBase, address);
        hand_reply(h, 0, entry, size);
    }
    assert_true(h->done);
    assert_int_equal(h->result.result, KD_OK);
    assert_true(h->modules <= at_most);
    free(h);
}

static void endless_module_lists_end(void **state)
{
    (void)state;
    walk_ends(0, 12);                      /* a circle that the head is not part of */
    walk_ends(0x1000, KD_MODULE_WALK_MAX); /* no circle at all */
}

static void context_falls_back(void **state)
{
    (void)state;
    struct hand *h = new_hand();
    uint8_t context[KD_CONTEXT_AMD64_SIZE] = {0}, out[KD_CONTEXT_AMD64_SIZE];
    context[5] = 77;
    for (int i = 0; i < 2; i++) {
        h->done = false;
        assert_int_equal(kd_debugger_get_context(&h->d, h->now, 0, out), KD_OK);
        hand_settle(h);
        if (i == 0) {
            assert_int_equal(kd_get_u32(hand_request(h)), KD_API_GetContextEx);
            hand_reply(h, KD_STATUS_UNSUCCESSFUL, NULL, 0);
        }
        /* The second time it is not even tried. */
        assert_int_equal(kd_get_u32(hand_request(h)), KD_API_GetContext);
        hand_reply(h, 0, context, sizeof context);
        assert_true(h->done);
        assert_int_equal(h->result.result, KD_OK);
        assert_int_equal(out[5], 77);
    }
    free(h);
}

static void restart_ends_the_request(void **state)
{
    (void)state;
    struct hand *h = new_hand();
    struct kd_debugger_version version;
    assert_int_equal(kd_debugger_get_version(&h->d, h->now, &version), KD_OK);
    hand_settle(h);
    h->sent_id = KD_ID_INITIAL | KD_ID_SYNC;
    hand_stop(h, 0x9000);
    assert_int_equal(h->dones, 1);
    assert_int_equal(h->result.result, KD_E_RESET);
    assert_int_equal(h->restarted, 1);
    assert_true(h->stop);
    assert_int_equal(h->d.stop.program_counter, 0x9000);
    free(h);
}

static void files_are_always_answered(void **state)
{
    (void)state;
    struct hand *h = new_hand();
    uint8_t body[KD_FILE_IO_SIZE + 4] = {0};
    KD_PUT(body, FileIo, ApiNumber, KD_API_CREATE_FILE);
    body[KD_FILE_IO_SIZE] = 'x';
    hand_data(h, KD_PACKET_FILE_IO, body, sizeof body);
    bool answered = false;
    for (size_t i = 0; i + KD_HEADER_SIZE + KD_FILE_IO_SIZE <= h->out_size; i++) {
        struct kd_header header;
        kd_header_get(&header, h->out + i);
        if (header.leader == KD_LEADER_DATA && header.type == KD_PACKET_FILE_IO) {
            answered = true;
            assert_int_equal(header.byte_count, KD_FILE_IO_SIZE);
            assert_int_equal(KD_GET(h->out + i + KD_HEADER_SIZE, FileIo, Status),
                             KD_STATUS_NO_SUCH_FILE);
        }
    }
    assert_true(answered);
    free(h);
}

static void break_in_gives_up(void **state)
{
    (void)state;
    struct hand *h = new_hand();
    assert_int_equal(kd_debugger_continue(&h->d, h->now, KD_DBG_CONTINUE), KD_OK);
    hand_settle(h);
    hand_control(h, KD_PACKET_ACKNOWLEDGE, KD_ID_INITIAL);
    assert_int_equal(kd_debugger_break_in(&h->d, h->now), KD_OK);
    hand_settle(h);
    hand_time(h, 60000000);
    assert_true(h->lost);
    free(h);
}

static void cut_wire_ends_the_request(void **state)
{
    (void)state;
    struct hand *h = new_hand();
    struct kd_debugger_version version;
    assert_int_equal(kd_debugger_get_version(&h->d, h->now, &version), KD_OK);
    kd_debugger_disconnected(&h->d);
    hand_settle(h);
    assert_int_equal(h->dones, 1);
    assert_int_equal(h->result.result, KD_E_CLOSED);
    assert_int_equal(kd_debugger_state(&h->d), KD_DEBUGGER_IDLE);
    free(h);
}

static void text_of_a_console_is_heard_at_once(void **state)
{
    (void)state;
    static const char text[] = "[    0.123] Linux version 6.1\r\n";
    struct kd_debugger *d = calloc(1, sizeof *d);
    assert_non_null(d);
    kd_debugger_init(d, NULL);
    kd_debugger_attach(d, 1000, KD_ATTACH_STOP);
    assert_int_equal(kd_debugger_heard(d), KD_HEARD_NOTHING);
    kd_debugger_feed(d, 2000, (const uint8_t *)text, sizeof text - 1);
    assert_int_equal(kd_debugger_heard(d), KD_HEARD_JUNK);
    free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_of_a_console_is_heard_at_once),
        cmocka_unit_test(attaches_to_a_running_target_once),
        cmocka_unit_test(attaches_to_a_stopped_target),
        cmocka_unit_test(waits_without_break_in_if_told),
        cmocka_unit_test(refuses_what_does_not_fit_its_state),
        cmocka_unit_test(detach_restores_and_continues),
        cmocka_unit_test(detach_takes_back_step_and_hardware_breakpoints),
        cmocka_unit_test(switches_processors),
        cmocka_unit_test(tells_prints_prompts_and_modules),
        cmocka_unit_test(reboot_is_told),
        cmocka_unit_test(survives_restarts_of_either_end),
        cmocka_unit_test(silence_ends_a_request),
        cmocka_unit_test(a_lost_target_is_sought_with_reset_first),
        cmocka_unit_test(a_target_that_runs_again_is_not_taken_for_stopped),
        cmocka_unit_test(forgotten_read_is_asked_again),
        cmocka_unit_test(forgotten_port_write_is_not_repeated),
        cmocka_unit_test(a_request_waits_for_the_answer_to_a_reset),
        cmocka_unit_test(a_request_does_not_wait_for_ever_for_the_answer_to_a_reset),
        cmocka_unit_test(a_breakpoint_written_twice_is_not_called_refused),
        cmocka_unit_test(forgotten_step_is_reported_not_repeated),
        cmocka_unit_test(stale_answer_is_not_taken),
        cmocka_unit_test(late_answer_is_not_taken_for_the_next_one),
        cmocka_unit_test(version_is_taken_though_it_echoes_nothing),
        cmocka_unit_test(a_constant_level_is_no_echo),
        cmocka_unit_test(an_answer_without_echo_is_taken_when_it_insists),
        cmocka_unit_test(absurd_counts_do_no_harm),
        cmocka_unit_test(endless_module_lists_end),
        cmocka_unit_test(context_falls_back),
        cmocka_unit_test(restart_ends_the_request),
        cmocka_unit_test(files_are_always_answered),
        cmocka_unit_test(break_in_gives_up),
        cmocka_unit_test(cut_wire_ends_the_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
