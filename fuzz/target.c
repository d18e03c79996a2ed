/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A debuggee with a simulated machine, attacked by its debugger. The first byte chooses: even, the
 * rest is what comes over the wire; odd, the rest is a script of steps in which well-framed
 * packets with arbitrary bodies get past the checksum:
 *   0x00-0x9F  packet: type from the low bits, u16 size, then the body
 *   0xA0-0xAF  raw bytes: u8 size
 *   0xB0-0xBF  time passes
 *   0xC0-0xCF  the machine runs
 *   0xD0-0xDF  break-in byte
 *   0xE0-0xEF  RESET
 *   0xF0-0xFF  the line goes down and up
 */
#include <stdlib.h>
#include <string.h>

#include "session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    /* Exchanges after each step: enough for any honest one, an end to two that never agree. */
    PUMP_MAX = 32,
    RUN = 2000,
    SEARCH_MAX = 1 << 14,
};

struct attack {
    struct sim_session session;
    struct kd_link debugger;
    uint64_t now;
    const uint8_t *data;
    size_t size;
};

static size_t take(struct attack *a, size_t wanted, const uint8_t **bytes)
{
    size_t n = wanted < a->size ? wanted : a->size;
    *bytes = a->data;
    a->data += n;
    a->size -= n;
    return n;
}

static void flush(struct attack *a)
{
    const uint8_t *bytes;
    struct kd_link_event event;
    size_t size = sim_session_output(&a->session, &bytes);
    for (size_t used = 0; used < size;) {
        size_t n = kd_link_feed(&a->debugger, a->now, bytes + used, size - used);
        bool any = false;
        while (kd_link_event(&a->debugger, &event))
            any = true;
        if (!n && !any)
            break;
        used += n;
    }
    sim_session_written(&a->session, a->now, size);
}

static void pump(struct attack *a)
{
    const uint8_t *bytes;
    for (int i = 0; i < PUMP_MAX; i++) {
        flush(a);
        size_t size = kd_link_output(&a->debugger, &bytes);
        if (!size)
            break;
        sim_session_feed(&a->session, a->now, bytes, size);
        kd_link_written(&a->debugger, a->now, size);
    }
    sim_session_run(&a->session, a->now, RUN);
    flush(a);
}

static void send_packet(struct attack *a, uint8_t step)
{
    static const uint16_t types[] = {KD_PACKET_STATE_MANIPULATE, KD_PACKET_STATE_MANIPULATE,
                                     KD_PACKET_STATE_MANIPULATE, KD_PACKET_STATE_MANIPULATE,
                                     KD_PACKET_DEBUG_IO,         KD_PACKET_FILE_IO,
                                     KD_PACKET_STATE_CHANGE64,   KD_PACKET_CONTROL_REQUEST};
    const uint8_t *length, *body;
    if (take(a, 2, &length) < 2)
        return;
    size_t size = take(a, kd_get_u16(length) % (KD_BODY_MAX + 1), &body);
    if (!size)
        return;
    kd_link_abandon(&a->debugger);
    (void)kd_link_send(&a->debugger, a->now, types[step % 8], body, size, NULL, 0);
}

static void play(struct attack *a)
{
    const uint8_t *bytes, *length;
    while (take(a, 1, &bytes)) {
        uint8_t step = *bytes;
        if (step < 0xA0) {
            send_packet(a, step);
        } else if (step < 0xB0) {
            if (take(a, 1, &length)) {
                size_t size = take(a, *length, &bytes);
                sim_session_feed(&a->session, a->now, bytes, size);
            }
        } else if (step < 0xC0) {
            a->now += (uint64_t)300000 * (step & 15u);
            kd_link_tick(&a->debugger, a->now);
        } else if (step < 0xD0) {
            sim_session_run(&a->session, a->now, RUN);
        } else if (step < 0xE0) {
            kd_link_send_break_in(&a->debugger, a->now);
        } else if (step < 0xF0) {
            kd_link_send_reset(&a->debugger, a->now);
        } else {
            sim_session_line(&a->session, a->now, false);
            sim_session_line(&a->session, a->now, true);
        }
        pump(a);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct sim_session_config config = {
        .machine = {.cpus = 2, .print_every = 3, .prompt_every = 5, .load_every = 4},
        .target = {.search_max = SEARCH_MAX},
        .boot_stop = true,
        .file = "a.sys",
    };
    static const struct kd_link_config link = {.role = KD_ROLE_DEBUGGER};
    struct attack *a = calloc(1, sizeof *a);
    if (!a || !size)
        goto done;
    if (sim_session_init(&a->session, &config) < 0)
        goto close;
    kd_link_init(&a->debugger, &link);
    sim_session_line(&a->session, 0, true);
    a->data = data + 1;
    a->size = size - 1;
    if (data[0] & 1) {
        pump(a);
        play(a);
    } else {
        sim_session_run(&a->session, a->now, RUN);
        flush(a);
        sim_session_feed(&a->session, a->now, a->data, a->size);
        sim_session_run(&a->session, a->now, RUN);
        flush(a);
    }
close:
    sim_session_close(&a->session);
done:
    free(a);
    return 0;
}
