/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes: reads and their time-outs, writes, what the wire gives and takes, flow control. */
#include <string.h>

#include "serial/inside.h"

#define X UINT32_MAX /* the special value of the time-outs */

static uint64_t after_ms(uint64_t now, uint64_t ms)
{
    return now + ms * 1000;
}

/* MULTIPLIER per byte and CONSTANT, 64-bit as serial.sys has it; both 0 is no time-out. */
static uint64_t total_due(uint64_t now, size_t size, uint32_t multiplier, uint32_t constant)
{
    if (!multiplier && !constant)
        return SERIAL_NEVER;
    uint64_t ms = (uint64_t)multiplier * (uint32_t)size + constant;
    return ms > (SERIAL_NEVER - now) / 1000 ? SERIAL_NEVER : after_ms(now, ms);
}

/*
 * When a read ends (I interval, M multiplier, C constant, N bytes asked for, X all ones):
 *
 *   I        M    C    data is there  else
 *   X        0    0    at once        at once, with nothing
 *   X        X    <X   at once        with the first byte, or after C
 *   X        <X   <X   at once        with all N, or after M*N+C
 *   X        any  X    with all N
 *   0        0    0    with all N
 *   0        M    C    with all N, or after M*N+C
 *   1..X-1   0    0    with all N, or when I passes after a byte without a new one
 *   1..X-1   M    C    the same, or after M*N+C
 */
static void start_read(struct serial_port *port, uint64_t now, struct serial_request *read)
{
    const struct serial_timeouts *t = &port->timeouts;
    read->current = true;
    read->wanted = read->size;
    read->due = SERIAL_NEVER;
    read->interval = 0;
    read->interval_due = SERIAL_NEVER;
    read->present = false;
    if (t->interval != X) {
        read->interval = after_ms(0, t->interval);
        read->due = total_due(now, read->size, t->multiplier, t->constant);
        return;
    }
    if (t->constant == X)
        return;
    bool there = port->ring.size > 0;
    read->present = there || (!t->multiplier && !t->constant);
    if (t->multiplier == X) {
        if (!there)
            read->wanted = 1;
        read->due = after_ms(now, t->constant);
    } else {
        read->due = total_due(now, read->size, t->multiplier, t->constant);
    }
}

static void take_bytes(struct serial_port *port, uint64_t now, struct serial_request *read)
{
    const uint8_t *bytes = NULL;
    size_t taken = 0;
    size_t piece = 0;
    while (read->done < read->wanted && (piece = ring_peek(&port->ring, &bytes)) > 0) {
        if (piece > read->wanted - read->done)
            piece = read->wanted - read->done;
        memcpy(read->data + read->done, bytes, piece);
        ring_take(&port->ring, piece);
        read->done += piece;
        taken += piece;
    }
    if (taken && read->interval)
        read->interval_due = now + read->interval;
}

void serial_serve_reads(struct serial_port *port, uint64_t now)
{
    struct serial_request *read = NULL;
    while ((read = port->reads.first)) {
        if (!read->current)
            start_read(port, now, read);
        take_bytes(port, now, read);
        if (read->done < read->wanted && !read->present)
            break;
        port->reads.first = read->next;
        if (!read->next)
            port->reads.last = NULL;
        serial_finish(port, read, SERIAL_OK);
    }
    serial_throttle(port);
}

/* What read and write have in common; false: it is done already. */
static bool accept(struct serial_port *port, struct serial_request *request, enum serial_kind kind)
{
    request->kind = kind;
    request->done = 0;
    request->current = false;
    request->waiting = true;
    if (port->open && request->size && !serial_is_aborted(port))
        return true;
    uint32_t status = serial_is_aborted(port) ? SERIAL_CANCELLED : SERIAL_OK;
    serial_finish(port, request, port->open ? status : SERIAL_INVALID_STATE);
    return false;
}

void serial_read(struct serial_port *port, uint64_t now, struct serial_request *request)
{
    if (!accept(port, request, SERIAL_KIND_READ))
        return;
    port->totals.reads++;
    serial_enqueue(&port->reads, request);
    serial_serve_reads(port, now);
}

void serial_start_write(struct serial_port *port, uint64_t now)
{
    struct serial_request *write = port->writes.first;
    if (!write || write->current)
        return;
    write->current = true;
    write->interval_due = SERIAL_NEVER;
    write->due =
        total_due(now, write->size, port->timeouts.write_multiplier, port->timeouts.write_constant);
}

