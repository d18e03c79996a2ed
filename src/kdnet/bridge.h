/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KDNET in front of a byte stream: a session and its link on the network side, a serial link on the
 * stream's side, packets passed on in between. So everything that speaks serial KD (the relay, the
 * debugger, the simulator, WinDbg on a COM port) speaks KDNET through it. Sans-I/O, times in us.
 *
 *   role of the session   the network side is        the stream leads to
 *   debugger              a target (Windows, or       a debugger
 *                         another kdwire)
 *   target                a debugger (WinDbg,         a target
 *                         waiting)
 *
 * Both links are ended here, because ids, retransmission and RESET differ. A packet is acknowledged
 * on one side only when the other side has acknowledged it (kd_link_take): it is passed on exactly
 * once, and a target with nobody behind the bridge notices that nobody is there.
 *
 *   one link says     on the other link
 *   PACKET            sent; not again while just this packet is under way. An older one that is
 *                     under way was given up by its sender: abandoned
 *   ACKED             the packet is taken: acknowledged to its sender
 *   DROPPED, LOST     the packet is refused: its sender's repeat is passed on anew
 *   RESEND_STOP       RESET is sent: the target reports its state again
 *   BREAK_IN          the break-in byte is sent
 *   RESTARTED         the packet under way is abandoned; the target's KDNET session begins anew, as
 *                     that of a machine that has booted
 *   RESET             - (what is outstanding was sent again by the link itself)
 *
 * WinDbg on KDNET asks again, under a new id, when a reply takes longer than half a second (seen in
 * the public capture). A serial line is often slower: the same request again, while its reply is
 * still awaited, is acknowledged and not passed on.
 */
#ifndef KDWIRE_KDNET_BRIDGE_H
#define KDWIRE_KDNET_BRIDGE_H

#include "kdnet/session.h"

enum {
    /* How long a packet waits for its acknowledgement on the network: what WinDbg waits. */
    KDNET_ACK_TIMEOUT_US = 500000,
    /* Tries on the network before a debugger's packet counts as lost; an independent debugger that
     * is used with real Windows tries as often. */
    KDNET_RETRIES = 24,
    /* So long the same request again is taken for impatience. Longer than a slow line needs for the
     * largest reply (4 KB at 19,200 baud: 2.1 s); then it is passed on, for the target may have
     * lost its reply. */
    KDNET_REASK_US = 3000000,
};

enum kdnet_bridge_news {
    KDNET_BRIDGE_NOTHING,
    KDNET_BRIDGE_UP,    /* the first session: the far end is there */
    KDNET_BRIDGE_AGAIN, /* another session: the far end has restarted */
};

struct kdnet_bridge_stats {
    uint64_t packets[2]; /* passed on, to the network and to the stream */
    uint64_t reasked;    /* requests asked again and not passed on */
    uint64_t checks;     /* connection checks */
    uint64_t odd;        /* authentic payloads that are neither packet, break-in nor check */
};

struct kdnet_bridge {
    struct kdnet_session session;
    struct kdnet_bridge_stats stats;
    struct kd_link net, serial;
    /* private */
    uint64_t now;
    bool up;
    bool net_used;    /* a datagram of `net` went out since it was started */
    bool own_restart; /* the session that is being made is our own doing */
    bool serial_used; /* a packet came from the stream since the session began */
    bool check_due;   /* the connection check is to be sent */
    bool asked;       /* `request` is not answered yet */
    uint64_t asked_at;
    size_t request_size;
    uint8_t request[KD_BODY_MAX];
};

/* Errors as kdnet_session_init. About 50 KB: on the heap. */
int kdnet_bridge_init(struct kdnet_bridge *bridge, const struct kdnet_session_config *config);
void kdnet_bridge_close(struct kdnet_bridge *bridge);

/* Target: begins to poke. Debugger: nothing to do. */
void kdnet_bridge_start(struct kdnet_bridge *bridge, uint64_t now);

/* A datagram came. With NEWS other than NOTHING, whatever the stream still held is void. */
enum kdnet_bridge_news kdnet_bridge_receive(struct kdnet_bridge *bridge, uint64_t now,
                                            const struct kdnet_address *from, const uint8_t *bytes,
                                            size_t size);

/* Bytes of the stream; all are taken. */
void kdnet_bridge_feed(struct kdnet_bridge *bridge, uint64_t now, const uint8_t *bytes,
                       size_t size);

/* The next datagram to send: its size, 0 = none now. */
size_t kdnet_bridge_datagram(struct kdnet_bridge *bridge, uint64_t now, struct kdnet_address *to,
                             uint8_t out[KDNET_DATAGRAM_MAX]);

/* Bytes for the stream, as kd_link_output and kd_link_written. */
size_t kdnet_bridge_output(struct kdnet_bridge *bridge, const uint8_t **bytes);
void kdnet_bridge_written(struct kdnet_bridge *bridge, uint64_t now, size_t size);

void kdnet_bridge_tick(struct kdnet_bridge *bridge, uint64_t now);
uint64_t kdnet_bridge_deadline(const struct kdnet_bridge *bridge);

#endif
