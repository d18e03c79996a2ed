/* SPDX-License-Identifier: BSD-2-Clause */
/* The control codes: one function each, found through one table that also checks the sizes. */
#include <string.h>

#include "kdwire/wire.h"
#include "serial/inside.h"

struct call {
    struct serial_port *port;
    uint64_t now;
    const uint8_t *in;
    uint8_t *out;
    struct serial_request *request;
};

static uint32_t set_baud_rate(const struct call *call)
{
    uint32_t baud = kd_get_u32(call->in);
    if (!baud)
        return SERIAL_INVALID_PARAMETER;
    call->port->baud = baud;
    return SERIAL_OK;
}

static uint32_t get_baud_rate(const struct call *call)
{
    kd_put_u32(call->out, call->port->baud);
    return SERIAL_OK;
}

/* A smaller queue than the present one is granted and changes nothing, as serial.sys does. */
static uint32_t set_queue_size(const struct call *call)
{
    struct serial_port *port = call->port;
    uint32_t size = kd_get_u32(call->in);
    if (size > SERIAL_QUEUE_MAX)
        return SERIAL_INSUFFICIENT;
    if (size > port->limit) {
        port->limit = size;
        port->xoff_limit = size / 8;
        port->xon_limit = size / 2;
        serial_throttle(port);
    }
    port->out_queue = kd_get_u32(call->in + 4);
    return SERIAL_OK;
}

enum { STOP_1, STOP_1_5, STOP_2, PARITY_LAST = 4 };

static uint32_t set_line_control(const struct call *call)
{
    uint8_t stop = call->in[0];
    uint8_t parity = call->in[1];
    uint8_t bits = call->in[2];
    if (bits < 5 || bits > 8 || parity > PARITY_LAST || stop > STOP_2 ||
        (stop == STOP_1_5 && bits != 5) || (stop == STOP_2 && bits == 5))
        return SERIAL_INVALID_PARAMETER;
    call->port->stop = stop;
    call->port->parity = parity;
    call->port->bits = bits;
    return SERIAL_OK;
}

static uint32_t get_line_control(const struct call *call)
{
    call->out[0] = call->port->stop;
    call->out[1] = call->port->parity;
    call->out[2] = call->port->bits;
    return SERIAL_OK;
}

static uint32_t set_break_on(const struct call *call)
{
    call->port->hold |= SERIAL_HOLD_BREAK;
    return SERIAL_OK;
}

static uint32_t set_break_off(const struct call *call)
{
    call->port->hold &= ~(uint32_t)SERIAL_HOLD_BREAK;
    return SERIAL_OK;
}

static uint32_t wait_in_slot(const struct call *call, struct serial_request **slot,
                             enum serial_kind kind)
{
    call->request->kind = kind;
    call->request->waiting = true;
    *slot = call->request;
    return SERIAL_PENDING;
}

static void set_slot_due(struct serial_request *request, uint64_t due)
{
    request->current = true;
    request->due = due;
    request->interval_due = SERIAL_NEVER;
}

static uint32_t immediate_char(const struct call *call)
{
    struct serial_port *port = call->port;
    if (port->immediate)
        return SERIAL_INVALID_PARAMETER;
    call->request->byte = call->in[0];
    const struct serial_timeouts *t = &port->timeouts;
    uint64_t ms = (uint64_t)t->write_multiplier + t->write_constant;
    set_slot_due(call->request, ms ? call->now + ms * 1000 : SERIAL_NEVER);
    return wait_in_slot(call, &port->immediate, SERIAL_KIND_IMMEDIATE);
}

static uint32_t set_timeouts(const struct call *call)
{
    const uint8_t *in = call->in;
    struct serial_timeouts t = {kd_get_u32(in), kd_get_u32(in + 4), kd_get_u32(in + 8),
                                kd_get_u32(in + 12), kd_get_u32(in + 16)};
    if (t.interval == UINT32_MAX && t.multiplier == UINT32_MAX && t.constant == UINT32_MAX)
        return SERIAL_INVALID_PARAMETER;
    call->port->timeouts = t;
    return SERIAL_OK;
}

static uint32_t get_timeouts(const struct call *call)
{
    const struct serial_timeouts *t = &call->port->timeouts;
    kd_put_u32(call->out, t->interval);
    kd_put_u32(call->out + 4, t->multiplier);
    kd_put_u32(call->out + 8, t->constant);
    kd_put_u32(call->out + 12, t->write_multiplier);
    kd_put_u32(call->out + 16, t->write_constant);
    return SERIAL_OK;
}

