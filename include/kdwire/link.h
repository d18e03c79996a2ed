/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reliable link of the KD protocol, both roles: packet ids, ACK, RESEND, RESET,
 * retransmission, break-in. Sans-I/O: bytes and the time go in, bytes and events come out. The
 * same object code runs in an event loop, in a UEFI exception handler that polls a UART, under a
 * fuzzer, and in a test with a virtual clock. No memory but the struct.
 *
 * Times are microseconds of any clock that does not go back; only differences matter.
 *
 * How to use it:
 *   n = kd_link_feed(link, now, data, size)    until all bytes are used; after each call
 *   while (kd_link_event(link, &event)) ...    drain the events (feed stops when one is waiting)
 *   while ((n = kd_link_output(link, &p)))     write up to n bytes from p, then
 *       kd_link_written(link, now, n)          say how many the wire took
 *   kd_link_tick(link, now)                    when kd_link_deadline(link) has come
 */
#ifndef KDWIRE_LINK_H
#define KDWIRE_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kdwire/protocol.h"
#include "kdwire/stream.h"
#include "kdwire/wire.h"

enum kd_role {
    KD_ROLE_TARGET,
    KD_ROLE_DEBUGGER,
};

#define KD_NEVER UINT64_MAX /* a deadline that does not come */

/* All zero fields take the default of the role; see kd_link_init. */
struct kd_link_config {
    enum kd_role role;
    enum kd_framing framing;
    uint64_t byte_timeout_us; /* a packet whose next byte is later than this is cut */
    uint64_t ack_timeout_us;  /* a packet not acknowledged by then is sent again */
    unsigned retries;         /* sends of one packet before giving up (target: droppable only) */
};

enum kd_link_event_kind {
    KD_LINK_NOTHING,
    KD_LINK_PACKET,      /* a good, new data packet: type, body, body_size */
    KD_LINK_ACKED,       /* the packet sent last is acknowledged: the link takes a new one */
    KD_LINK_DROPPED,     /* target: a droppable packet was given up; ids are initial again */
    KD_LINK_LOST,        /* debugger: no acknowledgement within the retries; RESET was sent */
    KD_LINK_RESEND_STOP, /* target, nothing outstanding: RESEND or RESET came, or a break-in byte
                            alone: send the state change of this stop again */
    KD_LINK_RESET,       /* the peer's RESET was handled (debugger: and no longer awaited) */
    KD_LINK_RESTARTED,   /* debugger: a SYNC id: the target has restarted its streams */
    KD_LINK_BREAK_IN,    /* target: 'b' came while running or waiting */
};

struct kd_link_event {
    enum kd_link_event_kind kind;
    uint16_t type;       /* KD_LINK_PACKET: enum kd_packet_type */
    const uint8_t *body; /* valid until the next call of kd_link_feed */
    size_t body_size;
};

/* Counted, never reset; for status lines and tests. */
struct kd_link_stats {
    uint64_t packets_in, packets_out; /* data packets, repeats not counted */
    uint64_t resends_in, resends_out; /* RESEND packets */
    uint64_t resets_in, resets_out;   /* RESET packets */
    uint64_t repeats_in, repeats_out; /* data packets that came or went again */
    uint64_t bad_checksum, bad_trailer, bad_length, cut, junk_bytes;
    uint64_t drops;
};

struct kd_link; /* its fields, below the functions, are private to link.c */

/* Defaults: target 250 ms per byte, 1 s per ACK, 5 tries until the first success, then 20;
 * debugger 250 ms per byte, 1 s per ACK, 5 tries. */
void kd_link_init(struct kd_link *link, const struct kd_link_config *config);

/* Takes bytes from the wire; returns how many were used (fewer when an event is waiting). */
size_t kd_link_feed(struct kd_link *link, uint64_t now, const uint8_t *data, size_t size);

/* Takes the next event; false when there is none. */
bool kd_link_event(struct kd_link *link, struct kd_link_event *event);

/* Handles whatever deadline has come. Harmless at any time. */
void kd_link_tick(struct kd_link *link, uint64_t now);

/* When kd_link_tick is due next, or KD_NEVER. */
uint64_t kd_link_deadline(const struct kd_link *link);

/*
 * Sends one data packet: HEAD then DATA make its body (DATA may be NULL with size 0). Copies.
 * KD_E_BUSY while one is unacknowledged, KD_E_TOO_LONG above KD_BODY_MAX, else 0. Whether a
 * target's packet may be dropped follows from its type and API (kd_packet_is_droppable).
 */
int kd_link_send(struct kd_link *link, uint64_t now, uint16_t type, const uint8_t *head,
                 size_t head_size, const uint8_t *data, size_t data_size);

/* Whether a sent packet waits for its acknowledgement. */
bool kd_link_busy(const struct kd_link *link);

/* Abandons the outstanding packet, if any (a debugger that gives up a request). */
void kd_link_abandon(struct kd_link *link);

/* Target: what it waits for when nothing is outstanding. KD_PACKET_UNUSED = it runs: only
 * break-in and RESET are looked at, repeats are acknowledged, other packets ignored. */
void kd_link_expect(struct kd_link *link, uint16_t type);

/* Debugger: sends RESET and awaits the answer; the ids follow. */
void kd_link_send_reset(struct kd_link *link, uint64_t now);

/* Debugger: sends the break-in byte. */
void kd_link_send_break_in(struct kd_link *link, uint64_t now);

/* Bytes that want to go out now: returns their number and sets *bytes; 0 = none. */
size_t kd_link_output(struct kd_link *link, const uint8_t **bytes);
void kd_link_written(struct kd_link *link, uint64_t now, size_t size);

/* Forgets everything in flight and starts with initial ids (the wire was replaced). */
void kd_link_restart(struct kd_link *link);

const struct kd_link_stats *kd_link_stats(const struct kd_link *link);

#endif