void serial_write(struct serial_port *port, uint64_t now, struct serial_request *request)
{
    if (!accept(port, request, SERIAL_KIND_WRITE))
        return;
    serial_finish_slot(port, &port->counter, SERIAL_MORE_WRITES);
    port->write_bytes += request->size;
    serial_enqueue(&port->writes, request);
    serial_start_write(port, now);
}

void serial_send_urgent(struct serial_port *port, uint8_t byte)
{
    if (port->urgent_size == SERIAL_URGENT_MAX) { /* the wire is stuck: the newest decides */
        memmove(port->urgent, port->urgent + 1, SERIAL_URGENT_MAX - 1);
        port->urgent_size--;
    }
    port->urgent[port->urgent_size++] = byte;
}

size_t serial_output(const struct serial_port *port, const uint8_t **bytes)
{
    const struct serial_request *immediate = port->immediate;
    const struct serial_request *write = port->writes.first;
    if (port->urgent_size) {
        *bytes = port->urgent;
        return port->urgent_size;
    }
    /* XOFF holds back data, not a character that a program sends past the queue. */
    if (immediate && !(port->hold & ~(uint32_t)SERIAL_HOLD_XON)) {
        *bytes = &immediate->byte;
        return 1;
    }
    if (!write || port->hold)
        return 0;
    *bytes = write->data + write->done;
    return write->size - write->done;
}

void serial_sent(struct serial_port *port, uint64_t now, size_t size)
{
    struct serial_request *write = port->writes.first;
    port->stats.sent += (uint32_t)size;
    if (port->urgent_size) {
        port->urgent_size -= size;
        memmove(port->urgent, port->urgent + size, port->urgent_size);
        return;
    }
    if (port->immediate && !(port->hold & ~(uint32_t)SERIAL_HOLD_XON)) {
        if (size)
            serial_finish_slot(port, &port->immediate, SERIAL_OK);
        return;
    }
    if (!write)
        return;
    write->done += size;
    port->write_bytes -= size;
    if (write->done < write->size)
        return;
    port->writes.first = write->next;
    if (!write->next)
        port->writes.last = NULL;
    serial_finish(port, write, SERIAL_OK);
    serial_start_write(port, now);
    if (!port->writes.first)
        serial_raise(port, SERIAL_EV_TXEMPTY);
}

/*
 * Flow control of what is received, when the queue's free room falls to the XOFF limit, and when
 * what it holds has fallen to the XON limit again:
 *   DTR handshake, RTS handshake  the line falls, and rises
 *   AUTO_RECEIVE                  XOFF is sent, and XON
 * Without any of them only TCP's own window holds the sender back.
 */
void serial_throttle(struct serial_port *port)
{
    bool full = port->ring.size + port->xoff_limit >= port->limit && port->ring.size;
    bool low = port->ring.size <= port->xon_limit;
    if (!port->open || port->throttled ? !low : !full)
        return;
    port->throttled = !port->throttled;
    uint32_t lines = 0;
    if ((port->handshake & SERIAL_DTR_MASK) == SERIAL_DTR_HANDSHAKE)
        lines |= SERIAL_LINE_DTR;
    if ((port->flow & SERIAL_RTS_MASK) == SERIAL_RTS_HANDSHAKE)
        lines |= SERIAL_LINE_RTS;
    port->mcr = port->throttled ? port->mcr & ~lines : port->mcr | lines;
    if (port->flow & SERIAL_AUTO_RECEIVE)
        serial_send_urgent(port, port->chars[port->throttled ? SERIAL_CHAR_XOFF : SERIAL_CHAR_XON]);
}

size_t serial_room(const struct serial_port *port)
{
    if (!port->open)
        return port->limit;
    size_t room = port->ring.size < port->limit ? port->limit - port->ring.size : 0;
    return port->escape ? room / 2 : room; /* each byte may need an escape before it */
}

/* Takes characters out of the stream that are not data; true: BYTE is data. */
static bool is_data(struct serial_port *port, uint8_t byte)
{
    if ((port->flow & SERIAL_NULL_STRIPPING) && !byte)
        return false;
    if (!(port->flow & SERIAL_AUTO_TRANSMIT))
        return true;
    if (byte == port->chars[SERIAL_CHAR_XOFF])
        port->hold |= SERIAL_HOLD_XON;
    else if (byte == port->chars[SERIAL_CHAR_XON])
        port->hold &= ~(uint32_t)SERIAL_HOLD_XON;
    else
        return true;
    return false;
}