static uint32_t drive_line(const struct call *call, uint32_t line, bool up)
{
    struct serial_port *port = call->port;
    bool by_handshake = line == SERIAL_LINE_DTR
                            ? (port->handshake & SERIAL_DTR_MASK) == SERIAL_DTR_HANDSHAKE
                            : (port->flow & SERIAL_RTS_HANDSHAKE) != 0; /* toggle, too */
    if (by_handshake)
        return SERIAL_INVALID_PARAMETER;
    port->mcr = up ? port->mcr | line : port->mcr & ~line;
    return SERIAL_OK;
}

static uint32_t set_dtr(const struct call *call)
{
    return drive_line(call, SERIAL_LINE_DTR, true);
}

static uint32_t clr_dtr(const struct call *call)
{
    return drive_line(call, SERIAL_LINE_DTR, false);
}

static uint32_t set_rts(const struct call *call)
{
    return drive_line(call, SERIAL_LINE_RTS, true);
}

static uint32_t clr_rts(const struct call *call)
{
    return drive_line(call, SERIAL_LINE_RTS, false);
}

static uint32_t reset_device(const struct call *call)
{
    (void)call;
    return SERIAL_OK;
}

static uint32_t set_xoff(const struct call *call)
{
    call->port->hold |= SERIAL_HOLD_XON;
    return SERIAL_OK;
}

static uint32_t set_xon(const struct call *call)
{
    call->port->hold &= ~(uint32_t)SERIAL_HOLD_XON;
    return SERIAL_OK;
}

static uint32_t get_wait_mask(const struct call *call)
{
    kd_put_u32(call->out, call->port->mask);
    return SERIAL_OK;
}

static uint32_t set_wait_mask(const struct call *call)
{
    struct serial_port *port = call->port;
    uint32_t mask = kd_get_u32(call->in);
    if (mask & ~(uint32_t)SERIAL_EV_ALL)
        return SERIAL_INVALID_PARAMETER;
    if (port->wait) {
        kd_put_u32(port->wait->data, 0);
        port->wait->done = 4;
        serial_finish_slot(port, &port->wait, SERIAL_OK);
    }
    port->history &= mask;
    port->mask = mask;
    return SERIAL_OK;
}

static uint32_t wait_on_mask(const struct call *call)
{
    struct serial_port *port = call->port;
    if (port->wait || !port->mask)
        return SERIAL_INVALID_PARAMETER;
    wait_in_slot(call, &port->wait, SERIAL_KIND_WAIT);
    call->request->current = false;
    serial_raise(port, 0);
    return SERIAL_PENDING;
}

static uint32_t purge(const struct call *call)
{
    struct serial_port *port = call->port;
    uint32_t what = kd_get_u32(call->in);
    uint32_t all = SERIAL_TXABORT | SERIAL_RXABORT | SERIAL_TXCLEAR | SERIAL_RXCLEAR;
    if (!what || (what & ~all))
        return SERIAL_INVALID_PARAMETER;
    /* TXCLEAR has nothing to clear: bytes to send stay in their requests until the wire takes
     * them. */
    if (what & SERIAL_TXABORT)
        serial_end_writes(port, SERIAL_CANCELLED);
    if (what & SERIAL_RXABORT)
        serial_end_queue(port, &port->reads, SERIAL_CANCELLED);
    if (what & SERIAL_RXCLEAR)
        ring_take(&port->ring, port->ring.size);
    serial_throttle(port);
    return SERIAL_OK;
}

static uint32_t get_chars(const struct call *call)
{
    memcpy(call->out, call->port->chars, SERIAL_CHARS);
    return SERIAL_OK;
}

static uint32_t set_chars(const struct call *call)
{
    const struct serial_port *port = call->port;
    if (port->escape &&
        (port->escape == call->in[SERIAL_CHAR_XON] || port->escape == call->in[SERIAL_CHAR_XOFF]))
        return SERIAL_INVALID_PARAMETER;
    memcpy(call->port->chars, call->in, SERIAL_CHARS);
    return SERIAL_OK;
}

static uint32_t get_handflow(const struct call *call)
{
    const struct serial_port *port = call->port;
    kd_put_u32(call->out, port->handshake);
    kd_put_u32(call->out + 4, port->flow);
    kd_put_u32(call->out + 8, port->xon_limit);
    kd_put_u32(call->out + 12, port->xoff_limit);
    return SERIAL_OK;
}

