/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a byte stream to packets and single bytes. Loses nothing: the `raw` bytes of the items, in
 * order, are the input, each byte exactly once. Needs no memory but the struct, no clock, no I/O.
 */
#ifndef KDWIRE_STREAM_H
#define KDWIRE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kdwire/wire.h"

enum kd_framing {
    KD_FRAMING_SERIAL, /* serial lines, pipes, TCP: data packets end in the trailer byte */
    KD_FRAMING_KDNET,  /* inside a KDNET datagram: no trailer */
};

enum kd_item_kind {
    KD_ITEM_NONE,     /* nothing complete yet: feed more */
    KD_ITEM_PACKET,   /* a packet with leader and header; see `faults` */
    KD_ITEM_BREAK_IN, /* one 'b' between packets, not directly behind junk (console text) */
    KD_ITEM_JUNK,     /* bytes that belong to no packet (console text, rests of damage) */
};

/*
 * What is wrong with a packet item; 0 = nothing. The item then holds the bytes that are taken to
 * belong to the damaged packet, and the scan goes on right behind them: with KD_FAULT_LENGTH that
 * is the header alone, with a leader inside the damage (bytes were lost and the next packet has
 * begun) everything before that leader.
 */
enum kd_fault {
    KD_FAULT_CHECKSUM = 1, /* the body does not add up to the header's checksum (control: not 0) */
    KD_FAULT_TRAILER = 2,  /* the byte after the body is not 0xAA; a byte that may begin a leader
                              is then not part of the item */
    KD_FAULT_LENGTH = 4,   /* ByteCount above KD_BODY_MAX, or not 0 in a control packet */
    KD_FAULT_CUT = 8,      /* the rest never came: a time-out, the end, or a new leader */
};

struct kd_item {
    enum kd_item_kind kind;
    unsigned faults;         /* KD_ITEM_PACKET: enum kd_fault, OR-ed */
    struct kd_header header; /* KD_ITEM_PACKET, if raw_size >= KD_HEADER_SIZE; else all zero */
    const uint8_t *raw;      /* all bytes of the item; valid until the next call on the stream */
    size_t raw_size;
    const uint8_t *body; /* KD_ITEM_PACKET: inside raw; what came of it */
    size_t body_size;
};

enum {
    /* Longest run of junk handed out as one item: large enough for a console page, small enough
     * that a stream of text is shown while it comes. */
    KD_JUNK_MAX = 1024,
};

struct kd_stream {
    enum kd_framing framing;
    /* private to stream.c */
    size_t size;    /* bytes held in `held` */
    size_t handed;  /* leading bytes of `held` that the last item lent out */
    size_t scanned; /* held bytes in which no leader was found */
    size_t run;     /* equal leader bytes at the end of the scanned ones */
    size_t need;    /* a leader is at held[0]: bytes to hold before the next decision; else 0 */
    bool in_junk;   /* the next byte directly follows junk: a 'b' is text, not a break-in */
    uint8_t held[KD_PACKET_MAX + KD_HEADER_SIZE];
};

void kd_stream_init(struct kd_stream *stream, enum kd_framing framing);

/* For one who parses a stream piece by piece anew: whether the bytes before ended in junk, behind
 * which a 'b' is text. Only on a stream that was just initialised. */
void kd_stream_after_junk(struct kd_stream *stream, bool in_junk);

/*
 * Takes bytes until one item is complete; returns how many of DATA were used. Call again with the
 * rest while the result is less than SIZE or the item's kind is not KD_ITEM_NONE. The items are
 * the same for any split of the input. Junk is handed out when a leader follows, when KD_JUNK_MAX
 * is reached, or by kd_stream_flush; a 'b' inside it is text. A receiver for whom a 'b' behind
 * junk matters looks at the junk's last byte.
 */
size_t kd_stream_feed(struct kd_stream *stream, const uint8_t *data, size_t size,
                      struct kd_item *item);

/*
 * No more bytes are coming for now (a byte time-out, the end of a file): hands out what is held,
 * item by item, as a packet with KD_FAULT_CUT or as junk. Returns false when nothing is left.
 */
bool kd_stream_flush(struct kd_stream *stream, struct kd_item *item);

/*
 * For those who have whole packets, as in a recording or a datagram: whether the SIZE bytes at DATA
 * are exactly one good packet. If so, ITEM is what a new stream would give for them, but lends DATA
 * itself: nothing is copied. If not, ITEM is not touched.
 */
bool kd_stream_is_one_packet(enum kd_framing framing, const uint8_t *data, size_t size,
                             struct kd_item *item);

/* Whether bytes are held that a byte time-out should flush. */
bool kd_stream_pending(const struct kd_stream *stream);

/* Held bytes that will surely be junk; returns how many (0: none). Valid until the next call on the
 * stream. For those who must not wait for KD_JUNK_MAX bytes or a pause to see console text. */
size_t kd_stream_junk(const struct kd_stream *stream, const uint8_t **bytes);

#endif
