/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A serial port as Windows programs know one: reads and writes with time-outs, wait masks, queues,
 * modem lines, flow control and control codes. What is at the other end of the wire (here a TCP
 * connection) is the caller's. Sans-I/O: requests, bytes and the time go in, completed requests and
 * bytes come out. No memory but the struct, the receive queue the caller gives, and the requests.
 *
 * Times are microseconds of any clock that does not go back. Not thread-safe: the caller holds a
 * lock around every call.
 *
 * How to use it:
 *   serial_read, serial_write, serial_control     hand in a request; it stays the port's until it
 *                                                 comes back from serial_completed, once
 *   while ((r = serial_completed(port)))          after EVERY call below: take back what is done
 *   n = serial_output(port, &p)                   bytes for the wire, then
 *   serial_sent(port, now, n)                     say how many the wire took
 *   serial_receive(port, now, p, n)               bytes from the wire, at most serial_room(port):
 *                                                 stop reading the wire at 0, nothing is dropped
 *   serial_tick(port, now)                        when serial_deadline(port) has come
 *
 * A request's life:
 *   state    event                                     next     what happens
 *   -        serial_read, _write, _control             waiting  or done at once
 *   waiting  it becomes the first of its queue         current  time-outs are looked up, timers
 * start current  served in full                            done     SERIAL_OK current  its time is
 * over                          done     SERIAL_TIMEOUT, what it has so far any      serial_cancel,
 * purge, close               done     SERIAL_CANCELLED, what it has so far done serial_completed -
 * the caller's again
 */
#ifndef KDWIRE_SERIAL_PORT_H
#define KDWIRE_SERIAL_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/ring.h"
#include "serial/codes.h"

#define SERIAL_NEVER UINT64_MAX /* a deadline that does not come */

enum {
    /* Receive queue until SET_QUEUE_SIZE asks for more: a KD packet is 4 KiB, a terminal's screen
     * less; sixteen packets keep a bulk transfer going while the reader naps. */
    SERIAL_QUEUE_DEFAULT = 64 * 1024,
    /* Most that SET_QUEUE_SIZE can ask for; what is beyond waits in the TCP window. */
    SERIAL_QUEUE_MAX = 1024 * 1024,
    /* Status bytes that LSRMST_INSERT may add although the queue is full. */
    SERIAL_QUEUE_RESERVE = 256,
    SERIAL_MEMORY = SERIAL_QUEUE_MAX + SERIAL_QUEUE_RESERVE,
    /* XON, XOFF and a counter's character that wait for the wire: the newest of each decides. */
    SERIAL_URGENT_MAX = 8,
    SERIAL_PIECES = 2,          /* that serial_space knows: a read, the receive queue */
    SERIAL_BAUD_DEFAULT = 1200, /* serial.sys starts so, too; programs set theirs */
};

enum serial_kind {
    SERIAL_KIND_READ,
    SERIAL_KIND_WRITE,
    SERIAL_KIND_WAIT,
    SERIAL_KIND_IMMEDIATE,
    SERIAL_KIND_COUNTER,
    SERIAL_KIND_CONTROL, /* done at once */
};

struct serial_request {
    /* The caller's, set before it is handed in: */
    uint8_t *data; /* where reads go, what writes take; of controls the output buffer */
    size_t size;   /* bytes of it */
    /* The result, set when it is done: */
    size_t done; /* bytes of it that count ("information") */
    uint32_t status;
    /* The port's: */
    enum serial_kind kind;
    struct serial_request *next;
    bool waiting; /* in a queue of the port */
    bool current; /* timers run */
    bool present; /* read: whatever is there is enough */
    uint8_t byte; /* immediate: the character */
    bool byte_sent;
    size_t wanted;         /* read: bytes that end it; counter: bytes still to come */
    uint64_t due;          /* total time-out */
    uint64_t interval;     /* read: longest gap between bytes, 0 = any */
    uint64_t interval_due; /* read: when the gap is too long */
};

struct serial_piece { /* of memory */
    uint8_t *bytes;
    size_t size;
};

struct serial_queue {
    struct serial_request *first, *last;
};

struct serial_stats { /* since open or CLEAR_STATS */
    uint32_t received, sent, framing, overrun, queue_overrun, parity;
};

struct serial_totals { /* since init; the counters that the first vspControl's REPORT showed */
    uint64_t written, read;
    uint64_t interval_timeouts, total_timeouts, wait_timeouts;
    uint64_t reads, dequeues;
    uint64_t discarded; /* received while no program had the port open */
};