/* A line that is not under handshake control follows its mode at once. */
static void follow_modes(struct serial_port *port)
{
    uint32_t lines = 0;
    if (port->handshake & SERIAL_DTR_MASK)
        lines |= SERIAL_LINE_DTR;
    if (port->flow & SERIAL_RTS_MASK)
        lines |= SERIAL_LINE_RTS;
    port->mcr = (port->mcr & ~(uint32_t)(SERIAL_LINE_DTR | SERIAL_LINE_RTS)) | lines;
    if (!(port->flow & SERIAL_AUTO_TRANSMIT))
        port->hold &= ~(uint32_t)SERIAL_HOLD_XON;
    port->throttled = false; /* the new handshake says so anew, if it must */
    serial_hold_by_modem(port);
    serial_throttle(port);
}

static uint32_t set_handflow(const struct call *call)
{
    struct serial_port *port = call->port;
    uint32_t handshake = kd_get_u32(call->in);
    uint32_t flow = kd_get_u32(call->in + 4);
    uint32_t xon = kd_get_u32(call->in + 8);
    uint32_t xoff = kd_get_u32(call->in + 12);
    if ((handshake & SERIAL_CONTROL_INVALID) || (flow & SERIAL_FLOW_INVALID) ||
        (handshake & SERIAL_DTR_MASK) == SERIAL_DTR_MASK || xon > port->limit ||
        xoff > port->limit || (port->escape && (flow & SERIAL_ERROR_CHAR)))
        return SERIAL_INVALID_PARAMETER;
    port->handshake = handshake;
    port->flow = flow;
    port->xon_limit = xon;
    port->xoff_limit = xoff;
    follow_modes(port);
    return SERIAL_OK;
}

static uint32_t get_modemstatus(const struct call *call)
{
    kd_put_u32(call->out, call->port->modem);
    call->port->modem &= SERIAL_MODEM_LINES;
    return SERIAL_OK;
}

static uint32_t get_commstatus(const struct call *call)
{
    struct serial_port *port = call->port;
    uint32_t hold = port->hold | (port->throttled && (port->flow & SERIAL_AUTO_RECEIVE)
                                      ? (uint32_t)SERIAL_HOLD_XOFF_SENT
                                      : 0);
    memset(call->out, 0, 20);
    kd_put_u32(call->out, port->errors);
    kd_put_u32(call->out + 4, hold);
    kd_put_u32(call->out + 8, (uint32_t)port->ring.size);
    kd_put_u32(call->out + 12,
               port->write_bytes < UINT32_MAX ? (uint32_t)port->write_bytes : UINT32_MAX);
    call->out[17] = port->immediate != NULL;
    port->errors = 0;
    return SERIAL_OK;
}

static uint32_t xoff_counter(const struct call *call)
{
    struct serial_port *port = call->port;
    uint32_t timeout = kd_get_u32(call->in);
    int32_t count = (int32_t)kd_get_u32(call->in + 4);
    uint8_t xoff = call->in[8];
    if (count <= 0)
        return SERIAL_INVALID_PARAMETER;
    serial_finish_slot(port, &port->counter, SERIAL_MORE_WRITES);
    call->request->wanted = (size_t)count;
    set_slot_due(call->request, timeout ? call->now + (uint64_t)timeout * 1000 : SERIAL_NEVER);
    serial_send_urgent(port, xoff);
    return wait_in_slot(call, &port->counter, SERIAL_KIND_COUNTER);
}

enum {
    PROPERTIES_SIZE = 64,
    SERVICE_SERIAL = 1,
    MAX_BAUD_USER = 0x10000000,
    SUBTYPE_RS232 = 1, /* programs know it; "network" makes some of them leave out settings */
    /* DTR/DSR, RTS/CTS, RLSD, parity check, XON/XOFF, settable XON/XOFF, total and interval
     * time-outs, special characters */
    CAPABILITIES = 0x01FF,
    SETTABLE = 0x7F,            /* parity, baud, data bits, stop bits, handshake, check, RLSD */
    SETTABLE_BAUD = 0x1007FFFF, /* every named rate, and any other */
    SETTABLE_BITS = 0x0F,       /* 5 to 8 */
    SETTABLE_STOP_PARITY = 0x1F07,
};

static uint32_t get_properties(const struct call *call)
{
    const struct serial_port *port = call->port;
    uint8_t *out = call->out;
    memset(out, 0, PROPERTIES_SIZE);
    kd_put_u16(out, PROPERTIES_SIZE);
    kd_put_u16(out + 2, 2); /* version */
    kd_put_u32(out + 4, SERVICE_SERIAL);
    kd_put_u32(out + 16, SERIAL_QUEUE_MAX); /* receive queue; the transmit queue has no bound: 0 */
    kd_put_u32(out + 20, MAX_BAUD_USER);
    kd_put_u32(out + 24, SUBTYPE_RS232);
    kd_put_u32(out + 28, CAPABILITIES);
    kd_put_u32(out + 32, SETTABLE);
    kd_put_u32(out + 36, SETTABLE_BAUD);
    kd_put_u16(out + 40, SETTABLE_BITS);
    kd_put_u16(out + 42, SETTABLE_STOP_PARITY);
    kd_put_u32(out + 44, port->out_queue);
    kd_put_u32(out + 48, (uint32_t)port->limit);
    return SERIAL_OK;
}

