/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Telnet (RFC 854, 856, 858, 1143) and its COM port option (RFC 2217): a serial line whose far end
 * is a terminal server, with break, modem lines and line settings beside the bytes. Sans-I/O, no
 * memory but the struct. Both roles: the one that asks for a serial port (we connect), and the one
 * that serves one (we listen; what the peer sets is acknowledged, its lines are ours, crossed as by
 * a null modem).
 *
 * How to use it:
 *   telnet_start(t, role, com_port)           a connection is there
 *   n = telnet_output(t, &p); telnet_sent     our side of the talk: goes out before any data
 *   n = telnet_encode(t, in, size, out)       data for the wire, IAC doubled
 *   telnet_plain(t, in, size, sent)           how much of IN went out with SENT encoded bytes
 *   telnet_decode(t, in, size, out, &n)       data from the wire; look at the event it returns with
 *   telnet_set(t, &line)                      our settings and lines; those that changed are told
 */
#ifndef KDWIRE_SERIAL_TELNET_H
#define KDWIRE_SERIAL_TELNET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TELNET_OUTPUT_MAX = 512, /* what a peer's burst of requests is answered with */
    /* The most that one byte from the peer can make us say: all settings after its DO. */
    TELNET_STEP_MAX = 160,
    TELNET_SUB_MAX =
        64, /* of a subnegotiation, only SIGNATURE may be longer; the rest is left out */
};

enum telnet_role { TELNET_ASKS, TELNET_SERVES };

enum telnet_event {
    TELNET_NOTHING,
    TELNET_BREAK,  /* the peer sent a break */
    TELNET_MODEM,  /* modem has changed */
    TELNET_ERRORS, /* errors of the peer's line, enum serial_error_bits */
    TELNET_AGREED, /* the peer takes part in RFC 2217: settings go out, modem lines are its */
};

/* What is told of our port; in its units (serial/port.h). */
struct telnet_line {
    uint32_t baud;
    uint8_t bits, parity, stop; /* as SET_LINE_CONTROL has them */
    uint8_t flow;               /* enum telnet_flow */
    bool dtr, rts, breaking;
};

enum telnet_flow { TELNET_FLOW_NONE = 1, TELNET_FLOW_XON = 2, TELNET_FLOW_HARDWARE = 3 };

enum telnet_answer { TELNET_NO, TELNET_ASKED, TELNET_YES };

struct telnet_option { /* enum telnet_answer each */
    uint8_t ours;      /* what we do: our WILL, the peer's DO */
    uint8_t theirs;
};

enum { TELNET_BINARY, TELNET_ECHO, TELNET_GO_AHEAD, TELNET_COM_PORT, TELNET_OPTIONS };

struct telnet {
    enum telnet_role role;
    struct telnet_option options[TELNET_OPTIONS];
    bool lines_in, lines_out;      /* a side refused binary: CR NUL means CR there */
    bool suspended;                /* the peer takes no data now */
    uint32_t modem;                /* enum serial_modem: what the peer's lines say */
    uint32_t errors;               /* of the last TELNET_ERRORS */
    struct telnet_line line;       /* ours, as last set */
    uint8_t modem_mask, line_mask; /* serving: what the peer wants to be told of */
    /* Parser: */
    uint8_t state, verb;
    uint8_t sub[TELNET_SUB_MAX];
    size_t sub_size;
    /* Our side of the talk: */
    uint8_t output[TELNET_OUTPUT_MAX];
    size_t output_size;
};

/* COM_PORT: RFC 2217 is offered as well. */
void telnet_start(struct telnet *t, enum telnet_role role, bool com_port);

/* Whether both sides agreed on RFC 2217. */
bool telnet_has_com_port(const struct telnet *t);

void telnet_set(struct telnet *t, const struct telnet_line *line);

size_t telnet_output(const struct telnet *t, const uint8_t **bytes);
void telnet_sent(struct telnet *t, size_t size); /* at most what telnet_output gave */

/* Encodes SIZE bytes to OUT, which holds 2 * SIZE; returns how many there are. Only while
 * telnet_output is empty. */
size_t telnet_encode(const struct telnet *t, const uint8_t *in, size_t size, uint8_t *out);
/* After SENT bytes of that were sent: how many of IN they stand for. The second half of a pair that
 * was cut is telnet_output now. */
size_t telnet_plain(struct telnet *t, const uint8_t *in, size_t size, size_t sent);

/*
 * Decodes to OUT (room for SIZE bytes; it may be IN); *DATA of them are data. Returns how many of
 * IN were taken: fewer than SIZE when an EVENT came, or when telnet_output must go out first.
 */
size_t telnet_decode(struct telnet *t, const uint8_t *in, size_t size, uint8_t *out, size_t *data,
                     enum telnet_event *event);

#endif
