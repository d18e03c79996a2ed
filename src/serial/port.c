/* SPDX-License-Identifier: BSD-2-Clause */
/* The port's state: opening and closing, queues of requests, events, modem lines, time. */
#include <string.h>

#include "serial/inside.h"

void serial_init(struct serial_port *port, uint8_t *memory)
{
    memset(port, 0, sizeof(*port));
    ring_init(&port->ring, memory, SERIAL_MEMORY);
    port->limit = SERIAL_QUEUE_DEFAULT;
    port->out_queue = SERIAL_QUEUE_DEFAULT;
    port->baud = SERIAL_BAUD_DEFAULT;
    port->bits = 8;
    port->chars[SERIAL_CHAR_XON] = 0x11;
    port->chars[SERIAL_CHAR_XOFF] = 0x13;
    port->handshake = SERIAL_DTR_CONTROL;
    port->flow = SERIAL_RTS_CONTROL;
}

uint32_t serial_open(struct serial_port *port)
{
    if (port->open)
        return SERIAL_ACCESS_DENIED;
    port->open = true;
    port->mask = port->history = 0;
    port->errors = 0;
    port->hold = 0;
    port->escape = 0;
    port->throttled = false;
    port->urgent_size = 0;
    port->xoff_limit = (uint32_t)(port->limit / 8);
    port->xon_limit = (uint32_t)(port->limit / 2);
    memset(&port->stats, 0, sizeof(port->stats));
    ring_take(&port->ring, port->ring.size);
    port->mcr = 0;
    if ((port->handshake & SERIAL_DTR_MASK) != 0)
        port->mcr |= SERIAL_LINE_DTR;
    if ((port->flow & SERIAL_RTS_MASK) != 0)
        port->mcr |= SERIAL_LINE_RTS;
    serial_hold_by_modem(port);
    return SERIAL_OK;
}

void serial_close(struct serial_port *port, uint64_t now)
{
    (void)now;
    serial_end_all(port, SERIAL_CANCELLED);
    port->open = false;
    port->hold = 0;
    port->urgent_size = 0;
    port->mcr &= ~(uint32_t)(SERIAL_LINE_DTR | SERIAL_LINE_RTS);
    ring_take(&port->ring, port->ring.size);
}

void serial_enqueue(struct serial_queue *queue, struct serial_request *request)
{
    request->next = NULL;
    if (queue->last)
        queue->last->next = request;
    else
        queue->first = request;
    queue->last = request;
}

static struct serial_request *dequeue(struct serial_queue *queue)
{
    struct serial_request *request = queue->first;
    if (!request)
        return NULL;
    queue->first = request->next;
    if (!queue->first)
        queue->last = NULL;
    request->next = NULL;
    return request;
}

static bool remove_from(struct serial_queue *queue, const struct serial_request *request)
{
    struct serial_request *before = NULL;
    struct serial_request *at = queue->first;
    while (at && at != request) {
        before = at;
        at = at->next;
    }
    if (!at)
        return false;
    if (before)
        before->next = at->next;
    else
        queue->first = at->next;
    if (queue->last == at)
        queue->last = before;
    return true;
}

void serial_finish(struct serial_port *port, struct serial_request *request, uint32_t status)
{
    request->waiting = false;
    request->current = false;
    request->status = status;
    if (request->kind == SERIAL_KIND_READ) {
        port->totals.read += request->done;
        port->totals.dequeues++;
    } else if (request->kind == SERIAL_KIND_WRITE) {
        port->totals.written += request->done;
    }
    serial_enqueue(&port->completed, request);
}

struct serial_request *serial_completed(struct serial_port *port)
{
    return dequeue(&port->completed);
}

void serial_finish_slot(struct serial_port *port, struct serial_request **slot, uint32_t status)
{
    struct serial_request *request = *slot;
    *slot = NULL;
    if (request)
        serial_finish(port, request, status);
}

void serial_end_queue(struct serial_port *port, struct serial_queue *queue, uint32_t status)
{
    struct serial_request *request = NULL;
    while ((request = dequeue(queue)))
        serial_finish(port, request, status);
}

