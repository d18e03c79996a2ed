/* SPDX-License-Identifier: BSD-2-Clause */
#include "wire.h"

#include <string.h>

static struct telnet_line line_of(const struct serial_port *port)
{
    bool by_lines = (port->handshake & SERIAL_CTS_HANDSHAKE) ||
                    (port->flow & SERIAL_RTS_MASK) == SERIAL_RTS_HANDSHAKE;
    bool by_characters = port->flow & (SERIAL_AUTO_TRANSMIT | SERIAL_AUTO_RECEIVE);
    return (struct telnet_line){
        .baud = port->baud,
        .bits = port->bits,
        .parity = port->parity,
        .stop = port->stop,
        .flow = by_lines        ? TELNET_FLOW_HARDWARE
                : by_characters ? TELNET_FLOW_XON
                                : TELNET_FLOW_NONE,
        .dtr = (port->mcr & SERIAL_LINE_DTR) != 0,
        .rts = (port->mcr & SERIAL_LINE_RTS) != 0,
        .breaking = (port->hold & SERIAL_HOLD_BREAK) != 0,
    };
}

void wire_start(struct wire *wire, const struct serial_port *port, enum vsp_telnet protocol,
                bool serves)
{
    const struct telnet_line line = line_of(port);
    wire->protocol = protocol;
    wire->dry = wire->clogged = wire->full = false;
    wire->held = wire->held_at = 0;
    if (protocol == VSP_RAW)
        return;
    telnet_start(&wire->telnet, serves ? TELNET_SERVES : TELNET_ASKS, protocol == VSP_RFC2217);
    telnet_set(&wire->telnet, &line);
}

uint32_t wire_modem(const struct wire *wire)
{
    if (wire->protocol == VSP_RFC2217 && telnet_has_com_port(&wire->telnet))
        return wire->telnet.modem;
    return SERIAL_MODEM_CTS | SERIAL_MODEM_DSR | SERIAL_MODEM_DCD;
}

/* Sending */

/* Whether Telnet lets data out: not while the peer has suspended it. */
static bool may_send_data(const struct wire *wire)
{
    return wire->protocol == VSP_RAW || !wire->telnet.suspended;
}

static enum os_result send_raw(struct wire *wire, struct serial_port *port, os_socket peer,
                               uint64_t now, const uint8_t *bytes, size_t size)
{
    size_t sent = 0;
    enum os_result result = os_send(peer, bytes, size, &sent);
    wire->sent += sent;
    serial_sent(port, now, sent);
    return result;
}

static enum os_result send_encoded(struct wire *wire, struct serial_port *port, os_socket peer,
                                   uint64_t now, const uint8_t *bytes, size_t size)
{
    size_t sent = 0;
    if (size > WIRE_PLAIN)
        size = WIRE_PLAIN;
    size_t encoded = telnet_encode(&wire->telnet, bytes, size, wire->encoded);
    enum os_result result = os_send(peer, wire->encoded, encoded, &sent);
    size_t plain = telnet_plain(&wire->telnet, bytes, size, sent);
    wire->sent += plain;
    serial_sent(port, now, plain);
    return result;
}

/* Our side of the talk: before any data, as it may hold the second half of a pair. */
static enum os_result send_talk(struct wire *wire, const struct serial_port *port, os_socket peer)
{
    const struct telnet_line line = line_of(port);
    const uint8_t *bytes = NULL;
    size_t size = 0;
    telnet_set(&wire->telnet, &line);
    while ((size = telnet_output(&wire->telnet, &bytes)) > 0) {
        size_t sent = 0;
        enum os_result result = os_send(peer, bytes, size, &sent);
        telnet_sent(&wire->telnet, sent);
        if (result != OS_DONE)
            return result;
        telnet_set(&wire->telnet, &line); /* if there was no room for it before */
    }
    return OS_DONE;
}

static enum os_result send_all(struct wire *wire, struct serial_port *port, os_socket peer,
                               uint64_t now)
{
    const uint8_t *bytes = NULL;
    for (;;) {
        enum os_result result = wire->protocol == VSP_RAW ? OS_DONE : send_talk(wire, port, peer);
        if (result != OS_DONE)
            return result;
        size_t size = may_send_data(wire) ? serial_output(port, &bytes) : 0;
        if (!size)
            return OS_DONE;
        if (wire->protocol == VSP_RAW)
            result = send_raw(wire, port, peer, now, bytes, size);
        else
            result = send_encoded(wire, port, peer, now, bytes, size);
        if (result != OS_DONE)
            return result;
    }
}

enum os_result wire_send(struct wire *wire, struct serial_port *port, os_socket peer, uint64_t now)
{
    if (wire->clogged)
        return OS_AGAIN;
    enum os_result result = send_all(wire, port, peer, now);
    wire->clogged = result == OS_AGAIN;
    return result;
}

bool wire_wants_to_write(const struct wire *wire, const struct serial_port *port)
{
    const uint8_t *bytes = NULL;
    if (wire->protocol != VSP_RAW && telnet_output(&wire->telnet, &bytes))
        return true;
    return may_send_data(wire) && serial_output(port, &bytes) > 0;
}