/* One by one, for settings that look at each byte. Returns how many were data. */
static size_t put_each(struct serial_port *port, const uint8_t *bytes, size_t size)
{
    size_t count = 0;
    for (size_t i = 0; i < size; i++) {
        uint8_t pair[2] = {bytes[i], 0};
        if (!is_data(port, bytes[i]))
            continue;
        ring_put(&port->ring, pair, port->escape && bytes[i] == port->escape ? 2 : 1);
        count++;
    }
    return count;
}

static void count_down(struct serial_port *port, size_t size)
{
    struct serial_request *counter = port->counter;
    if (!counter)
        return;
    counter->wanted -= size < counter->wanted ? size : counter->wanted;
    if (!counter->wanted)
        serial_finish_slot(port, &port->counter, SERIAL_OK);
}

/* Bytes have been received: the events that come with them. To look for the event character costs
 * as much as a copy, so only where somebody wants to know. */
static uint32_t events_of(const struct serial_port *port, const uint8_t *bytes, size_t size)
{
    if (!size)
        return 0;
    if (!(port->mask & SERIAL_EV_RXFLAG) || !memchr(bytes, port->chars[SERIAL_CHAR_EVENT], size))
        return SERIAL_EV_RXCHAR;
    return SERIAL_EV_RXCHAR | SERIAL_EV_RXFLAG;
}

/* The queue's fill has grown from BEFORE. */
static uint32_t events_of_fill(const struct serial_port *port, size_t before)
{
    size_t mark = port->limit / 16 * 13;
    return before < mark && port->ring.size >= mark ? SERIAL_EV_RX80FULL : 0;
}

/* What received bytes bring about, once they are in their place. */
static void follow_received(struct serial_port *port, uint64_t now, size_t size, uint32_t events)
{
    port->stats.received += (uint32_t)size;
    count_down(port, size);
    serial_serve_reads(port, now);
    serial_raise(port, events);
}

/* Whether some setting looks at each received byte. */
static bool looks_at_bytes(const struct serial_port *port)
{
    return port->escape || (port->flow & (SERIAL_NULL_STRIPPING | SERIAL_AUTO_TRANSMIT));
}

void serial_receive(struct serial_port *port, uint64_t now, const uint8_t *bytes, size_t size)
{
    if (!size)
        return;
    if (!port->open) {
        port->totals.discarded += size;
        return;
    }
    size_t before = port->ring.size;
    size_t data = size;
    if (looks_at_bytes(port))
        data = put_each(port, bytes, size);
    else
        ring_put(&port->ring, bytes, size);
    uint32_t events = data ? events_of(port, bytes, size) : 0;
    follow_received(port, now, size, events | events_of_fill(port, before));
}

/* The room of a read that takes bytes as they come: of the first one, when nothing is queued. */
static size_t open_read(const struct serial_port *port)
{
    const struct serial_request *read = port->reads.first;
    return read && read->current && !port->ring.size ? read->wanted - read->done : 0;
}

size_t serial_space(const struct serial_port *port, struct serial_piece pieces[SERIAL_PIECES])
{
    size_t count = 0;
    size_t in_read = open_read(port);
    if (!port->open || looks_at_bytes(port))
        return 0;
    if (in_read)
        pieces[count++] =
            (struct serial_piece){port->reads.first->data + port->reads.first->done, in_read};
    uint8_t *bytes = NULL;
    size_t size = ring_space(&port->ring, &bytes);
    size_t room = serial_room(port);
    if (room)
        pieces[count++] = (struct serial_piece){bytes, size < room ? size : room};
    return count;
}

void serial_placed(struct serial_port *port, uint64_t now, size_t size)
{
    struct serial_request *read = port->reads.first;
    size_t before = port->ring.size;
    size_t in_read = open_read(port);
    uint32_t events = 0;
    if (!size)
        return;
    if (in_read > size)
        in_read = size;
    if (in_read) {
        events = events_of(port, read->data + read->done, in_read);
        read->done += in_read;
        if (read->interval)
            read->interval_due = now + read->interval;
    }
    if (size > in_read) {
        uint8_t *bytes = NULL;
        ring_space(&port->ring, &bytes);
        events |= events_of(port, bytes, size - in_read);
        ring_grow(&port->ring, size - in_read);
        events |= events_of_fill(port, before);
    }
    follow_received(port, now, size, events);
}