void serial_end_writes(struct serial_port *port, uint32_t status)
{
    serial_end_queue(port, &port->writes, status);
    serial_finish_slot(port, &port->counter, status);
    port->write_bytes = 0;
}

void serial_end_all(struct serial_port *port, uint32_t status)
{
    serial_end_queue(port, &port->reads, status);
    serial_end_writes(port, status);
    serial_finish_slot(port, &port->wait, status);
    serial_finish_slot(port, &port->immediate, status);
}

bool serial_cancel(struct serial_port *port, uint64_t now, struct serial_request *request)
{
    if (!request->waiting)
        return false;
    if (request == port->wait) {
        serial_finish_slot(port, &port->wait, SERIAL_CANCELLED);
    } else if (request == port->immediate) {
        serial_finish_slot(port, &port->immediate, SERIAL_CANCELLED);
    } else if (request == port->counter) {
        serial_finish_slot(port, &port->counter, SERIAL_CANCELLED);
    } else if (remove_from(&port->reads, request)) {
        serial_finish(port, request, SERIAL_CANCELLED);
        serial_serve_reads(port, now); /* the next one is the current one now */
    } else if (remove_from(&port->writes, request)) {
        port->write_bytes -= request->size - request->done;
        serial_finish(port, request, SERIAL_CANCELLED);
        serial_start_write(port, now);
    }
    return true;
}

/*
 * The wait mask.
 *   state                 event                       what happens
 *   nobody waits          event in the mask           it is kept in the history
 *   nobody waits          WAIT, history is not empty  done at once with the history; it is empty
 * now nobody waits          WAIT, history is empty      waits nobody waits          WAIT, mask is 0
 * refused waits                 event in the mask           done with it waits SET_WAIT_MASK done
 * with 0 waits                 WAIT                        the second one is refused
 */
void serial_raise(struct serial_port *port, uint32_t events)
{
    port->history |= events & port->mask;
    struct serial_request *wait = port->wait;
    if (!wait || !port->history)
        return;
    for (size_t i = 0; i < 4; i++)
        wait->data[i] = (uint8_t)(port->history >> (8 * i));
    wait->done = 4;
    port->history = 0;
    serial_finish_slot(port, &port->wait, SERIAL_OK);
}

bool serial_is_aborted(const struct serial_port *port)
{
    return port->errors && (port->handshake & SERIAL_ERROR_ABORT);
}

void serial_hold_by_modem(struct serial_port *port)
{
    static const struct {
        uint32_t handshake, line, hold;
    } rules[] = {
        {SERIAL_CTS_HANDSHAKE, SERIAL_MODEM_CTS, SERIAL_HOLD_CTS},
        {SERIAL_DSR_HANDSHAKE, SERIAL_MODEM_DSR, SERIAL_HOLD_DSR},
        {SERIAL_DCD_HANDSHAKE, SERIAL_MODEM_DCD, SERIAL_HOLD_DCD},
    };
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if ((port->handshake & rules[i].handshake) && !(port->modem & rules[i].line))
            port->hold |= rules[i].hold;
        else
            port->hold &= ~rules[i].hold;
    }
}

/* LSRMST_INSERT: escape, kind, value among the received bytes. */
static void insert_status(struct serial_port *port, uint8_t kind, uint8_t value)
{
    const uint8_t bytes[] = {port->escape, kind, value};
    if (!port->escape || !port->open)
        return;
    if (ring_room(&port->ring) < sizeof(bytes))
        port->errors |= SERIAL_ERROR_QUEUEOVERRUN;
    else
        ring_put(&port->ring, bytes, sizeof(bytes));
}