/* Receiving */

static void count_received(struct wire *wire, const uint8_t *bytes, size_t size)
{
    size_t skip = size > VSP_TAIL_MAX ? size - VSP_TAIL_MAX : 0;
    size_t left = size - skip;
    size_t at = (size_t)((wire->received + skip) % VSP_TAIL_MAX);
    size_t first = left < VSP_TAIL_MAX - at ? left : VSP_TAIL_MAX - at;
    memcpy(wire->tail + at, bytes + skip, first);
    memcpy(wire->tail, bytes + skip + first, left - first);
    wire->received += size;
}

size_t wire_read_tail(const struct wire *wire, uint8_t *bytes, size_t size)
{
    size_t have = wire->received < VSP_TAIL_MAX ? (size_t)wire->received : VSP_TAIL_MAX;
    if (size > have)
        size = have;
    for (size_t i = 0; i < size; i++)
        bytes[i] = wire->tail[(wire->received - size + i) % VSP_TAIL_MAX];
    return size;
}

/* A full queue is left alone until half of it is free: else each small read would wake the thread
 * for as few bytes. */
bool wire_wants_to_read(const struct wire *wire, const struct serial_port *port)
{
    return serial_room(port) >= (wire->full ? port->limit / 2 : 1);
}

static void follow(struct wire *wire, struct serial_port *port, uint64_t now,
                   enum telnet_event event)
{
    if (event == TELNET_BREAK)
        serial_line_error(port, now, SERIAL_ERROR_BREAK);
    if (event == TELNET_ERRORS)
        serial_line_error(port, now, wire->telnet.errors);
    /* Modem lines: the line asks wire_modem after each receive. */
}

/* Decodes what is held, as far as the port has room. False: our side of the talk must go out first.
 */
static bool decode_held(struct wire *wire, struct serial_port *port, uint64_t now)
{
    size_t room = 0;
    while (wire->held && (room = serial_room(port)) > 0) {
        uint8_t *bytes = wire->block + wire->held_at;
        size_t data = 0;
        enum telnet_event event = TELNET_NOTHING;
        size_t taken = telnet_decode(&wire->telnet, bytes, wire->held < room ? wire->held : room,
                                     bytes, &data, &event);
        wire->held_at += taken;
        wire->held -= taken;
        count_received(wire, bytes, data);
        serial_receive(port, now, bytes, data);
        follow(wire, port, now, event);
        if (!taken)
            return false;
    }
    return true;
}

static enum os_result receive_telnet(struct wire *wire, struct serial_port *port, os_socket peer,
                                     uint64_t now)
{
    if (!wire->held) {
        wire->receives++;
        const struct serial_piece block = {wire->block, WIRE_BLOCK};
        enum os_result result = os_receive(peer, &block, 1, &wire->held);
        wire->held_at = 0;
        if (result != OS_DONE)
            return result;
    }
    while (!decode_held(wire, port, now)) {
        enum os_result result = send_talk(wire, port, peer);
        if (result != OS_DONE)
            return result;
    }
    /* Answers that do not go now make wire_wants_to_write. */
    return send_talk(wire, port, peer) == OS_LOST ? OS_LOST : OS_DONE;
}

/* SIZE bytes have been received into the pieces. */
static void count_pieces(struct wire *wire, const struct serial_piece *pieces, size_t count,
                         size_t size)
{
    for (size_t i = 0; i < count && size; i++) {
        size_t part = size < pieces[i].size ? size : pieces[i].size;
        count_received(wire, pieces[i].bytes, part);
        size -= part;
    }
}

/* To its places, else, as some setting looks at each byte, by way of the block. */
static enum os_result receive_raw(struct wire *wire, struct serial_port *port, os_socket peer,
                                  uint64_t now)
{
    struct serial_piece pieces[SERIAL_PIECES];
    size_t received = 0;
    size_t room = serial_room(port);
    size_t count = serial_space(port, pieces);
    bool straight = count > 0;
    if (!straight)
        pieces[count++] = (struct serial_piece){wire->block, room < WIRE_BLOCK ? room : WIRE_BLOCK};
    wire->receives++;
    enum os_result result = os_receive(peer, pieces, count, &received);
    count_pieces(wire, pieces, count, received);
    if (straight)
        serial_placed(port, now, received);
    else
        serial_receive(port, now, wire->block, received);
    return result;
}

enum os_result wire_receive(struct wire *wire, struct serial_port *port, os_socket peer,
                            uint64_t now)
{
    wire->full = false;
    enum os_result result = wire->protocol == VSP_RAW ? receive_raw(wire, port, peer, now)
                                                      : receive_telnet(wire, port, peer, now);
    if (result == OS_AGAIN)
        wire->dry = true;
    if (result == OS_DONE) {
        wire->read_events++;
        wire->full = serial_room(port) == 0;
    }
    return result;
}
