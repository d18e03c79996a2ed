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
 *   kd_link_tick(link, now)                    when kd_link_deadline(link) has come; it may cut
 *                                              a stuck packet and so bring events as well
 * Inside the event loop everything but feed and tick may be called, kd_link_send and
 * kd_link_expect in particular: a packet that acknowledges the one before by its mere coming gives
 * ACKED, and is itself judged only when the next event is asked for.
 * `written` may be called late (when an asynchronous write completes); output then gives the same
 * bytes until it is.
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

/* kd_link_expect of a link that stands between two others: whatever the debugger sends. */
#define KD_LINK_ANY_TYPE UINT16_MAX

/* All zero fields take the default of the role; see kd_link_init. */
struct kd_link_config {
    enum kd_role role;
    enum kd_framing framing;
    uint64_t byte_timeout_us; /* a packet whose next byte is later than this is cut */
    uint64_t ack_timeout_us;  /* a packet not acknowledged by then is sent again */
    unsigned retries;         /* sends of one packet before giving up (target: droppable only) */
    bool late_ack; /* packets are acknowledged by kd_link_take: for those who pass them on */
};

enum {
    /* Defaults, as the sources have them (kdcom-like targets: 5 tries until the debugger has
     * answered once, so that booting without one is quick, then 20). */
    KD_LINK_BYTE_TIMEOUT_US = 250000,
    KD_LINK_ACK_TIMEOUT_US = 1000000,
    KD_LINK_FIRST_RETRIES = 5,
    KD_LINK_RETRIES = 20,
    KD_LINK_DEBUGGER_RETRIES = 5,
    /* Control packets and break-in bytes waiting to be written. One of each kind is enough, and an
     * acknowledgement per packet; a peer that provokes more is told nothing until there is room. */
    KD_LINK_CONTROLS_MAX = 8,
    /* Sends of one packet that RESENDs may provoke in a debugger before it gives up: a peer that
     * answers RESEND to everything must not hold a debugger for ever. */
    KD_LINK_RESENDS_MAX = 64,
    /* Events waiting: at most one of each kind. */
    KD_LINK_EVENTS_MAX = 12,
};

enum kd_link_event_kind {
    KD_LINK_NOTHING,
    KD_LINK_PACKET,      /* a good, new data packet: type, body, body_size */
    KD_LINK_ACKED,       /* the packet sent last is acknowledged: the link takes a new one */
    KD_LINK_DROPPED,     /* target: a droppable packet was given up; ids are initial again */
    KD_LINK_LOST,        /* debugger: no acknowledgement within the retries; the packet is abandoned
                            and RESET was sent */
    KD_LINK_RESEND_STOP, /* target, stopped, nothing outstanding: RESEND or RESET came, or a
                            break-in byte alone: send the state change of this stop again */
    KD_LINK_RESET,       /* the peer's RESET was handled (debugger: and no longer awaited). An
                            outstanding packet goes out again with its new id */
    KD_LINK_RESTARTED,   /* debugger: a SYNC id: the target has restarted its streams; an
                            outstanding packet was for its former life and is abandoned. The
                            packet itself follows as the next event */
    KD_LINK_BREAK_IN,    /* target: 'b' came, while running or waiting */
};

struct kd_link_event {
    enum kd_link_event_kind kind;
    uint16_t type;       /* KD_LINK_PACKET: enum kd_packet_type */
    const uint8_t *body; /* valid until the next call of kd_link_event, _feed or _tick */
    size_t body_size;
};

/* Counted, never reset; for status lines and tests. */
struct kd_link_stats {
    uint64_t packets_in, packets_out; /* data packets, repeats not counted */
    uint64_t resends_in, resends_out; /* RESEND packets */
    uint64_t resets_in, resets_out;   /* RESET packets */
    uint64_t repeats_in, repeats_out; /* data packets that came or went again */
    uint64_t bad_checksum, bad_trailer, bad_length, cut, junk_bytes;
    uint64_t drops;         /* target: packets given up; debugger: packets LOST */
    uint64_t odd_ids;       /* data packets with neither the expected nor the last id */
    uint64_t controls_lost; /* control packets for which there was no room */
};

struct kd_link; /* its fields, below the functions, are private to link.c */

/* A zero field of CONFIG takes its default, see above. */
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

/* Whether a sent packet waits for its acknowledgement. Nothing else makes kd_link_send busy. A
 * packet may come while it does: on a damaged line even the reply to an earlier sending. */
bool kd_link_busy(const struct kd_link *link);

/* Abandons the outstanding packet, if any (a debugger that gives up a request; a target that
 * rather reports its state anew). Its id is used again by the next one, unless it was sent: then
 * the peer may have taken it, and finds out by the contents whether the next one is a repeat. */
