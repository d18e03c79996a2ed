/* SPDX-License-Identifier: BSD-2-Clause */
/* TCP connections in foreign captures: whether they carry KD, who is who, and what was sent
 * twice. Private to src/capture. */
#ifndef KDWIRE_CAPTURE_TCP_H
#define KDWIRE_CAPTURE_TCP_H

#include "capture/capture.h"

enum {
    /* A capture of a virtual machine's serial port has one connection at a time; more are other
     * traffic, or reconnects. The oldest is forgotten. */
    TCP_FLOWS_MAX = 16,
};

struct tcp_end {
    uint8_t address[16];
    uint16_t port;
    bool seen;     /* next is known */
    uint32_t next; /* sequence number of the byte after the last one */
};

struct tcp_flow {
    uint8_t ip_version; /* 0: unused */
    bool is_kd;         /* a KD header was seen in it */
    struct tcp_end ends[2];
    enum capture_direction from[2]; /* what the bytes of each end count as */
};

struct tcp_flows {
    struct tcp_flow flow[TCP_FLOWS_MAX];
    unsigned oldest;
};

/*
 * RECORD is a CAPTURE_CONTENT_TCP record. Cuts off what was sent before (retransmissions,
 * keep-alive probes), adds a gap to `missing`, and makes it CAPTURE_CONTENT_KD with a direction
 * once the connection has shown a KD packet.
 */
void tcp_take(struct tcp_flows *flows, struct capture_record *record);

#endif