struct serial_timeouts { /* ms */
    uint32_t interval, multiplier, constant, write_multiplier, write_constant;
};

struct serial_port {
    struct ring ring;
    size_t limit; /* bytes that the receive queue is said to hold */
    struct serial_queue reads, writes, completed;
    size_t write_bytes; /* of all waiting writes */
    struct serial_request *wait, *immediate, *counter;
    bool open;
    /* Settings; they outlive closing. */
    uint32_t baud;
    uint8_t stop, parity, bits;
    uint8_t chars[SERIAL_CHARS];
    uint32_t handshake, flow;
    uint32_t xon_limit, xoff_limit;
    struct serial_timeouts timeouts;
    uint32_t out_queue; /* as SET_QUEUE_SIZE said */
    /* State; most of it starts anew with each open. */
    uint32_t mask, history;
    uint32_t errors;
    uint32_t hold;  /* enum serial_hold */
    uint32_t modem; /* enum serial_modem, with changes */
    uint32_t mcr;   /* modem control register: what we drive */
    uint8_t escape; /* LSRMST_INSERT, 0 = off */
    bool throttled; /* the queue is above the XOFF limit and we said so */
    uint8_t urgent[SERIAL_URGENT_MAX];
    size_t urgent_size;
    struct serial_stats stats;
    struct serial_totals totals;
};

/* MEMORY holds SERIAL_MEMORY bytes and stays as long as the port. */
void serial_init(struct serial_port *port, uint8_t *memory);

/* A program opens the port (SERIAL_ACCESS_DENIED when one has it) or closes its last handle: all
 * its requests end. Settings stay. */
uint32_t serial_open(struct serial_port *port);
void serial_close(struct serial_port *port, uint64_t now);

/* Hand in a request whose data and size are set. */
void serial_read(struct serial_port *port, uint64_t now, struct serial_request *request);
void serial_write(struct serial_port *port, uint64_t now, struct serial_request *request);

/*
 * A control code. IN may be the same memory as the request's data (buffered controls share one
 * buffer). Sizes are checked here: SERIAL_BUFFER_TOO_SMALL; SERIAL_INVALID_PARAMETER for an unknown
 * code, as serial.sys answers.
 */
void serial_control(struct serial_port *port, uint64_t now, uint32_t code, const uint8_t *in,
                    size_t in_size, struct serial_request *request);

/* Ends a waiting request with SERIAL_CANCELLED; false when the port has it no more. */
bool serial_cancel(struct serial_port *port, uint64_t now, struct serial_request *request);

/* Ends everything that waits with STATUS: the device goes away. */
void serial_end_all(struct serial_port *port, uint32_t status);

/* Ends all writes with STATUS. */
void serial_end_writes(struct serial_port *port, uint32_t status);

/* The next request that is done, or NULL. */
struct serial_request *serial_completed(struct serial_port *port);

/* Bytes for the wire, in one piece; 0 when there are none or they are held back. */
size_t serial_output(const struct serial_port *port, const uint8_t **bytes);
void serial_sent(struct serial_port *port, uint64_t now, size_t size);

/* Bytes that serial_receive takes now. While the port is closed it takes, counts and drops them, as
 * nobody listens on a real line. */
size_t serial_room(const struct serial_port *port);
void serial_receive(struct serial_port *port, uint64_t now, const uint8_t *bytes, size_t size);

/* The same without a copy: where the wire may put bytes itself, one piece after the other: the read
 * that waits for them, then the receive queue. Returns how many pieces there are (0: not now, use
 * serial_receive); then, with no other call in between, how many bytes it put there. */
size_t serial_space(const struct serial_port *port, struct serial_piece pieces[SERIAL_PIECES]);
void serial_placed(struct serial_port *port, uint64_t now, size_t size);

/* The lines that the other end drives, enum serial_modem without changes. */
void serial_set_modem(struct serial_port *port, uint64_t now, uint32_t lines);

/* A ring signal: RI goes up and down again. */
void serial_ring(struct serial_port *port, uint64_t now);

/* The other end reports errors of its line, enum serial_error_bits. */
void serial_line_error(struct serial_port *port, uint64_t now, uint32_t errors);

void serial_tick(struct serial_port *port, uint64_t now);
uint64_t serial_deadline(const struct serial_port *port);

/* "SET_BAUD_RATE", or NULL for an unknown code. */
const char *serial_control_name(uint32_t code);

#endif