static uint32_t get_dtrrts(const struct call *call)
{
    kd_put_u32(call->out, call->port->mcr & (SERIAL_LINE_DTR | SERIAL_LINE_RTS));
    return SERIAL_OK;
}

static uint32_t lsrmst_insert(const struct call *call)
{
    struct serial_port *port = call->port;
    uint8_t escape = call->in[0];
    if (escape && (escape == port->chars[SERIAL_CHAR_XON] ||
                   escape == port->chars[SERIAL_CHAR_XOFF] || (port->flow & SERIAL_ERROR_CHAR)))
        return SERIAL_INVALID_PARAMETER;
    port->escape = escape;
    return SERIAL_OK;
}

static uint32_t config_size(const struct call *call)
{
    kd_put_u32(call->out, 0);
    return SERIAL_OK;
}

static uint32_t get_stats(const struct call *call)
{
    const struct serial_stats *stats = &call->port->stats;
    kd_put_u32(call->out, stats->received);
    kd_put_u32(call->out + 4, stats->sent);
    kd_put_u32(call->out + 8, stats->framing);
    kd_put_u32(call->out + 12, stats->overrun);
    kd_put_u32(call->out + 16, stats->queue_overrun);
    kd_put_u32(call->out + 20, stats->parity);
    return SERIAL_OK;
}

static uint32_t clear_stats(const struct call *call)
{
    memset(&call->port->stats, 0, sizeof(call->port->stats));
    return SERIAL_OK;
}

static uint32_t get_modem_control(const struct call *call)
{
    kd_put_u32(call->out, call->port->mcr);
    return SERIAL_OK;
}

static uint32_t set_modem_control(const struct call *call)
{
    call->port->mcr = kd_get_u32(call->in) & SERIAL_MCR_MASK;
    return SERIAL_OK;
}

static uint32_t set_fifo_control(const struct call *call)
{
    enum { RESET_RECEIVE = 2 };
    if (kd_get_u32(call->in) & RESET_RECEIVE) {
        ring_take(&call->port->ring, call->port->ring.size);
        serial_throttle(call->port);
    }
    return SERIAL_OK;
}

static const struct control {
    uint32_t code;
    size_t in, out;
    uint32_t (*run)(const struct call *call);
    const char *name;
} controls[] = {
#define CONTROL_ENTRY(name, lower, function, in, out)                                              \
    {SERIAL_CODE(function), in, out, lower, #name},
    SERIAL_CONTROLS(CONTROL_ENTRY)
#undef CONTROL_ENTRY
};

static const struct control *find_control(uint32_t code)
{
    for (size_t i = 0; i < sizeof(controls) / sizeof(controls[0]); i++)
        if (controls[i].code == code)
            return &controls[i];
    return NULL;
}

const char *serial_control_name(uint32_t code)
{
    const struct control *control = find_control(code);
    return control ? control->name : NULL;
}

static uint32_t check(const struct serial_port *port, const struct control *control, size_t in_size,
                      size_t out_size)
{
    if (!control)
        return SERIAL_INVALID_PARAMETER;
    if (in_size < control->in || out_size < control->out)
        return SERIAL_BUFFER_TOO_SMALL;
    if (!port->open)
        return SERIAL_INVALID_STATE;
    if (serial_is_aborted(port) && control->code != SERIAL_GET_COMMSTATUS)
        return SERIAL_CANCELLED;
    return SERIAL_OK;
}

void serial_control(struct serial_port *port, uint64_t now, uint32_t code, const uint8_t *in,
                    size_t in_size, struct serial_request *request)
{
    const struct control *control = find_control(code);
    const struct call call = {port, now, in, request->data, request};
    request->kind = SERIAL_KIND_CONTROL;
    request->waiting = false;
    request->current = false;
    request->done = 0;
    uint32_t status = check(port, control, in_size, request->size);
    if (status == SERIAL_OK) {
        status = control->run(&call);
        if (status == SERIAL_OK)
            request->done = control->out;
    }
    if (status != SERIAL_PENDING)
        serial_finish(port, request, status);
}