void kd_link_abandon(struct kd_link *link);

/* Whether exactly this packet is the outstanding one. */
bool kd_link_is_sending(const struct kd_link *link, uint16_t type, const uint8_t *body,
                        size_t size);

/* With late_ack: the last KD_LINK_PACKET has reached where it belongs; it is acknowledged now.
 * Harmless when none waits for that. */
void kd_link_take(struct kd_link *link, uint64_t now);

/* With late_ack: it could not be passed on; it counts as new when the peer sends it again. */
void kd_link_refuse(struct kd_link *link);

/* Target: what it waits for when nothing is outstanding. KD_PACKET_UNUSED = it runs: only
 * break-in and RESET are looked at, repeats are acknowledged, other packets ignored.
 * KD_LINK_ANY_TYPE = all packets are taken. */
void kd_link_expect(struct kd_link *link, uint16_t type);

/* Debugger: sends RESET and awaits the answer; the ids follow when it comes. Whatever is
 * outstanding then goes out again with a new id, and the target cannot know it from a new one:
 * abandon first what must not take effect twice. */
void kd_link_send_reset(struct kd_link *link, uint64_t now);

/* Debugger: sends the break-in byte, after the packet being written. One that still waits to be
 * written is not doubled. */
void kd_link_send_break_in(struct kd_link *link, uint64_t now);

/* Bytes that want to go out now: returns their number and sets *bytes; 0 = none. */
size_t kd_link_output(struct kd_link *link, const uint8_t **bytes);
void kd_link_written(struct kd_link *link, uint64_t now, size_t size);

/* Forgets everything in flight and starts with initial ids (the wire was replaced): bytes that
 * output gave out before must not be reported with `written` any more. Counters stay. */
void kd_link_restart(struct kd_link *link);

const struct kd_link_stats *kd_link_stats(const struct kd_link *link);

/* ---- private to link.c from here on ---- */

struct kd_link_profile;

/* What is remembered of a data packet to know its repeat from a different one. */
struct kd_link_print {
    bool known;
    uint32_t id;
    uint16_t type;
    uint16_t byte_count;
    uint64_t hash;
};

struct kd_link {
    struct kd_link_config config;
    const struct kd_link_profile *profile;
    uint64_t now; /* of the last call that told the time */

    /* ids */
    uint32_t next;                /* of the own packet outstanding, or to be sent next */
    uint32_t expect;              /* of the peer's next packet */
    bool expect_known;            /* debugger: false until the first packet or RESET */
    bool awaiting_reset;          /* debugger: the next RESET is an answer */
    bool sync_sticks;             /* debugger: this target never clears the SYNC bit */
    uint64_t reset_settled;       /* debugger: until then a RESET is an echo; see on_reset */
    struct kd_link_print last;    /* the peer's packet accepted last */
    struct kd_link_print odd;     /* the last one with an odd id, not accepted */
    uint64_t odd_resends;         /* RESENDs written when it came */
    struct kd_link_print pending; /* late_ack: given out, not taken yet */
    uint16_t expected_type;       /* target: see kd_link_expect */

    /* the own packet */
    bool outstanding;
    bool droppable;
    bool handed_out;  /* it was given to output at least once */
    bool want_write;  /* it waits to be written (again) */
    bool ask_again;   /* debugger: ask for the packet held back, once this one is ACKed */
    bool unsure;      /* debugger: a reply may belong to an abandoned request */
    unsigned retries; /* left */
    unsigned limit;
    unsigned resends;   /* sends that the peer's RESENDs provoked */
    unsigned held_back; /* packets not accepted because this one is not acknowledged */
    uint64_t ack_deadline;
    uint64_t write_progress; /* bytes written, to tell a slow wire from a dead one */
    uint64_t progress_seen;
    uint16_t out_type;
    size_t out_size;
    uint8_t out[KD_BODY_MAX];

    /* waiting to be written */
    struct {
        uint16_t type; /* KD_PACKET_POLL_BREAKIN stands for the break-in byte */
        uint32_t id;
    } controls[KD_LINK_CONTROLS_MAX];
    size_t control_count;

    /* being written: control packets and at most one data packet, whole */
    size_t wire_size;
    size_t wire_at;
    bool wire_has_packet; /* the outstanding one is in it */
    uint8_t wire[KD_LINK_CONTROLS_MAX * KD_HEADER_SIZE + KD_PACKET_MAX];

    /* coming in */
    uint64_t byte_deadline;
    uint64_t break_in_deadline;
    bool flushing;
    bool deferred; /* `item` is to be judged again after the event before it was seen */
    struct kd_item item;
    struct kd_link_event events[KD_LINK_EVENTS_MAX];
    size_t event_count;
    struct kd_stream stream;
    struct kd_link_stats stats;
};

#endif