void serial_set_modem(struct serial_port *port, uint64_t now, uint32_t lines)
{
    enum { INSERT_MODEM_STATUS = 3 };
    uint32_t changed = (port->modem ^ lines) & SERIAL_MODEM_LINES;
    if (!changed)
        return;
    uint32_t changes = changed >> 4;
    uint32_t events = 0;
    if (lines & SERIAL_MODEM_RI)
        changes &= ~((uint32_t)SERIAL_MODEM_RI >> 4); /* counts when it ends */
    if (changed & SERIAL_MODEM_CTS)
        events |= SERIAL_EV_CTS;
    if (changed & SERIAL_MODEM_DSR)
        events |= SERIAL_EV_DSR;
    if (changed & SERIAL_MODEM_DCD)
        events |= SERIAL_EV_RLSD;
    if (changes & (SERIAL_MODEM_RI >> 4))
        events |= SERIAL_EV_RING;
    port->modem = (lines & SERIAL_MODEM_LINES) | (port->modem & SERIAL_MODEM_CHANGES) | changes;
    serial_hold_by_modem(port);
    insert_status(port, INSERT_MODEM_STATUS, (uint8_t)(port->modem & 0xFF));
    serial_raise(port, events);
    serial_serve_reads(port, now);
}

void serial_ring(struct serial_port *port, uint64_t now)
{
    serial_set_modem(port, now, port->modem | SERIAL_MODEM_RI);
    serial_set_modem(port, now, port->modem & ~(uint32_t)SERIAL_MODEM_RI);
}

void serial_line_error(struct serial_port *port, uint64_t now, uint32_t errors)
{
    enum { INSERT_LINE_STATUS = 2 };
    uint32_t events = 0;
    if (!port->open)
        return;
    port->errors |= errors;
    port->stats.framing += (errors & SERIAL_ERROR_FRAMING) != 0;
    port->stats.overrun += (errors & SERIAL_ERROR_OVERRUN) != 0;
    port->stats.parity += (errors & SERIAL_ERROR_PARITY) != 0;
    if (errors & SERIAL_ERROR_BREAK)
        events |= SERIAL_EV_BREAK;
    if (errors & ~(uint32_t)SERIAL_ERROR_BREAK)
        events |= SERIAL_EV_ERR;
    /* As a line status register has them: overrun 2, parity 4, framing 8, break 10. */
    uint32_t register_bits =
        (errors & SERIAL_ERROR_OVERRUN ? 0x02u : 0) | (errors & SERIAL_ERROR_PARITY ? 0x04u : 0) |
        (errors & SERIAL_ERROR_FRAMING ? 0x08u : 0) | (errors & SERIAL_ERROR_BREAK ? 0x10u : 0);
    insert_status(port, INSERT_LINE_STATUS, (uint8_t)register_bits);
    serial_raise(port, events);
    if (serial_is_aborted(port)) {
        serial_end_queue(port, &port->reads, SERIAL_CANCELLED);
        serial_end_writes(port, SERIAL_CANCELLED);
    }
    serial_serve_reads(port, now);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t request_deadline(const struct serial_request *request)
{
    return request && request->current ? earlier(request->due, request->interval_due)
                                       : SERIAL_NEVER;
}

uint64_t serial_deadline(const struct serial_port *port)
{
    uint64_t due = request_deadline(port->reads.first);
    due = earlier(due, request_deadline(port->writes.first));
    due = earlier(due, request_deadline(port->immediate));
    return earlier(due, request_deadline(port->counter));
}

static bool is_over(const struct serial_request *request, uint64_t now)
{
    return request && request_deadline(request) <= now;
}

void serial_tick(struct serial_port *port, uint64_t now)
{
    while (is_over(port->reads.first, now)) {
        struct serial_request *read = dequeue(&port->reads);
        if (read->due <= now)
            port->totals.total_timeouts++;
        else
            port->totals.interval_timeouts++;
        serial_finish(port, read, SERIAL_TIMEOUT);
        serial_serve_reads(port, now);
    }
    while (is_over(port->writes.first, now)) {
        struct serial_request *write = dequeue(&port->writes);
        port->totals.wait_timeouts++;
        port->write_bytes -= write->size - write->done;
        serial_finish(port, write, SERIAL_TIMEOUT);
        serial_start_write(port, now);
    }
    if (is_over(port->immediate, now))
        serial_finish_slot(port, &port->immediate, SERIAL_TIMEOUT);
    if (is_over(port->counter, now))
        serial_finish_slot(port, &port->counter, SERIAL_COUNTER_TIMEOUT);
}
