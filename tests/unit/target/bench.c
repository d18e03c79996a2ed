/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct bench *bench_new(const struct kd_target_config *config, const struct sim_config *sim,
                        const struct kd_machine_ops *ops)
{
    static const struct kd_target_config default_config;
    static const struct sim_config default_sim = {.cpus = 2};
    static const struct kd_link_config link = {.role = KD_ROLE_DEBUGGER};
    struct bench *b = calloc(1, sizeof *b);
    assert_non_null(b);
    assert_int_equal(sim_init(&b->machine, sim ? sim : &default_sim), KD_OK);
    kd_target_init(&b->target, config ? config : &default_config, ops ? ops : sim_machine_ops(),
                   &b->machine);
    kd_link_init(&b->debugger, &link);
    return b;
}

void bench_free(struct bench *b)
{
    sim_close(&b->machine);
    free(b);
}

static void take_events(struct bench *b)
{
    struct kd_link_event event;
    while (kd_link_event(&b->debugger, &event)) {
        if (event.kind != KD_LINK_PACKET)
            continue;
        assert_true(b->message_count < BENCH_MESSAGES_MAX);
        struct bench_message *m = &b->messages[b->message_count++];
        m->type = event.type;
        m->size = event.body_size;
        memcpy(m->body, event.body, event.body_size);
        if (m->size > b->longest_packet)
            b->longest_packet = m->size;
    }
}

static bool to_debugger(struct bench *b)
{
    const uint8_t *bytes;
    size_t size = kd_target_output(&b->target, &bytes);
    if (!size)
        return false;
    for (size_t used = 0; used < size;) {
        used += kd_link_feed(&b->debugger, b->now, bytes + used, size - used);
        take_events(b);
    }
    kd_target_written(&b->target, b->now, size);
    return true;
}

static bool to_target(struct bench *b)
{
    const uint8_t *bytes;
    size_t size = kd_link_output(&b->debugger, &bytes);
    if (!size)
        return false;
    kd_target_feed(&b->target, b->now, bytes, size);
    kd_link_written(&b->debugger, b->now, size);
    return true;
}

void bench_pump(struct bench *b)
{
    bool moved;
    do {
        moved = to_debugger(b);
        moved = to_target(b) || moved;
    } while (moved);
}

void bench_wait(struct bench *b, uint64_t us)
{
    enum { STEP = 50000 };
    for (uint64_t passed = 0; passed < us; passed += STEP) {
        b->now += STEP;
        kd_target_tick(&b->target, b->now);
        kd_link_tick(&b->debugger, b->now);
        take_events(b);
        bench_pump(b);
    }
}

void bench_stop(struct bench *b, uint32_t cpu)
{
    struct kd_target_exception e = {.cpu = cpu,
                                    .program_counter = b->machine.cpus[cpu].rip,
                                    .address = b->machine.cpus[cpu].rip,
                                    .code = KD_STATUS_BREAKPOINT,
                                    .first_chance = true};
    assert_int_equal(kd_target_report_exception(&b->target, b->now, &e), KD_OK);
    b->message_count = 0;
    bench_pump(b);
    assert_int_equal(b->message_count, 1);
    assert_int_equal(b->messages[0].type, KD_PACKET_STATE_CHANGE64);
    assert_int_equal(kd_target_state(&b->target), KD_TARGET_STOPPED);
}

void bench_send(struct bench *b, uint16_t type, const uint8_t *body, size_t size)
{
    b->message_count = 0;
    assert_int_equal(kd_link_send(&b->debugger, b->now, type, body, size, NULL, 0), KD_OK);
    bench_pump(b);
    assert_false(kd_link_busy(&b->debugger)); /* acknowledged, whatever it was */
}

void bench_request(uint8_t body[KD_BODY_MAX], uint32_t api)
{
    memset(body, 0xA5, KD_BODY_MAX);
    KD_PUT(body, Manipulate, ApiNumber, api);
    KD_PUT(body, Manipulate, Processor, 0);
    KD_PUT(body, Manipulate, ReturnStatus, 0x103);
}

const struct bench_message *bench_ask(struct bench *b, const uint8_t *body, size_t size)
{
    bench_send(b, KD_PACKET_STATE_MANIPULATE, body, size);
    assert_int_equal(b->message_count, 1);
    const struct bench_message *m = &b->messages[0];
    assert_int_equal(m->type, KD_PACKET_STATE_MANIPULATE);
    assert_true(m->size >= KD_MANIPULATE_SIZE);
    assert_int_equal(KD_GET(m->body, Manipulate, ApiNumber), KD_GET(body, Manipulate, ApiNumber));
    assert_int_equal(KD_GET(m->body, Manipulate, Processor), KD_GET(body, Manipulate, Processor));
    return m;
}

void bench_tell(struct bench *b, const uint8_t *body, size_t size)
{
    bench_send(b, KD_PACKET_STATE_MANIPULATE, body, size);
    assert_int_equal(b->message_count, 0);
}

uint32_t bench_write_memory(struct bench *b, uint64_t address, const void *bytes, size_t size)
{
    uint8_t body[KD_BODY_MAX];
    bench_request(body, KD_API_WriteVirtualMemory);
    KD_PUT(body, ReadMemory, TargetBaseAddress, address);
    KD_PUT(body, ReadMemory, TransferCount, size);
    memcpy(body + KD_MANIPULATE_SIZE, bytes, size);
    const struct bench_message *m = bench_ask(b, body, KD_MANIPULATE_SIZE + size);
    assert_int_equal(m->size, KD_MANIPULATE_SIZE);
    return REPLY_STATUS(m);
}

uint32_t bench_read_memory(struct bench *b, uint64_t address, void *bytes, size_t size)
{
    uint8_t body[KD_BODY_MAX];
    bench_request(body, KD_API_ReadVirtualMemory);
    KD_PUT(body, ReadMemory, TargetBaseAddress, address);
    KD_PUT(body, ReadMemory, TransferCount, size);
    const struct bench_message *m = bench_ask(b, body, KD_MANIPULATE_SIZE);
    size_t done = (size_t)KD_GET(m->body, ReadMemory, ActualBytes);
    assert_int_equal(m->size, KD_MANIPULATE_SIZE + done);
    assert_true(done <= size);
    memcpy(bytes, m->body + KD_MANIPULATE_SIZE, done);
    return REPLY_STATUS(m);
}

uint32_t bench_breakpoint(struct bench *b, uint64_t address, uint32_t *handle)
{
    uint8_t body[KD_BODY_MAX];
    bench_request(body, KD_API_WriteBreakPoint);
    KD_PUT(body, WriteBreakPoint, BreakPointAddress, address);
    const struct bench_message *m = bench_ask(b, body, KD_MANIPULATE_SIZE);
    assert_int_equal(m->size, KD_MANIPULATE_SIZE);
    *handle = (uint32_t)KD_GET(m->body, WriteBreakPoint, BreakPointHandle);
    return REPLY_STATUS(m);
}

void bench_continue2(struct bench *b, uint32_t status, bool trace, uint64_t dr7)
{
    uint8_t body[KD_BODY_MAX];
    bench_request(body, KD_API_Continue2);
    KD_PUT(body, Continue2Amd64, ContinueStatus, status);
    KD_PUT(body, Continue2Amd64, TraceFlag, trace);
    KD_PUT(body, Continue2Amd64, Dr7, dr7);
    KD_PUT(body, Continue2Amd64, CurrentSymbolStart, 1);
    KD_PUT(body, Continue2Amd64, CurrentSymbolEnd, 0);
    bench_tell(b, body, KD_MANIPULATE_SIZE);
}
