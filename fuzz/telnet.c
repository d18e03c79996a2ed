/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hostile Telnet peer, in both roles: everything it sends is taken in the end, answers stay
 * within their bound; and what one of us encodes, however it is cut, another decodes to the same.
 * Input: a byte for the role, a byte for how things are cut, the peer's bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "serial/telnet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PIECE_MAX = 64 };

static void check(bool condition)
{
    if (!condition)
        abort();
}

static void drain(struct telnet *t)
{
    const uint8_t *bytes = NULL;
    size_t size = 0;
    while ((size = telnet_output(t, &bytes)) > 0) {
        check(size <= TELNET_OUTPUT_MAX);
        telnet_sent(t, size > 7 ? 7 : size);
    }
}

static void hostile(struct telnet *t, const uint8_t *data, size_t size, size_t cut)
{
    uint8_t out[PIECE_MAX];
    struct telnet_line line = {9600, 8, 0, 0, TELNET_FLOW_NONE, true, true, false};
    telnet_set(t, &line);
    for (size_t at = 0; at < size;) {
        size_t piece = size - at < cut ? size - at : cut;
        size_t got = 0;
        enum telnet_event event = TELNET_NOTHING;
        size_t taken = telnet_decode(t, data + at, piece, out, &got, &event);
        check(taken <= piece && got <= taken && (t->modem & ~0xF0u) == 0);
        if (!taken)
            drain(t);
        at += taken;
        line.baud = line.baud * 31 + 1;
        line.breaking = line.baud & 4;
        line.rts = line.baud & 8;
        telnet_set(t, &line);
    }
    drain(t);
}

/* Decodes what T says to nobody and what it sends, with a parser of its own. */
static void round_trip(struct telnet *t, const uint8_t *data, size_t size, size_t cut)
{
    static struct telnet other;
    uint8_t wire[2 * PIECE_MAX];
    uint8_t out[2 * PIECE_MAX];
    size_t checked = 0;
    telnet_start(&other, t->role, false);
    other.lines_in = t->lines_out;
    for (size_t at = 0; at < size;) {
        const uint8_t *owed = NULL;
        size_t piece = size - at < PIECE_MAX ? size - at : PIECE_MAX;
        size_t sent = telnet_encode(t, data + at, piece, wire);
        if (sent > cut)
            sent = cut;
        at += telnet_plain(t, data + at, piece, sent);
        size_t rest = telnet_output(t, &owed);
        check(rest <= 1);
        memcpy(wire + sent, owed, rest);
        telnet_sent(t, rest);
        size_t got = 0;
        enum telnet_event event = TELNET_NOTHING;
        check(telnet_decode(&other, wire, sent + rest, out, &got, &event) == sent + rest);
        check(event == TELNET_NOTHING && checked + got == at);
        check(!memcmp(out, data + checked, got));
        checked += got;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct telnet t;
    if (size < 2)
        return 0;
    telnet_start(&t, data[0] & 1 ? TELNET_SERVES : TELNET_ASKS, data[0] & 2);
    size_t cut = 1 + data[1] % PIECE_MAX;
    hostile(&t, data + 2, size - 2, cut);
    round_trip(&t, data + 2, size - 2, cut);
    return 0;
}
