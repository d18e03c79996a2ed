/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A link of either role in the hands of a hostile peer and an arbitrary caller.
 * Input: a byte of options, then steps of an operation byte and its arguments.
 * Checked: what it writes is always whole, good packets; nothing grows without bound; each deadline
 * that is served moves on; and a debugger's packet is acknowledged or LOST in the end.
 */
#include "kdwire/link.h"

#include <stdlib.h>
#include <string.h>

#include "kdwire/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    OPTION_DEBUGGER = 1,
    OPTION_KDNET = 2,
    OPTION_RETRIES = 4,
    TICKS_MAX = 200, /* more deadlines than any retries need */
};

static struct kd_link link;
static struct kd_stream observer; /* reads what the link writes */
static uint64_t now;
static const uint8_t *input;
static size_t left;

static void check(bool condition)
{
    if (!condition)
        abort();
}

static uint8_t next_byte(void)
{
    if (!left)
        return 0;
    left--;
    return *input++;
}

static void drain_events(void)
{
    struct kd_link_event event;
    size_t packets = 0;

    while (kd_link_event(&link, &event)) {
        check(event.kind > KD_LINK_NOTHING && event.kind <= KD_LINK_BREAK_IN);
        check(event.body_size <= KD_BODY_MAX);
        check(link.event_count <= KD_LINK_EVENTS_MAX);
        if (event.kind != KD_LINK_PACKET)
            continue;
        check(kd_checksum(event.body, event.body_size) < KD_BODY_MAX * 256u); /* readable */
        check(++packets < 10000);
        check(link.config.role == KD_ROLE_DEBUGGER || event.type == link.expected_type);
    }
}

static void feed(const uint8_t *bytes, size_t size)
{
    while (size) {
        size_t used = kd_link_feed(&link, now, bytes, size);
        check(used <= size && (used > 0 || link.event_count > 0));
        bytes += used;
        size -= used;
        drain_events();
    }
}

static void observe(const uint8_t *bytes, size_t size)
{
    struct kd_item item = {0};
    for (size_t at = 0; at < size || item.kind != KD_ITEM_NONE;) {
        at += kd_stream_feed(&observer, bytes + at, size - at, &item);
        check(item.kind != KD_ITEM_JUNK && item.faults == 0);
    }
}

static void write_some(size_t most)
{
    const uint8_t *bytes;
    size_t size = kd_link_output(&link, &bytes);

    check(size <= sizeof(link.wire));
    size = size < most ? size : most;
    if (size)
        observe(bytes, size);
    kd_link_written(&link, now, size);
}

static void feed_raw(void)
{
    size_t size = next_byte();
    size = size < left ? size : left;
    const uint8_t *bytes = input;
    input += size;
    left -= size;
    feed(bytes, size);
}

/* A packet that is likely to mean something, so that the fuzzer gets past the framing. */
static void feed_packet(bool control)
{
    static uint8_t bytes[KD_PACKET_MAX];
    static const uint32_t ids[] = {0x80800000, 0x80800001, 0x80800800, 0x80800801,
                                   0,          2,          0x80000000, 0x80000002};
    uint8_t how = next_byte();
    struct kd_header header = {.leader = control ? KD_LEADER_CONTROL : KD_LEADER_DATA,
                               .type = how & 15,
                               .id = ids[how >> 5]};
    size_t size = KD_HEADER_SIZE;
    if (!control) {
        size_t body = how & 16 ? next_byte() : 56;
        memset(bytes + size, next_byte(), body);
        kd_put_u32(bytes + size, 0x3130u + (next_byte() & 3));
        header.byte_count = (uint16_t)body;
        header.checksum = kd_checksum(bytes + size, body);
        size += body;
        if (link.config.framing == KD_FRAMING_SERIAL)
            bytes[size++] = KD_TRAILER;
    }
    kd_header_put(bytes, &header);
    feed(bytes, size);
}

static void send_packet(void)
{
    static uint8_t body[KD_BODY_MAX + 300];
    uint8_t how = next_byte();
    size_t head = next_byte();
    size_t rest = (size_t)next_byte() * 17;

    kd_put_u32(body, 0x3130u + (next_byte() & 3) + (how & 16 ? 0x100 : 0));
    bool busy = kd_link_busy(&link);
    int result = kd_link_send(&link, now, how & 15, body, head, body, rest);
    check(result == (busy ? KD_E_BUSY : head + rest > KD_BODY_MAX ? KD_E_TOO_LONG : KD_OK));
}

static void pass_time(uint64_t us)
{
    now += us;
    kd_link_tick(&link, now);
    drain_events();
    uint64_t deadline = kd_link_deadline(&link);
    check(deadline > now); /* served, so it has moved on */
}

static void act(uint8_t operation)
{
    switch (operation & 15) {
    case 0:
    case 1:
        feed_raw();
        break;
    case 2:
    case 3:
        feed_packet(false);
        break;
    case 4:
    case 5:
        feed_packet(true);
        break;
    case 6:
        send_packet();
        break;
    case 7:
        write_some(operation >> 4);
        break;
    case 8:
        write_some(SIZE_MAX);
        break;
    case 9:
        pass_time((uint64_t)next_byte() * 10000);
        break;
    case 10:
        kd_link_expect(&link, operation >> 4);
        break;
    case 11:
        kd_link_abandon(&link);
        break;
    case 12:
        kd_link_send_reset(&link, now);
        break;
    case 13:
        kd_link_send_break_in(&link, now);
        break;
    case 14:
        kd_link_restart(&link);
        kd_stream_init(&observer, link.config.framing);
        break;
    default:
        kd_link_tick(&link, now);
        break;
    }
    check(link.control_count <= KD_LINK_CONTROLS_MAX);
}

/* The peer falls silent: deadlines end, and with them what a debugger has outstanding. */
static void fall_silent(void)
{
    for (int i = 0; i < TICKS_MAX; i++) {
        drain_events();
        write_some(SIZE_MAX);
        uint64_t deadline = kd_link_deadline(&link);
        if (deadline == KD_NEVER)
            break;
        pass_time(deadline > now ? deadline - now : 0);
    }
    check(link.config.role == KD_ROLE_TARGET || !kd_link_busy(&link));
    check(!kd_link_busy(&link) || !link.droppable);
    check(!kd_stream_pending(&link.stream));
    write_some(SIZE_MAX);
    check(!kd_stream_pending(&observer)); /* only whole packets */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    struct kd_link_config config = {
        .role = data[0] & OPTION_DEBUGGER ? KD_ROLE_DEBUGGER : KD_ROLE_TARGET,
        .framing = data[0] & OPTION_KDNET ? KD_FRAMING_KDNET : KD_FRAMING_SERIAL,
        .retries = data[0] & OPTION_RETRIES ? 1 + (data[0] >> 4) : 0,
    };
    input = data + 1;
    left = size - 1;
    now = 0;
    kd_link_init(&link, &config);
    kd_stream_init(&observer, config.framing);
    while (left)
        act(next_byte());
    fall_silent();
    return 0;
}
