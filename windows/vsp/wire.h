/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes between the serial port and a connected socket: raw, or as Telnet with or without RFC 2217.
 * Under the line's lock.
 */
#ifndef KDWIRE_VSP_WIRE_H
#define KDWIRE_VSP_WIRE_H

#include "interface.h"
#include "os.h"
#include "serial/port.h"
#include "serial/telnet.h"

enum {
    WIRE_BLOCK = 64 * 1024, /* bytes moved at a time */
    WIRE_PLAIN = 4 * 1024,  /* bytes encoded at a time */
};

struct wire {
    enum vsp_telnet protocol;
    struct telnet telnet;
    bool dry;     /* nothing to receive until the thread is told that there is */
    bool clogged; /* no room to send until the thread is told that there is */
    bool full;    /* the queue was: not to receive again until half of it is free */
    uint8_t block[WIRE_BLOCK];
    size_t held_at, held;            /* of block: received, not decoded yet */
    uint8_t encoded[2 * WIRE_PLAIN]; /* only while it is sent */
    uint8_t tail[VSP_TAIL_MAX];      /* what came last, whoever took it: a ring, as of `received` */
    /* Since the driver started: */
    uint64_t received, sent, receives, read_events;
};

/* A new connection; SERVES: we listened for it. */
void wire_start(struct wire *wire, const struct serial_port *port, enum vsp_telnet protocol,
                bool serves);

/* As much as goes. OS_DONE: all of it; else as os_send. */
enum os_result wire_send(struct wire *wire, struct serial_port *port, os_socket peer, uint64_t now);
/* Once: OS_DONE: there may be more, and the port has room or not; else as os_receive. */
enum os_result wire_receive(struct wire *wire, struct serial_port *port, os_socket peer,
                            uint64_t now);

bool wire_wants_to_read(const struct wire *wire, const struct serial_port *port);
bool wire_wants_to_write(const struct wire *wire, const struct serial_port *port);

/* The lines that the far end drives, enum serial_modem: RFC 2217 tells them, else all are up. */
uint32_t wire_modem(const struct wire *wire);

/* The last bytes received, at most SIZE; returns how many. */
size_t wire_read_tail(const struct wire *wire, uint8_t *bytes, size_t size);

#endif
